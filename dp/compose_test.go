package dp

import (
	"errors"
	"math"
	"math/big"
	"testing"
)

func TestCompose(t *testing.T) {
	g := Compose(Guarantee{1, 1e-6}, Guarantee{0.5, 0}, Guarantee{0.25, 1e-7})
	if !within(g.Epsilon, 1.75, 1e-12) || g.Epsilon < 1.75 || !within(g.Delta, 1.1e-6, 1e-18) || g.Delta < 1.1e-6 {
		t.Errorf("composition is %v", g)
	}
	if g := (Guarantee{0.1, 1e-9}).Times(10); g.Epsilon < 1 || g.Epsilon > 1+1e-12 || g.Delta < 1e-8 {
		t.Errorf("ten times (0.1, 1e-9) is %v", g)
	}
	if g := Compose(); g != (Guarantee{}) {
		t.Errorf("nothing composes to %v", g)
	}
	if g := (Guarantee{1, 0.3}).Times(1000); g.Delta != 1 {
		t.Errorf("delta %g, want at most 1", g.Delta)
	}
	if g := (Guarantee{math.Inf(1), 0}).Times(0); g != (Guarantee{}) {
		t.Errorf("no use at all is %v", g)
	}
	if got := (Guarantee{2.25, 1e-6}).String(); got != "(2.25, 1e-06)" {
		t.Errorf("printed as %s", got)
	}
}

