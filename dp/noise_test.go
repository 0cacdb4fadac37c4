package dp

import (
	"errors"
	"math"
	"strings"
	"testing"
	"testing/iotest"
)

func mustNoise(t testing.TB, n Noise, err error) Noise {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func noises(t testing.TB) []Noise {
	t.Helper()
	var all []Noise
	add := func(n Noise, err error) { all = append(all, mustNoise(t, n, err)) }
	add(NewLaplaceNoise(1, 1, 1))
	add(NewLaplaceNoise(9, 4, 1))
	add(NewLaplaceNoise(1, 2, 20))
	add(NewLaplaceNoise(8, 1, 1))
	add(NewLaplaceNoise(100, 1, 1))
	add(NewGaussianNoise(1, 1))
	add(NewGaussianNoise(1, 3))
	add(NewGaussianNoise(25, 2))
	add(NewGaussianNoise(40, 1))
	return append(all, Noise{})
}

// The variance and the 95% interval that plans and results state must be those
// of what is really drawn, twice.
func TestNoiseIsAsStated(t *testing.T) {
	const pairs = 40_000
	for i, n := range noises(t) {
		t.Run(n.String(), func(t *testing.T) {
			draws := make([]int64, 2*pairs)
			if err := n.Draw(NewStream(Seed{byte(i)}, "noise", nil), draws); err != nil {
				t.Fatal(err)
			}
			m := n.Within95()
			var square float64
			inside, narrower := 0, 0
			for p := range pairs {
				x := draws[2*p] + draws[2*p+1]
				square += float64(x) * float64(x)
				if max(x, -x) <= m {
					inside++
				}
				if max(x, -x) <= m-1 {
					narrower++
				}
			}
			// Five standard deviations of the estimates; Laplace has kurtosis 6.
			if got, want := square/pairs, n.Variance(2); math.Abs(got-want) > 5*want*math.Sqrt(5.0/pairs)+0.01 && (n.Mechanism != Gaussian || got > want) {
				t.Errorf("variance %.3f, stated is %.3f", got, want)
			}
			if share := float64(inside) / pairs; share < 0.95-5*math.Sqrt(0.95*0.05/pairs) {
				t.Errorf("%.4f of the pairs are within %d, stated is 95%%", share, m)
			}
			if share := float64(narrower) / pairs; m > 1 && share > 0.95+5*math.Sqrt(0.95*0.05/pairs) {
				t.Errorf("%.4f of the pairs are already within %d: the interval is too wide", share, m-1)
			}
		})
	}
}

// Against the probabilities added up one by one.
func TestLaplaceIntervalIsExact(t *testing.T) {
	for _, scale := range []float64{0.01, 0.2, 0.7, 1, 2.5, 8, 30} {
		q := math.Exp(-1 / scale)
		p := func(x int) float64 { return (1 - q) / (1 + q) * math.Pow(q, math.Abs(float64(x))) }
		reach := int(40*scale) + 4
		pair := func(s int) float64 {
			sum := 0.0
			for x := -reach; x <= reach; x++ {
				sum += p(x) * p(s-x)
			}
			return sum
		}
		want, inside := 0, pair(0)
		for inside < 0.95 {
			want++
			inside += 2 * pair(want)
		}
		if got := laplace95(scale, 2); got != int64(want) {
			t.Errorf("scale %v: within %d, want %d", scale, got, want)
		}
	}
}

func TestNoiseThatIsRefused(t *testing.T) {
	for _, tt := range []struct {
		n    Noise
		want string
	}{
		{Noise{Mechanism: 3, Num: 1, Den: 1}, "mechanism 3"},
		{Noise{Num: 1}, "no noise"},
		{Noise{Mechanism: Laplace, Den: 1, Sensitivity: 1}, "positive fraction"},
		{Noise{Mechanism: Laplace, Num: 1, Sensitivity: 1}, "positive fraction"},
		{Noise{Mechanism: Laplace, Num: 2, Den: 4, Sensitivity: 1}, "lowest terms"},
		{Noise{Mechanism: Laplace, Num: 1, Den: 1}, "sensitivity of 0"},
		{Noise{Mechanism: Laplace, Num: 1, Den: 1, Sensitivity: 1<<40 + 1}, "too small"},
		{Noise{Mechanism: Gaussian, Num: 1, Den: 1, Sensitivity: 1}, "it has not"},
		{Noise{Mechanism: Gaussian, Num: 1<<30 + 1, Den: 1}, "sigma"},
	} {
		if err := tt.n.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.n, err, tt.want)
		}
		if err := tt.n.Draw(NewStream(Seed{}, "", nil), make([]int64, 1)); err == nil {
			t.Errorf("%+v: values are drawn", tt.n)
		}
	}
	broken := errors.New("broken")
	n := mustNoise(t, Noise{Mechanism: Gaussian, Num: 3, Den: 1}, nil)
	if err := n.Draw(iotest.ErrReader(broken), make([]int64, 1)); !errors.Is(err, broken) {
		t.Errorf("%v, want the reader's error", err)
	}
	if _, err := NewGaussianNoise(1<<30, 1); err != nil {
		t.Error(err)
	}
	wide := mustNoise(t, Noise{Mechanism: Laplace, Num: 1, Den: 1 << 20, Sensitivity: 1 << 20}, nil)
	if err := wide.Draw(NewStream(Seed{1}, "", nil), make([]int64, 100)); err != nil {
		t.Error(err)
	}
}

func TestNoiseGuarantee(t *testing.T) {
	l := mustNoise(t, Noise{Mechanism: Laplace, Num: 1, Den: 2, Sensitivity: 10}, nil)
	if g := l.Guarantee(10, 10, 1e-6); math.Abs(g.Epsilon-0.5) > 1e-9 || g.Delta != 0 {
		t.Errorf("%v", g)
	}
	if g := l.Guarantee(5, 5, 1e-6); math.Abs(g.Epsilon-0.25) > 1e-9 {
		t.Errorf("half of the sensitivity: %v", g)
	}
	// rho = 1/2: 1/2 + 2 sqrt(ln(10^6)/2) = 5.7566
	g := mustNoise(t, Noise{Mechanism: Gaussian, Num: 3, Den: 1}, nil).Guarantee(99, 3, 1e-6)
	if math.Abs(g.Epsilon-5.75652) > 1e-4 || g.Delta != 1e-6 {
		t.Errorf("%v", g)
	}
	if g := (Noise{}).Guarantee(1, 1, 1e-6); !math.IsInf(g.Epsilon, 1) {
		t.Errorf("no noise gives %v", g)
	}
}

func TestNoiseInWords(t *testing.T) {
	for want, n := range map[string]Noise{
		"none": {},
		"discrete Laplace, epsilon 0.25 for sensitivity 2": {Mechanism: Laplace, Num: 1, Den: 4, Sensitivity: 2},
		"discrete Laplace, epsilon 1/3 for sensitivity 2":  {Mechanism: Laplace, Num: 1, Den: 3, Sensitivity: 2},
		"discrete Gaussian, sigma 12.5":                    {Mechanism: Gaussian, Num: 25, Den: 2},
	} {
		if n.String() != want {
			t.Errorf("%q, want %q", n.String(), want)
		}
	}
}
