package p256

import (
	"math/bits"

	"filippo.io/nistec"
)

// This file multiplies by secret scalars.
//
// A scalar k, made odd by taking the order less k if it is even, is
// 32^51 + the sum of d_i * 32^i for i from 0 to 50, each d_i odd and below 32 in magnitude:
// with b_i the five bits of k from bit 5i+1 on, d_i is 2 b_i + 1 - 32.

const (
	ctWidth   = 5
	ctEntries = 1 << (ctWidth - 1) // odd multiples up to 31
	ctDigits  = 51
)

// order is the group's order, the lowest limb first.
var order = [4]uint64{0xf3b9cac2fc632551, 0xbce6faada7179e84, 0xffffffffffffffff, 0xffffffff00000000}

// A recoded scalar has the indices of its digits in a table, and masks that are all ones
// where the point is to be negated.
type recoded struct {
	index [ctDigits]uint8
	minus [ctDigits]uint64
	top   uint64 // mask of 32^51
}

func recode(s *Scalar) (r recoded) {
	l := limbs(s)
	even := l[0]&1 - 1 // all ones if k is even
	var b uint64
	for i := range order {
		var d uint64
		d, b = bits.Sub64(order[i], l[i], b)
		l[i] ^= even & (l[i] ^ d)
	}
	r.top = even
	for i := range uint(ctDigits) {
		at := ctWidth*i + 1
		v := window(&l, at, ctWidth) // the place is public
		negative := v>>(ctWidth-1) - 1
		// 2v+1-32 has the magnitude 2j+1 with j = v-16 or 15-v.
		r.index[i] = uint8((v ^ negative) & (ctEntries - 1))
		r.minus[i] = negative ^ even
	}
	return r
}

// pick sets to to the digit's multiple.
func pick(to *Affine, table *[ctEntries]Affine, index uint8, minus uint64) {
	if useADX {
		selectADX(to, table, uint64(index))
	} else {
		selectGeneric(to, table, uint64(index))
	}
	to.negateIf(minus)
}

// negateIf negates p if the mask is all ones.
func (p *Affine) negateIf(mask uint64) {
	var y Element
	y.sub(&Element{}, &p.y)
	for i := range y {
		p.y[i] ^= mask & (p.y[i] ^ y[i])
	}
}

// Mult sets p to s*q in constant time, for a scalar that is uniformly random.
func (p *Point) Mult(q *Affine, s *Scalar) *Point {
	if !useADX {
		return p.multNistec(q, s)
	}
	tables, _ := NewTables(WidthSecret, new(Point).Set(q))
	return p.multTable(&tables[0], s)
}

// MultTable is Mult for the point of a table, of width [WidthSecret] at least.
func (p *Point) MultTable(t *Table, s *Scalar) *Point {
	if !useADX {
		return p.multNistec(t.Point(), s)
	}
	return p.multTable(t, s)
}

// multTable sets p to the table's point times the scalar.
func (p *Point) multTable(t *Table, s *Scalar) *Point {
	digits := recode(s)
	var acc Point
	q := t.odd[0]
	q.negateIf(digits.top)
	acc.AddAffine(&acc, &q)
	for i := ctDigits - 1; i >= 0; i-- {
		acc.Double(&acc, ctWidth)
		pick(&q, (*[ctEntries]Affine)(t.odd[:ctEntries]), digits.index[i], digits.minus[i])
		acc.AddAffine(&acc, &q)
	}
	*p = acc
	return p
}

// multNistec is Mult by the library, which has assembly for processors that this package has
// none for.
func (p *Point) multNistec(q *Affine, s *Scalar) *Point {
	r, err := nistec.NewP256Point().SetBytes(q.uncompressed())
	if err == nil {
		_, err = r.ScalarMult(r, s[:])
	}
	if err != nil {
		panic("p256: nistec refused a point of the curve: " + err.Error())
	}
	return p.fromNistec(r)
}

func (p *Point) fromNistec(r *nistec.P256Point) *Point {
	b := r.Bytes()
	*p = Point{}
	if len(b) == 65 { // the identity has one byte
		p.x.setBytes(b[1:33])
		p.y.setBytes(b[33:])
		p.z = one
	}
	return p
}

// An Offset makes sums of products by secret scalars safe against points that an
// adversary has chosen: it is added before and subtracted after, so that no sum on the way is a multiple
// that the adversary knows. It must be secret and uniformly random.
type Offset struct{ before, after Affine }

// NewOffset returns the offset of a uniformly random scalar.
func NewOffset(s *Scalar) *Offset {
	var points [2]Point
	points[0].Mult(Generator(), s)
	points[1].Double(&points[0], ctWidth*ctDigits)
	points[1].Negate(&points[1])
	var out [2]Affine
	Normalize(out[:], points[:])
	return &Offset{out[0], out[1]}
}

// Mult sets p to a*q + b*r in constant time, given the tables of q and r of width
// [WidthSecret] at least. Both share their doublings.
func (o *Offset) Mult(p *Point, q, r *Table, a, b *Scalar) *Point {
	Run(o.MultWalk(p, q, r, a, b))
	return p
}

// WidthSecret is the width of tables that secret scalars multiply by.
const WidthSecret = ctWidth + 1

// A SecretBase has the multiples 32^i * (1, 3, ... 31) * P, so that a product by a secret scalar
// is 52 additions.
type SecretBase struct {
	rows [ctDigits][ctEntries]Affine
	top  Affine // 32^51 * P
}

// NewSecretBase returns the table of a point, of 52 kB.
func NewSecretBase(p *Affine) *SecretBase {
	points := make([]Point, 0, ctDigits*ctEntries+1)
	var first, double Point
	first.Set(p)
	for range ctDigits {
		double.Double(&first, 1)
		points = append(points, first)
		for range ctEntries - 1 {
			var next Point
			next.Add(&points[len(points)-1], &double)
			points = append(points, next)
		}
		first.Double(&first, ctWidth)
	}
	points = append(points, first)
	out := make([]Affine, len(points))
	Normalize(out, points)
	t := new(SecretBase)
	for i := range t.rows {
		copy(t.rows[i][:], out[i*ctEntries:])
	}
	t.top = out[len(out)-1]
	return t
}

// A BaseTerm is a product of a sum in constant time.
type BaseTerm struct {
	Base   *SecretBase
	Scalar *Scalar
}

// SumBases sets p to the sum of the terms in constant time, for scalars that need not be
// random, as long as the sum is not the identity. The offset is a point of which no multiple is known to be
// one of the bases.
func SumBases(p *Point, offset *Affine, terms ...BaseTerm) *Point {
	var acc Point
	var q Affine
	acc.Set(offset)
	for _, t := range terms {
		digits := recode(t.Scalar)
		q = t.Base.top
		q.negateIf(digits.top)
		acc.AddAffine(&acc, &q)
		for i := range t.Base.rows {
			pick(&q, &t.Base.rows[i], digits.index[i], digits.minus[i])
			acc.AddAffine(&acc, &q)
		}
	}
	*p = acc
	return p.AddAffine(p, q.Negate(offset))
}
