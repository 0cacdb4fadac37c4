package dap_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dp"
)

// The audit runs the very function that leader and helper call before they seal a
// share, on two neighbouring sums, and bounds from below the epsilon that the
// outcomes show (after Jagielski, Ullman and Oprea 2020).
const (
	auditRuns  = 100_000
	auditAlpha = 0.0005 // of each of two bounds: 99.9 % together
)

// clopper returns the bound that a probability is beyond with confidence
// 1-auditAlpha, of which k of n trials came out: from below or from above.
func clopper(k, n int, above bool) float64 {
	if above {
		return 1 - clopper(n-k, n, false)
	}
	if k == 0 {
		return 0
	}
	tail := func(p float64) float64 { // P(at least k), by the exact sum from the far end
		sum := 0.0
		lg := func(x int) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
		for i := k; i <= n; i++ {
			t := math.Exp(lg(n) - lg(i) - lg(n-i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
			sum += t
			if t < 1e-18*sum && float64(i) > p*float64(n) {
				break
			}
		}
		return sum
	}
	low, high := 0.0, float64(k)/float64(n)
	for range 50 {
		if mid := (low + high) / 2; tail(mid) > auditAlpha {
			high = mid
		} else {
			low = mid
		}
	}
	return low
}

// release draws what a sum of count becomes, modulo the field's prime, as a signed
// number.
func releases(t *testing.T, task *dap.Task, times, count int, random *rand.ChaCha8) []int64 {
	t.Helper()
	out := make([]int64, auditRuns)
	for i := range out {
		share := task.Instance().NewAggregateShare()
		if err := share.AddNoise(0, int64(count)); err != nil {
			t.Fatal(err)
		}
		for range times {
			if err := task.AddNoise(share, random); err != nil {
				t.Fatal(err)
			}
		}
		x := binary.LittleEndian.Uint64(share.Bytes())
		const prime = 1<<64 - 1<<32 + 1
		if out[i] = int64(x); x > prime/2 {
			out[i] = -int64(prime - x)
		}
	}
	return out
}

// shown is the lower bound of the epsilon that two samples show at delta, by the
// best of the events "at least c" and "less than c".
func shown(a, b []int64, delta float64) float64 {
	best := 0.0
	for c := int64(-3); c <= 4; c++ {
		for range 2 {
			for _, up := range []bool{true, false} {
				event := func(s []int64) (n int) {
					for _, x := range s {
						if (x >= c) == up {
							n++
						}
					}
					return n
				}
				p, q := clopper(event(a), len(a), false), clopper(event(b), len(b), true)
				if p > delta && q > 0 {
					best = max(best, math.Log((p-delta)/q))
				}
			}
			a, b = b, a
		}
	}
	return best
}

func variance(s []int64) float64 {
	sum, squares := 0.0, 0.0
	for _, x := range s {
		sum += float64(x)
		squares += float64(x) * float64(x)
	}
	n := float64(len(s))
	return squares/n - (sum/n)*(sum/n)
}

// TestNoiseAudit covers an aggregator that adds no noise, or less than is
// declared, or noise twice: each is told from the true one.
func TestNoiseAudit(t *testing.T) {
	for name, c := range map[string]struct {
		noise dp.Noise
		delta float64
	}{"Laplace": {laplace(1, 1, 1), 0}, "Gaussian": {gaussian(2, 1), 1e-6}} {
		t.Run(name, func(t *testing.T) {
			task := auditTask(t, c.noise)
			random := rand.NewChaCha8([32]byte{1})
			without, with := releases(t, task, 1, 0, random), releases(t, task, 1, 1, random)
			declared := c.noise.Guarantee(1, 1, c.delta).Epsilon
			if eps := shown(without, with, c.delta); eps > declared || eps < declared/4 {
				t.Errorf("the outcomes show epsilon %g, declared is %g: want at most that, and a test that has power", eps, declared)
			}
			want := c.noise.Variance(1)
			wide := 0.06 * want // more than 4 deviations of the variance of this many
			if v := variance(without); math.Abs(v-want) > wide {
				t.Errorf("variance %g, want %g", v, want)
			}
			// The broken ones.
			if eps := shown(releases(t, task, 0, 0, random), releases(t, task, 0, 1, random), c.delta); eps <= declared {
				t.Errorf("no noise at all shows epsilon %g only", eps)
			}
			if v := variance(releases(t, task, 2, 0, random)); math.Abs(v-want) <= wide {
				t.Errorf("noise drawn twice has variance %g, within the test's %g of %g", v, wide, want)
			}
			twice := releases(t, task, 1, 2, random) // a client that changes the sum by 2
			if eps := shown(without, twice, c.delta); eps <= declared && c.noise.Mechanism == dp.Laplace {
				t.Errorf("noise for half the sensitivity shows epsilon %g only, declared is %g", eps, declared)
			}
		})
	}
}

// auditTask counts, which one client changes by 1.
func auditTask(t *testing.T, n dp.Noise) *dap.Task {
	t.Helper()
	c := withNoise(t, n)
	c.VDAF, c.VDAFConfig = 1, nil
	return newTask(t, dap.DAP18(), c)
}
