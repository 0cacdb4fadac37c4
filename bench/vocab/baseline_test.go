package vocab

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/shoal-project/shoal/dp"
)

var sharedDecoder = sync.OnceValue(func() *decoder { return newDecoder(localEpsilon) })

// The randomised response must keep what it promises: flips no rarer than
// epsilon asks for.
func TestFlipKeepsEpsilon(t *testing.T) {
	s := newRAPPOR(2)
	if eps := float64(s.hashes) * math.Log((1-s.p())/s.p()); eps > 2 || eps < 1.999 {
		t.Errorf("epsilon is %v, want 2 or just below", eps)
	}
	const n = 1_000_003
	source := rand.NewChaCha8([32]byte{1})
	for _, p := range []uint32{0, 1, 1 << 15, s.flip, 1<<16 - 1} {
		mean := float64(n) * float64(p) / (1 << flipDigits)
		got := float64(flips(n, p, source))
		if sd := math.Sqrt(mean * (1 - mean/n)); math.Abs(got-mean) > 5*sd {
			t.Errorf("%v of %d bits are set with p=%d/65536, want %.0f +- %.0f", got, n, p, mean, sd)
		}
	}
}

func TestEstimatesAreUnbiased(t *testing.T) {
	s := newRAPPOR(2)
	columns := [][]uint16{s.column(0), s.column(1)}
	counts := []uint32{300_000, 100_000}
	y, sd := s.estimate(s.collect(columns, counts, rand.NewChaCha8([32]byte{2})))
	want := make([]float64, s.rows())
	for i, rows := range columns {
		for _, r := range rows {
			want[r] += float64(counts[i]) / 400_000
		}
	}
	for i := range want { // a cohort's share of each word is random, too
		if math.Abs(y[i]-want[i]) > 6*sd[i]+0.06 {
			t.Errorf("row %d is estimated as %.3f +- %.3f, want %.3f", i, y[i], sd[i], want[i])
		}
	}
}

// Words that are far above the noise are found, by either baseline, and hardly
// any other; words far below it are not.
func TestBaselinesFindFrequentWords(t *testing.T) {
	counts := make([]uint32, Words)
	frequent := []int{3, 100, 500, 700, 999}
	for _, rank := range frequent {
		counts[rank] = 4000
	}
	for rank := range 2000 { // candidates and others that are too rare
		counts[40+2*rank] += 10
	}
	counts[30_000] = 4000 // frequent, but not looked for
	for _, partitions := range []int{1, 16} {
		got := sharedDecoder().decode(t.Context(), counts, partitions, rand.NewChaCha8([32]byte{3}))
		if got.right != len(frequent) || got.wrong > 1 {
			t.Errorf("%d partitions: %+v, want %d words", partitions, got, len(frequent))
		}
	}
	if got := sharedDecoder().decode(t.Context(), make([]uint32, Words), 1, rand.NewChaCha8([32]byte{})); got != (outcome{}) {
		t.Errorf("nobody's words: %+v", got)
	}
}

// Both baselines stay within a factor of 3 of Figure 5, as docs/evidence/vocab.md claims.
func TestBaselinesAreNearThePaper(t *testing.T) {
	near := func(what string, got, want int) {
		t.Helper()
		if 3*got < want || got > 3*want {
			t.Errorf("%s: %d words, the paper has %d", what, got, want)
		}
	}
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		paper, _ := paperRow(n)
		counts := draw(n, [32]byte{7}).counts
		near("RAPPOR", sharedDecoder().decode(t.Context(), counts, 1, rand.NewChaCha8([32]byte{8})).right, paper.RAPPOR)
		if paper.Partition > 0 {
			near("Partition", sharedDecoder().decode(t.Context(), counts, partitionsOf(n), rand.NewChaCha8([32]byte{9})).right, paper.Partition)
		}
	}
}

func TestAverage(t *testing.T) {
	got := average([]outcome{{1, 0}, {2, 1}, {3, 0}, {2, 1}, {2, 0}})
	want := Decoded{Words: 2, Deviation: math.Sqrt(0.5), False: 0.4}
	if math.Abs(got.Words-want.Words)+math.Abs(got.Deviation-want.Deviation)+math.Abs(got.False-want.False) > 1e-12 {
		t.Errorf("average is %+v, want %+v", got, want)
	}
}

func TestPartitionsOfThePaper(t *testing.T) {
	for n, want := range map[int]int{100: 4, 10_000: 4, 100_000: 4, 1_000_000: 32, 10_000_000: 256, MaxSize: 256} {
		if got := partitionsOf(n); got != want {
			t.Errorf("%d words: %d partitions, want %d", n, got, want)
		}
	}
}

