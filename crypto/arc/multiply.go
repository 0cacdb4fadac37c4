package arc

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/crypto/xmd"
	"github.com/shoal-project/shoal/internal/p256"
)

// elementSize is Ne of the draft: the length of a compressed point.
const elementSize = p256.Size

// An element is a point that is not the identity, with its encoding and what
// speeds up multiplying it.
type element struct {
	point *p256.Affine
	enc   [elementSize]byte
	table *p256.Table       // nil for a point without one
	fixed func() *p256.Base // of a generator
	ct    *p256.SecretBase  // of a generator
}

// newElement returns the element of a point, and an error for the identity.
func newElement(p *p256.Point) (*element, error) {
	list, err := newElements([]string{""}, p)
	if err != nil {
		return nil, errors.New("is the identity")
	}
	return list[0], nil
}

// newElements returns the elements of points, with one inversion for all. The error names the
// first that is the identity.
func newElements(names []string, points ...*p256.Point) ([]*element, error) {
	all := make([]p256.Point, len(points))
	for i, p := range points {
		if p.IsIdentity() {
			return nil, errors.New(names[i] + " is the identity")
		}
		all[i] = *p
	}
	affine := make([]p256.Affine, len(points))
	p256.Normalize(affine, all)
	elements := make([]element, len(points))
	out := make([]*element, len(points))
	for i := range out {
		elements[i] = element{point: &affine[i], enc: affine[i].Bytes()}
		out[i] = &elements[i]
	}
	return out, nil
}

// decodeElement reads a compressed point. The identity has no encoding.
func decodeElement(b []byte) (*element, error) {
	p, err := p256.Decode(b)
	if err != nil {
		return nil, err
	}
	return &element{point: p, enc: [elementSize]byte(b)}, nil
}

// withTable returns the element with a table for windows of a width.
func (e *element) withTable(width uint) *element {
	tables, _ := p256.NewTables(width, new(p256.Point).Set(e.point))
	out := *e
	out.table = &tables[0]
	return &out
}

// generators are G and H of the draft, section "Prime-Order Group", and a third point, the
// offset of sums in constant time.
type generatorPair struct {
	g, h   *element
	offset *p256.Affine
}

// generators computes H and the tables for secret scalars on first use.
var generators = sync.OnceValue(func() generatorPair {
	g := newGenerator(new(p256.Point).Set(p256.Generator()))
	h := newGenerator(mustHash(g.enc[:], "generatorH"))
	return generatorPair{g, h, newGenerator(mustHash(g.enc[:], "shoal offset")).point}
})

// mustHash hashes a constant of this package.
func mustHash(msg []byte, info string) *p256.Point {
	p, err := hashToGroup(msg, suiteDraft, info)
	if err != nil {
		panic(err)
	}
	return p
}

// newGenerator returns the element of a generator, without tables for public scalars.
func newGenerator(p *p256.Point) *element {
	e, err := newElement(p)
	if err != nil {
		panic("arc: a generator " + err.Error())
	}
	e.ct = p256.NewSecretBase(e.point)
	return e
}

// verifiers computes G and H with tables for public scalars on first use, and the larger tables
// of sums without other points on the first use of those.
var verifiers = sync.OnceValue(func() [2]element {
	gen := generators()
	var out [2]element
	for i, e := range []*element{gen.g, gen.h} {
		out[i] = *e.withTable(p256.WidthMost)
		out[i].fixed = sync.OnceValue(func() *p256.Base { return p256.NewBase(e.point) })
	}
	return out
})

// times returns s*e in constant time, for a scalar that is uniformly random.
func (e *element) times(s *residue) *p256.Point {
	p := new(p256.Point)
	switch {
	case e.ct != nil:
		return p256.SumBases(p, generators().offset, p256.BaseTerm{Base: e.ct, Scalar: (*[scalarSize]byte)(s)})
	case e.table != nil:
		return p.MultTable(e.table, (*[scalarSize]byte)(s))
	}
	return p.Mult(e.point, (*[scalarSize]byte)(s))
}

// timesBoth returns a*G + b*H in constant time, for scalars of which one is uniformly random.
func timesBoth(a, b *residue) *p256.Point {
	gen := generators()
	return p256.SumBases(new(p256.Point), gen.offset,
		p256.BaseTerm{Base: gen.g.ct, Scalar: (*[scalarSize]byte)(a)}, p256.BaseTerm{Base: gen.h.ct, Scalar: (*[scalarSize]byte)(b)})
}

// A product is a scalar times an element.
type product struct {
	scalar  residue
	element *element
}

// chainMax is the number of points without a fixed base that one sum of this package has at most.
const chainMax = 4

// sumVarTime sets sum to the sum of the products when the walk that it returns has run, or at
// once, without a walk, if no element but generators is among them, which need no doublings. Its
// time depends on the scalars, which must be public. All elements have tables.
func sumVarTime(sum *p256.Point, products []product) (*p256.Walk, error) {
	var terms [chainMax]p256.Term
	n, doubles := 0, false
	for i := range products {
		doubles = doubles || products[i].element.fixed == nil
	}
	*sum = p256.Point{}
	for i := range products {
		e, s := products[i].element, (*[scalarSize]byte)(&products[i].scalar)
		switch {
		case !doubles:
			e.fixed().AddVarTime(sum, s)
		case n == chainMax:
			return nil, fmt.Errorf("arc: a sum of more than %d points", chainMax)
		default:
			terms[n] = p256.Term{Table: e.table, Scalar: s}
			n++
		}
	}
	if !doubles {
		return nil, nil
	}
	return p256.SumWalk(sum, slices.Clone(terms[:n])), nil
}

// hashToScalar is HashToScalar of the draft (section on ARC(P-256)).
func hashToScalar(msg []byte, suite, info string) residue {
	wide := [wideSize]byte(xmd.Expand(sha256.New, msg, "HashToScalar-"+suite+info, wideSize))
	return order.reduce(&wide)
}

// hashToGroup is HashToGroup of the draft: a point of unknown discrete logarithm. It is the suite
// P256_XMD:SHA-256_SSWU_RO_ of RFC 9380. It runs in constant time in the message, its length
// aside: a crowd or a quorum tag is part of a client's contexts.
func hashToGroup(msg []byte, suite, info string) (*p256.Point, error) {
	return hashToCurve(msg, "HashToGroup-"+suite+info)
}

// hashToCurve is hash_to_curve with a domain separation tag.
func hashToCurve(msg []byte, dst string) (*p256.Point, error) {
	p, err := p256.MapUniform((*[p256.UniformSize]byte)(xmd.Expand(sha256.New, msg, dst, p256.UniformSize)))
	if err != nil {
		return nil, fmt.Errorf("arc: hashing to the curve: %w", err)
	}
	return p, nil
}
