package dp

import (
	"encoding/binary"
	"math"
	"testing"
)

// The audit of the crowd rules calls what the shuffler calls for each crowd and each
// batch, Keep and Decide with a stream of the batch's seed, for two sizes that differ
// by what one client sends, and bounds from below the epsilon that the outcomes show
// (after Jagielski, Ullman and Oprea 2020). Seeds are fixed.
const (
	auditRuns  = 100_000
	auditAlpha = 0.0005 // of each of two bounds: 99.9 % together
	auditDelta = 1e-3
)

// atLeast is what a probability of which k of n came out is not below, with confidence
// 1-auditAlpha (Clopper and Pearson 1934).
func atLeast(k, n int) float64 {
	if k == 0 {
		return 0
	}
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	tail := func(p float64) float64 { // P(at least k)
		sum := 0.0
		for i := k; i <= n; i++ {
			t := math.Exp(lg(n) - lg(i) - lg(n-i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
			if sum += t; t < 1e-18*sum && float64(i) > p*float64(n) {
				break
			}
		}
		return sum
	}
	low, high := 0.0, float64(k)/float64(n)
	for range 30 {
		if mid := (low + high) / 2; tail(mid) > auditAlpha {
			high = mid
		} else {
			low = mid
		}
	}
	return low
}

// outcomesOf counts what a rule gives for one size over all seeds.
func outcomesOf(rule func(n uint64, s *Stream) uint64, n uint64, salt byte) map[uint64]int {
	out := map[uint64]int{}
	for i := range uint64(auditRuns) {
		seed := Seed{31: salt}
		binary.BigEndian.PutUint64(seed[:], i)
		out[rule(n, NewStream(seed, "audit", nil))]++
	}
	return out
}

// shownEpsilon is the lower bound of the epsilon that two samples show, by the best
// of the events "at least c" and "less than c".
func shownEpsilon(a, b map[uint64]int) float64 {
	best := 0.0
	bars := map[uint64]bool{}
	for c := range a {
		bars[c], bars[c+1] = true, true
	}
	for c := range bars {
		for range 2 {
			for _, up := range []bool{true, false} {
				event := func(s map[uint64]int) (k int) {
					for x, n := range s {
						if (x >= c) == up {
							k += n
						}
					}
					return k
				}
				p, q := atLeast(event(a), auditRuns), 1-atLeast(auditRuns-event(b), auditRuns)
				if p > auditDelta && q > 0 {
					best = max(best, math.Log((p-auditDelta)/q))
				}
			}
			a, b = b, a
		}
	}
	return best
}

func spreadOf(s map[uint64]int) float64 {
	sum, squares := 0.0, 0.0
	for x, n := range s {
		sum += float64(x) * float64(n)
		squares += float64(x) * float64(x) * float64(n)
	}
	return squares/auditRuns - sum/auditRuns*sum/auditRuns
}

// TestCrowdAudit covers a shuffler that adds no noise, or noise twice, or other noise
// after a restart, or noise for half of what a client may send: each is told from the
// true one.
func TestCrowdAudit(t *testing.T) {
	const sigma = 1000
	crowds := drop(t, 20, 8, sigma)
	minimum, err := NewTotal(40, 8, sigma)
	if err != nil {
		t.Fatal(err)
	}
	decide := func(n uint64, s *Stream) uint64 { told, _ := minimum.Decide(n, s); return told }
	for name, c := range map[string]struct {
		rule  func(n uint64, s *Stream) uint64
		curve func(reports uint64) Curve
		size  uint64 // near the bar, so that both whether and how much are in doubt
	}{
		"threshold": {func(n uint64, s *Stream) uint64 { return crowds.Keep(n, s) }, crowds.Reports, 28},
		"crowd":     {func(n uint64, s *Stream) uint64 { return crowds.Keep(n, s) }, crowds.Reports, 60},
		"minimum":   {decide, minimum.rule.Reports, 48},
		"total":     {decide, minimum.rule.Reports, 90},
	} {
		t.Run(name, func(t *testing.T) {
			declared, err := c.curve(1).Epsilon(auditDelta)
			if err != nil {
				t.Fatal(err)
			}
			without, with := outcomesOf(c.rule, c.size, 1), outcomesOf(c.rule, c.size+1, 2)
			if eps := shownEpsilon(without, with); eps > declared || eps < declared/3 {
				t.Errorf("the outcomes show epsilon %.3f, declared is %.3f: want at most that, and a test that has power", eps, declared)
			}
			// The broken ones.
			fixed := func(n uint64, _ *Stream) uint64 { return n - 8 }
			if eps := shownEpsilon(outcomesOf(fixed, c.size, 1), outcomesOf(fixed, c.size+1, 2)); eps <= declared {
				t.Errorf("no noise shows epsilon %.3f only", eps)
			}
			if eps := shownEpsilon(without, outcomesOf(c.rule, c.size+2, 3)); eps <= declared {
				t.Errorf("a client that sends 2 shows epsilon %.3f only, declared for 1 is %.3f", eps, declared)
			}
			if c.size < 60 {
				return // the variance is of the cut as well
			}
			want, wide := 1.0+1.0/12, 0.05 // more than 10 deviations
			if v := spreadOf(without); math.Abs(v-want) > wide {
				t.Errorf("variance %.3f, want %.3f", v, want)
			}
			twice := func(n uint64, s *Stream) uint64 { return c.rule(c.rule(n, s)+8, s) }
			if v := spreadOf(outcomesOf(twice, c.size, 1)); math.Abs(v-want) <= wide {
				t.Errorf("noise drawn twice has variance %.3f", v)
			}
			// After a restart the seed that is stored gives the same number; another seed
			// gives another, and the mean of two is closer to the truth.
			same := func(n uint64, s *Stream) uint64 { return c.rule(n, s) }
			if again := outcomesOf(same, c.size, 1); len(again) != len(without) || spreadOf(again) != spreadOf(without) {
				t.Error("the same seeds give other outcomes")
			}
			rerolled := map[uint64]int{}
			for i := range uint64(auditRuns) {
				seed := Seed{31: 9}
				binary.BigEndian.PutUint64(seed[:], i)
				rerolled[c.rule(c.size, NewStream(seed, "audit", nil))+c.rule(c.size, NewStream(seed, "after a restart", nil))]++
			}
			if v := spreadOf(rerolled) / 4; v > want/2+wide {
				t.Errorf("the mean of two draws has variance %.3f: the test has no power", v)
			}
		})
	}
}
