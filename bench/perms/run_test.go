package perms

import (
	"reflect"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/clock"
)

func run(t *testing.T, c Config) *Result {
	t.Helper()
	c.Clock, c.Dir = clock.System(), t.TempDir()
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRun runs a fortieth of the requests, some through all layers: the same seed gives the same
// pages, what is found is near the truth, and the rules keep what the paper claims.
func TestRun(t *testing.T) {
	r := run(t, Config{Seed: 1, Sealed: 500, Part: 40})
	for _, rule := range r.Rules {
		if rule.Delta > 1e-7 {
			t.Errorf("%s: delta(%v) = %g, want at most 1e-7", rule.Name, Epsilon, rule.Delta)
		}
	}
	for _, row := range r.Rows {
		if row.Sealed == nil || row.Sealed.Requests < 300 || row.Sealed.Requests > 500 {
			t.Errorf("%s: sealed %+v", row.Feature, row.Sealed)
		}
		for a := range actions() {
			paper, ours := row.Found[0].Shown[a], row.Found[1].Shown[a]
			if paper > ours || ours > row.Naive*11/10+20 || ours < row.Naive*8/10-20 {
				t.Errorf("%s, %s: %d and %d pages, %d have 100 requests", row.Feature, actions()[a], paper, ours, row.Naive)
			}
		}
	}
	if out := r.String(); !strings.Contains(out, "notifications") || !strings.Contains(r.SVG(), "</svg>") {
		t.Errorf("output:\n%s", out)
	}
	again := run(t, Config{Seed: 1, Part: 40})
	for i := range again.Rows {
		if !reflect.DeepEqual(again.Rows[i].Found, r.Rows[i].Found) {
			t.Errorf("another result with the same seed: %+v, %+v", again.Rows[i], r.Rows[i])
		}
	}
}

// TestLeastShown: flips alone hardly ever make a page show an action, by the binomial distribution.
func TestLeastShown(t *testing.T) {
	for n, want := range map[int]int{1: 1, 10: 1, 11: 2, 100: 2, 1000: 3, 100_000: 22} {
		if got := leastShown(n); got != want {
			t.Errorf("of %d records %d must have the bit, want %d", n, got, want)
		}
	}
}
