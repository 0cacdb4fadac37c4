package linkability_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/linkability"
)

// simulate lets a plan run and returns the views.
func simulate(t testing.TB, p plan) []linkability.View {
	t.Helper()
	began := time.Now()
	w := newWorld(t, p)
	w.run()
	w.record.refresh()
	if w.unkept*20 > w.records {
		t.Errorf("%d of %d records were not kept", w.unkept, w.records)
	}
	if p.leak != nil && p.leak.observed != nil {
		p.leak.observed(w.record)
	}
	t.Logf("%d people, %d days: %d reports sent, %d refused, in %v; the last reason to wait: %v",
		p.people, p.days, w.sent, w.refused, time.Since(began).Round(time.Millisecond), w.failed)
	return w.record.views()
}

// compare plays the game in a view and logs what was found.
func compare(t testing.TB, v linkability.View, s linkability.Settings) linkability.Finding {
	t.Helper()
	f, err := linkability.Compare(v, s)
	if err != nil {
		t.Fatalf("%s: %v", v.Name, err)
	}
	t.Logf("%-32s %3d people %6d pairs: real %+.4f ideal %+.4f difference %+.4f [%+.4f, %+.4f] detectable %.4f",
		f.View, f.People, f.Pairs, f.Real, f.Ideal, f.Difference, f.Low, f.High, f.Detectable)
	return f
}

// TestTrialWorks keeps the trial alive: a small one, with a fixed seed for all that people
// do, finds a planted leak where it is, and has each view. Seals and send times are
// random; the leak gives an advantage of 0.9 with a standard error of 0.03.
func TestTrialWorks(t *testing.T) {
	p := plan{people: 24, days: 5, routes: []route{credentialed(), aggregate()}, seed: 1, leak: dated()}
	views := simulate(t, p)
	if len(views) != 12 {
		t.Errorf("%d views, want 12", len(views))
	}
	for _, v := range views {
		f := compare(t, v, linkability.Settings{PairsEach: 40, Draws: 1, Bootstrap: 300, Tests: len(views), Seed: 1})
		if found := slices.Contains(p.leak.views, v.Name); found && (!f.Defect() || f.Real < 0.5) {
			t.Errorf("%s is not found in the view of the %s", p.leak.name, v.Name)
		}
	}
}

// TestLinkability is the trial: see docs/evidence/linkability.md.
func TestLinkability(t *testing.T) {
	size := os.Getenv("SHOAL_LINKABILITY")
	if size == "" {
		t.Skip("make linkability runs it")
	}
	var people, days int
	if _, err := fmt.Sscanf(size, "%dx%d", &people, &days); err != nil {
		t.Fatalf("SHOAL_LINKABILITY=%s: want people and days, such as 500x30", size)
	}
	routes := []route{crowd(), credentialed(), aggregate()}
	t.Run("views", func(t *testing.T) {
		views := simulate(t, plan{people: people, days: days, routes: routes, seed: 1})
		s := linkability.Settings{PairsEach: 200, Draws: 2, Bootstrap: 2000, Tests: len(views), Seed: 1}
		for _, v := range views {
			f := compare(t, v, s)
			if f.Defect() {
				t.Errorf("the %s links reports", v.Name)
			}
			if f.Detectable > 0.02 && people >= 500 {
				t.Errorf("%s: differences below %.4f would not be found, want 0.02 at most", v.Name, f.Detectable)
			}
			shuffled := v.Shuffled(rand.New(rand.NewPCG(1, 1))) //nolint:gosec // a fixed seed
			shuffled.Name += ", shuffled"
			few := s
			few.PairsEach, few.Draws = s.PairsEach/2, 1
			if compare(t, shuffled, few).Defect() {
				t.Errorf("%s: something is found where nothing is", shuffled.Name)
			}
		}
	})
	t.Run("devices that sleep", func(t *testing.T) {
		// What no delay on the device hides, and what docs say is left: no defect.
		for _, v := range simulate(t, plan{people: 150, days: 15, routes: routes, seed: 4, asleep: true}) {
			if slices.Contains([]string{"network", "gateway and shuffler", "gateway and leader", "analyzer"}, v.Name) {
				compare(t, v, linkability.Settings{PairsEach: 100, Draws: 2, Bootstrap: 1000, Tests: 4, Seed: 1})
			}
		}
	})
	t.Run("wall clock", func(t *testing.T) {
		views := simulate(t, plan{people: 60, days: 3, routes: routes, seed: 3, wall: true})
		for _, v := range views {
			if f := compare(t, v, linkability.Settings{PairsEach: 100, Draws: 2, Bootstrap: 1000, Tests: len(views), Seed: 1}); f.Defect() {
				t.Errorf("the %s links reports", v.Name)
			}
		}
	})
	for _, plant := range leaks() {
		l := plant()
		t.Run(l.name, func(t *testing.T) {
			p := plan{people: 60, days: 10, routes: routes, seed: 2, leak: l}
			if l.routes != nil {
				p.routes = l.routes
			}
			views := simulate(t, p)
			for _, v := range views {
				if !slices.Contains(l.views, v.Name) {
					continue
				}
				if f := compare(t, v, linkability.Settings{PairsEach: 100, Draws: 1, Bootstrap: 1000, Tests: len(views), Seed: 1}); f.Low <= 0 {
					t.Errorf("%s is not found in the view of the %s", l.name, v.Name)
				}
			}
		})
	}
}
