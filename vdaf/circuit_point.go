package vdaf

import (
	"github.com/shoal-project/shoal/crypto/field"
)

// pointCircuit calls a gadget of one variable on every element of the
// measurement; each call, less the element itself if linear is set, must give
// zero. It is the circuits Count and Sum: their gadgets Mul, with the element on
// both wires, and PolyEval.
type pointCircuit[E field.Elem] struct {
	f      field.Field[E]
	g      *gadget[E]
	poly   []E // coefficients of PolyEval, lowest first; nil for Mul
	linear bool
	outLen int
	cut    func(out, meas []E)
}

func newPointCircuit[E field.Elem](f field.Field[E], length int, poly []E) (*pointCircuit[E], error) {
	c := &pointCircuit[E]{f: f, poly: poly}
	arity, degree := 1, len(poly)-1
	if poly == nil {
		arity, degree = 2, 2
	}
	var err error
	c.g, err = newGadget(f, arity, degree, length)
	return c, err
}

func (c *pointCircuit[E]) dims() dims {
	d := dims{
		meas:     c.g.calls,
		out:      c.outLen,
		prove:    c.g.arity,
		query:    1,
		proof:    c.g.proofLen(),
		verifier: 1 + c.g.arity + 1,
	}
	if c.g.calls > 1 {
		d.query += c.g.calls // the outputs are combined
	}
	return d
}

func (c *pointCircuit[E]) newSpace() *space[E] { return c.g.newSpace() }

func (c *pointCircuit[E]) truncate(out, meas []E) { c.cut(out, meas) }

// eval is the gadget at values of its wires.
func (c *pointCircuit[E]) eval(wires []E) E {
	if c.poly == nil {
		return c.f.Mul(wires[0], wires[1])
	}
	y := c.f.FromUint64(0)
	for i := len(c.poly) - 1; i >= 0; i-- {
		y = c.f.Add(c.f.Mul(y, wires[0]), c.poly[i])
	}
	return y
}

func (c *pointCircuit[E]) prove(sp *space[E], proof, meas, proveRand, _ []E) {
	g := c.g
	copy(proof, proveRand)
	wires := [2][]E{}
	for j := range g.arity {
		w := make([]E, g.n)
		w[0] = proveRand[j]
		copy(w[1:], meas)
		c.extend(w, sp)
		wires[j] = w
	}
	poly := proof[g.arity:]
	var at [2]E
	for i := range poly {
		for j := range g.arity {
			at[j] = wires[j][i]
		}
		poly[i] = c.eval(at[:g.arity])
	}
}

// extend turns P evaluations at the start of w into n = len(w).
func (c *pointCircuit[E]) extend(w []E, sp *space[E]) {
	for m := c.g.p; m < len(w); m *= 2 {
		odd := sp.wide[:m]
		copy(odd, w)
		c.f.Odd(odd, c.g.roots)
		for i := m - 1; i >= 0; i-- {
			w[2*i], w[2*i+1] = w[i], odd[i]
		}
	}
}

func (c *pointCircuit[E]) query(sp *space[E], verifier, meas, proof, queryRand, _ []E) bool {
	f, g := c.f, c.g
	t := queryRand[len(queryRand)-1]
	if g.onDomain(t) {
		return false
	}
	seeds, poly := proof[:g.arity], g.values(sp, proof[g.arity:])

	out := sp.odd[:g.calls]
	for k := range out {
		out[k] = poly[(k+1)*g.stride()]
	}
	if c.linear {
		f.SubVec(out, meas)
	}
	if g.calls > 1 {
		verifier[0] = f.Dot(queryRand[:g.calls], out)
	} else {
		verifier[0] = out[0]
	}

	f.Lagrange(sp.basis, t, g.roots)
	wire := f.Dot(sp.basis[1:1+g.calls], meas)
	for j, s := range seeds {
		verifier[1+j] = f.Add(wire, f.Mul(sp.basis[0], s))
	}
	verifier[1+g.arity] = g.eval(sp, poly, t)
	return true
}

func (c *pointCircuit[E]) decide(verifier []E) bool {
	f := c.f
	got := c.eval(verifier[1 : 1+c.g.arity])
	diff := f.Sub(got, verifier[1+c.g.arity])
	return f.IsZero(verifier[0])&f.IsZero(diff) == 1
}
