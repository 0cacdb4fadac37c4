package dp

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// chiSquare compares counts of values with their probabilities, and fails
// beyond the normal approximation's 10^-5 quantile. Values expected fewer than
// 10 times are pooled.
func chiSquare(t *testing.T, counts map[int64]int, probability func(int64) float64) {
	t.Helper()
	total, low, high := 0, int64(math.MaxInt64), int64(math.MinInt64)
	for x, n := range counts {
		total += n
		low, high = min(low, x), max(high, x)
	}
	chi2, cells, rest, restWant := 0.0, 0, total, float64(total)
	for x := low; x <= high; x++ {
		want := float64(total) * probability(x)
		if want < 10 {
			continue
		}
		chi2 += (float64(counts[x]) - want) * (float64(counts[x]) - want) / want
		cells++
		rest -= counts[x]
		restWant -= want
	}
	if restWant > 5 {
		chi2 += (float64(rest) - restWant) * (float64(rest) - restWant) / restWant
		cells++
	}
	// Wilson and Hilferty: (chi2/k)^(1/3) is nearly normal.
	k := float64(cells - 1)
	z := (math.Cbrt(chi2/k) - (1 - 2/(9*k))) / math.Sqrt(2/(9*k))
	if cells < 2 || z > 4.26 {
		t.Errorf("chi-square %.1f over %d cells (z = %.2f)", chi2, cells, z)
	}
}

func TestNoisyDropIsDistributed(t *testing.T) {
	for _, c := range []struct{ d, sigmaMilli uint32 }{{10, 2000}, {1, 1500}, {22, 4000}} {
		th := drop(t, 1, c.d, c.sigmaMilli)
		s := NewStream(Seed{1}, "chi", nil)
		counts := map[int64]int{}
		for range 200_000 {
			counts[int64(1000-th.Keep(1000, s))]++
		}
		phi := func(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
		chiSquare(t, counts, func(x int64) float64 {
			sigma := float64(c.sigmaMilli) / 1000
			p := phi((float64(x) + 0.5 - float64(c.d)) / sigma)
			if x > 0 {
				p -= phi((float64(x) - 0.5 - float64(c.d)) / sigma)
			}
			return p
		})
	}
}

func TestDiscreteLaplaceIsDistributed(t *testing.T) {
	for _, c := range []struct{ num, den uint32 }{{1, 1}, {4, 9}, {7, 2}, {1, 3}, {20, 1}} {
		t.Run(fmt.Sprintf("%d_%d", c.num, c.den), func(t *testing.T) {
			l, err := NewDiscreteLaplace(c.num, c.den)
			if err != nil {
				t.Fatal(err)
			}
			s := NewStream(Seed{2}, "chi", nil)
			counts := map[int64]int{}
			for range 50_000 {
				x, err := l.Sample(s)
				if err != nil {
					t.Fatal(err)
				}
				counts[x]++
			}
			a := math.Exp(-float64(c.den) / float64(c.num))
			chiSquare(t, counts, func(x int64) float64 { return (1 - a) / (1 + a) * math.Pow(a, math.Abs(float64(x))) })
		})
	}
}

func TestDiscreteGaussianIsDistributed(t *testing.T) {
	for _, c := range []struct{ num, den uint64 }{{4, 1}, {1, 4}, {16, 1}, {200, 3}, {1, 1}} {
		t.Run(fmt.Sprintf("%d_%d", c.num, c.den), func(t *testing.T) {
			g, err := NewDiscreteGaussian(c.num, c.den)
			if err != nil {
				t.Fatal(err)
			}
			s := NewStream(Seed{3}, "chi", nil)
			counts := map[int64]int{}
			for range 50_000 {
				x, err := g.Sample(s)
				if err != nil {
					t.Fatal(err)
				}
				counts[x]++
			}
			weight := func(x int64) float64 { return math.Exp(-float64(x*x) * float64(c.den) / float64(2*c.num)) }
			total := 0.0
			for x := int64(-200); x <= 200; x++ {
				total += weight(x)
			}
			chiSquare(t, counts, func(x int64) float64 { return weight(x) / total })
		})
	}
}

func TestSamplersRefuse(t *testing.T) {
	for _, c := range [][2]uint32{{0, 1}, {1, 0}} {
		if _, err := NewDiscreteLaplace(c[0], c[1]); err == nil {
			t.Errorf("discrete Laplace accepts %d/%d", c[0], c[1])
		}
		if _, err := NewDiscreteGaussian(uint64(c[0]), uint64(c[1])); err == nil {
			t.Errorf("discrete Gaussian accepts %d/%d", c[0], c[1])
		}
	}
	if _, err := NewDiscreteGaussian(math.MaxUint64, 1); err == nil {
		t.Error("discrete Gaussian accepts a variance above 2^62")
	}
}

// A reader that ends must end the sampler, at whatever byte.
func TestSamplersReportReadErrors(t *testing.T) {
	l, _ := NewDiscreteLaplace(3, 2)
	g, _ := NewDiscreteGaussian(math.MaxUint64, math.MaxUint64-1)
	failed := 0
	for n := range 60 {
		random := make([]byte, n)
		NewStream(Seed{4}, "short", nil).Read(random)
		if _, err := l.Sample(strings.NewReader(string(random))); err != nil {
			failed++
		}
		if _, err := g.Sample(strings.NewReader(string(random))); err != nil {
			failed++
		}
	}
	if failed < 20 {
		t.Errorf("%d failures", failed)
	}
}

func FuzzSamplersEnd(f *testing.F) {
	f.Add([]byte{}, uint32(1), uint32(1))
	f.Add(make([]byte, 200), uint32(7), uint32(2))
	f.Fuzz(func(t *testing.T, random []byte, num, den uint32) {
		l, err := NewDiscreteLaplace(num, den)
		if err != nil {
			return
		}
		if x, err := l.Sample(strings.NewReader(string(random))); err != nil && x != 0 {
			t.Errorf("%d beside error %v", x, err)
		}
		g, err := NewDiscreteGaussian(uint64(num), uint64(den))
		if err != nil {
			t.Fatal(err)
		}
		if x, err := g.Sample(strings.NewReader(string(random))); err != nil && x != 0 {
			t.Errorf("%d beside error %v", x, err)
		}
	})
}

func BenchmarkDiscreteLaplace(b *testing.B) {
	l, _ := NewDiscreteLaplace(4, 9)
	s := NewStream(Seed{}, "bench", nil)
	for b.Loop() {
		l.Sample(s)
	}
}

func BenchmarkDiscreteGaussian(b *testing.B) {
	g, _ := NewDiscreteGaussian(400, 1)
	s := NewStream(Seed{}, "bench", nil)
	for b.Loop() {
		g.Sample(s)
	}
}
