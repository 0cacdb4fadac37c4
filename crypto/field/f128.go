package field

import (
	"encoding/binary"
	"math/bits"
)

const (
	p128lo = 1
	p128hi = 0xffffffffffffffe4 // 2^64 - 28
)

// F128 is an element of Field128, an integer below 2^128 - 28*2^64 + 1. The
// zero value is zero.
type F128 struct{ lo, hi uint64 }

// NewF128 returns hi*2^64 + lo modulo the prime.
func NewF128(hi, lo uint64) F128 { return subOnce128(lo, hi, 0) }

// Words returns the integer as hi*2^64 + lo.
func (x F128) Words() (hi, lo uint64) { return x.hi, x.lo }

// subOnce128 returns the integer c*2^128 + hi*2^64 + lo less the prime if it is
// not below it.
func subOnce128(lo, hi, c uint64) F128 {
	t0, b := bits.Sub64(lo, p128lo, 0)
	t1, b := bits.Sub64(hi, p128hi, b)
	_, b = bits.Sub64(c, 0, b)
	t0, c = bits.Add64(t0, p128lo&-b, 0)
	t1, _ = bits.Add64(t1, p128hi&-b, c)
	return F128{t0, t1}
}

// Add returns x+y.
func (x F128) Add(y F128) F128 {
	s0, c := bits.Add64(x.lo, y.lo, 0)
	s1, c := bits.Add64(x.hi, y.hi, c)
	return subOnce128(s0, s1, c)
}

// Sub returns x-y.
func (x F128) Sub(y F128) F128 {
	t0, b := bits.Sub64(x.lo, y.lo, 0)
	t1, b := bits.Sub64(x.hi, y.hi, b)
	t0, c := bits.Add64(t0, p128lo&-b, 0)
	t1, _ = bits.Add64(t1, p128hi&-b, c)
	return F128{t0, t1}
}

// Neg returns -x.
func (x F128) Neg() F128 { return F128{}.Sub(x) }

// Mul returns x*y.
func (x F128) Mul(y F128) F128 {
	h0, t0 := bits.Mul64(x.lo, y.lo)
	h1, l1 := bits.Mul64(x.lo, y.hi)
	h2, l2 := bits.Mul64(x.hi, y.lo)
	h3, l3 := bits.Mul64(x.hi, y.hi)

	t1, c := bits.Add64(h0, l1, 0)
	t2, c := bits.Add64(h1, l3, c)
	t3 := h3 + c
	t1, c = bits.Add64(t1, l2, 0)
	t2, c = bits.Add64(t2, h2, c)
	t3 += c
	return reduce128(t0, t1, t2, t3)
}

// reduce128 returns t3*B^3 + t2*B^2 + t1*B + t0 modulo the prime, B = 2^64.
//
// The prime gives B^2 = 28*B - 1. With u = 28*t3 + t2 the number is
// (28*u + t1 - t3)*B + t0 - u, which is not negative, since 28*u >= 784*t3, and
// below 2^11*B^2. The part above B^2 is folded once more.
func reduce128(t0, t1, t2, t3 uint64) F128 {
	u1, u0 := bits.Mul64(t3, 28)
	u0, c := bits.Add64(u0, t2, 0)
	u1 += c

	v2, v1 := bits.Mul64(u0, 28)
	v2 += 28 * u1

	v1, c = bits.Add64(v1, t1, 0)
	v2 += c
	v1, b := bits.Sub64(v1, t3, 0)
	v2 -= b
	v0, b := bits.Sub64(t0, u0, 0)
	v1, b = bits.Sub64(v1, u1, b)
	v2 -= b

	// v2*B^2 = v2*(28*B - 1), and the sum is below twice the prime.
	v0, b = bits.Sub64(v0, v2, 0)
	w, c := bits.Add64(v1, 28*v2, 0)
	w, b = bits.Sub64(w, 0, b)
	return subOnce128(v0, w, c-b)
}

// Inv returns 1/x, and 0 for 0.
func (x F128) Inv() F128 {
	// x^(p-2); p-2 = 2^128 - 28*2^64 - 1 has the words 2^64-29 and 2^64-1.
	y := F128{lo: 1}
	e := [2]uint64{p128hi - 1, 0xffffffffffffffff}
	for _, w := range e {
		for i := 63; i >= 0; i-- {
			y = y.Mul(y)
			if w>>i&1 == 1 {
				y = y.Mul(x)
			}
		}
	}
	return y
}

// IsZero returns 1 if x is zero and 0 if not.
func (x F128) IsZero() int {
	_, b := bits.Sub64(0, x.lo|x.hi, 0)
	return int(1 - b)
}

// Field128 returns the field with the prime 2^128 - 28*2^64 + 1.
func Field128() Field[F128] { return field128{vector: supportsIFMA()} }

// field128 uses vector instructions if vector is set.
type field128 struct{ vector bool }

func (field128) Size() int                { return 16 }
func (field128) FromUint64(n uint64) F128 { return F128{lo: n} }
func (field128) Add(x, y F128) F128       { return x.Add(y) }
func (field128) Sub(x, y F128) F128       { return x.Sub(y) }
func (field128) Mul(x, y F128) F128       { return x.Mul(y) }
func (field128) Inv(x F128) F128          { return x.Inv() }
func (field128) IsZero(x F128) int        { return x.IsZero() }

func (field128) Root(log int) F128 {
	// The generator 7^4611686018427387897 has order 2^66; this is its power
	// 2^34, of order 2^32.
	x := F128{lo: 0x64a1da3dadf7ca7f, hi: 0x30ac226d5f3c4f55}
	for range 32 - log {
		x = x.Mul(x)
	}
	return x
}

