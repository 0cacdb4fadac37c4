package kind_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/metric/kind"
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

// TestMeansOfSeveralValues: 1 and 2 counted as 2, and 1, 1 and 2 as 1. With the
// rounding at random that a mean of n clients has, it is further off than the
// bound with a probability below 1e-7 (Hoeffding).
func TestMeansOfSeveralValues(t *testing.T) {
	q := questions(t)["mean"]
	for _, values := range [][]int{{1, 2}, {1, 1, 2}, {3, 3}} {
		want, n := 0.0, 300
		for _, v := range values {
			want += float64(v) / float64(len(values))
		}
		var tallies []*kind.Tally
		for range n {
			tally := q.Empty()
			for _, v := range values {
				say(t, tally, v)
			}
			tallies = append(tallies, tally)
		}
		r, err := q.Result(collect(t, q, tallies...), uint64(n))
		if err != nil {
			t.Fatal(err)
		}
		if bound := math.Sqrt(math.Log(2e7) / (2 * float64(n))); math.Abs(r.Rows[0].Estimate-want) > bound {
			t.Errorf("%v is recorded as %g on average, want %g", values, r.Rows[0].Estimate, want)
		}
	}
}

// TestDurationsAreRefused: one was counted in nanoseconds, and was in the last
// bucket or at the maximum.
func TestDurationsAreRefused(t *testing.T) {
	for _, name := range []string{"mean", "histogram"} {
		err := questions(t)[name].Empty().Observe(420*time.Millisecond, rand.NewChaCha8([32]byte{}))
		if !errors.Is(err, kind.ErrUse) || !strings.Contains(err.Error(), "nanoseconds") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
