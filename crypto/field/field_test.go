package field

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"testing"
	"time"
)

// oracle is the same field by math/big.
type oracle[E Elem] struct {
	f    Field[E]
	p    *big.Int
	big  func(E) *big.Int
	from func(hi, lo uint64) E
}

func oracle64() oracle[F64] {
	p, _ := new(big.Int).SetString("18446744069414584321", 10)
	return oracle[F64]{
		Field64(), p,
		func(x F64) *big.Int { return new(big.Int).SetUint64(x.Uint64()) },
		func(_, lo uint64) F64 { return NewF64(lo) },
	}
}

// oracles128 are Field128 in the forms that this machine can run.
func oracles128() map[string]oracle[F128] {
	o := map[string]oracle[F128]{"128": oracle128()}
	scalar := oracle128()
	scalar.f = field128{}
	o["128 without vectors"] = scalar
	return o
}

func oracle128() oracle[F128] {
	p, _ := new(big.Int).SetString("340282366920938462946865773367900766209", 10)
	return oracle[F128]{
		Field128(), p,
		func(x F128) *big.Int {
			hi, lo := x.Words()
			n := new(big.Int).SetUint64(hi)
			return n.Lsh(n, 64).Add(n, new(big.Int).SetUint64(lo))
		},
		NewF128,
	}
}

// words are near the places where carries, borrows and reductions happen.
func words() []uint64 {
	w := []uint64{0, 1, 2, 27, 28, 29, 783, 784}
	for _, k := range []int{31, 32, 33, 59, 63} {
		w = append(w, 1<<k-1, 1<<k, 1<<k+1)
	}
	n := len(w)
	for _, x := range w[:n] {
		w = append(w, -x, p64-x, p128hi-x)
	}
	return w
}

func (o oracle[E]) elements(r *rand.Rand) []E {
	var v []E
	w := words()
	for range 400 {
		v = append(v, o.from(w[r.IntN(len(w))], w[r.IntN(len(w))]), o.from(r.Uint64(), r.Uint64()))
	}
	return append(v, o.from(0, 0), o.from(0, 1), o.f.Sub(o.from(0, 0), o.from(0, 1)))
}

func (o oracle[E]) check(t *testing.T, what string, got E, want *big.Int) {
	t.Helper()
	want.Mod(want, o.p)
	if g := o.big(got); g.Cmp(want) != 0 {
		t.Fatalf("%s: got %d, want %d", what, g, want)
	}
}

func TestArithmetic(t *testing.T) {
	t.Run("64", func(t *testing.T) { testArithmetic(t, oracle64()) })
	for name, o := range oracles128() {
		t.Run(name, func(t *testing.T) { testArithmetic(t, o) })
	}
}

func testArithmetic[E Elem](t *testing.T, o oracle[E]) {
	v := o.elements(rand.New(rand.NewPCG(1, 2)))
	n := new(big.Int)
	for i, x := range v {
		a := o.big(x)
		if a.Cmp(o.p) >= 0 {
			t.Fatalf("element %d is not below the modulus", a)
		}
		if want := a.Sign() == 0; want != (o.f.IsZero(x) == 1) {
			t.Fatalf("IsZero(%d) is wrong", a)
		}
		if i%40 == 0 {
			inv := new(big.Int).ModInverse(a, o.p)
			if inv == nil {
				inv = new(big.Int)
			}
			o.check(t, "inverse", o.f.Inv(x), inv)
		}
		for _, y := range v[i%7 : min(len(v), i%7+200)] {
			b := o.big(y)
			o.check(t, "sum", o.f.Add(x, y), n.Add(a, b))
			o.check(t, "difference", o.f.Sub(x, y), n.Sub(a, b))
			o.check(t, "product", o.f.Mul(x, y), n.Mul(a, b))
		}
	}
}

func TestVectors(t *testing.T) {
	t.Run("64", func(t *testing.T) { testVectors(t, oracle64()) })
	for name, o := range oracles128() {
		t.Run(name, func(t *testing.T) { testVectors(t, o) })
	}
}