func (field128) Decode(dst []F128, src []byte) error {
	if len(src) != 16*len(dst) {
		return ErrLength
	}
	below := uint64(1)
	for i := range dst {
		e := (*[16]byte)(src[16*i:])
		lo, hi := binary.LittleEndian.Uint64(e[:8]), binary.LittleEndian.Uint64(e[8:])
		_, b := bits.Sub64(lo, p128lo, 0)
		_, b = bits.Sub64(hi, p128hi, b)
		below &= b
		dst[i] = F128{lo, hi}
	}
	if below == 0 {
		return ErrRange
	}
	return nil
}

func (field128) Encode(dst []byte, src []F128) {
	for i, x := range src {
		e := (*[16]byte)(dst[16*i:])
		binary.LittleEndian.PutUint64(e[:8], x.lo)
		binary.LittleEndian.PutUint64(e[8:], x.hi)
	}
}

func (field128) FromUint8(dst []F128, src []uint8) {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] = F128{lo: uint64(src[i])}
	}
}

func (field128) AddVec(dst, a []F128) {
	a = a[:len(dst)]
	for i := range dst {
		dst[i] = dst[i].Add(a[i])
	}
}

func (field128) SubVec(dst, a []F128) {
	a = a[:len(dst)]
	for i := range dst {
		dst[i] = dst[i].Sub(a[i])
	}
}

func (f field128) MulVec(dst, a []F128) {
	a = a[:len(dst)]
	if n := len(dst) &^ (blockLen - 1); f.vector && n > 0 {
		square := radix312
		mulIFMA(&dst[0], &a[0], &square, n/blockLen)
		dst, a = dst[n:], a[n:]
	}
	for i := range dst {
		dst[i] = dst[i].Mul(a[i])
	}
}

func (field128) Sum(a []F128) F128 {
	var w0, w1, w2, c uint64
	for _, x := range a {
		w0, c = bits.Add64(w0, x.lo, 0)
		w1, c = bits.Add64(w1, x.hi, c)
		w2 += c
	}
	return reduce128(w0, w1, w2, 0)
}

func (f field128) Dot(a, b []F128) F128 {
	b = b[:len(a)]
	var sum F128
	if n := len(a) &^ (blockLen - 1); f.vector && n >= 2*blockLen {
		sum = dotVector(a[:n], b[:n])
		a, b = a[n:], b[n:]
	}
	var s acc128
	for i := range a {
		s.mul(a[i], b[i])
	}
	return sum.Add(s.reduce())
}

func (field128) PolyVec(dst, x, coeff []F128) {
	x, top := x[:len(dst)], len(coeff)-1
	for i := range dst {
		y := coeff[top]
		for j := top - 1; j >= 0; j-- {
			y = y.Mul(x[i]).Add(coeff[j])
		}
		dst[i] = y
	}
}

func (field128) InvVec(v, tmp []F128) { invVec(field128{}, v, tmp) }

// acc128 adds up products without reducing them: a 320-bit sum.
type acc128 struct{ w0, w1, w2, w3, w4 uint64 }

func (s *acc128) mul(x, y F128) {
	h0, l0 := bits.Mul64(x.lo, y.lo)
	h1, l1 := bits.Mul64(x.lo, y.hi)
	h2, l2 := bits.Mul64(x.hi, y.lo)
	h3, l3 := bits.Mul64(x.hi, y.hi)

	t1, c := bits.Add64(h0, l1, 0)
	t2, c := bits.Add64(h1, l3, c)
	t3 := h3 + c
	t1, c = bits.Add64(t1, l2, 0)
	t2, c = bits.Add64(t2, h2, c)
	t3 += c

	s.w0, c = bits.Add64(s.w0, l0, 0)
	s.w1, c = bits.Add64(s.w1, t1, c)
	s.w2, c = bits.Add64(s.w2, t2, c)
	s.w3, c = bits.Add64(s.w3, t3, c)
	s.w4 += c
}

// reduce returns the sum modulo the prime; w4 is below 2^49.
func (s *acc128) reduce() F128 {
	// B^4 = (28*B - 1)^2 = 21896*B - 783. The part above B^4 after the first fold
	// is at most 1, and the rest is then small.
	t0, t1, t2, t3, top := s.w0, s.w1, s.w2, s.w3, s.w4
	for range 2 {
		var c, b uint64
		t1, c = bits.Add64(t1, 21896*top, 0)
		t2, c = bits.Add64(t2, 0, c)
		t3, c = bits.Add64(t3, 0, c)
		t0, b = bits.Sub64(t0, 783*top, 0)
		t1, b = bits.Sub64(t1, 0, b)
		t2, b = bits.Sub64(t2, 0, b)
		t3, b = bits.Sub64(t3, 0, b)
		top = c - b
	}
	return reduce128(t0, t1, t2, t3)
}

func (f field128) RangeWires(w *Wires[F128]) {
	rows := len(w.Coeff)
	if f.vector && w.Chunk >= minChunk {
		rangeWiresVector(w)
		return
	}
	q := w.Tmp[:rows]
	copy(q, w.Coeff)
	for i := range w.Chunk {
		var even, odd acc128
		for k, j := 0, i; k < rows; k, j = k+1, j+w.Chunk {
			q[k] = q[k].Mul(w.Rand[k])
			if j < len(w.Meas) {
				even.mul(q[k], w.Meas[j])
				odd.mul(w.Coeff[k], w.Meas[j])
			}
		}
		w.Dst[2*i] = w.Dst[2*i].Add(even.reduce())
		w.Dst[2*i+1] = w.Dst[2*i+1].Add(odd.reduce())
	}
}

func (f field128) factor(x F128) (F128, bool) {
	if !f.vector {
		return x, false
	}
	return x.Mul(radix156), true
}
