package dp

import (
	"math"
	"math/big"
	"testing"
)

// product is the hockey-stick divergence of two mechanisms side by side, by
// enumeration of both.
func product(t *testing.T, a, b Threshold, m1, m2 uint64, eps float64) float64 {
	t.Helper()
	pairs := func(x Threshold, m uint64) pair { return x.Reports(m).(pairCurve).pairs()[0] }
	floats := func(v []*big.Float) []float64 {
		out := make([]float64, len(v))
		for i, x := range v {
			out[i], _ = newFloat().SetMantExp(x, -tableBits).Float64()
		}
		return out
	}
	x, y := pairs(a, m1), pairs(b, m2)
	px, qx, py, qy := floats(x.p), floats(x.q), floats(y.p), floats(y.q)
	worst := 0.0
	for range 2 {
		sum := 0.0
		for i := range px {
			for j := range py {
				sum += max(0, px[i]*py[j]-math.Exp(eps)*qx[i]*qy[j])
			}
		}
		worst = max(worst, sum)
		px, qx, py, qy = qx, px, qy, py
	}
	return worst
}

// TestReleasedIsBothTogether compares the composition with the enumeration of
// all pairs of what a crowd and the total may reveal.
func TestReleasedIsBothTogether(t *testing.T) {
	for _, c := range []struct {
		t, d, sigma          uint32
		perCrowd, reports    uint64
		totalDrop, totalNois uint32
	}{
		{20, 12, 2000, 1, 1, 49, 8000}, {20, 12, 2000, 1, 3, 60, 8000}, {20, 30, 4000, 2, 2, 80, 12000}, {10, 4, 1000, 1, 1, 9, 2000},
	} {
		crowd, err := NewNoisyDrop(c.t, c.d, c.sigma)
		if err != nil {
			t.Fatal(err)
		}
		both, err := NewNoisyDrop(100, c.totalDrop, c.totalNois)
		if err != nil {
			t.Fatal(err)
		}
		total, err := NewTotal(100, c.totalDrop, c.totalNois)
		if err != nil {
			t.Fatal(err)
		}
		curve, err := Released(crowd, total, Share{Crowds: 1, PerCrowd: c.perCrowd, Reports: c.reports, Decisions: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, eps := range []float64{0, 0.3, 1, 2, 2.5} {
			truth := product(t, crowd, both, c.perCrowd, c.reports, eps)
			got := curve.Delta(eps)
			if got < truth*(1-1e-9) {
				t.Errorf("%v with %v: delta(%v) is %g, by enumeration %g", crowd, total, eps, got, truth)
			}
			if got > 1.03*truth+curve.Floor() {
				t.Errorf("%v with %v: delta(%v) is %g, far above %g by enumeration", crowd, total, eps, got, truth)
			}
			if alone := crowd.Reports(c.perCrowd).Delta(eps); got < alone {
				t.Errorf("%v with %v: delta(%v) is %g, less than without the total: %g", crowd, total, eps, got, alone)
			}
		}
	}
}

// TestReleasedOfManyCrowds compares the two ways of composing many crowds, and
// that both grow with each part.
func TestReleasedOfManyCrowds(t *testing.T) {
	crowd, err := NewNoisyDrop(20, 30, 5000)
	if err != nil {
		t.Fatal(err)
	}
	total, err := NewTotal(100, 1500, 60000)
	if err != nil {
		t.Fatal(err)
	}
	last := 0.0
	for _, s := range []Share{{1, 1, 1, 1}, {5, 1, 5, 1}, {20, 1, 20, 1}, {20, 1, 20, 4}, {256, 1, 256, 1}, {257, 1, 257, 1}, {1000, 1, 1000, 1}} {
		curve, err := Released(crowd, total, s)
		if err != nil {
			t.Fatal(err)
		}
		eps, err := curve.Epsilon(1e-4)
		if err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		if eps <= last {
			t.Errorf("%+v: epsilon %g, not above %g", s, eps, last)
		}
		last = eps
		rho := ReleasedRho(crowd, total, s)
		normal := gaussian{mu: math.Sqrt(2 * rho.Rho), floor: rho.Delta}
		if about, err := normal.Epsilon(1e-4); err != nil || eps > about*1.001 || eps < 0.97*about {
			t.Errorf("%+v: epsilon %g by the exact way, %g by the normal one (%v)", s, eps, about, err)
		}
		if zero := rho.Epsilon(1e-4); zero < eps {
			t.Errorf("%+v: zero-concentrated epsilon %g is below the exact %g", s, zero, eps)
		}
	}
}

func TestDecide(t *testing.T) {
	total, err := NewTotal(100, 49, 8000)
	if err != nil {
		t.Fatal(err)
	}
	seed := Seed{1}
	told, released, n := 0.0, 0, 4000
	for i := range n {
		s := NewStream(seed, "test", []byte{byte(i), byte(i >> 8)})
		if _, ok := total.Decide(99, s); ok {
			t.Fatal("a batch below its minimum is released")
		}
		x, ok := total.Decide(200, s)
		if ok {
			told += float64(x)
			released++
		}
	}
	if released != n {
		t.Errorf("%d of %d batches of 200 released", released, n)
	}
	if mean := told / float64(released); math.Abs(mean-200) > 4*8/math.Sqrt(float64(n)) {
		t.Errorf("told %g on the average of 200", mean)
	}
	if p := total.Survival(149); math.Abs(p-0.52) > 0.03 {
		t.Errorf("a batch of 149 is released with probability %g", p)
	}
	if m := total.Within95(); m != 16 {
		t.Errorf("within %d, want 16", m)
	}
}

func TestConcentrated(t *testing.T) {
	n, err := NewLaplaceNoise(1, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	c := n.Concentrated(1, 1)
	if math.Abs(c.Rho-0.5) > 1e-9 {
		t.Errorf("rho %g, want 1/2", c.Rho)
	}
	// Ten metrics an hour for 30 days: 7,200 by basic composition.
	month := c.Times(10 * 720)
	if e := month.Epsilon(1e-6); e > 4100 || e < 3600 {
		t.Errorf("7,200 uses of epsilon 1: %g", e)
	}
	if !math.IsInf(Concentrated{Rho: 1, Delta: 1e-6}.Epsilon(1e-6), 1) {
		t.Error("an epsilon at the delta up to which the guarantee holds")
	}
	for _, rho := range []float64{1e-6, 0.01, 1, 100} {
		z := Concentrated{Rho: rho}
		for _, delta := range []float64{1e-9, 1e-6, 1e-3} {
			usual := rho + 2*math.Sqrt(rho*math.Log(1/delta))
			least, err := gaussian{mu: math.Sqrt(2 * rho)}.Epsilon(delta)
			if e := z.Epsilon(delta); e > usual || err != nil || e < least {
				t.Errorf("rho %g, delta %g: epsilon %g, want from %g (normal noise) to %g (Bun and Steinke)", rho, delta, e, least, usual)
			}
		}
	}
}
