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
	decode func(out, meas []E)
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

func (c *pointCircuit[E]) truncate(out, meas []E) { c.decode(out, meas) }

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

// proveScratch: the wires, and a vector as long.
func (c *pointCircuit[E]) proveScratch() int { return (c.g.arity + 1) * c.g.n }

func (c *pointCircuit[E]) prove(scratch, proof, meas, proveRand, _ []E) {
	g := c.g
	copy(proof, proveRand)
	poly := proof[g.arity:]
	var wires [2][]E
	for j := range g.arity {
		w := take(&scratch, g.n)
		w[0] = proveRand[j]
		clear(w[1+copy(w[1:], meas) : g.p])
		wires[j] = w
	}
	if g.degree == 2 {
		c.provePairs(scratch, poly, meas, &wires)
		return
	}
	for j := range g.arity {
		c.extend(wires[j], scratch)
	}
	c.evalVec(poly, &wires, g.length)
}

// provePairs writes the gadget polynomial of a gadget of degree 2: what is at even
// places is known without a multiplication.
func (c *pointCircuit[E]) provePairs(scratch, poly, meas []E, wires *[2][]E) {
	g := c.g
	clear(poly)
	var seeds [2]E
	for j := range g.arity {
		seeds[j] = wires[j][0]
		c.f.Odd(wires[j][:g.p], g.roots)
	}
	poly[0] = c.eval(seeds[:g.arity])
	if c.linear { // else an honest measurement gives zero
		for k, m := range meas {
			poly[2*(k+1)] = m
		}
	}
	odd := take(&scratch, g.p)
	c.evalVec(odd, wires, g.p)
	for i := range g.p - 1 {
		poly[2*i+1] = odd[i]
	}
}

// evalVec is the gadget at the first n values of its wires.
func (c *pointCircuit[E]) evalVec(dst []E, wires *[2][]E, n int) {
	dst = dst[:n]
	if c.poly == nil {
		copy(dst, wires[0])
		c.f.MulVec(dst, wires[1][:n])
		return
	}
	c.f.PolyVec(dst, wires[0][:n], c.poly)
}

// extend turns P evaluations at the start of w into n = len(w).
func (c *pointCircuit[E]) extend(w, scratch []E) {
	for m := c.g.p; m < len(w); m *= 2 {
		odd := scratch[:m]
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
