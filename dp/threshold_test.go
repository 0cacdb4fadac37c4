package dp

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// mustThreshold returns a threshold or fails the test.
func mustThreshold(t testing.TB, th Threshold, err error) Threshold {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return th
}

func drop(t testing.TB, threshold, d, sigmaMilli uint32) Threshold {
	t.Helper()
	th, err := NewNoisyDrop(threshold, d, sigmaMilli)
	return mustThreshold(t, th, err)
}

func set(t testing.TB, threshold, sigmaMilli uint32) Threshold {
	t.Helper()
	th, err := NewNoisySet(threshold, sigmaMilli)
	return mustThreshold(t, th, err)
}

func TestConstructorsRefuse(t *testing.T) {
	for name, err := range map[string]error{
		"naive T=0":     second(NewNaive(0)),
		"set T=0":       second(NewNoisySet(0, 1000)),
		"set sigma=0":   second(NewNoisySet(1, 0)),
		"set sigma big": second(NewNoisySet(1, MaxSigmaMilli+1)),
		"drop T=0":      second(NewNoisyDrop(0, 1, 1000)),
		"drop sigma=0":  second(NewNoisyDrop(1, 1, 0)),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func second(_ Threshold, err error) error { return err }

// within reports whether got is want to the last digit that want was printed with.
func within(got, want, digit float64) bool { return got >= want-digit/2 && got <= want+digit/2 }

// The exact delta of the settings that the Prochlo paper claims (2.25, 1e-6)
// and (1.2, 1e-7) for.
func TestPrivacyOfPaperSettings(t *testing.T) {
	d20 := drop(t, 20, 10, 2000)
	if got := d20.Delta(2.25); !within(got, 1.039e-6, 1e-9) {
		t.Errorf("T=20 D=10 sigma=2: delta(2.25) = %.6g, want 1.039e-6", got)
	}
	if got := d20.Floor(); !within(got, 1.017e-6, 1e-9) {
		t.Errorf("T=20 D=10 sigma=2: floor = %.6g, want 1.017e-6", got)
	}
	if _, err := d20.Epsilon(1e-6); !errors.Is(err, ErrUnattainable) {
		t.Errorf("T=20 D=10 sigma=2: epsilon(1e-6): error %v, want ErrUnattainable", err)
	}
	for _, c := range []struct {
		t, d, sigma uint32
		delta, eps  float64
	}{
		{20, 10, 2000, 2e-6, 2.145},
		{20, 11, 2000, 1e-6, 2.254},
		{100, 22, 4000, 1e-7, 1.190},
	} {
		th := drop(t, c.t, c.d, c.sigma)
		if got, err := th.Epsilon(c.delta); err != nil || !within(got, c.eps, 1e-3) {
			t.Errorf("%s: epsilon(%g) = %.6g, %v, want %.4g", th, c.delta, got, err, c.eps)
		}
	}
}

// The delta below which no epsilon helps: the noise being cut off at 0.
func TestFloors(t *testing.T) {
	for _, c := range []struct {
		d, sigma    uint32
		want, digit float64
	}{
		{10, 2000, 1.017e-6, 1e-9},
		{11, 2000, 7.6e-8, 1e-9},
		{12, 2000, 4.5e-9, 1e-10},
		{10, 4000, 8.8e-3, 1e-4},
		{20, 4000, 5.4e-7, 1e-8},
	} {
		if got := drop(t, 20, c.d, c.sigma).Floor(); !within(got, c.want, c.digit) {
			t.Errorf("D=%d sigma=%s: floor %.4g, want %.4g", c.d, milli(c.sigma), got, c.want)
		}
	}
}

func TestSeveralReportsInOneCrowd(t *testing.T) {
	th := drop(t, 20, 10, 2000)
	for _, c := range []struct {
		reports     uint64
		want, digit float64
	}{{2, 0.0118, 1e-4}, {3, 0.111, 1e-3}, {4, 0.285, 1e-3}} {
		if got := th.Reports(c.reports).Delta(2.25); !within(got, c.want, c.digit) {
			t.Errorf("%d reports: delta(2.25) = %.4g, want %.4g", c.reports, got, c.want)
		}
	}
	if got := th.Reports(0).Delta(0); got > 1e-50 {
		t.Errorf("no reports: delta(0) = %g", got)
	}
	for _, many := range []uint64{90, 1 << 40, math.MaxUint64} {
		if got := th.Reports(many).Delta(10); got < 0.999 {
			t.Errorf("%d reports: delta(10) = %g, want 1", many, got)
		}
		if got := set(t, 20, 2000).Reports(many).Delta(10); got < 0.999 {
			t.Errorf("%d reports, set: delta(10) = %g, want 1", many, got)
		}
	}
}

// The randomised threshold of the Prochlo paper compares a count with a
// real-valued normal. Rounding that normal to the nearest integer moves the
// decision by half a report, and with it delta: from 6.8e-7 to 1.04e-6, and
// from 6.5e-8 to 6.7e-8, which is the most that any shift can give.
func TestRandomisedThreshold(t *testing.T) {
	for _, c := range []struct {
		t, sigma         uint32
		eps, digit       float64
		rounded, unround float64
	}{
		{20, 2000, 2.25, 1e-8, 1.04e-6, 6.8e-7},
		{100, 4000, 1.2, 1e-9, 6.7e-8, 6.5e-8},
	} {
		th := set(t, c.t, c.sigma)
		if got := th.Delta(c.eps); !within(got, c.rounded, c.digit) {
			t.Errorf("%s: delta(%g) = %.4g, want %.4g", th, c.eps, got, c.rounded)
		}
		sigma, worst := float64(c.sigma)/1000, 0.0
		phi := func(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
		for n := -60.0; n < 60; n++ {
			worst = max(worst, phi((n+1)/sigma)-math.Exp(c.eps)*phi(n/sigma))
		}
		if !within(worst, c.unround, c.digit) {
			t.Errorf("T=%d, real-valued noise: delta(%g) = %.4g, want %.4g", c.t, c.eps, worst, c.unround)
		}
	}
	if got := set(t, 20, 2000).Survival(1); got > 1e-21 {
		t.Errorf("a crowd of one is released with probability %g", got)
	}
}

// outputs returns the distribution of Keep(n), times 2^128, from the definition
// of the rule and the table alone. What the rule does not protect is left out:
// for the randomised threshold, the count of a released crowd.
func outputs(th Threshold, n int64) map[int64]*big.Float {
	out := map[int64]*big.Float{}
	add := func(k int64, p *big.Int) {
		if out[k] == nil {
			out[k] = newFloat()
		}
		out[k].Add(out[k], bigFloat(p))
	}
	switch th := th.(type) {
	case *noisySet:
		for z := th.noise().low; z <= th.noise().high(); z++ {
			k := int64(0)
			if n > int64(th.t)+z && n > 0 {
				k = 1
			}
			add(k, th.noise().mass(z))
		}
	case *noisyDrop:
		for z := th.noise().low; z <= th.noise().high(); z++ {
			k := n - max(0, int64(th.drop)+z)
			if k < int64(th.t) {
				k = 0
			}
			add(k, th.noise().mass(z))
		}
	}
	return out
}

// Delta against the hockey-stick divergence of every pair of neighbouring crowd
// sizes, both ways: the proof that the worst pair is the one that Delta uses.
func TestDeltaByEnumeration(t *testing.T) {
	for _, th := range []Threshold{
		drop(t, 5, 4, 1000), drop(t, 1, 0, 700), drop(t, 3, 12, 2000), drop(t, 20, 10, 2000),
		set(t, 5, 1000), set(t, 1, 3000), set(t, 20, 2000),
	} {
		for _, m := range []int64{1, 2, 5} {
			for _, eps := range []float64{0, 0.3, 1, 2.25, 5, 30} {
				alpha, want := exp(float(eps)), newFloat()
				for n := range int64(70) {
					a, b := outputs(th, n), outputs(th, n+m)
					var p, q []*big.Float
					for k := range int64(80) {
						p = append(p, maxFloat(newFloat(), orZero(a[k])))
						q = append(q, maxFloat(newFloat(), orZero(b[k])))
					}
					want = maxFloat(want, maxFloat(hockeyStick(p, q, alpha), hockeyStick(q, p, alpha)))
				}
				w, _ := want.SetMantExp(want, -tableBits).Float64()
				got := th.Reports(uint64(m)).Delta(eps)
				if got < w || got > w*(1+1e-12)+1e-50 {
					t.Errorf("%s, %d reports: delta(%g) = %.17g, want %.17g or a little more", th, m, eps, got, w)
				}
			}
		}
	}
}

func orZero(x *big.Float) *big.Float {
	if x == nil {
		return newFloat()
	}
	return x
}

// Epsilon inverts Delta from the safe side.
func TestEpsilonInvertsDelta(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		th := drop(t, 20, rapid.Uint32Range(4, 15).Draw(r, "D"), rapid.Uint32Range(300, 3000).Draw(r, "sigma"))
		delta := math.Pow(10, -rapid.Float64Range(0, 12).Draw(r, "digits"))
		eps, err := th.Epsilon(delta)
		if delta < th.Floor() {
			if !errors.Is(err, ErrUnattainable) {
				r.Fatalf("epsilon(%g) = %g, %v below the floor %g", delta, eps, err, th.Floor())
			}
			return
		}
		if err != nil {
			r.Fatal(err)
		}
		if got := th.Delta(eps); got > delta {
			r.Fatalf("delta(epsilon(%g)) = %g", delta, got)
		}
		if eps > 2e-9 && th.Delta(eps-2e-9) <= delta {
			r.Fatalf("epsilon(%g) = %g is not the smallest", delta, eps)
		}
	})
}

func TestEpsilonRefuses(t *testing.T) {
	th := drop(t, 20, 10, 2000)
	plain, err := NewNaive(20)
	if err != nil {
		t.Fatal(err)
	}
	for _, delta := range []float64{0, -1, math.NaN(), 1e-7} {
		for _, c := range []Curve{th, plain, th.Reports(2)} {
			if _, err := c.Epsilon(delta); !errors.Is(err, ErrUnattainable) {
				t.Errorf("epsilon(%g): error %v, want ErrUnattainable", delta, err)
			}
		}
	}
	for _, c := range []Curve{th, plain} {
		if eps, err := c.Epsilon(1); err != nil || eps != 0 {
			t.Errorf("epsilon(1) = %g, %v, want 0", eps, err)
		}
		for _, eps := range []float64{-1, math.NaN(), math.Inf(-1)} {
			if got := c.Delta(eps); got != 1 {
				t.Errorf("delta(%g) = %g, want 1", eps, got)
			}
		}
	}
	if got := th.Delta(math.Inf(1)); got != th.Floor() {
		t.Errorf("delta(infinity) = %g, want the floor %g", got, th.Floor())
	}
}

// plainKeep is Keep as the rules state it, with branches.
func plainKeep(th Threshold, n uint64, z int64) uint64 {
	count := new(big.Int).SetUint64(n)
	switch th := th.(type) {
	case naive:
		if n >= uint64(th) {
			return n
		}
	case *noisySet:
		if count.Cmp(big.NewInt(int64(th.t)+z)) > 0 {
			return n
		}
	case *noisyDrop:
		count.Sub(count, big.NewInt(max(0, int64(th.drop)+z)))
		if count.Cmp(big.NewInt(int64(th.t))) >= 0 {
			return count.Uint64()
		}
	}
	return 0
}

func FuzzKeep(f *testing.F) {
	f.Add(uint64(30), uint32(20), uint32(10), uint32(2000), make([]byte, 16))
	f.Add(uint64(math.MaxUint64), uint32(1), uint32(0), uint32(1), []byte("0123456789abcdef"))
	f.Add(uint64(0), uint32(math.MaxUint32), uint32(math.MaxUint32), uint32(9000), []byte("short"))
	f.Add(uint64(0), uint32(1), uint32(3), uint32(9000), make([]byte, 16))
	f.Fuzz(func(t *testing.T, n uint64, threshold, d, sigmaMilli uint32, random []byte) {
		threshold, sigmaMilli = max(1, threshold), 1+sigmaMilli%20_000
		bare, err := NewNaive(threshold)
		if err != nil {
			t.Fatal(err)
		}
		z, short := newNormal(sigmaMilli).sample(bytes.NewReader(random))
		for _, th := range []Threshold{bare, set(t, threshold, sigmaMilli), drop(t, threshold, d, sigmaMilli)} {
			want := plainKeep(th, n, z)
			if _, quiet := th.(naive); short != nil && !quiet {
				want = 0 // no noise, no release
			}
			if got := th.Keep(n, bytes.NewReader(random)); got != want {
				t.Errorf("%s: Keep(%d) with z = %d: %d, want %d", th, n, z, got, want)
			}
		}
	})
}

// Survival, bias and deviation against the rule run many times.
func TestSurvivalAndBias(t *testing.T) {
	s := NewStream(Seed{9}, "survival", nil)
	plain, err := NewNaive(20)
	if err != nil {
		t.Fatal(err)
	}
	for _, th := range []Threshold{plain, set(t, 20, 2000), drop(t, 20, 10, 2000), drop(t, 5, 1, 3000)} {
		for _, n := range []uint64{0, 1, 5, 9, 19, 20, 21, 28, 30, 33, 1000, math.MaxUint64} {
			const runs = 4000
			released := 0.0
			for range runs {
				if th.Keep(n, s) > 0 {
					released++
				}
			}
			want := th.Survival(n)
			if math.Abs(released/runs-want) > 4.5*math.Sqrt(want*(1-want)/runs)+1e-9 {
				t.Errorf("%s: %d reports: released %.4f, want %.4f", th, n, released/runs, want)
			}
		}
		const n, runs = 1000, 20_000
		sum, squares := 0.0, 0.0
		for range runs {
			lost := float64(n - th.Keep(n, s))
			sum, squares = sum+lost, squares+lost*lost
		}
		mean := sum / runs
		if math.Abs(mean-th.Bias()) > 4.5*th.StdDev()/math.Sqrt(runs) {
			t.Errorf("%s: bias %.4f, want %.4f", th, mean, th.Bias())
		}
		if sd := math.Sqrt(squares/runs - mean*mean); math.Abs(sd-th.StdDev()) > 0.05 {
			t.Errorf("%s: deviation %.4f, want %.4f", th, sd, th.StdDev())
		}
	}
}

func TestProtects(t *testing.T) {
	plain, err := NewNaive(3)
	if err != nil {
		t.Fatal(err)
	}
	for want, th := range map[string]Threshold{
		"nothing":                         plain,
		"the set of released crowds":      set(t, 1, 1000),
		"the multiset of released crowds": drop(t, 1, 2, 1000),
	} {
		if got := th.Protects().String(); got != want {
			t.Errorf("%s protects %s, want %s", th, got, want)
		}
	}
}
