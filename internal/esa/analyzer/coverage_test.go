package analyzer

import (
	"fmt"
	"math"
	"testing"

	"github.com/shoal-project/shoal/dp"
)

// dropped is the exact distribution of how many reports a large crowd loses, read
// off the probabilities that crowds of each size survive a threshold of 1.
func dropped(t testing.TB, drop, sigmaMilli uint32) []float64 {
	t.Helper()
	rule, err := dp.NewNoisyDrop(1, drop, sigmaMilli)
	if err != nil {
		t.Fatal(err)
	}
	var all []float64
	for n := uint64(1); ; n++ { // survives iff at most n-1 are dropped
		p := rule.Survival(n)
		if len(all) > 0 {
			p -= rule.Survival(n - 1)
		}
		all = append(all, p)
		if 1-rule.Survival(n) < 1e-15 {
			return all
		}
	}
}

// binomial is the distribution of the number of n trials of probability p.
func binomial(n uint64, p float64) []float64 {
	out := make([]float64, n+1)
	if p == 0 || p == 1 {
		out[uint64(p)*n] = 1
		return out
	}
	lg := func(x uint64) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	for i := range out {
		k := uint64(i)
		out[i] = math.Exp(lg(n) - lg(k) - lg(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
	}
	return out
}

// hypergeometric is the distribution of how many of k marked ones among size are in
// a draw.
func hypergeometric(size, k, draw uint64) []float64 {
	out := make([]float64, draw+1)
	out[0] = 1
	for d := range draw {
		left := float64(size - d)
		for j := int(d); j >= 0; j-- {
			p := math.Max(0, float64(k)-float64(j)) / left
			out[j+1] += out[j] * p
			out[j] *= 1 - p
		}
	}
	return out
}

// A world is one case: a rule, a crowd, and how answers are flipped.
type world struct {
	threshold, drop, sigma uint32
	size, having           uint64
	p1, p0                 float64
}

func (w world) String() string {
	return fmt.Sprintf("T=%d D=%d sigma=%d, %d of %d, p1 %g p0 %g", w.threshold, w.drop, w.sigma, w.having, w.size, w.p1, w.p0)
}

// each calls f with every outcome of a released crowd, and its probability given
// that it is released.
func (w world) each(loss []float64, f func(s sample, p float64)) {
	released := 0.0
	for d, p := range loss {
		if uint64(d)+uint64(w.threshold) <= w.size {
			released += p
		}
	}
	for d, p := range loss {
		if p /= released; uint64(d)+uint64(w.threshold) > w.size || p < 1e-8 {
			continue
		}
		n := w.size - uint64(d)
		for lost, q := range hypergeometric(w.size, w.having, uint64(d)) {
			if p*q < 1e-8 {
				continue
			}
			have := w.having - uint64(lost)
			if w.p1 == 1 && w.p0 == 0 {
				f(sample{n, n, have, 1, 0}, p*q)
				continue
			}
			for y, r := range shown(have, n-have, w.p1, w.p0) {
				if r > 0 {
					f(sample{n, n, uint64(y), w.p1, w.p0}, p*q*r)
				}
			}
		}
	}
}

// shown is the distribution of how many answers show a value that yes have and no
// have not.
func shown(yes, no uint64, p1, p0 float64) []float64 {
	out := make([]float64, yes+no+1)
	b := binomial(no, p0)
	for i, a := range binomial(yes, p1) {
		if a < 1e-9 {
			continue
		}
		for j, x := range b {
			if x > 1e-9 {
				out[i+j] += a * x
			}
		}
	}
	return out
}

// rules are the thresholds whose tables are computed: those of the examples and the
// paper, one with wide noise, one whose noise is mostly cut off at zero.
var rules = [][3]uint32{{20, 12, 2000}, {20, 10, 2000}, {100, 40, 4000}, {5, 4, 1000}, {3, 2, 3000}, {20, 30, 8000}}

// worlds are crowds of a rule from the smallest that is released to some that are
// so large that they always are.
func worlds(r [3]uint32, p1, p0 float64, f func(world)) {
	first := uint64(r[0])
	last, step := first+uint64(r[1])+200, uint64(1)
	if p1 < 1 || r[2] > 4000 {
		last, step = first+uint64(r[1])+40, 13
	}
	for size := first; size < last; size += step {
		every := max(1, size/8)
		if p1 < 1 {
			every = max(1, size/5)
		}
		for having := uint64(0); having <= size; having += every {
			f(world{r[0], r[1], r[2], size, having, p1, p0})
		}
		f(world{r[0], r[1], r[2], size, 1, p1, p0})
		f(world{r[0], r[1], r[2], size, size, p1, p0})
		if size > first+2*uint64(r[1]) {
			step = 1 + step*2
		}
	}
}

// TestCoverageOfValues computes, with no simulation, how often the interval of a
// value holds the number of reports that had it: of the released crowds of each
// size 95 % or more, for every rule, share and flip. With a margin that is a
// quarter of an answer less it does not. The estimate has no bias where crowds
// always survive.
func TestCoverageOfValues(t *testing.T) {
	narrow := 1.0
	for _, r := range rules {
		rule, err := dp.NewNoisyDrop(r[0], r[1], r[2])
		if err != nil {
			t.Fatal(err)
		}
		loss := dropped(t, r[1], r[2])
		for _, p := range [][2]float64{{1, 0}, {0.9, 0.1}, {0.99, 0.01}, {0.999, 0.001}, {0.8, 0.05}} {
			if p[0] < 1 && r[2] >= 4000 {
				continue // these take long
			}
			worst, at := 1.0, world{}
			known := map[sample][2]estimate{}
			worlds(r, p[0], p[1], func(w world) {
				cover, mass, mean := [2]float64{}, 0.0, 0.0
				w.each(loss, func(s sample, p float64) {
					both, ok := known[s]
					if !ok {
						both[0] = s.having(rule)
						least, most := rule.Within95(s.released)
						both[1].low, both[1].high = s.interval(least, most, continuity-0.25)
						known[s] = both
					}
					mass += p
					mean += p * both[0].value
					for i, e := range both {
						if e.low <= float64(w.having) && float64(w.having) <= e.high {
							cover[i] += p
						}
					}
				})
				if c := cover[0] + 1 - mass; c < worst {
					worst, at = c, w
				}
				narrow = min(narrow, cover[1]+1-mass)
				if 1-mass > 1e-4 {
					t.Fatalf("%v: %g of the outcomes are not looked at", w, 1-mass)
				}
				if off := math.Abs(mean - float64(w.having)); off > 1e-4*float64(w.size) && rule.Survival(w.size) > 1-1e-9 && r[1]*1000 > 3*r[2] {
					t.Errorf("%v: the estimate is %g on average", w, mean)
				}
			})
			t.Logf("T=%d D=%d sigma=%d, p1 %g p0 %g: at least %.4f, at %v", r[0], r[1], r[2], p[0], p[1], worst, at)
			if worst < 0.95 {
				t.Errorf("%v: the interval holds the truth for %.4f of the released crowds", at, worst)
			}
		}
	}
	if narrow >= 0.95 {
		t.Errorf("a narrower interval would hold the truth for %.4f", narrow)
	}
}