func testVectors[E Elem](t *testing.T, o oracle[E]) {
	r := rand.New(rand.NewPCG(3, 4))
	pool := o.elements(r)
	for _, n := range []int{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 64, 200, 1900} {
		a, b := make([]E, n), make([]E, n)
		sum, dot := new(big.Int), new(big.Int)
		for i := range n {
			a[i], b[i] = pool[r.IntN(len(pool))], pool[r.IntN(len(pool))]
			sum.Add(sum, o.big(a[i]))
			dot.Add(dot, new(big.Int).Mul(o.big(a[i]), o.big(b[i])))
		}
		o.check(t, "Sum", o.f.Sum(a), sum)
		o.check(t, "Dot", o.f.Dot(a, b), dot)
		for what, op := range map[string]struct {
			vec  func(dst, a []E)
			elem func(x, y E) E
		}{
			"AddVec": {o.f.AddVec, o.f.Add},
			"SubVec": {o.f.SubVec, o.f.Sub},
			"MulVec": {o.f.MulVec, o.f.Mul},
		} {
			c := append([]E(nil), a...)
			op.vec(c, b)
			for i := range c {
				o.check(t, what, c[i], o.big(op.elem(a[i], b[i])))
			}
		}

		small := make([]uint8, n)
		for i := range small {
			small[i] = uint8(r.Uint32())
		}
		o.f.FromUint8(a, small)
		for i := range a {
			o.check(t, "FromUint8", a[i], big.NewInt(int64(small[i])))
		}
		for _, coeff := range [][]E{{pool[0]}, pool[3:5], {pool[7], pool[8], o.from(0, 1)}, pool[5:8], pool[9:13]} {
			o.f.PolyVec(a, b, coeff)
			for i, x := range b {
				y := o.from(0, 0)
				for j := len(coeff) - 1; j >= 0; j-- {
					y = o.f.Add(o.f.Mul(y, x), coeff[j])
				}
				o.check(t, "PolyVec", a[i], o.big(y))
			}
		}

		enc := make([]byte, n*o.f.Size())
		o.f.Encode(enc, a)
		dec := make([]E, n)
		if err := o.f.Decode(dec, enc); err != nil {
			t.Fatal(err)
		}
		again := make([]byte, len(enc))
		o.f.Encode(again, dec)
		if !bytes.Equal(enc, again) {
			t.Fatal("decoding and encoding changes bytes")
		}
	}

	inv := []E{o.from(0, 1), o.from(5, 7), o.from(1<<63, 3)}
	want := []*big.Int{}
	for _, x := range inv {
		want = append(want, new(big.Int).ModInverse(o.big(x), o.p))
	}
	o.f.InvVec(inv, make([]E, len(inv)))
	for i, x := range inv {
		o.check(t, "InvVec", x, want[i])
	}
}

func TestDecodeIsStrict(t *testing.T) {
	t.Run("64", func(t *testing.T) { testDecodeIsStrict(t, oracle64()) })
	for name, o := range oracles128() {
		t.Run(name, func(t *testing.T) { testDecodeIsStrict(t, o) })
	}
}

// A second encoding of an element would let a report pass a replay or joint
// randomness check in two forms.
func testDecodeIsStrict[E Elem](t *testing.T, o oracle[E]) {
	size := o.f.Size()
	one := big.NewInt(1)
	for _, c := range []struct {
		n    *big.Int
		want error
	}{
		{new(big.Int).Sub(o.p, one), nil},
		{o.p, ErrRange},
		{new(big.Int).Add(o.p, one), ErrRange},
		{new(big.Int).Sub(new(big.Int).Lsh(one, uint(8*size)), one), ErrRange},
	} {
		enc := make([]byte, 3*size)
		c.n.FillBytes(enc[size : 2*size])
		reverse(enc[size : 2*size])
		if err := o.f.Decode(make([]E, 3), enc); !errors.Is(err, c.want) {
			t.Errorf("decoding %x: error %v, want %v", c.n, err, c.want)
		}
	}
	for _, n := range []int{0, size - 1, size + 1, 2 * size} {
		if err := o.f.Decode(make([]E, 1), make([]byte, n)); !errors.Is(err, ErrLength) {
			t.Errorf("decoding %d bytes as one element: error %v, want %v", n, err, ErrLength)
		}
	}
}

func reverse(b []byte) {
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
}