// One client in several crowds, one report each, with sigma = 2. The wanted
// figures are those of real-valued normal noise, for which composition has a
// closed form (Balle and Wang 2018); the rounded noise is a function of it and
// so costs a little less, and the truncation at 0 must not show at D = 40.
func TestCrowdsOfOneClient(t *testing.T) {
	th := drop(t, 20, 40, 2000)
	for _, c := range []struct {
		crowds      uint64
		want, digit float64
	}{{1, 2.25, 0.01}, {2, 3.31, 0.01}, {5, 5.55, 0.01}, {10, 8.31, 0.01}, {100, 35.6, 0.1}} {
		mu := math.Sqrt(float64(c.crowds)) / 2
		real := invert(func(eps float64) float64 { return gaussianDelta(mu, eps) }, 1e-6)
		if !within(real, c.want, c.digit) {
			t.Errorf("%d crowds, real-valued noise: epsilon(1e-6) = %.4f, want %.4f", c.crowds, real, c.want)
		}
		curve, err := Crowds(th, c.crowds, 1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := curve.Epsilon(1e-6)
		if err != nil || got > real || got < 0.98*real {
			t.Errorf("%d crowds: epsilon(1e-6) = %.4f, %v, want a little less than %.4f", c.crowds, got, err, real)
		}
	}
}

// gaussianDelta is the delta of a normal with mean mu against one with mean 0.
func gaussianDelta(mu, eps float64) float64 {
	phi := func(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
	return phi(mu/2-eps/mu) - math.Exp(eps)*phi(-mu/2-eps/mu)
}

func invert(delta func(float64) float64, want float64) float64 {
	low, high := 0.0, 100.0
	for range 100 {
		if middle := (low + high) / 2; delta(middle) > want {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// power returns the distributions of k independent outcomes.
func power(pr pair, k int) pair {
	all := pair{[]*big.Float{intFloat(1)}, []*big.Float{intFloat(1)}}
	for range k {
		var next pair
		for i := range all.p {
			for j := range pr.p {
				next.p = append(next.p, newFloat().Mul(all.p[i], pr.p[j]))
				next.q = append(next.q, newFloat().Mul(all.q[i], pr.q[j]))
			}
		}
		all = next
	}
	return all
}

// The composition against all combinations of outcomes of two and three
// crowds: never below, and hardly above.
func TestCrowdsByEnumeration(t *testing.T) {
	for _, c := range []struct {
		th      Threshold
		k       int
		reports uint64
	}{
		{drop(t, 20, 10, 2000), 2, 1},
		{drop(t, 20, 12, 2000), 2, 2},
		{drop(t, 20, 22, 4000), 2, 1},
		{drop(t, 5, 3, 600), 3, 1},
	} {
		single := power(c.th.Reports(c.reports).(pairCurve).pairs()[0], c.k)
		curve, err := Crowds(c.th, uint64(c.k), c.reports)
		if err != nil {
			t.Fatal(err)
		}
		for _, eps := range []float64{0, 0.5, 1, 2.25, 3.3, 5} {
			alpha := exp(float(eps))
			d := maxFloat(hockeyStick(single.p, single.q, alpha), hockeyStick(single.q, single.p, alpha))
			want, _ := d.SetMantExp(d, -c.k*tableBits).Float64()
			got := curve.Delta(eps)
			if got < want {
				t.Errorf("%s, %d crowds of %d: delta(%g) = %.9g understates %.9g", c.th, c.k, c.reports, eps, got, want)
			}
			if d2 := curve.Delta(eps*(1+1e-3) + 1e-3); got > want*1.01+1e-16 && d2 > want {
				t.Errorf("%s, %d crowds of %d: delta(%g) = %.9g, want nearly %.9g", c.th, c.k, c.reports, eps, got, want)
			}
		}
	}
}

// For the randomised threshold the sizes of the crowds may differ, and the
// composition must cover the worst mixture of them.
func TestCrowdsOfUnequalSizes(t *testing.T) {
	th := set(t, 6, 1000)
	pairs := th.Reports(1).(pairCurve).pairs()
	curve, err := Crowds(th, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, eps := range []float64{0, 0.7, 2, 4, 7} {
		alpha, want := exp(float(eps)), newFloat()
		for _, a := range pairs {
			for _, b := range pairs {
				var both pair
				for i := range a.p {
					for j := range b.p {
						both.p = append(both.p, newFloat().Mul(a.p[i], b.p[j]))
						both.q = append(both.q, newFloat().Mul(a.q[i], b.q[j]))
					}
				}
				want = maxFloat(want, maxFloat(hockeyStick(both.p, both.q, alpha), hockeyStick(both.q, both.p, alpha)))
			}
		}
		w, _ := want.SetMantExp(want, -2*tableBits).Float64()
		if got := curve.Delta(eps); got < w {
			t.Errorf("delta(%g) = %.9g understates %.9g", eps, got, w)
		}
	}
}

// A composition is never worse than the basic one.
func TestCrowdsBeatBasicComposition(t *testing.T) {
	th := drop(t, 20, 12, 2000)
	for _, k := range []uint64{2, 10, 60} {
		one, err := th.Epsilon(1e-6 / float64(k))
		if err != nil {
			t.Fatal(err)
		}
		curve, err := Crowds(th, k, 1)
		if err != nil {
			t.Fatal(err)
		}
		basic := Guarantee{one, 1e-6 / float64(k)}.Times(k)
		if got, err := curve.Epsilon(1e-6); err != nil || got > basic.Epsilon {
			t.Errorf("%d crowds: epsilon(1e-6) = %.4f, %v, basic composition gives %.4f", k, got, err, basic.Epsilon)
		}
	}
}

func TestCrowdsRefuse(t *testing.T) {
	th := drop(t, 20, 10, 2000)
	for _, k := range []uint64{0, maxCrowds + 1} {
		if _, err := Crowds(th, k, 1); err == nil {
			t.Errorf("%d crowds accepted", k)
		}
	}
	plain, err := NewNaive(20)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := Crowds(plain, 3, 1)
	if err != nil || curve.Delta(5) != 1 {
		t.Errorf("naive threshold: delta %v, error %v, want 1", curve.Delta(5), err)
	}
	two, err := Crowds(th, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.Epsilon(2e-6); !errors.Is(err, ErrUnattainable) {
		t.Errorf("two crowds, epsilon(2e-6): error %v, want ErrUnattainable: the floor is %g", err, two.Floor())
	}
}
