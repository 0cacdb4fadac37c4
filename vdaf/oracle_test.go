package vdaf

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/shoal-project/shoal/crypto/field"
)

// The oracle is the proof system as its definition reads: it records the wires
// of every gadget call, and interpolates polynomials by the formula of Lagrange
// over the nodes, without any of the shortcuts of the package.

// interpolate returns the value at t of the polynomial through (x[i], y[i]).
func interpolate[E field.Elem](f field.Field[E], x, y []E, t E) E {
	sum := f.FromUint64(0)
	for i := range x {
		num, den := f.FromUint64(1), f.FromUint64(1)
		for j := range x {
			if j != i {
				num = f.Mul(num, f.Sub(t, x[j]))
				den = f.Mul(den, f.Sub(x[i], x[j]))
			}
		}
		sum = f.Add(sum, f.Mul(y[i], f.Mul(num, f.Inv(den))))
	}
	return sum
}

// nodes are the first count powers of the principal root of order n.
func nodes[E field.Elem](f field.Field[E], n, count int) []E {
	log := 0
	for 1<<log < n {
		log++
	}
	x := []E{f.FromUint64(1)}
	for len(x) < count {
		x = append(x, f.Mul(x[len(x)-1], f.Root(log)))
	}
	return x
}

// wireTest evaluates wires and gadget polynomial at t.
func wireTest[E field.Elem](f field.Field[E], p, n int, seeds []E, calls [][]E, poly []E, t E) []E {
	var out []E
	for j, s := range seeds {
		y := make([]E, p)
		y[0] = s
		for k, c := range calls {
			y[k+1] = c[j]
		}
		out = append(out, interpolate(f, nodes(f, p, p), y, t))
	}
	return append(out, interpolate(f, nodes(f, n, len(poly)), poly, t))
}

func randomVec[E field.Elem](f field.Field[E], r *rand.Rand, n int) []E {
	v := make([]E, n)
	for i := range v {
		v[i] = f.Mul(f.Add(f.FromUint64(r.Uint64()), f.FromUint64(1)), f.FromUint64(r.Uint64()))
	}
	return v
}

func equalVec[E field.Elem](f field.Field[E], a, b []E) bool {
	for i := range a {
		if f.IsZero(f.Sub(a[i], b[i])) != 1 {
			return false
		}
	}
	return len(a) == len(b)
}

// TestQueryIsDefinition holds query equal to the oracle on random vectors, which
// are no valid measurements or proofs: soundness rests on every term.
func TestQueryIsDefinition(t *testing.T) {
	t.Run("range64", func(t *testing.T) { testRangeQuery(t, field.Field64()) })
	t.Run("range128", func(t *testing.T) { testRangeQuery(t, field.Field128()) })
	t.Run("point64", func(t *testing.T) { testPointQuery(t, field.Field64()) })
	t.Run("point128", func(t *testing.T) { testPointQuery(t, field.Field128()) })
}

func testRangeQuery[E field.Elem](t *testing.T, f field.Field[E]) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, size := range [][2]int{{1, 1}, {1, 4}, {5, 1}, {7, 3}, {16, 4}, {24, 8}, {40, 9}, {70, 16}, {70, 17}, {33, 40}} {
		for shares := 2; shares <= 3; shares++ {
			c, err := newRangeCircuit(f, size[0], size[1], shares)
			if err != nil {
				t.Fatal(err)
			}
			linear := f.FromUint64(r.Uint64())
			if shares == 3 {
				c.sum = func(meas []E) E { return f.Mul(linear, meas[0]) }
			}
			d := c.dims()
			meas, proof := randomVec(f, r, d.meas), randomVec(f, r, d.proof)
			query, joint := randomVec(f, r, d.query), randomVec(f, r, d.joint)
			seeds, poly := proof[:2*c.chunk], proof[2*c.chunk:]

			var calls [][]E
			out := f.FromUint64(0)
			for k := range c.g.calls {
				var in []E
				power := f.FromUint64(1)
				for i := range c.chunk {
					power = f.Mul(power, joint[k])
					m := f.FromUint64(0)
					if j := k*c.chunk + i; j < len(meas) {
						m = meas[j]
					}
					in = append(in, f.Mul(power, m), f.Sub(m, f.Inv(f.FromUint64(uint64(shares)))))
				}
				calls = append(calls, in)
				out = f.Add(out, poly[(k+1)*c.g.stride()])
			}
			if c.sum != nil {
				out = f.Add(f.Mul(query[0], out), f.Mul(query[1], c.sum(meas)))
			}
			want := append([]E{out}, wireTest(f, c.g.p, c.g.n, seeds, calls, poly, query[len(query)-1])...)
			compareQuery(t, f, c, meas, proof, query, joint, want, fmt.Sprint(size, shares))
		}
	}
}

func testPointQuery[E field.Elem](t *testing.T, f field.Field[E]) {
	r := rand.New(rand.NewPCG(4, 4))
	zero, one := f.FromUint64(0), f.FromUint64(1)
	square := []E{zero, f.Sub(zero, one), one}
	cubic := []E{zero, f.FromUint64(2), f.Sub(zero, f.FromUint64(3)), one}
	for _, poly := range [][]E{nil, square, cubic} {
		for _, n := range []int{1, 2, 3, 7, 8, 32} {
			c, err := newPointCircuit(f, n, poly)
			if err != nil {
				t.Fatal(err)
			}
			c.linear = r.IntN(2) == 1
			d := c.dims()
			meas, proof, query := randomVec(f, r, d.meas), randomVec(f, r, d.proof), randomVec(f, r, d.query)
			seeds, values := proof[:c.g.arity], proof[c.g.arity:]

			// The outputs are the values of the gadget polynomial at the calls.
			var calls [][]E
			out := zero
			x := nodes(f, c.g.p, c.g.p)
			for k, m := range meas {
				calls = append(calls, []E{m, m}[:c.g.arity])
				y := interpolate(f, nodes(f, c.g.n, len(values)), values, x[k+1])
				if c.linear {
					y = f.Sub(y, m)
				}
				if n > 1 {
					y = f.Mul(query[k], y)
				}
				out = f.Add(out, y)
			}
			want := append([]E{out}, wireTest(f, c.g.p, c.g.n, seeds, calls, values, query[len(query)-1])...)
			compareQuery(t, f, c, meas, proof, query, nil, want, fmt.Sprint(len(poly), n))
		}
	}
}

func compareQuery[E field.Elem](t *testing.T, f field.Field[E], c circuit[E], meas, proof, query, joint, want []E, what string) {
	t.Helper()
	got := make([]E, c.dims().verifier)
	if !c.query(c.newSpace(), got, meas, proof, query, joint) {
		t.Fatalf("%s: a random query point is refused", what)
	}
	if !equalVec(f, got, want) {
		t.Errorf("%s: verifier %v, want %v", what, got, want)
	}
}
