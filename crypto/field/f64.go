package field

import (
	"encoding/binary"
	"math/bits"
)

const (
	p64       = 0xffffffff00000001
	epsilon64 = 0xffffffff // 2^64 mod p64
)

// F64 is an element of Field64, an integer below 2^64 - 2^32 + 1. Converting an
// integer that is not below makes an invalid element; use [NewF64].
type F64 uint64

// NewF64 returns n modulo the prime.
func NewF64(n uint64) F64 {
	t, b := bits.Sub64(n, p64, 0)
	return F64(t + p64&-b)
}

// Add returns x+y, as x-(p-y): so no carry has to be kept.
func (x F64) Add(y F64) F64 {
	t, b := bits.Sub64(uint64(x), p64-uint64(y), 0)
	return F64(t + p64&-b)
}

// Sub returns x-y.
func (x F64) Sub(y F64) F64 {
	t, b := bits.Sub64(uint64(x), uint64(y), 0)
	return F64(t + p64&-b)
}

// Neg returns -x.
func (x F64) Neg() F64 { return F64(0).Sub(x) }

// Mul returns x*y.
func (x F64) Mul(y F64) F64 {
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	return reduce64(hi, lo)
}

// reduce64 returns hi*2^64 + lo modulo the prime, by 2^64 = 2^32 - 1 and
// 2^96 = -1.
func reduce64(hi, lo uint64) F64 {
	t, b := bits.Sub64(lo, hi>>32, 0)
	t -= epsilon64 & -b // cannot borrow: t is at least 2^64 - 2^32 here
	s, c := bits.Add64(t, hi<<32-hi&epsilon64, 0)
	s += epsilon64 & -c // cannot carry: s is below 2^64 - 2^32 here
	s, b = bits.Sub64(s, p64, 0)
	return F64(s + p64&-b)
}

// Inv returns 1/x, and 0 for 0.
func (x F64) Inv() F64 {
	y := F64(1) // x^(p-2), by the bits of p-2 from the top
	for i := 63; i >= 0; i-- {
		y = y.Mul(y)
		if uint64(p64-2)>>i&1 == 1 {
			y = y.Mul(x)
		}
	}
	return y
}

// IsZero returns 1 if x is zero and 0 if not.
func (x F64) IsZero() int {
	_, b := bits.Sub64(0, uint64(x), 0)
	return int(1 - b)
}

// Uint64 returns the integer.
func (x F64) Uint64() uint64 { return uint64(x) }

// Field64 returns the field with the prime 2^64 - 2^32 + 1.
func Field64() Field[F64] { return field64{} }

type field64 struct{}

func (field64) Size() int               { return 8 }
func (field64) FromUint64(n uint64) F64 { return NewF64(n) }
func (field64) Add(x, y F64) F64        { return x.Add(y) }
func (field64) Sub(x, y F64) F64        { return x.Sub(y) }
func (field64) Mul(x, y F64) F64        { return x.Mul(y) }
func (field64) Inv(x F64) F64           { return x.Inv() }
func (field64) IsZero(x F64) int        { return x.IsZero() }

func (field64) Root(log int) F64 {
	// The generator 7^(2^32-1) has order 2^32.
	x := F64(1753635133440165772)
	for range 32 - log {
		x = x.Mul(x)
	}
	return x
}

func (field64) Decode(dst []F64, src []byte) error {
	if len(src) != 8*len(dst) {
		return ErrLength
	}
	below := uint64(1)
	for i := range dst {
		x := binary.LittleEndian.Uint64(src[8*i:])
		_, b := bits.Sub64(x, p64, 0)
		below &= b
		dst[i] = F64(x)
	}
	if below == 0 {
		return ErrRange
	}
	return nil
}

func (field64) Encode(dst []byte, src []F64) {
	dst = dst[:8*len(src)]
	for i, x := range src {
		binary.LittleEndian.PutUint64(dst[8*i:], uint64(x))
	}
}

func (field64) FromUint8(dst []F64, src []uint8) {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] = F64(src[i])
	}
}

func (field64) AddVec(dst, a []F64) {
	a = a[:len(dst)]
	for i := range dst {
		dst[i] = dst[i].Add(a[i])
	}
}

func (field64) SubVec(dst, a []F64) {
	a = a[:len(dst)]
	for i := range dst {
		dst[i] = dst[i].Sub(a[i])
	}
}

func (field64) MulVec(dst, a []F64) {
	a = a[:len(dst)]
	for i := range dst {
		dst[i] = dst[i].Mul(a[i])
	}
}

func (field64) Sum(a []F64) F64 {
	var s acc64
	for _, x := range a {
		s.add(uint64(x))
	}
	return s.reduce()
}

func (field64) Dot(a, b []F64) F64 {
	b = b[:len(a)]
	var w0, w1, w2, c uint64 // acc64 in registers
	for i := range a {
		hi, lo := bits.Mul64(uint64(a[i]), uint64(b[i]))
		w0, c = bits.Add64(w0, lo, 0)
		w1, c = bits.Add64(w1, hi, c)
		w2 += c
	}
	s := acc64{w0, w1, w2}
	return s.reduce()
}

func (field64) PolyVec(dst, x, coeff []F64) {
	x, top := x[:len(dst)], len(coeff)-1
	if top == 2 && coeff[2] == 1 { // that of a range check
		for i := range dst {
			dst[i] = x[i].Add(coeff[1]).Mul(x[i]).Add(coeff[0])
		}
		return
	}
	for i := range dst {
		y := coeff[top]
		for j := top - 1; j >= 0; j-- {
			y = y.Mul(x[i]).Add(coeff[j])
		}
		dst[i] = y
	}
}

func (field64) InvVec(v, tmp []F64) { invVec(field64{}, v, tmp) }

// acc64 adds up products without reducing them: a 192-bit sum.
type acc64 struct{ w0, w1, w2 uint64 }

func (s *acc64) add(x uint64) {
	var c uint64
	s.w0, c = bits.Add64(s.w0, x, 0)
	s.w1, c = bits.Add64(s.w1, 0, c)
	s.w2 += c
}

func (s *acc64) mul(x, y F64) {
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	var c uint64
	s.w0, c = bits.Add64(s.w0, lo, 0)
	s.w1, c = bits.Add64(s.w1, hi, c)
	s.w2 += c
}

func (s *acc64) reduce() F64 {
	// 2^128 = -2^32 modulo the prime; w2 counts carries, so it is small.
	return reduce64(s.w1, s.w0).Sub(reduce64(s.w2>>32, s.w2<<32))
}

func (field64) RangeWires(w *Wires[F64]) {
	rows := len(w.Coeff)
	q := w.Tmp[:rows]
	copy(q, w.Coeff)
	for i := range w.Chunk {
		var even, odd acc64
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

func (field64) factor(x F64) (F64, bool) { return x, false }