// Without noise, picking and least squares give back the coefficients, also if
// there are more columns than rows.
func TestRegressionIsExactWithoutNoise(t *testing.T) {
	s := rapporScheme{bits: 32, hashes: 2, cohorts: 8}
	const candidates = 400 // 256 rows
	columns := make([][]uint16, candidates)
	for i := range columns {
		columns[i] = s.column(i)
	}
	truth := map[int]float64{7: 0.3, 90: 0.2, 391: 0.1}
	y, w := make([]float64, s.rows()), make([]float64, s.rows())
	for r := range y {
		y[r], w[r] = 0.05, 1e6 // an intercept; a noise of 0.001
	}
	for c, part := range truth {
		for _, r := range columns[c] {
			y[r] += part
		}
	}
	picked := lasso(columns, y, w)
	beta, se := leastSquares(columns, picked, y, w)
	for i, c := range picked {
		if math.Abs(beta[i]-truth[c]) > 1e-9 || se[i] <= 0 || se[i] > 0.001 {
			t.Errorf("column %d: %v +- %v, want %v", c, beta[i], se[i], truth[c])
		}
		delete(truth, c)
	}
	if len(truth) > 0 {
		t.Errorf("columns %v are not picked", truth)
	}
}

func TestDependentColumnsHaveNoError(t *testing.T) {
	columns := [][]uint16{{0, 1}, {0, 1}, {2}}
	beta, se := leastSquares(columns, []int{0, 1, 2}, []float64{1, 1, 2, 0, 0}, []float64{1, 1, 1, 1, 1})
	if se[0] <= 0 || se[1] != 0 || se[2] <= 0 || math.Abs(beta[0]-1) > 1e-9 || math.Abs(beta[2]-2) > 1e-9 {
		t.Errorf("coefficients %v +- %v, want 1, a dependent one, 2", beta, se)
	}
}

// hockeyStick returns the delta of the noisy count at its epsilon by
// enumeration, between crowds of n and n+1 reports, in both directions.
func hockeyStick(m NoisyCount, n int64) float64 {
	a := math.Exp(-m.Epsilon())
	released := func(n, k int64) float64 { // probability of the noisy count k
		if n == 0 {
			return 0
		}
		return (1 - a) / (1 + a) * math.Pow(a, math.Abs(float64(k-n)))
	}
	var up, down, all, allNext float64
	for k := m.Threshold(); k < m.Threshold()+400; k++ {
		p, q := released(n, k), released(n+1, k)
		all, allNext = all+p, allNext+q
		down += max(0, p-math.Exp(m.Epsilon())*q)
		up += max(0, q-math.Exp(m.Epsilon())*p)
	}
	down += max(0, (1-all)-math.Exp(m.Epsilon())*(1-allNext))
	up += max(0, (1-allNext)-math.Exp(m.Epsilon())*(1-all))
	return max(up, down)
}

// The stated delta of our mechanism is the exact one: it is not below the
// enumerated one, for any size of a crowd, and no threshold one lower keeps the
// bound.
func TestNoisyCountDelta(t *testing.T) {
	for _, c := range []struct {
		num, den  uint32
		delta     float64
		threshold int64
	}{{9, 4, 1e-6, 8}, {1, 1, 1e-6, 15}, {2, 1, 1e-8, 11}} {
		m, err := NewNoisyCount(c.num, c.den, c.delta)
		if err != nil {
			t.Fatal(err)
		}
		worst := 0.0
		for n := range int64(60) {
			worst = max(worst, hockeyStick(m, n))
		}
		if m.Threshold() != c.threshold || m.Delta() > c.delta || math.Abs(m.Delta()/worst-1) > 1e-6 {
			t.Errorf("%v: threshold %d, delta %v; want %d, %v by enumeration, at most %v", m, m.Threshold(), m.Delta(), c.threshold, worst, c.delta)
		}
		m.threshold--
		if m.Delta() <= c.delta {
			t.Errorf("%v: a threshold of %d would do", m, m.threshold)
		}
	}
	for _, bad := range []float64{0, 1, -1, math.NaN()} {
		if _, err := NewNoisyCount(9, 4, bad); err == nil {
			t.Errorf("delta %v is taken", bad)
		}
	}
	if _, err := NewNoisyCount(0, 1, 1e-6); err == nil {
		t.Error("epsilon 0 is taken")
	}
}

func TestNoisyCountSurvival(t *testing.T) {
	m, err := NewNoisyCount(9, 4, 1e-6)
	if err != nil {
		t.Fatal(err)
	}
	const trials = 4000
	for _, n := range []uint64{0, 1, 6, 7, 8, 9, 12} {
		released := 0
		r := dp.NewStream(dp.Seed{1}, "test", []byte{byte(n)})
		for range trials {
			count, ok, err := m.Release(n, r)
			if err != nil {
				t.Fatal(err)
			}
			if ok != (count >= m.Threshold()) {
				t.Fatalf("a count of %d is released: %v", count, ok)
			}
			if ok {
				released++
			}
		}
		p := m.Survival(n)
		if sd := math.Sqrt(trials*p*(1-p)) + 1; math.Abs(float64(released)-trials*p) > 5*sd {
			t.Errorf("crowds of %d: %d of %d released, want %.0f", n, released, trials, trials*p)
		}
	}
	if chances := []float64{m.Survival(7), m.Survival(8), m.Survival(9)}; !slices.IsSorted(chances) {
		t.Errorf("chances %v do not rise", chances)
	}
}
