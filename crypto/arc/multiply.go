package arc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"filippo.io/nistec"
)

// elementSize is Ne of the draft: the length of a compressed point.
const elementSize = 33

// An element is a point that is not the identity, with its encoding and what
// speeds up multiplying it by public scalars.
type element struct {
	point *nistec.P256Point
	enc   [elementSize]byte
	odd   *oddMultiples // nil until needed, else ready
	fixed *fixedBase    // nil for a point without a table
	base  bool          // the generator G
}

// newElement returns the element of a point, and an error for the identity.
func newElement(p *nistec.P256Point) (*element, error) {
	if p.IsInfinity() == 1 {
		return nil, errors.New("is the identity")
	}
	return &element{point: p, enc: [elementSize]byte(p.BytesCompressed())}, nil
}

// decodeElement reads a compressed point. The identity has no encoding.
func decodeElement(b []byte) (*element, error) {
	if len(b) != elementSize {
		return nil, fmt.Errorf("%d bytes, want %d", len(b), elementSize)
	}
	p, err := nistec.NewP256Point().SetBytes(b)
	if err != nil {
		return nil, errors.New("not a compressed point of P-256")
	}
	return &element{point: p, enc: [elementSize]byte(b)}, nil
}

// generators are G and H of the draft, section "Prime-Order Group".
type generatorPair struct{ g, h *element }

// generators computes H and its table on first use.
var generators = sync.OnceValue(func() generatorPair {
	g, err := newElement(nistec.NewP256Point().SetGenerator())
	if err != nil {
		panic("arc: the generator " + err.Error())
	}
	g.base = true
	p, err := hashToGroup(g.enc[:], suiteDraft, "generatorH")
	if err != nil {
		panic(err)
	}
	h, err := newElement(p)
	if err != nil {
		panic("arc: the second generator " + err.Error())
	}
	h.fixed = newFixedBase(h.point)
	h.odd = newOddMultiples(h.point, widthOften)
	return generatorPair{g, h}
})

// times returns s*e in constant time.
func (e *element) times(s *residue) *nistec.P256Point {
	p := nistec.NewP256Point()
	var err error
	if e.base {
		_, err = p.ScalarBaseMult(s[:])
	} else {
		_, err = p.ScalarMult(e.point, s[:])
	}
	if err != nil {
		panic("arc: nistec refused a scalar of 32 bytes: " + err.Error())
	}
	return p
}

// A product is a scalar times an element.
type product struct {
	scalar  residue
	element *element
}

// chainMax is the number of points that one chain of doublings serves at most:
// no sum of this package has more points without a table.
const chainMax = 4

// sumVarTime returns the sum of the products. Its time depends on the scalars,
// which must be public; that of each addition and doubling does not depend on
// the points.
//
// Two points or more share one chain of doublings (Straus, with signed sliding
// windows). A single one is multiplied by nistec, whose additions are cheaper
// than those that it exports.
func sumVarTime(products []product) *nistec.P256Point {
	sum := nistec.NewP256Point()
	var chain []*product
	fresh := 0 // points of the chain without a table of fixed bases
	for i := range products {
		switch e := products[i].element; {
		case e.base:
			sum.Add(sum, e.times(&products[i].scalar))
		default:
			chain = append(chain, &products[i])
			if e.fixed == nil {
				fresh++
			}
		}
	}
	for len(chain) > 0 && fresh < 2 || len(chain) > chainMax {
		p := chain[len(chain)-1]
		chain = chain[:len(chain)-1]
		if p.element.fixed != nil {
			p.element.fixed.addTo(sum, &p.scalar)
		} else {
			sum.Add(sum, p.element.times(&p.scalar))
		}
	}
	if len(chain) == 0 {
		return sum
	}
	var digits [chainMax]wideDigits
	var odd [chainMax]*oddMultiples
	for i, p := range chain {
		odd[i] = p.element.multiples()
		slide(&digits[i], &p.scalar, odd[i].width)
	}
	acc := nistec.NewP256Point()
	addChain(acc, digits[:len(chain)], odd[:len(chain)])
	return sum.Add(sum, acc)
}

// addChain adds up the digits' multiples, from the highest digit down.
func addChain(acc *nistec.P256Point, digits []wideDigits, odd []*oddMultiples) {
	var negated nistec.P256Point
	started := false
	for i := 256; i >= 0; i-- {
		if started {
			acc.Double(acc)
		}
		for j := range digits {
			switch d := digits[j][i]; {
			case d > 0:
				acc.Add(acc, &odd[j].points[d/2])
			case d < 0:
				acc.Add(acc, negated.Negate(&odd[j].points[-d/2]))
			default:
				continue
			}
			started = true
		}
	}
}

// oddMultiples are P, 3P, 5P and so on, for windows of width bits.
type oddMultiples struct {
	width  uint
	points []nistec.P256Point
}

