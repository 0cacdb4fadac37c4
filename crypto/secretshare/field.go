package secretshare

import (
	"cmp"
	"encoding/binary"
	"math/bits"
)

// An element of GF(p), p = 2^127 - 1, in two limbs: a value from 0 to p, where p
// represents 0 too. Compare elements with equal only. Operations take the same time
// for all values.
type element struct{ lo, hi uint64 }

const (
	elementSize = 16
	topMask     = 1<<63 - 1 // bits of the high limb
)

// reduce maps lo + hi*2^64, below 2^128 - 1, to the field: the bit above the
// 127th counts 1.
func reduce(lo, hi uint64) element {
	lo, c := bits.Add64(lo, hi>>63, 0)
	hi = hi&topMask + c
	// hi has reached 2^63 only if everything below has become zero.
	return element{lo | hi>>63, hi & topMask}
}

// canonical maps p to 0 and everything else to itself.
func (a element) canonical() element {
	_, c := bits.Add64(a.lo, 1, 0)
	isP := (a.hi + c) >> 63 // adding 1 carries into bit 127
	mask := isP - 1
	return element{a.lo & mask, a.hi & mask}
}

func (a element) equal(b element) bool { return a.canonical() == b.canonical() }

func (a element) add(b element) element {
	lo, c := bits.Add64(a.lo, b.lo, 0)
	hi, _ := bits.Add64(a.hi, b.hi, c)
	return reduce(lo, hi) // both are at most p: the sum is below 2^128 - 1
}

// neg returns p - a: no limb borrows.
func (a element) neg() element { return element{^a.lo, a.hi ^ topMask} }

func (a element) sub(b element) element { return a.add(b.neg()) }

func (a element) mul(b element) element {
	h0, l0 := bits.Mul64(a.lo, b.lo)
	h1, l1 := bits.Mul64(a.lo, b.hi)
	h2, l2 := bits.Mul64(a.hi, b.lo)
	h3, l3 := bits.Mul64(a.hi, b.hi)

	r0 := l0
	r1, c := bits.Add64(h0, l1, 0)
	r2, c := bits.Add64(h1, l3, c)
	r3, _ := bits.Add64(h3, 0, c)
	r1, c = bits.Add64(r1, l2, 0)
	r2, c = bits.Add64(r2, h2, c)
	r3 += c

	// The product is below 2^254: fold its upper half at bit 127.
	lo, c := bits.Add64(r0, r2<<1|r1>>63, 0)
	hi, _ := bits.Add64(r1&topMask, r3<<1|r2>>63, c)
	return reduce(lo, hi)
}

// dot returns the sum of the products of a and b, of equal length below 2^60. It reduces
// once: products of limbs are added up as they are, in 192 bits for each place.
func dot(a, b []element) element {
	var s [9]uint64
	addProducts(&s, a, b)
	// All in one number of five words: l + m*2^64 + h*2^128.
	r0 := s[0]
	r1, c := bits.Add64(s[1], s[3], 0)
	r2, c := bits.Add64(s[2], s[4], c)
	r3, c := bits.Add64(s[5], 0, c)
	r4 := c
	r2, c = bits.Add64(r2, s[6], 0)
	r3, c = bits.Add64(r3, s[7], c)
	r4 += s[8] + c
	// 2^127 is 1, and the number is below 2^320.
	low, middle := element{r0, r1 & topMask}, element{r2<<1 | r1>>63, (r3<<1 | r2>>63) & topMask}
	return low.add(middle).add(element{r4<<2 | r3>>62, r4 >> 62})
}

// productsGeneric sets sums, which is zero, to the sums of the products of the limbs of a and
// b: of the low ones, of those across, and of the high ones, three words each.
func productsGeneric(sums *[9]uint64, a, b []element) {
	var l0, l1, l2, m0, m1, m2, h0, h1, h2, c uint64
	b = b[:len(a)]
	for i := range a {
		p, q := &a[i], &b[i]
		hi, lo := bits.Mul64(p.lo, q.lo)
		l0, c = bits.Add64(l0, lo, 0)
		l1, c = bits.Add64(l1, hi, c)
		l2, _ = bits.Add64(l2, 0, c)
		hi, lo = bits.Mul64(p.lo, q.hi)
		m0, c = bits.Add64(m0, lo, 0)
		m1, c = bits.Add64(m1, hi, c)
		m2, _ = bits.Add64(m2, 0, c)
		hi, lo = bits.Mul64(p.hi, q.lo)
		m0, c = bits.Add64(m0, lo, 0)
		m1, c = bits.Add64(m1, hi, c)
		m2, _ = bits.Add64(m2, 0, c)
		hi, lo = bits.Mul64(p.hi, q.hi)
		h0, c = bits.Add64(h0, lo, 0)
		h1, c = bits.Add64(h1, hi, c)
		h2, _ = bits.Add64(h2, 0, c)
	}
	*sums = [9]uint64{l0, l1, l2, m0, m1, m2, h0, h1, h2}
}

// compare orders canonical elements.
func (a element) compare(b element) int {
	return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo))
}

func (a element) isZero() bool { return a.canonical() == element{} }

// inverse returns 1/a, and 0 for 0, by Fermat's little theorem: a^(2^127 - 3),
// whose exponent is 125 ones and then 01 in binary.
func (a element) inverse() element {
	a1 := a // an is a^(2^n - 1)
	a2 := a1.square(1).mul(a1)
	a3 := a2.square(1).mul(a1)
	a6 := a3.square(3).mul(a3)
	a12 := a6.square(6).mul(a6)
	a24 := a12.square(12).mul(a12)
	a25 := a24.square(1).mul(a1)
	a50 := a25.square(25).mul(a25)
	a100 := a50.square(50).mul(a50)
	a125 := a100.square(25).mul(a25)
	return a125.square(2).mul(a1)
}

// square squares n times.
func (a element) square(n int) element {
	for range n {
		a = a.mul(a)
	}
	return a
}

// invertAll replaces each element by its inverse, at the cost of one inversion
// and three multiplications an element, and returns the product of all. If that
// is zero, so are the results. scratch has the same length.
func invertAll(xs, scratch []element) element {
	acc := element{lo: 1}
	for i, x := range xs {
		scratch[i] = acc
		acc = acc.mul(x)
	}
	product := acc
	acc = acc.inverse()
	for i := len(xs) - 1; i >= 0; i-- {
		x := xs[i]
		xs[i] = acc.mul(scratch[i])
		acc = acc.mul(x)
	}
	return product
}

// fromBytes reads 16 little-endian bytes; ok is false unless they encode an
// element in its only form.
func fromBytes(b []byte) (element, bool) {
	e := element{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
	return e, e.hi>>63 == 0 && e == e.canonical()
}

// fromUniform maps 16 uniformly random bytes to the field: the top bit is
// ignored, and p, of probability 2^-127, becomes 0.
func fromUniform(b []byte) element {
	return reduce(binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])&topMask)
}

func (a element) append(b []byte) []byte {
	a = a.canonical()
	b = binary.LittleEndian.AppendUint64(b, a.lo)
	return binary.LittleEndian.AppendUint64(b, a.hi)
}
