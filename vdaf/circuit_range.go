package vdaf

import (
	"github.com/shoal-project/shoal/crypto/field"
)

// rangeCircuit checks that every element of the measurement is zero or one, and
// if sum is set, that a linear function of the measurement is zero too. It is
// the circuits SumVec, Histogram, MultihotCountVec and L1BoundSum, whose gadget
// is a ParallelSum of Mul: a call takes chunk elements m and the pairs
// r^(i+1)*m, m-1 as wires.
type rangeCircuit[E field.Elem] struct {
	f         field.Field[E]
	g         *gadget[E]
	length    int // of the measurement
	chunk     int
	outLen    int
	sharesInv E
	sum       func(meas []E) E
	decode    func(out, meas []E)
}

// newRangeCircuit makes the circuit for a measurement of the given length.
func newRangeCircuit[E field.Elem](f field.Field[E], length, chunk, shares int) (*rangeCircuit[E], error) {
	calls := (length + chunk - 1) / chunk
	g, err := newGadget(f, 2*chunk, 2, calls)
	if err != nil {
		return nil, err
	}
	return &rangeCircuit[E]{
		f: f, g: g, length: length, chunk: chunk,
		sharesInv: f.Inv(f.FromUint64(uint64(shares))),
	}, nil
}

func (c *rangeCircuit[E]) dims() dims {
	d := dims{
		meas:     c.length,
		out:      c.outLen,
		joint:    c.g.calls,
		prove:    c.g.arity,
		query:    1,
		proof:    c.g.proofLen(),
		verifier: 1 + c.g.arity + 1,
	}
	if c.sum != nil {
		d.query += 2 // the two outputs are combined
	}
	return d
}

func (c *rangeCircuit[E]) newSpace() *space[E] { return c.g.newSpace() }

func (c *rangeCircuit[E]) truncate(out, meas []E) { c.decode(out, meas) }

// proveScratch: a block of each kind of wire, powers of the joint randomness for
// one of them, products, and the powers for the next column.
func (c *rangeCircuit[E]) proveScratch() int { return 4*field.Rows*c.g.p + c.g.calls }

func (c *rangeCircuit[E]) prove(scratch, proof, meas, proveRand, jointRand []E) {
	f, g := c.f, c.g
	copy(proof, proveRand)
	poly := proof[g.arity:]

	// An honest measurement makes every output of the gadget zero, so of the
	// even evaluations only the first, that of the wire seeds, is not.
	clear(poly)
	for i := range c.chunk {
		poly[0] = f.Add(poly[0], f.Mul(proveRand[2*i], proveRand[2*i+1]))
	}

	// The odd ones are sums over the products of two wires each. The wires are
	// extended eight at a time; row k of a and b holds the k-th value of each.
	const n = field.Rows
	a, b := take(&scratch, n*g.p), take(&scratch, n*g.p)
	total, rand := take(&scratch, n*g.p), take(&scratch, n*g.p)
	clear(total)
	powers := take(&scratch, g.calls)
	copy(powers, jointRand)
	for at := 0; at < c.chunk; at += n {
		used := min(n, c.chunk-at)
		for e := range used {
			for k, x := range powers {
				rand[(k+1)*n+e] = x
			}
			f.MulVec(powers, jointRand)
		}
		c.fill(a, b, meas, proveRand, at, used)
		f.MulVec(a[n:(g.calls+1)*n], rand[n:(g.calls+1)*n])
		if used <= n/2 { // both fit in one block
			for i := range g.p {
				copy(a[i*n+n/2:][:n/2], b[i*n:])
			}
			f.OddRows(a, n/2+used, g.roots)
			for i := range g.p - 1 {
				row := a[i*n:][:n]
				poly[2*i+1] = f.Dot(row[:n/2], row[n/2:])
			}
			break
		}
		f.OddRows(a, used, g.roots)
		f.OddRows(b, used, g.roots)
		f.MulVec(a, b)
		f.AddVec(total, a)
	}
	for i := range g.p - 1 {
		poly[2*i+1] = f.Add(poly[2*i+1], f.Sum(total[i*n:][:n]))
	}
}

// fill writes the wires of the columns at to at+used, except for the powers of the
// joint randomness that those of a are multiplied by.
func (c *rangeCircuit[E]) fill(a, b, meas, proveRand []E, at, used int) {
	const n = field.Rows
	f, one := c.f, c.f.FromUint64(1)
	clear(a)
	clear(b)
	for e := range used {
		a[e], b[e] = proveRand[2*(at+e)], proveRand[2*(at+e)+1]
	}
	for k := range c.g.calls {
		row, minus := a[(k+1)*n:][:used], b[(k+1)*n:][:used]
		if j := k*c.chunk + at; j < len(meas) {
			copy(row, meas[j:])
		}
		for e, m := range row {
			minus[e] = f.Sub(m, one)
		}
	}
}

func (c *rangeCircuit[E]) query(sp *space[E], verifier, meas, proof, queryRand, jointRand []E) bool {
	f, g := c.f, c.g
	t := queryRand[len(queryRand)-1]
	if g.onDomain(t) {
		return false
	}
	seeds, poly := proof[:g.arity], proof[g.arity:]

	// The outputs of the gadget are every other value of its polynomial.
	sum := f.FromUint64(0)
	for k := 1; k <= g.calls; k++ {
		sum = f.Add(sum, poly[2*k])
	}
	if c.sum != nil {
		sum = f.Add(f.Mul(queryRand[0], sum), f.Mul(queryRand[1], c.sum(meas)))
	}
	verifier[0] = sum

	f.Lagrange(sp.basis, t, g.roots)
	checks := verifier[1 : 1+g.arity]
	coeff := sp.basis[1 : 1+g.calls]
	shift := f.Mul(c.sharesInv, f.Sum(coeff))
	for i := range c.chunk {
		checks[2*i] = f.Mul(sp.basis[0], seeds[2*i])
		checks[2*i+1] = f.Sub(f.Mul(sp.basis[0], seeds[2*i+1]), shift)
	}
	w := sp.wires
	w.Dst, w.Meas, w.Coeff, w.Rand, w.Chunk = checks, meas, coeff, jointRand, c.chunk
	f.RangeWires(w)
	verifier[1+g.arity] = g.eval(sp, poly, t)
	return true
}

func (c *rangeCircuit[E]) decide(verifier []E) bool {
	f := c.f
	checks, want := verifier[1:1+c.g.arity], verifier[1+c.g.arity]
	for i := range c.chunk {
		want = f.Sub(want, f.Mul(checks[2*i], checks[2*i+1]))
	}
	return f.IsZero(verifier[0])&f.IsZero(want) == 1
}
