package p256

import (
	"encoding/binary"
	"math/bits"
)

// An Element is a number modulo p = 2^256 - 2^224 + 2^192 + 2^96 - 1 in Montgomery
// form: times 2^256, reduced, the lowest limb first.
type Element [4]uint64

// These are tables.
var (
	one       = Element{0x0000000000000001, 0xffffffff00000000, 0xffffffffffffffff, 0x00000000fffffffe}
	square    = Element{0x0000000000000003, 0xfffffffbffffffff, 0xfffffffffffffffe, 0x00000004fffffffd} // 2^512
	curveB    = Element{0xd89cdf6229c4bddf, 0xacf005cd78843090, 0xe5a220abf7212ed6, 0xdc30061d04874834}
	generator = Affine{
		Element{0x79e730d418a9143c, 0x75ba95fc5fedb601, 0x79fb732b77622510, 0x18905f76a53755c6},
		Element{0xddf25357ce95560a, 0x8b4ab8e4ba19e45c, 0xd2e88688dd21f325, 0x8571ff1825885d85},
	}
)

// The limbs of p.
const (
	p0 = 0xffffffffffffffff
	p1 = 0x00000000ffffffff
	p3 = 0xffffffff00000001
)

// below returns the number with limbs t and the carry c, below 2p, modulo p.
func below(t0, t1, t2, t3, c uint64) Element {
	s0, b := bits.Sub64(t0, p0, 0)
	s1, b := bits.Sub64(t1, p1, b)
	s2, b := bits.Sub64(t2, 0, b)
	s3, b := bits.Sub64(t3, p3, b)
	_, b = bits.Sub64(c, 0, b)
	keep := -b
	return Element{s0 ^ keep&(s0^t0), s1 ^ keep&(s1^t1), s2 ^ keep&(s2^t2), s3 ^ keep&(s3^t3)}
}

// add sets z to x + y.
func (z *Element) add(x, y *Element) {
	t0, c := bits.Add64(x[0], y[0], 0)
	t1, c := bits.Add64(x[1], y[1], c)
	t2, c := bits.Add64(x[2], y[2], c)
	t3, c := bits.Add64(x[3], y[3], c)
	*z = below(t0, t1, t2, t3, c)
}

// sub sets z to x - y.
func (z *Element) sub(x, y *Element) {
	t0, b := bits.Sub64(x[0], y[0], 0)
	t1, b := bits.Sub64(x[1], y[1], b)
	t2, b := bits.Sub64(x[2], y[2], b)
	t3, b := bits.Sub64(x[3], y[3], b)
	mask := -b
	var c uint64
	z[0], c = bits.Add64(t0, mask, 0)
	z[1], c = bits.Add64(t1, mask&p1, c)
	z[2], c = bits.Add64(t2, 0, c)
	z[3], _ = bits.Add64(t3, mask&p3, c)
}

// mulGeneric sets z to x * y: row by row, each reduced at once. -1/p is 1 modulo 2^64,
// so that the lowest limb m itself is the multiple of p to add.
func mulGeneric(z, x, y *Element) {
	var t0, t1, t2, t3, t4 uint64
	for i := range 4 {
		var c uint64
		h0, l0 := bits.Mul64(x[0], y[i])
		h1, l1 := bits.Mul64(x[1], y[i])
		h2, l2 := bits.Mul64(x[2], y[i])
		h3, l3 := bits.Mul64(x[3], y[i])
		l1, c = bits.Add64(l1, h0, 0)
		l2, c = bits.Add64(l2, h1, c)
		l3, c = bits.Add64(l3, h2, c)
		h3 += c
		t0, c = bits.Add64(t0, l0, 0)
		t1, c = bits.Add64(t1, l1, c)
		t2, c = bits.Add64(t2, l2, c)
		t3, c = bits.Add64(t3, l3, c)
		t4, _ = bits.Add64(t4, h3, c) // below 2^320 - 2^288 + 2^257

		// m*p = m*2^96 + m*(2^256 - 2^224 + 2^192) - m
		m := t0
		lo, b := bits.Sub64(m, m<<32, 0)
		hi, _ := bits.Sub64(m, m>>32, b)
		t0, c = bits.Add64(t1, m<<32, 0)
		t1, c = bits.Add64(t2, m>>32, c)
		t2, c = bits.Add64(t3, lo, c)
		t3, c = bits.Add64(t4, hi, c)
		t4 = c
	}
	*z = below(t0, t1, t2, t3, t4)
}

// invert sets z to 1/x, and 0 for 0: x^(p-2).
func (z *Element) invert(x *Element) {
	var x2, x4, x8, x16, x32, t Element // xn is x^(2^n - 1)
	x2.chain(x, 1, x)
	x4.chain(&x2, 2, &x2)
	x8.chain(&x4, 4, &x4)
	x16.chain(&x8, 8, &x8)
	x32.chain(&x16, 16, &x16)
	// p - 2 is ffffffff 00000001 00000000 00000000 00000000 ffffffff ffffffff fffffffd.
	t.chain(&x32, 32, x)
	t.chain(&t, 128, &x32)
	t.chain(&t, 32, &x32)
	t.chain(&t, 16, &x16)
	t.chain(&t, 8, &x8)
	t.chain(&t, 4, &x4)
	t.chain(&t, 2, &x2)
	z.chain(&t, 2, x)
}

// root sets z to the square root of x that x^((p+1)/4) is, and reports whether there is
// one.
func (z *Element) root(x *Element) bool {
	var x2, x4, x8, x16, t, check Element
	x2.chain(x, 1, x)
	x4.chain(&x2, 2, &x2)
	x8.chain(&x4, 4, &x4)
	x16.chain(&x8, 8, &x8)
	t.chain(&x16, 16, &x16)
	// (p+1)/4 is 2^254 - 2^222 + 2^190 + 2^94.
	t.chain(&t, 32, x)
	t.chain(&t, 96, x)
	t.sqr(&t, 94)
	check.sqr(&t, 1)
	*z = t
	return check == *x
}

// chain sets z to x^(2^n) * y.
func (z *Element) chain(x *Element, n int, y *Element) {
	var t Element
	t.sqr(x, n)
	z.mul(&t, y)
}

// setBytes sets z to 32 big-endian bytes, and reports whether they are below p.
func (z *Element) setBytes(b []byte) bool {
	var t Element
	for i := range t {
		t[i] = binary.BigEndian.Uint64(b[24-8*i:])
	}
	_, c := bits.Sub64(t[0], p0, 0)
	_, c = bits.Sub64(t[1], p1, c)
	_, c = bits.Sub64(t[2], 0, c)
	_, c = bits.Sub64(t[3], p3, c)
	z.mul(&t, &square)
	return c == 1
}

// bytes writes the number to b.
func (z *Element) bytes(b []byte) {
	var t Element
	t.mul(z, &Element{1})
	for i := range t {
		binary.BigEndian.PutUint64(b[24-8*i:], t[i])
	}
}

// odd returns the lowest bit of the number.
func (z *Element) odd() uint64 {
	var t Element
	t.mul(z, &Element{1})
	return t[0] & 1
}

// isZero does not branch on the value.
func (z *Element) isZero() bool { return z[0]|z[1]|z[2]|z[3] == 0 }