func TestTransforms(t *testing.T) {
	t.Run("64", func(t *testing.T) { testTransforms(t, oracle64()) })
	for name, o := range oracles128() {
		t.Run(name, func(t *testing.T) { testTransforms(t, o) })
	}
}

func testTransforms[E Elem](t *testing.T, o oracle[E]) {
	f := o.f
	r := rand.New(rand.NewPCG(5, 6))
	roots, err := NewRoots(f, 256)
	if err != nil {
		t.Fatal(err)
	}
	horner := func(coeff []E, x E) E {
		y := o.from(0, 0)
		for i := len(coeff) - 1; i >= 0; i-- {
			y = f.Add(f.Mul(y, x), coeff[i])
		}
		return y
	}
	for n := 1; n <= 64; n *= 2 {
		if got := Pow(f, f.Root(bits.TrailingZeros(uint(n))), uint64(n)); f.IsZero(f.Sub(got, o.from(0, 1))) != 1 {
			t.Fatalf("the root of order %d has another order", n)
		}
		coeff := make([]E, n)
		for i := range coeff {
			coeff[i] = o.from(r.Uint64(), r.Uint64())
		}
		evals := func(c []E, size int) []E {
			v := make([]E, size)
			for i := range v {
				v[i] = horner(c, roots.Power(f, size, i))
			}
			return v
		}
		v := evals(coeff, n)

		got := append([]E(nil), v...)
		f.Interpolate(got, roots)
		BitReverse(got)
		for i := range got {
			o.check(t, "Interpolate", got[i], o.big(f.Mul(coeff[i], f.FromUint64(uint64(n)))))
		}
		got = append(got[:0], coeff...)
		BitReverse(got)
		f.Evaluate(got, roots)
		for i := range got {
			o.check(t, "Evaluate", got[i], o.big(v[i]))
		}

		rows := make([]E, Rows*n)
		for i, x := range v {
			for j := range Rows {
				rows[i*Rows+j] = f.Mul(x, f.FromUint64(uint64(j+1)))
			}
		}
		f.OddRows(rows, Rows, roots)

		v2 := evals(coeff, 2*n)
		for i, x := range rows {
			o.check(t, "OddRows", x, o.big(f.Mul(v2[2*(i/Rows)+1], f.FromUint64(uint64(i%Rows+1)))))
		}
		d, err := DoubleEvaluations(f, v, roots)
		if err != nil {
			t.Fatal(err)
		}
		for i := range d {
			o.check(t, "DoubleEvaluations", d[i], o.big(v2[i]))
		}

		x := o.from(r.Uint64(), r.Uint64())
		y, err := PolyEvalBatched(f, [][]E{v, v}, x, roots)
		if err != nil {
			t.Fatal(err)
		}
		o.check(t, "PolyEvalBatched", y[1], o.big(horner(coeff, x)))

		m, err := PolyMul(f, v, v, roots)
		if err != nil {
			t.Fatal(err)
		}
		for i := range m {
			o.check(t, "PolyMul", m[i], o.big(f.Mul(v2[i], v2[i])))
		}

		for _, known := range []int{1, n/2 + 1, n} {
			w := evals(coeff[:known], n)
			e, err := ExtendValues(f, append([]E(nil), w[:known]...), n, roots)
			if err != nil {
				t.Fatal(err)
			}
			for i := range e {
				o.check(t, "ExtendValues", e[i], o.big(w[i]))
			}
		}
	}
	for _, n := range []int{0, 3, 512} {
		if _, err := DoubleEvaluations(f, make([]E, n), roots); !errors.Is(err, ErrSize) {
			t.Errorf("DoubleEvaluations of %d values: error %v", n, err)
		}
	}
	if _, err := NewRoots(f, 12); !errors.Is(err, ErrSize) {
		t.Errorf("NewRoots(12): error %v", err)
	}
}

func TestRangeWires(t *testing.T) {
	t.Run("64", func(t *testing.T) { testRangeWires(t, oracle64()) })
	for name, o := range oracles128() {
		t.Run(name, func(t *testing.T) { testRangeWires(t, o) })
	}
}

