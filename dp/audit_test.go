package dp

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/internal/audit"
)

// The audit of the crowd rules calls what the shuffler calls for each crowd and each
// batch, Keep and Decide with a stream of the batch's seed, for two sizes that differ
// by what one client sends, see package audit. Seeds are fixed.
const (
	auditRuns  = 100_000
	auditAlpha = 0.0005 // of each of two bounds: 99.9 % together
	auditDelta = 1e-3
)

// A crowdRule is what a shuffler applies to a number of reports.
type crowdRule func(n uint64, s *Stream) uint64

// outcomesOf lists what a rule gives for one size over all seeds.
func outcomesOf(rule crowdRule, n uint64, salt byte) []int64 {
	out := make([]int64, auditRuns)
	for i := range out {
		seed := Seed{31: salt}
		binary.BigEndian.PutUint64(seed[:], uint64(i))
		out[i] = int64(rule(n, NewStream(seed, "audit", nil)))
	}
	return out
}

func shownEpsilon(a, b []int64) float64 { return audit.Epsilon(a, b, auditDelta, auditAlpha) }

// TestCrowdAudit covers a shuffler that adds no noise, or noise twice, or other noise
// after a restart, or noise for half of what a client may send: each is distinguished
// from the true one.
func TestCrowdAudit(t *testing.T) {
	const sigma = 1000
	crowds := drop(t, 20, 8, sigma)
	set, err := NewNoisySet(20, sigma)
	if err != nil {
		t.Fatal(err)
	}
	minimum, err := NewTotal(40, 8, sigma)
	if err != nil {
		t.Fatal(err)
	}
	keep := func(n uint64, s *Stream) uint64 { return crowds.Keep(n, s) }
	decide := func(n uint64, s *Stream) uint64 { told, _ := minimum.Decide(n, s); return told }
	whether := func(n uint64, s *Stream) uint64 { return min(1, set.Keep(n, s)) } // counts are exact
	for name, c := range map[string]struct {
		rule  crowdRule
		fixed crowdRule // without noise
		curve func(reports uint64) Curve
		size  uint64 // near the bar, so that both whether and how much are in doubt; or far
	}{
		"threshold": {keep, func(n uint64, _ *Stream) uint64 { return n - 8 }, crowds.Reports, 28},
		"crowd":     {keep, func(n uint64, _ *Stream) uint64 { return n - 8 }, crowds.Reports, 60},
		"minimum":   {decide, func(n uint64, _ *Stream) uint64 { return n }, minimum.rule.Reports, 48},
		"total":     {decide, func(n uint64, _ *Stream) uint64 { return n }, minimum.rule.Reports, 90},
		"set":       {whether, func(n uint64, _ *Stream) uint64 { return n / 18 }, set.Reports, 17},
	} {
		t.Run(name, func(t *testing.T) {
			auditPrivacy(t, c.rule, c.fixed, c.curve, c.size)
			if c.size >= 60 { // the variance is of the noise alone, not of the cut as well
				auditVariance(t, c.rule, c.size)
			}
		})
	}
}

// auditPrivacy compares what a rule shows, for clients that send one report and two,
// with what is declared for them.
func auditPrivacy(t *testing.T, rule, fixed crowdRule, curve func(uint64) Curve, size uint64) {
	t.Helper()
	without := outcomesOf(rule, size, 1)
	var declared [3]float64
	for reports := range uint64(3) {
		if reports == 0 {
			continue
		}
		eps, err := curve(reports).Epsilon(auditDelta)
		if err != nil {
			t.Fatal(err)
		}
		declared[reports] = eps
		if shown := shownEpsilon(without, outcomesOf(rule, size+reports, 1+byte(reports))); shown > eps || shown < eps/3 {
			t.Errorf("a client of %d reports: the outcomes show epsilon %.3f, declared is %.3f: want at most that, and a test that has power", reports, shown, eps)
		}
	}
	// The broken ones.
	if shown := shownEpsilon(outcomesOf(fixed, size, 1), outcomesOf(fixed, size+1, 2)); shown <= declared[1] {
		t.Errorf("no noise shows epsilon %.3f only", shown)
	}
	if shown := shownEpsilon(without, outcomesOf(rule, size+2, 3)); shown <= declared[1] {
		t.Errorf("a client that sends 2 shows epsilon %.3f only, declared for 1 is %.3f", shown, declared[1])
	}
}

