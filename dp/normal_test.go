package dp

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"testing"
)

// slowNormalCDF is Phi(y) by another way than normalCDF: the alternating series
//
//	Phi(y) = 1/2 + 1/sqrt(2 pi) sum (-1)^k y^(2k+1) / (2^k k! (2k+1))
//
// whose terms grow to e^(y^2/2) before they cancel, so that it needs no
// exponential but a long mantissa; and pi by the arithmetic-geometric mean.
func slowNormalCDF(y, pi *big.Float) *big.Float {
	const prec = 700
	f := func(x int64) *big.Float { return new(big.Float).SetPrec(prec).SetInt64(x) }
	square := f(0).Mul(y, y)
	power, sum := f(0).Set(y), f(0).Set(y) // power = y^(2k+1) / (2^k k!)
	for k := int64(1); power.MantExp(nil) > -400; k++ {
		power.Mul(power, square)
		power.Quo(power, f(-2*k))
		sum.Add(sum, f(0).Quo(power, f(2*k+1)))
	}
	sum.Quo(sum, f(0).Sqrt(f(0).Add(pi, pi)))
	return sum.Add(sum, f(0).Quo(f(1), f(2)))
}

// slowPi is pi by the Gauss-Legendre iteration.
func slowPi() *big.Float {
	f := func(x float64) *big.Float { return new(big.Float).SetPrec(800).SetFloat64(x) }
	a, b, t, p := f(1), f(0).Sqrt(f(0.5)), f(0.25), f(1)
	for range 12 {
		next := f(0).Mul(f(0.5), f(0).Add(a, b))
		b = f(0).Sqrt(f(0).Mul(a, b))
		gap := f(0).Sub(a, next)
		t.Sub(t, gap.Mul(p, gap.Mul(gap, gap)))
		p.Add(p, p)
		a = next
	}
	a.Add(a, b).Mul(a, a)
	return a.Quo(a, t.Mul(t, f(4)))
}

func TestPi(t *testing.T) {
	const want = "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899"
	for name, got := range map[string]*big.Float{"Machin": pi(), "AGM": slowPi()} {
		if s := got.Text('f', 70); s[:60] != want[:60] {
			t.Errorf("%s: pi = %s", name, s)
		}
	}
}

// The table is the true distribution function to 2^-127: far below any delta,
// and below the 2^-100 that the design asks for.
func TestNormalTableIsTheTrueCDF(t *testing.T) {
	pi := slowPi()
	for _, sigmaMilli := range []uint32{1, 50, 300, 1000, 2000, 2718, 4000, 17123} {
		t.Run(fmt.Sprint(sigmaMilli), func(t *testing.T) {
			t.Parallel()
			n := newNormal(sigmaMilli)
			for z := n.low - 2; z <= n.high()+2; z++ {
				y := new(big.Float).SetPrec(700).SetInt64(500 * (2*z + 1))
				y.Quo(y, new(big.Float).SetPrec(700).SetInt64(int64(sigmaMilli)))
				if y.MantExp(nil) > 4 { // beyond 16 sigma the distribution is over
					continue
				}
				diff := new(big.Float).SetMantExp(bigFloat(n.atMost(z)), -tableBits)
				diff.SetPrec(700).Sub(diff, slowNormalCDF(y, pi))
				if diff.Sign() != 0 && diff.MantExp(nil) > -127 {
					t.Fatalf("P(Z <= %d) is wrong by %.3g, want at most 2^-127", z, diff)
				}
			}
			if n.low != -n.high() {
				t.Errorf("values from %d to %d, want a symmetric range", n.low, n.high())
			}
			for z := n.low; z <= n.high(); z++ {
				if n.mass(z).Sign() <= 0 || n.mass(z).Cmp(n.mass(-z)) != 0 {
					t.Errorf("P(Z = %d) = %d 2^-128, P(Z = %d) = %d 2^-128: want equal and positive", z, n.mass(z), -z, n.mass(-z))
				}
			}
		})
	}
}

func TestExp(t *testing.T) {
	for _, x := range []float64{0, 1, -1, 0.5, 1e-9, -1e-30, 2.25, 88, -300, 700} {
		got, _ := exp(float(x)).Float64()
		if want := math.Exp(x); math.Abs(got/want-1) > 1e-13 {
			t.Errorf("exp(%g) = %g, want %g", x, got, want)
		}
		one := newFloat().Mul(exp(float(x)), exp(float(-x)))
		if one.Sub(one, intFloat(1)); one.Sign() != 0 && one.MantExp(nil) > -240 {
			t.Errorf("exp(%g) exp(-%g) differs from 1 by %.3g", x, x, one)
		}
	}
	e := exp(intFloat(1)).Text('f', 60)
	if want := "2.718281828459045235360287471352662497757247093699959574966968"; e != want {
		t.Errorf("e = %s, want %s", e, want)
	}
}

// The sample at every edge of the table: u just below an entry and on it.
func TestNormalSampleInvertsTheTable(t *testing.T) {
	n := newNormal(2000)
	at := func(u *big.Int) int64 {
		var b [16]byte
		z, err := n.sample(bytes.NewReader(u.FillBytes(b[:])))
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	one := big.NewInt(1)
	for z := n.low; z < n.high(); z++ {
		edge := n.atMost(z)
		if got := at(new(big.Int).Sub(edge, one)); got != z {
			t.Errorf("below the edge of %d: %d", z, got)
		}
		if got := at(edge); got != z+1 {
			t.Errorf("on the edge of %d: %d, want %d", z, got, z+1)
		}
	}
	if got := at(new(big.Int)); got != n.low {
		t.Errorf("u = 0: %d, want %d", got, n.low)
	}
	if got := at(complement(one)); got != n.high() {
		t.Errorf("u = 2^128-1: %d, want %d", got, n.high())
	}
	if _, err := n.sample(bytes.NewReader(make([]byte, 15))); err == nil {
		t.Error("15 bytes were enough")
	}
}

func BenchmarkKeep(b *testing.B) {
	for _, sigmaMilli := range []uint32{2000, 4000, 100_000} {
		th := drop(b, 20, 10, sigmaMilli)
		b.Run(fmt.Sprintf("sigma=%d", sigmaMilli/1000), func(b *testing.B) {
			s := NewStream(Seed{}, "bench", nil)
			th.Keep(50, s)
			b.ReportAllocs()
			for b.Loop() {
				th.Keep(50, s)
			}
		})
	}
	b.Run("stream", func(b *testing.B) {
		th, tag := drop(b, 20, 10, 2000), make([]byte, 16)
		th.Keep(50, NewStream(Seed{}, "bench", tag))
		b.ReportAllocs()
		for b.Loop() {
			th.Keep(50, NewStream(Seed{}, "bench", tag))
		}
	})
}

func BenchmarkNewNormal(b *testing.B) {
	for _, sigmaMilli := range []uint32{2000, 100_000, MaxSigmaMilli} {
		b.Run(fmt.Sprintf("sigma=%d", sigmaMilli/1000), func(b *testing.B) {
			for b.Loop() {
				newNormal(sigmaMilli)
			}
		})
	}
}