func testRangeWires[E Elem](t *testing.T, o oracle[E]) {
	f := o.f
	r := rand.New(rand.NewPCG(7, 8))
	pool := o.elements(r)
	pick := func(n int) []E {
		v := make([]E, n)
		for i := range v {
			v[i] = pool[r.IntN(len(pool))]
		}
		return v
	}
	for _, c := range []struct{ meas, chunk int }{{1, 1}, {1, 5}, {7, 3}, {8, 8}, {9, 8}, {33, 16}, {100, 10}, {130, 17}, {257, 32}, {5, 24}, {1300, 2}, {9000, 17}, {8 * 700, 8}} {
		rows := (c.meas + c.chunk - 1) / c.chunk
		w := NewWires[E](rows)
		w.Dst, w.Meas, w.Coeff, w.Rand, w.Chunk = pick(2*c.chunk), pick(c.meas), pick(rows), pick(rows), c.chunk
		want := append([]E(nil), w.Dst...)
		for j, m := range w.Meas {
			k, i := j/c.chunk, j%c.chunk
			q := f.Mul(w.Coeff[k], Pow(f, w.Rand[k], uint64(i+1)))
			want[2*i] = f.Add(want[2*i], f.Mul(q, m))
			want[2*i+1] = f.Add(want[2*i+1], f.Mul(w.Coeff[k], m))
		}
		f.RangeWires(w)
		for i := range want {
			o.check(t, "RangeWires", w.Dst[i], o.big(want[i]))
		}
	}
}

func BenchmarkMul(b *testing.B) {
	b.Run("64", func(b *testing.B) {
		x := F64(123456789123456789)
		for b.Loop() {
			x = x.Mul(x)
		}
	})
	b.Run("128", func(b *testing.B) {
		x := NewF128(123456789123456789, 987654321)
		for b.Loop() {
			x = x.Mul(x)
		}
	})
}

// best runs f and reports the shortest time of one run, which other work on the
// machine disturbs least, divided by n.
func best(b *testing.B, n float64, unit string, f func()) {
	b.Helper()
	least := time.Duration(math.MaxInt64)
	for b.Loop() {
		start := time.Now()
		f()
		least = min(least, time.Since(start))
	}
	b.ReportMetric(float64(least.Nanoseconds())/n, unit)
}

func BenchmarkRangeWires(b *testing.B) {
	for _, c := range [][2]int{{100, 10}, {1000, 31}, {10000, 100}} {
		n, chunk := c[0], c[1]
		rows := (n + chunk - 1) / chunk
		w := NewWires[F128](rows)
		w.Dst, w.Meas, w.Coeff, w.Rand, w.Chunk = make([]F128, 2*chunk), make([]F128, n), make([]F128, rows), make([]F128, rows), chunk
		for name, o := range oracles128() {
			b.Run(fmt.Sprint(n, "/", name), func(b *testing.B) {
				best(b, float64(n), "best-ns/element", func() { o.f.RangeWires(w) })
			})
		}
	}
}

func BenchmarkVectors(b *testing.B) {
	b.Run("64", func(b *testing.B) { benchmarkVectors(b, oracle64()) })
	for name, o := range oracles128() {
		b.Run(name, func(b *testing.B) { benchmarkVectors(b, o) })
	}
}

func benchmarkVectors[E Elem](b *testing.B, o oracle[E]) {
	f := o.f
	roots, err := NewRoots(f, 64)
	if err != nil {
		b.Fatal(err)
	}
	v, u, w := make([]E, 64), make([]E, 64), make([]E, 64)
	for i := range v {
		v[i], u[i] = o.from(uint64(i), 7), o.from(uint64(i), 9)
	}
	rows := make([]E, 64*Rows)
	coeff := v[2:5]
	for what, run := range map[string]func(){
		"OddRows*8": func() { f.OddRows(rows, Rows, roots) },
		"Odd":       func() { f.Odd(v, roots) },
		"Lagrange":  func() { f.Lagrange(v, u[3], roots) },
		"Dot":       func() { f.Dot(v, u) },
		"MulVec":    func() { f.MulVec(v, u) },
		"AddVec":    func() { f.AddVec(v, u) },
		"PolyVec":   func() { f.PolyVec(w, u, coeff) },
	} {
		b.Run(what, func(b *testing.B) {
			best(b, 64, "best-ns/element", run)
		})
	}
}