// auditVariance detects noise that is drawn twice, and other noise after a restart.
func auditVariance(t *testing.T, rule crowdRule, size uint64) {
	t.Helper()
	without := outcomesOf(rule, size, 1)
	want, wide := 1.0+1.0/12, 0.05 // more than 10 deviations
	if v := audit.Variance(without); math.Abs(v-want) > wide {
		t.Errorf("variance %.3f, want %.3f", v, want)
	}
	twice := func(n uint64, s *Stream) uint64 { return rule(rule(n, s)+8, s) }
	if v := audit.Variance(outcomesOf(twice, size, 1)); math.Abs(v-want) <= wide {
		t.Errorf("noise drawn twice has variance %.3f", v)
	}
	// After a restart the seed that is stored gives the same number; another seed
	// gives another, and the mean of two is closer to the truth.
	if again := outcomesOf(rule, size, 1); !slices.Equal(again, without) {
		t.Error("the same seeds give other outcomes")
	}
	rerolled := make([]int64, auditRuns)
	for i := range rerolled {
		seed := Seed{31: 9}
		binary.BigEndian.PutUint64(seed[:], uint64(i))
		rerolled[i] = int64(rule(size, NewStream(seed, "audit", nil)) + rule(size, NewStream(seed, "after a restart", nil)))
	}
	if v := audit.Variance(rerolled) / 4; v > want/2+wide {
		t.Errorf("the mean of two draws has variance %.3f: the test has no power", v)
	}
}

// TestUnreadableReports computes the claims of docs/evidence/privacy.md about a crowd of which
// a part cannot be read: the analyzer publishes the others of those that are left,
// and the noise is spread over all.
func TestUnreadableReports(t *testing.T) {
	rule := newDrop(20, 12, 2000)
	dropped := rule.dropped()
	low := max(0, int64(rule.drop)+rule.noise().low)
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	choose := func(n, k int) float64 { return lg(n) - lg(k) - lg(n-k) }
	published := func(n, unreadable int) map[int]float64 {
		out := map[int]float64{}
		for i, p := range dropped {
			d := int(low) + i
			for readable := max(0, d-unreadable); readable <= min(d, n-unreadable); readable++ {
				out[n-unreadable-readable] += probability(p) * math.Exp(choose(n-unreadable, readable)+choose(unreadable, d-readable)-choose(n, d))
			}
		}
		return out
	}
	delta := func(p, q map[int]float64, eps float64) (sum float64) {
		for x, a := range p {
			sum += max(0, a-math.Exp(eps)*q[x])
		}
		return sum
	}
	shown := func(p, q map[int]float64) float64 {
		low, high := 0.0, 20.0
		for range 40 {
			if mid := (low + high) / 2; max(delta(p, q, mid), delta(q, p, mid)) > 1e-6 {
				low = mid
			} else {
				high = mid
			}
		}
		return high
	}
	for _, n := range []int{60, 200, 1000} {
		for parts, most := range map[int]float64{0: 2.26, 10: 2.58, 20: 3.09} {
			m := n * parts / 100
			if eps := shown(published(n, m), published(n+1, m)); eps > most {
				t.Errorf("%d of %d reports are unreadable: epsilon %.4f, docs/evidence/privacy.md says %.2f", m, n, eps, most)
			}
			// An unreadable one more is less than a readable one.
			if eps := shown(published(n, m), published(n+1, m+1)); eps > most {
				t.Errorf("an unreadable report beside %d of %d: epsilon %.4f", m, n, eps)
			}
		}
		if eps := shown(published(n, n*3/10), published(n+1, n*3/10)); eps < 19 {
			t.Errorf("three tenths of %d are unreadable: epsilon %.4f, docs/evidence/privacy.md claims no guarantee", n, eps)
		}
	}
}
