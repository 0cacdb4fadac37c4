package audit

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestBounds compares with values that can be written down.
func TestBounds(t *testing.T) {
	for _, c := range []struct {
		k, n        int
		alpha, want float64
	}{
		{0, 10, 0.01, 0},
		{10, 10, 0.01, math.Pow(0.01, 0.1)},    // p^10 = alpha
		{1, 10, 0.01, 1 - math.Pow(0.99, 0.1)}, // 1-(1-p)^10 = alpha
		{100, 100, 1e-10, math.Pow(1e-10, 0.01)},
	} {
		if got := AtLeast(c.k, c.n, c.alpha); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("AtLeast(%d, %d, %g) = %.9f, want %.9f", c.k, c.n, c.alpha, got, c.want)
		}
		if got := AtMost(c.n-c.k, c.n, c.alpha); math.Abs(got-(1-c.want)) > 1e-9 {
			t.Errorf("AtMost(%d, %d, %g) = %.9f, want %.9f", c.n-c.k, c.n, c.alpha, got, 1-c.want)
		}
	}
}

// TestCoverage: of many samples of a known probability the bound is above it in about
// alpha of the cases, which has power and is not exceeded.
func TestCoverage(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const trials, n, p, alpha = 20000, 50, 0.3, 0.05
	wrong := 0
	for range trials {
		k := 0
		for range n {
			if random.Float64() < p {
				k++
			}
		}
		if AtLeast(k, n, alpha) > p {
			wrong++
		}
	}
	if rate := float64(wrong) / trials; rate > alpha || rate < alpha/3 {
		t.Errorf("the bound is wrong in %.3f of the cases, want at most %.3f and not far less", rate, alpha)
	}
}

// TestEpsilon: randomised response of epsilon 1 shows at most 1 and nearly 1.
func TestEpsilon(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	keep := math.E / (1 + math.E)
	draw := func(truth int64) []int64 {
		out := make([]int64, 100_000)
		for i := range out {
			if out[i] = truth; random.Float64() > keep {
				out[i] = 1 - truth
			}
		}
		return out
	}
	zero, one := draw(0), draw(1)
	if eps := Epsilon(zero, one, 0, 0.0005); eps > 1 || eps < 0.95 {
		t.Errorf("epsilon %.3f, want nearly 1", eps)
	}
	if v, want := Variance(one), keep*(1-keep); math.Abs(v-want) > 0.01 {
		t.Errorf("variance %.4f, want %.4f", v, want)
	}
}
