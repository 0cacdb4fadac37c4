package suggest

import (
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/clock"
)

// TestRun runs a part of the histories: hardly any triple is lost, triples predict more than
// popularity does and hardly more than whole histories, and the same seed gives the same figures.
func TestRun(t *testing.T) {
	run := func(sealed int) *Result {
		r, err := Run(t.Context(), Config{Seed: 1, Histories: 20_000, Sealed: sealed, Clock: clock.System(), Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := run(200)
	if r.Released > r.Reports || r.Released < r.Reports-40 || r.Reports < r.Views/width-r.Histories {
		t.Errorf("%d views, %d triples, %d released", r.Views, r.Reports, r.Released)
	}
	if r.Triples < r.Popular || r.Triples > r.Whole*1.02 || r.Sealed.Released == 0 {
		t.Errorf("popular %.4f, whole %.4f, triples %.4f, sealed %+v", r.Popular, r.Whole, r.Triples, r.Sealed)
	}
	if again := run(0); again.Triples != r.Triples || again.Released != r.Released {
		t.Errorf("another result with the same seed: %+v, %+v", again, r)
	}
	if !strings.Contains(r.String(), "triples") || !strings.Contains(r.SVG(), "</svg>") {
		t.Errorf("output:\n%s", r)
	}
}