// Widths of windows: for points that are met once, and for those that serve
// many verifications.
const (
	widthOnce  = 5
	widthOften = 8
)

func newOddMultiples(p *nistec.P256Point, width uint) *oddMultiples {
	o := &oddMultiples{width, make([]nistec.P256Point, 1<<(width-2))}
	o.points[0].Set(p)
	double := nistec.NewP256Point().Double(p)
	for i := range o.points[1:] {
		o.points[i+1].Add(&o.points[i], double)
	}
	return o
}

// multiples returns the odd multiples, computed once.
func (e *element) multiples() *oddMultiples {
	if e.odd == nil {
		e.odd = newOddMultiples(e.point, widthOnce)
	}
	return e.odd
}

// limbs returns a scalar as 64-bit words, the lowest first.
func limbs(s *residue) (l [5]uint64) {
	for i := range 4 {
		l[i] = binary.BigEndian.Uint64(s[scalarSize-8*(i+1):])
	}
	return l
}

// window returns the width bits of l from bit i on, i at most 256+width.
func window(l *[5]uint64, i, width uint) uint64 {
	word, shift := i/64, i%64
	if word >= 4 {
		return 0
	}
	return (l[word]>>shift | l[word+1]<<1<<(63-shift)) & (1<<width - 1)
}

// wideDigits are the digits of a scalar, the lowest first.
type wideDigits [257]int8

// slide recodes s into digits that are zero or odd, below 2^(width-1) in
// magnitude, any two non-zero ones at least width apart.
func slide(digits *wideDigits, s *residue, width uint) {
	clear(digits[:])
	l := limbs(s)
	carry := uint64(0)
	for i := uint(0); i <= 256; {
		if window(&l, i, 1) == carry {
			i++
			continue
		}
		d := window(&l, i, width) + carry
		carry = d >> (width - 1)
		digits[i] = int8(int(d) - int(carry<<width))
		i += width
	}
}

// pairVarTime returns a*p and b*p, in a time that depends on the scalars. Both
// share the doublings of p: each power goes to the bucket of the digit that it
// has in each scalar (Yao's method).
func pairVarTime(p *nistec.P256Point, a, b *residue) (*nistec.P256Point, *nistec.P256Point) {
	var digits [2]wideDigits
	slide(&digits[0], a, widthOnce)
	slide(&digits[1], b, widthOnce)
	var full [2][1 << (widthOnce - 2)]bool
	var buckets [2][1 << (widthOnce - 2)]nistec.P256Point
	power := nistec.NewP256Point().Set(p)
	var negated nistec.P256Point
	for i := range digits[0] {
		for j := range digits {
			d := int(digits[j][i])
			if d == 0 {
				continue
			}
			from := power
			if d < 0 {
				d, from = -d, negated.Negate(power)
			}
			if bucket := &buckets[j][d/2]; full[j][d/2] {
				bucket.Add(bucket, from)
			} else {
				bucket.Set(from)
				full[j][d/2] = true
			}
		}
		power.Double(power)
	}
	var out [2]*nistec.P256Point
	for j := range buckets {
		for i := range buckets[j] {
			if !full[j][i] {
				buckets[j][i].Set(nistec.NewP256Point())
			}
		}
		out[j] = weighOdd(buckets[j][:])
	}
	return out[0], out[1]
}

// weighOdd returns the sum of (2i+1) times the i-th bucket.
func weighOdd(buckets []nistec.P256Point) *nistec.P256Point {
	run, sum := nistec.NewP256Point(), nistec.NewP256Point()
	for i := len(buckets) - 1; i > 0; i-- {
		run.Add(run, &buckets[i])
		sum.Add(sum, run)
	}
	run.Add(run, &buckets[0])
	return sum.Add(sum.Double(sum), run)
}

// A fixedBase has the multiples j * 2^(7i) * P for j from 1 to 64, so that a
// multiple of P is 37 additions.
type fixedBase [37][64]nistec.P256Point

const fixedWidth = 7

func newFixedBase(p *nistec.P256Point) *fixedBase {
	t := new(fixedBase)
	first := nistec.NewP256Point().Set(p)
	for i := range t {
		row := &t[i]
		row[0].Set(first)
		for j := range row[1:] {
			row[j+1].Add(&row[j], first)
		}
		first.Double(&row[len(row)-1])
	}
	return t
}

// addTo adds s*P to sum, in variable time.
func (t *fixedBase) addTo(sum *nistec.P256Point, s *residue) {
	l := limbs(s)
	carry := 0
	var negated nistec.P256Point
	for i := range t {
		d := int(window(&l, uint(i)*fixedWidth, fixedWidth)) + carry
		carry = 0
		if d > 1<<(fixedWidth-1) {
			d, carry = d-(1<<fixedWidth), 1
		}
		switch {
		case d > 0:
			sum.Add(sum, &t[i][d-1])
		case d < 0:
			sum.Add(sum, negated.Negate(&t[i][-d-1]))
		}
	}
}
