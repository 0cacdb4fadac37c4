package p256

import (
	"errors"
	"fmt"
)

// An Affine is a point of the curve that is not the identity.
type Affine struct{ x, y Element }

// A Point is a point of the curve in Jacobian coordinates: x/z^2, y/z^3, and z = 0 for
// the identity, which the zero value is.
type Point struct{ x, y, z Element }

// Size is the length of an encoded point: compressed, SEC 1 section 2.3.3.
const Size = 33

// Generator returns the generator of FIPS 186-5.
func Generator() *Affine { g := generator; return &g }

func (z *Element) mul(x, y *Element) {
	if useADX {
		mulADX(z, x, y)
	} else {
		mulGeneric(z, x, y)
	}
}

// sqr sets z to x^(2^n).
func (z *Element) sqr(x *Element, n int) {
	if useADX {
		sqrADX(z, x, n)
	} else {
		sqrGeneric(z, x, n)
	}
}

func sqrGeneric(z, x *Element, n int) {
	*z = *x
	for range n {
		mulGeneric(z, z, z)
	}
}

// Decode reads a compressed point. The identity has no encoding.
func Decode(b []byte) (*Affine, error) {
	if len(b) != Size {
		return nil, fmt.Errorf("%d bytes, want %d", len(b), Size)
	}
	p := new(Affine)
	if b[0]&^1 != 2 || !p.x.setBytes(b[1:]) {
		return nil, errNoPoint
	}
	var t Element
	t.curve(&p.x)
	if !p.y.root(&t) {
		return nil, errNoPoint
	}
	if byte(p.y.odd()) != b[0]&1 {
		p.y.sub(&Element{}, &p.y) // y is never 0: the order is odd
	}
	return p, nil
}

var errNoPoint = errors.New("not a compressed point of P-256")

// curve sets z to x^3 - 3x + b.
func (z *Element) curve(x *Element) {
	var t Element
	t.sqr(x, 1)
	t.sub(&t, &one)
	t.sub(&t, &one)
	t.sub(&t, &one)
	t.mul(&t, x)
	z.add(&t, &curveB)
}

// FromCoordinates returns the point with big-endian coordinates of 32 bytes each.
func FromCoordinates(x, y []byte) (*Affine, error) {
	p := new(Affine)
	var left, right Element
	if len(x) != 32 || len(y) != 32 || !p.x.setBytes(x) || !p.y.setBytes(y) {
		return nil, errors.New("not coordinates of P-256")
	}
	left.sqr(&p.y, 1)
	right.curve(&p.x)
	if left != right {
		return nil, errors.New("not a point of P-256")
	}
	return p, nil
}

// Bytes returns the compressed encoding.
func (p *Affine) Bytes() (b [Size]byte) {
	b[0] = 2 | byte(p.y.odd())
	p.x.bytes(b[1:])
	return b
}

// uncompressed returns the uncompressed encoding.
func (p *Affine) uncompressed() []byte {
	b := make([]byte, 65)
	b[0] = 4
	p.x.bytes(b[1:33])
	p.y.bytes(b[33:])
	return b
}

// Negate sets p to -q and returns it.
func (p *Affine) Negate(q *Affine) *Affine {
	p.x = q.x
	p.y.sub(&Element{}, &q.y)
	return p
}

// Set sets p to q and returns it.
func (p *Point) Set(q *Affine) *Point {
	p.x, p.y, p.z = q.x, q.y, one
	return p
}

// Negate sets p to -q and returns it.
func (p *Point) Negate(q *Point) *Point {
	p.x, p.z = q.x, q.z
	p.y.sub(&Element{}, &q.y)
	return p
}

// IsIdentity reports whether p is the identity.
func (p *Point) IsIdentity() bool { return p.z.isZero() }

// Double sets p to 2^n * q, n at least 1, and returns it.
func (p *Point) Double(q *Point, n int) *Point {
	if useADX {
		doubleADX(p, q, n)
	} else {
		doubleGeneric(p, q, n)
	}
	return p
}

// AddAffine sets p to q + r and returns it.
func (p *Point) AddAffine(q *Point, r *Affine) *Point {
	var sum Point
	if useADX {
		addAffineADX(&sum, q, r)
	} else {
		addAffineGeneric(&sum, q, r)
	}
	if sum.z.isZero() {
		sum.exception(q, new(Point).Set(r))
	}
	*p = sum
	return p
}

// Add sets p to q + r and returns it.
func (p *Point) Add(q, r *Point) *Point {
	var sum Point
	if useADX {
		addADX(&sum, q, r)
	} else {
		addGeneric(&sum, q, r)
	}
	if sum.z.isZero() {
		sum.exception(q, r)
	}
	*p = sum
	return p
}

// exception sets p to q + r where one of them is the identity, or both have one x.
func (p *Point) exception(q, r *Point) {
	switch {
	case q.IsIdentity():
		*p = *r
	case r.IsIdentity():
		*p = *q
	case q.Equal(r):
		p.Double(q, 1)
	default:
		*p = Point{}
	}
}

