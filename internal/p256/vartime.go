package p256

import "encoding/binary"

// This file multiplies by public scalars.

// A Scalar is big-endian and below the group's order.
type Scalar = [32]byte

// Widths of windows: of points that are met once, of those that serve many sums, and of
// generators.
const (
	WidthOnce  = 6
	WidthOften = 8
	WidthMost  = 11
)

// A Table has the odd multiples of a point, P, 3P, 5P and so on, 2^(width-2) of them.
type Table struct {
	width uint
	odd   []Affine
}

// NewTables returns the tables of points for windows of width bits, with one inversion
// for all, and reports whether no point is the identity; if one is, the tables
// are of no use. The first entry of a table is the point itself.
func NewTables(width uint, points ...*Point) ([]Table, bool) {
	requests := make([]TableRequest, len(points))
	for i, p := range points {
		requests[i] = TableRequest{width, p}
	}
	return NewTablesOf(requests)
}

// A TableRequest is a point that is to have a table for windows of Width bits.
type TableRequest struct {
	Width uint
	Point *Point
}

// NewTablesOf is [NewTables] with a width for each point.
func NewTablesOf(requests []TableRequest) ([]Table, bool) {
	n := 0
	for _, r := range requests {
		n += 1 << (r.Width - 2)
	}
	multiples := make([]Point, n)
	odd := make([]Affine, n)
	tables := make([]Table, len(requests))
	at := 0
	for i, r := range requests {
		end := at + 1<<(r.Width-2)
		row := multiples[at:end]
		row[0] = *r.Point
		var double Point
		double.Double(r.Point, 1)
		for j := range row[1:] {
			row[j+1].Add(&row[j], &double)
		}
		tables[i] = Table{r.Width, odd[at:end]}
		at = end
	}
	return tables, Normalize(odd, multiples)
}

// Point returns the point that the table is of.
func (t *Table) Point() *Affine { return &t.odd[0] }

// A Term is a product: a scalar times the point of a table.
type Term struct {
	Table  *Table
	Scalar *Scalar
}

// SumVarTime sets sum to the sum of the terms, which share their doublings (Straus,
// with signed sliding windows).
func SumVarTime(sum *Point, terms []Term) { Run(SumWalk(sum, terms)) }

// limbs returns a scalar as 64-bit words, the lowest first.
func limbs(s *Scalar) (l [5]uint64) {
	for i := range 4 {
		l[i] = binary.BigEndian.Uint64(s[24-8*i:])
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

// digits are the digits of a scalar, the lowest first.
type digits [257]int16

// slide recodes s into digits that are zero or odd, below 2^(width-1) in
// magnitude, any two non-zero ones at least width apart.
func slide(d *digits, s *Scalar, width uint) {
	clear(d[:])
	l := limbs(s)
	carry := uint64(0)
	for i := uint(0); i <= 256; {
		if window(&l, i, 1) == carry {
			i++
			continue
		}
		v := window(&l, i, width) + carry
		carry = v >> (width - 1)
		d[i] = int16(int(v) - int(carry<<width))
		i += width
	}
}

// pairWidth is the width of windows of [PairVarTime].
const pairWidth = 5

// PairVarTime sets left to a*p and right to b*p. Both share the doublings of p: each power
// goes to the bucket of the digit that it has in each scalar (Yao's method).
func PairVarTime(left, right *Point, p *Affine, a, b *Scalar) { Run(PairWalk(left, right, p, a, b)) }

// weighOdd sets to to the sum of (2i+1) times the i-th bucket.
func weighOdd(to *Point, buckets []Point) {
	var run, sum Point
	for i := len(buckets) - 1; i > 0; i-- {
		run.Add(&run, &buckets[i])
		sum.Add(&sum, &run)
	}
	run.Add(&run, &buckets[0])
	sum.Double(&sum, 1)
	to.Add(&sum, &run)
}

const (
	baseWidth = 7
	baseRows  = 37
)

// A Base has the multiples j * 2^(7i) * P for j from 1 to 64, so that a product by a public
// scalar is 37 additions.
type Base struct {
	rows [baseRows][1 << (baseWidth - 1)]Affine
}

// NewBase returns the table of a point, of 150 kB.
func NewBase(p *Affine) *Base {
	t := new(Base)
	var points [baseRows][1 << (baseWidth - 1)]Point
	var first Point
	first.Set(p)
	for i := range points {
		row := &points[i]
		row[0] = first
		for j := range row[1:] {
			row[j+1].Add(&row[j], &first)
		}
		first.Double(&row[len(row)-1], 1)
	}
	flat := make([]Point, 0, baseRows*len(points[0]))
	for i := range points {
		flat = append(flat, points[i][:]...)
	}
	out := make([]Affine, len(flat))
	Normalize(out, flat)
	for i := range t.rows {
		copy(t.rows[i][:], out[i*len(t.rows[i]):])
	}
	return t
}

// AddVarTime adds s*P to sum.
func (t *Base) AddVarTime(sum *Point, s *Scalar) {
	l := limbs(s)
	carry := 0
	var negated Affine
	for i := range t.rows {
		d := int(window(&l, uint(i)*baseWidth, baseWidth)) + carry
		carry = 0
		if d > 1<<(baseWidth-1) {
			d, carry = d-(1<<baseWidth), 1
		}
		switch {
		case d > 0:
			sum.AddAffine(sum, &t.rows[i][d-1])
		case d < 0:
			sum.AddAffine(sum, negated.Negate(&t.rows[i][-d-1]))
		}
	}
}
