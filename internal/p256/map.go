package p256

import (
	"encoding/binary"
	"errors"
)

// This file has the simplified Shallue-van de Woestijne-Ulas map for P-256 (RFC 9380, sections
// 6.6.2 and 8.2), in constant time.

// UniformSize is the length of the uniform bytes that are mapped to a point.
const UniformSize = 96

// These are tables: Z = -10, the root of 10, and the curve's coefficient -3; and 2^704, by which
// numbers of 48 bytes are reduced.
var (
	swuZ     = Element{0xfffffffffffffff5, 0x0000000affffffff, 0x0000000000000000, 0xfffffff50000000b}
	swuRoot  = Element{0xa1fd38ee98a195fd, 0x78400ad7423dcf70, 0x6913c88f9ea8dfee, 0x9051d26e12a8f304}
	curveA   = Element{0xfffffffffffffffc, 0x00000003ffffffff, 0x0000000000000000, 0xfffffffc00000004}
	shift192 = Element{0xfffffff7fffffff7, 0x00000006fffffff9, 0x0000000b0000000b, 0xfffffffc0000000e}
)

// MapUniform maps uniform bytes to a point: the sum of what both halves map to.
func MapUniform(uniform *[UniformSize]byte) (*Point, error) {
	const half = UniformSize / 2
	var u [2]Element
	var f [2]fraction
	for i := range u {
		u[i].reduce(uniform[i*half:][:half])
		f[i] = mapToCurve(&u[i])
	}
	// One inversion serves both denominators.
	var inverse, x Element
	inverse.mul(&f[0].den, &f[1].den)
	inverse.invert(&inverse)
	var points [2]Affine
	for i := range points {
		x.mul(&inverse, &f[1-i].den)
		points[i].x.mul(&f[i].num, &x)
		points[i].y = f[i].y
	}
	sum := new(Point).Set(&points[0])
	sum.AddAffine(sum, &points[1])
	if sum.IsIdentity() {
		return nil, errors.New("the uniform bytes map to the identity")
	}
	return sum, nil
}

// reduce sets z to a big-endian number of 48 bytes.
func (z *Element) reduce(b []byte) {
	var hi, lo Element
	for i := range 3 {
		hi[i] = binary.BigEndian.Uint64(b[16-8*i:])
		lo[i] = binary.BigEndian.Uint64(b[40-8*i:])
	}
	hi.mul(&hi, &shift192)
	lo.mul(&lo, &square)
	z.add(&hi, &lo)
}

// A fraction is a point of the curve with the x coordinate num/den.
type fraction struct{ num, den, y Element }

// mapToCurve is the map in straight-line form (RFC 9380, appendix F.2), the division left
// to the caller.
func mapToCurve(u *Element) fraction {
	var zu2, t, num, den, den2, gd, gn, v Element
	zu2.sqr(u, 1)
	zu2.mul(&zu2, &swuZ)
	t.sqr(&zu2, 1)
	t.add(&t, &zu2)
	num.add(&t, &one)
	num.mul(&num, &curveB)
	v.sub(&Element{}, &t)
	v.choose(t.zeroMask(), &swuZ)
	den.mul(&v, &curveA)
	// g(num/den) = gn/gd, of which a root or the root of its Z-fold is taken.
	den2.sqr(&den, 1)
	gd.mul(&den2, &den)
	gn.sqr(&num, 1)
	v.mul(&den2, &curveA)
	gn.add(&gn, &v)
	gn.mul(&gn, &num)
	v.mul(&gd, &curveB)
	gn.add(&gn, &v)
	f := fraction{den: den}
	isSquare := f.y.rootOfRatio(&gn, &gd)
	f.num.mul(&zu2, &num)
	f.num.choose(isSquare, &num)
	v.mul(&zu2, u)
	v.mul(&v, &f.y)
	v.choose(isSquare, &f.y)
	f.y.sub(&Element{}, &v)
	f.y.choose(u.odd()^v.odd()-1, &v) // of the same sign as u
	return f
}

// rootOfRatio is sqrt_ratio for p = 3 mod 4 (RFC 9380, appendix F.2.1.2): it sets z to the root of
// u/v and returns ones if there is one, else to that of Z*u/v, and zero.
func (z *Element) rootOfRatio(u, v *Element) uint64 {
	var uv, t, check Element
	uv.mul(u, v)
	t.sqr(v, 1)
	t.mul(&t, &uv)
	t.power(&t)
	t.mul(&t, &uv)
	check.sqr(&t, 1)
	check.mul(&check, v)
	check.sub(&check, u)
	isSquare := check.zeroMask()
	z.mul(&t, &swuRoot)
	z.choose(isSquare, &t)
	return isSquare
}

// power sets z to x^((p-3)/4).
func (z *Element) power(x *Element) {
	var x2, x4, x8, x16, x32, x64, t Element // xn is x^(2^n - 1)
	x2.chain(x, 1, x)
	x4.chain(&x2, 2, &x2)
	x8.chain(&x4, 4, &x4)
	x16.chain(&x8, 8, &x8)
	x32.chain(&x16, 16, &x16)
	x64.chain(&x32, 32, &x32)
	// (p-3)/4 is 2^254 - 2^222 + 2^190 + 2^94 - 1.
	t.chain(&x32, 32, x)
	t.chain(&t, 96+64, &x64)
	t.chain(&t, 16, &x16)
	t.chain(&t, 8, &x8)
	t.chain(&t, 4, &x4)
	t.chain(&t, 2, &x2)
	*z = t
}

// choose sets z to x if the mask is all ones.
func (z *Element) choose(mask uint64, x *Element) {
	for i := range z {
		z[i] ^= mask & (z[i] ^ x[i])
	}
}

// zeroMask returns ones for zero, else zero.
func (z *Element) zeroMask() uint64 {
	v := z[0] | z[1] | z[2] | z[3]
	return (v|-v)>>63 - 1
}
