package dp

import (
	"fmt"
	"math"
	"testing"
)

// one returns the probabilities of one draw, in the middle that of 0, from their
// definition.
func one(n Noise) []float64 {
	s := n.spread()
	reach := int(math.Ceil(40*s)) + 4
	if n.Mechanism == Gaussian {
		reach = int(math.Ceil(10*s)) + 2
	}
	p, total := make([]float64, 2*reach+1), 0.0
	for i := range p {
		x := math.Abs(float64(i - reach))
		if p[i] = math.Exp(-x / s); n.Mechanism == Gaussian {
			p[i] = math.Exp(-x * x / (2 * s * s))
		}
		total += p[i]
	}
	for i := range p {
		p[i] /= total
	}
	return p
}

func convolve(a, b []float64) []float64 {
	out := make([]float64, len(a)+len(b)-1)
	for i, x := range a {
		if x < 1e-30 {
			continue
		}
		for j, y := range b {
			out[i+j] += x * y
		}
	}
	return out
}

// middle adds up the probabilities from -m to m.
func middle(p []float64, m int64) float64 {
	c, sum := len(p)/2, 0.0
	for i := max(0, c-int(m)); i <= min(len(p)-1, c+int(m)); i++ {
		sum += p[i]
	}
	return sum
}

// agrees fails if k of n draws are not in the 99.9 % interval of a probability. The
// draws are of fixed seeds.
func agrees(t *testing.T, what string, k, n int, p float64) {
	t.Helper()
	if wide := 3.2905*math.Sqrt(p*(1-p)*float64(n)) + 1; math.Abs(float64(k)-p*float64(n)) > wide {
		t.Errorf("%s: %d of %d simulated releases are within the interval, computed are %.4f", what, k, n, p)
	}
}

const simulated = 10_000

// TestCoverageOfNoise computes how often the interval of an element, and of the
// difference of two, holds the exact sum: 95 % or more, and less with an interval
// that is narrower by 1 at each end. Simulated releases agree.
func TestCoverageOfNoise(t *testing.T) {
	for i, n := range noises(t) {
		if n.Mechanism == NoNoise {
			continue
		}
		pair := convolve(one(n), one(n))
		draws := make([]int64, 4*simulated)
		if err := n.Draw(NewStream(Seed{byte(i), 1}, "coverage", nil), draws); err != nil {
			t.Fatal(err)
		}
		for k, c := range map[int]struct {
			p []float64
			m int64
		}{2: {pair, n.Within95()}, 4: {convolve(pair, pair), n.Difference95()}} {
			covered := middle(c.p, c.m)
			if narrow := middle(c.p, c.m-1); covered < 0.95 || narrow >= 0.95 {
				t.Errorf("%v, %d draws: ± %d holds the truth for %.6f, narrower for %.6f", n, k, c.m, covered, narrow)
			}
			inside := 0
			for r := range simulated {
				sum := int64(0)
				for _, x := range draws[4*r:][:k] {
					sum += x
				}
				if max(sum, -sum) <= c.m {
					inside++
				}
			}
			agrees(t, fmt.Sprint(n, " ", k), inside, simulated, covered)
		}
	}
	for _, sigma := range []float64{20.5, 333.25, 5000} { // beyond what is added up
		n := mustNoise(t, Noise{Mechanism: Gaussian, Num: uint32(4 * sigma), Den: 4}, nil)
		n.Num, n.Den = lowest(n.Num, n.Den)
		for draws, m := range map[float64]int64{2: n.Within95(), 4: n.Difference95()} {
			wide := sigma * math.Sqrt(draws)
			p := make([]float64, 2*int(9*wide)+1)
			total := 0.0
			for i := range p {
				x := float64(i - len(p)/2)
				p[i] = math.Exp(-x * x / (2 * wide * wide))
				total += p[i]
			}
			if in, narrow := middle(p, m)/total, middle(p, m-1)/total; in < 0.95 || narrow >= 0.95 {
				t.Errorf("sigma %g, %g draws: ± %d holds the truth for %.9f, narrower for %.9f", sigma, draws, m, in, narrow)
			}
		}
	}
}

// TestCoverageOfThresholds simulates releases of crowds, of which
// [TestWithin95Coverage] computes what is expected, and of totals.
func TestCoverageOfThresholds(t *testing.T) {
	for _, size := range []uint64{25, 32, 40, 1000} {
		d := drop(t, 20, 12, 2000).(*noisyDrop)
		released, inside := 0.0, 0.0
		for x := int64(0); x <= int64(size)-20; x++ {
			p := probability(d.noise().mass(x - 12))
			released += p
			if least, most := d.Within95(size - uint64(x)); least <= size && size <= most {
				inside += p
			}
		}
		r := NewStream(Seed{byte(size)}, "coverage", nil)
		n, k := 0, 0
		for range simulated {
			left := d.Keep(size, r)
			if left == 0 {
				continue
			}
			n++
			if least, most := d.Within95(left); least <= size && size <= most {
				k++
			}
		}
		agrees(t, fmt.Sprint("released crowds of ", size), n, simulated, released)
		agrees(t, fmt.Sprint("intervals of crowds of ", size), k, n, inside/released)
	}
	total, err := NewTotal(100, 48, 8000)
	if err != nil {
		t.Fatal(err)
	}
	m := int64(total.Within95())
	within := func(m int64) float64 {
		return probability(total.rule.noise().atMost(m)) - probability(total.rule.noise().atMost(-m-1))
	}
	if within(m) < 0.95 || within(m-1) >= 0.95 {
		t.Errorf("total: ± %d for %.5f, narrower for %.5f", m, within(m), within(m-1))
	}
	r := NewStream(Seed{9}, "coverage", nil)
	k := 0
	for range simulated {
		if told, ok := total.Decide(400, r); ok && max(int64(told)-400, 400-int64(told)) <= m {
			k++
		}
	}
	agrees(t, "totals", k, simulated, within(m))
}
