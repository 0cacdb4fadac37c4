package linkability_test

import (
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
	p := plan{people: 24, days: 5, routes: []route{crowd(), aggregate()}, seed: 1, leak: dated()}
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
	if os.Getenv("SHOAL_LINKABILITY") == "" {
		t.Skip("make linkability runs it")
	}
	views := simulate(t, plan{people: 500, days: 30, routes: []route{crowd(), aggregate()}, seed: 1})
	for _, v := range views {
		if f := compare(t, v, linkability.Settings{PairsEach: 200, Draws: 2, Bootstrap: 2000, Tests: len(views), Seed: 1}); f.Defect() {
			t.Errorf("the %s links reports", v.Name)
		}
	}
}
