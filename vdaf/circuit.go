package vdaf

import (
	"github.com/shoal-project/shoal/crypto/field"
)

// dims are the lengths, in field elements, that a validity circuit fixes (VDAF
// draft, table "FLP parameters").
type dims struct {
	meas, out, joint, prove, query, proof, verifier int
}

// A circuit is a fully linear proof system for one validity circuit: the class
// FlpBBCGGI19 of the VDAF draft with its circuit inside. It is read-only and
// safe for concurrent use; scratch memory is passed in.
type circuit[E field.Elem] interface {
	dims() dims
	newSpace() *space[E]
	// proveScratch is the number of elements of scratch memory that prove needs.
	proveScratch() int
	// prove writes a proof that meas is valid. meas is honest: prove does not
	// check it and may rely on its validity.
	prove(scratch, proof, meas, proveRand, jointRand []E)
	// query writes a share of the verifier for shares of a measurement and its
	// proof. It reports false if the query point is one of those at which the
	// wire polynomials are defined: the verifier would leak the measurement.
	query(sp *space[E], verifier, meas, proof, queryRand, jointRand []E) bool
	// decide reports whether the verifier, all shares added up, is that of a valid
	// measurement.
	decide(verifier []E) bool
	// truncate writes the part of a measurement that is aggregated.
	truncate(out, meas []E)
}

// space is scratch memory of one query at a time.
type space[E field.Elem] struct {
	basis, even, odd []E // P elements each, the length of the wire polynomials
	wide             []E // as many as the evaluations of the gadget polynomial
	wires            *field.Wires[E]
}

// A gadget is the non-linear part of a circuit as the proof system sees it: how
// often it is called and how its polynomial is encoded in the proof.
type gadget[E field.Elem] struct {
	f      field.Field[E]
	roots  *field.Roots[E]
	arity  int
	degree int
	calls  int
	p      int // wire_poly_len: coordinates of a wire polynomial, a power of two
	n      int // evaluations of the gadget polynomial, a power of two
	length int // gadget_poly_len: those of them that are in the proof

	// The last evaluation of a polynomial of degree 2 is a linear combination of
	// the others; these are its coefficients, for the even and the odd ones.
	lastEven, lastOdd []E
	half              E // 1/2
}

func newGadget[E field.Elem](f field.Field[E], arity, degree, calls int) (*gadget[E], error) {
	g := &gadget[E]{f: f, arity: arity, degree: degree, calls: calls}
	g.p = nextPowerOfTwo(1 + calls)
	g.length = degree*(g.p-1) + 1
	g.n = nextPowerOfTwo(g.length)
	roots, err := field.NewRoots(f, max(g.n, 2*g.p))
	if err != nil {
		return nil, err
	}
	g.roots = roots
	g.half = f.Inv(f.FromUint64(2))
	if degree == 2 {
		// The polynomial has no coefficient of degree 2P-1, so with the root w of
		// order 2P the values times w^i add up to zero.
		g.lastEven, g.lastOdd = make([]E, g.p), make([]E, g.p-1)
		zero := f.FromUint64(0)
		for i := range g.p {
			g.lastEven[i] = f.Sub(zero, roots.Power(f, g.n, 2*i+1))
			if i < g.p-1 {
				g.lastOdd[i] = f.Sub(zero, roots.Power(f, g.n, 2*i+2))
			}
		}
	}
	return g, nil
}

// proofLen is the length of the gadget's part of the proof.
func (g *gadget[E]) proofLen() int { return g.arity + g.length }

func (g *gadget[E]) newSpace() *space[E] {
	return &space[E]{
		basis: make([]E, g.p),
		even:  make([]E, g.p),
		odd:   make([]E, g.p),
		wide:  make([]E, g.n),
		wires: field.NewWires[E](g.calls),
	}
}

// stride is the distance of the outputs of the calls among the evaluations of
// the gadget polynomial; the first of them is at index stride.
func (g *gadget[E]) stride() int { return g.n / g.p }

// values returns as many evaluations of the gadget polynomial as outputs and
// eval need, given those in the proof. For degree 2 these are enough.
func (g *gadget[E]) values(sp *space[E], poly []E) []E {
	if g.degree == 2 {
		return poly
	}
	ext, err := field.ExtendValues(g.f, append(sp.wide[:0], poly...), g.n, g.roots)
	if err != nil {
		return sp.wide // cannot be: the tables were made for this size
	}
	return ext
}

// onDomain reports whether t is a root of unity of order P.
func (g *gadget[E]) onDomain(t E) bool {
	one := g.f.FromUint64(1)
	return g.f.IsZero(g.f.Sub(g.power(t), one)) == 1
}

// power returns t^P.
func (g *gadget[E]) power(t E) E {
	for m := 1; m < g.p; m *= 2 {
		t = g.f.Mul(t, t)
	}
	return t
}

// eval returns the gadget polynomial at t, given what [gadget.values] returned
// and, in sp.basis, the Lagrange polynomials of order P at t. It overwrites the
// other scratch vectors and the basis.
func (g *gadget[E]) eval(sp *space[E], poly []E, t E) E {
	f := g.f
	if g.degree != 2 {
		basis := make([]E, g.n)
		f.Lagrange(basis, t, g.roots)
		return f.Dot(basis, poly)
	}
	// Half of the 2P nodes are the nodes of the wire polynomials, the other half
	// are those times the root w of order 2P, and so
	//   G(t) = (1 + t^P)/2 * E(t) + (1 - t^P)/2 * O(t/w),
	// where E and O interpolate the even and the odd values over P nodes.
	even, odd := sp.even, sp.odd
	for i := range g.p - 1 {
		even[i], odd[i] = poly[2*i], poly[2*i+1]
	}
	even[g.p-1] = poly[2*g.p-2]
	odd[g.p-1] = f.Add(f.Dot(g.lastEven, even), f.Dot(g.lastOdd, odd[:g.p-1]))

	e := f.Dot(sp.basis, even)
	w := g.roots.Power(f, g.n, g.n-1)
	f.Lagrange(sp.basis, f.Mul(t, w), g.roots)
	o := f.Dot(sp.basis, odd)
	tp := g.power(t)
	one := f.FromUint64(1)
	sum := f.Add(f.Mul(f.Add(one, tp), e), f.Mul(f.Sub(one, tp), o))
	return f.Mul(sum, g.half)
}

// take takes n elements off scratch memory.
func take[E field.Elem](scratch *[]E, n int) []E {
	v := (*scratch)[:n:n]
	*scratch = (*scratch)[n:]
	return v
}

func nextPowerOfTwo(n int) int {
	p := 1
	for p < n {
		p *= 2
	}
	return p
}