// Equal reports whether p and q are one point.
func (p *Point) Equal(q *Point) bool {
	if p.IsIdentity() || q.IsIdentity() {
		return p.IsIdentity() && q.IsIdentity()
	}
	var pz, qz, left, right Element
	pz.sqr(&p.z, 1)
	qz.sqr(&q.z, 1)
	left.mul(&p.x, &qz)
	right.mul(&q.x, &pz)
	if left != right {
		return false
	}
	pz.mul(&pz, &p.z)
	qz.mul(&qz, &q.z)
	left.mul(&p.y, &qz)
	right.mul(&q.y, &pz)
	return left == right
}

// Normalize sets out to the points in affine coordinates, with one inversion for all. It
// reports whether none is the identity; those that are become zeros.
func Normalize(out []Affine, points []Point) bool {
	var acc Element
	all := true
	acc = one
	for i := range points { // out[i].x holds the product of the z before
		out[i].x = acc
		if points[i].z.isZero() {
			all = false
		} else {
			acc.mul(&acc, &points[i].z)
		}
	}
	acc.invert(&acc)
	for i := len(points) - 1; i >= 0; i-- {
		p := &points[i]
		if p.z.isZero() {
			out[i] = Affine{}
			continue
		}
		var inverse, t Element
		inverse.mul(&acc, &out[i].x)
		acc.mul(&acc, &p.z)
		t.sqr(&inverse, 1)
		out[i].x.mul(&p.x, &t)
		t.mul(&t, &inverse)
		out[i].y.mul(&p.y, &t)
	}
	return all
}

// The formulas below are those of the assembly.

func doubleGeneric(r, p *Point, n int) {
	x, y, z := p.x, p.y, p.z
	var delta, gamma, beta, alpha, t Element
	for range n {
		mulGeneric(&delta, &z, &z)
		mulGeneric(&gamma, &y, &y)
		mulGeneric(&beta, &x, &gamma)
		mulGeneric(&z, &y, &z)
		z.add(&z, &z)
		alpha.sub(&x, &delta)
		t.add(&x, &delta)
		mulGeneric(&t, &t, &alpha)
		alpha.add(&t, &t)
		alpha.add(&alpha, &t)
		beta.add(&beta, &beta)
		beta.add(&beta, &beta)
		mulGeneric(&x, &alpha, &alpha)
		x.sub(&x, &beta)
		x.sub(&x, &beta)
		gamma.add(&gamma, &gamma)
		mulGeneric(&gamma, &gamma, &gamma)
		gamma.add(&gamma, &gamma)
		beta.sub(&beta, &x)
		mulGeneric(&y, &alpha, &beta)
		y.sub(&y, &gamma)
	}
	r.x, r.y, r.z = x, y, z
}

func addAffineGeneric(sum, p *Point, q *Affine) {
	var zz, u, s Element
	mulGeneric(&zz, &p.z, &p.z)
	mulGeneric(&u, &q.x, &zz)
	mulGeneric(&zz, &zz, &p.z)
	mulGeneric(&s, &q.y, &zz)
	sum.chord(&p.x, &p.y, &u, &s, p.z)
}

func addGeneric(sum, p, q *Point) {
	var zz, u1, s1, u2, s2, z Element
	mulGeneric(&zz, &q.z, &q.z)
	mulGeneric(&u1, &p.x, &zz)
	mulGeneric(&zz, &zz, &q.z)
	mulGeneric(&s1, &p.y, &zz)
	mulGeneric(&zz, &p.z, &p.z)
	mulGeneric(&u2, &q.x, &zz)
	mulGeneric(&zz, &zz, &p.z)
	mulGeneric(&s2, &q.y, &zz)
	mulGeneric(&z, &p.z, &q.z)
	sum.chord(&u1, &s1, &u2, &s2, z)
}

// chord sets sum to the sum of the points with the coordinates u and s times powers of
// z.
func (p *Point) chord(u1, s1, u2, s2 *Element, z Element) {
	var h, r, hh, hhh, v, x, y Element
	h.sub(u2, u1)
	r.sub(s2, s1)
	mulGeneric(&hh, &h, &h)
	mulGeneric(&hhh, &hh, &h)
	mulGeneric(&v, u1, &hh)
	mulGeneric(&x, &r, &r)
	x.sub(&x, &hhh)
	x.sub(&x, &v)
	x.sub(&x, &v)
	v.sub(&v, &x)
	mulGeneric(&y, &r, &v)
	mulGeneric(&hhh, &hhh, s1)
	y.sub(&y, &hhh)
	mulGeneric(&z, &z, &h)
	p.x, p.y, p.z = x, y, z
}

func selectGeneric(z *Affine, table *[ctEntries]Affine, index uint64) {
	var out Affine
	for i := range table {
		d := uint64(i) ^ index
		mask := (d|-d)>>63 - 1 // all ones where i is the index
		for j := range out.x {
			out.x[j] |= mask & table[i].x[j]
			out.y[j] |= mask & table[i].y[j]
		}
	}
	*z = out
}
