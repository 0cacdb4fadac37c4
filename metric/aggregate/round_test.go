package aggregate_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/metric/aggregate"
)

// TestMeansAreNotRoundedDown: 0.9 three times was recorded as 0, and 40.6 as 40.
func TestMeansAreNotRoundedDown(t *testing.T) {
	q := questions(t)["mean"]
	seed := rand.NewChaCha8([32]byte{1})
	for _, value := range []float64{0.9, 3.25, 7} {
		sum, n := 0.0, 20_000
		for range n {
			tally := q.Empty()
			if err := tally.Observe(value, seed); err != nil {
				t.Fatal(err)
			}
			x := tally.Bytes()
			sum += float64(x[len(x)-1]) // the last byte of the sum
		}
		if mean, bound := sum/float64(n), 4*0.5/math.Sqrt(float64(n)); math.Abs(mean-value) > bound {
			t.Errorf("%g is recorded as %g on the average, off by more than %g", value, mean, bound)
		}
	}
}

// TestDurationsAreRefused: one was counted in nanoseconds, and was in the last
// bucket or at the maximum.
func TestDurationsAreRefused(t *testing.T) {
	for _, name := range []string{"mean", "histogram"} {
		err := questions(t)[name].Empty().Observe(420*time.Millisecond, rand.NewChaCha8([32]byte{}))
		if !errors.Is(err, aggregate.ErrUse) || !strings.Contains(err.Error(), "nanoseconds") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
