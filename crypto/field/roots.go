package field

import (
	"errors"
	"math/bits"
)

// MaxLog is the largest binary logarithm of the order of a root of unity that
// the package works with: Field64 has no more.
const MaxLog = 32

// ErrSize means that a transform size is not a power of two up to 2^MaxLog.
var ErrSize = errors.New("field: transform size is not a power of two in range")

// Roots holds powers of roots of unity and what else the transforms of sizes up
// to Size need. It is read-only after [NewRoots] and safe for concurrent use.
type Roots[E Elem] struct {
	// For m a power of two and j < m, forward[m+j] is the j-th power of the root
	// of order 2*m, and inverse[m+j] is its inverse.
	forward, inverse []E
	// twist has, for each size m, at [m:2*m] the powers of the root of order 2*m
	// divided by m, in bit-reversed order.
	twist []E
	size  []E // 1/2^log

	// fast holds the same in the form that vector kernels multiply by.
	fast struct{ forward, inverse, twist []E }
}

// NewRoots makes the tables for transforms of up to n values; n is a power of
// two. It takes 3*n elements of memory.
func NewRoots[E Elem](f Field[E], n int) (*Roots[E], error) {
	if n < 1 || n&(n-1) != 0 || uint64(n) > 1<<(MaxLog-1) {
		return nil, ErrSize
	}
	log := bits.TrailingZeros(uint(n))
	r := &Roots[E]{
		forward: make([]E, n),
		inverse: make([]E, n),
		twist:   make([]E, 2*n),
		size:    make([]E, log+1),
	}
	half := f.Inv(f.FromUint64(2))
	r.size[0] = f.FromUint64(1)
	for i := 1; i <= log; i++ {
		r.size[i] = f.Mul(r.size[i-1], half)
	}
	for k := range log {
		m := 1 << k
		w := f.Root(k + 1)
		powers(f, r.forward[m:2*m], f.FromUint64(1), w)
		powers(f, r.inverse[m:2*m], f.FromUint64(1), f.Inv(w))
	}
	row := make([]E, n)
	for k := range log + 1 {
		m := 1 << k
		powers(f, row[:m], r.size[k], f.Root(k+1))
		for i := range m {
			r.twist[m+i] = row[bits.Reverse64(uint64(i))>>(64-k)]
		}
	}
	if _, ok := f.factor(half); ok {
		r.fast.forward = factors(f, r.forward)
		r.fast.inverse = factors(f, r.inverse)
		r.fast.twist = factors(f, r.twist)
	}
	return r, nil
}

func factors[E Elem](f Field[E], v []E) []E {
	out := make([]E, len(v))
	for i, x := range v {
		out[i], _ = f.factor(x)
	}
	return out
}

// powers sets dst to x, x*w, x*w^2 and so on.
func powers[E Elem](f Field[E], dst []E, x, w E) {
	for i := range dst {
		dst[i] = x
		x = f.Mul(x, w)
	}
}

// Size is the largest transform that the tables serve.
func (r *Roots[E]) Size() int { return len(r.forward) }

// Power returns the i-th power of the principal root of order n, for n up to
// Size and 0 <= i < n.
func (r *Roots[E]) Power(f Field[E], n, i int) E {
	if n == 1 {
		return r.size[0]
	}
	if m := n / 2; i >= m {
		return f.Sub(f.FromUint64(0), r.forward[m+i-m])
	}
	return r.forward[n/2+i]
}

// twists returns the table of [Field.Odd] for size m.
func (r *Roots[E]) twists(m int) []E { return r.twist[m : 2*m] }

// invVec is Montgomery's trick.
func invVec[E Elem](f Field[E], v, tmp []E) {
	if len(v) == 0 {
		return
	}
	acc := f.FromUint64(1)
	for i, x := range v {
		tmp[i] = acc
		acc = f.Mul(acc, x)
	}
	acc = f.Inv(acc)
	for i := len(v) - 1; i >= 0; i-- {
		x := v[i]
		v[i] = f.Mul(acc, tmp[i])
		acc = f.Mul(acc, x)
	}
}
