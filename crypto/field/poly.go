package field

import "math/bits"

// The functions of this file are the operations of the class Lagrange of the
// VDAF draft (section "Lagrange Basis"). They favour clarity; the proof system
// uses the kernels of [Field] where one of them is hot.

// PolyMul multiplies two polynomials of n evaluations each and returns the 2n
// evaluations of the product. The lengths are equal powers of two up to
// r.Size(), else the error is [ErrSize].
func PolyMul[E Elem](f Field[E], p, q []E, r *Roots[E]) ([]E, error) {
	if len(p) != len(q) {
		return nil, ErrSize
	}
	a, err := DoubleEvaluations(f, p, r)
	if err != nil {
		return nil, err
	}
	b, err := DoubleEvaluations(f, q, r)
	if err != nil {
		return nil, err
	}
	f.MulVec(a, b)
	return a, nil
}

// DoubleEvaluations returns the 2n evaluations of the polynomial that p gives n
// evaluations of. n is a power of two up to r.Size(), else the error is
// [ErrSize].
func DoubleEvaluations[E Elem](f Field[E], p []E, r *Roots[E]) ([]E, error) {
	n := len(p)
	if !validSize(n, r.Size()) {
		return nil, ErrSize
	}
	odd := append([]E(nil), p...)
	f.Odd(odd, r)
	out := make([]E, 2*n)
	for i := range n {
		out[2*i], out[2*i+1] = p[i], odd[i]
	}
	return out, nil
}

// PolyEvalBatched evaluates polynomials of equal size at x. The size is a power
// of two up to r.Size(), else the error is [ErrSize].
func PolyEvalBatched[E Elem](f Field[E], polys [][]E, x E, r *Roots[E]) ([]E, error) {
	if len(polys) == 0 {
		return nil, nil
	}
	n := len(polys[0])
	if !validSize(n, r.Size()) {
		return nil, ErrSize
	}
	basis := make([]E, n)
	f.Lagrange(basis, x, r)
	out := make([]E, len(polys))
	for i, p := range polys {
		if len(p) != n {
			return nil, ErrSize
		}
		out[i] = f.Dot(basis, p)
	}
	return out, nil
}

// ExtendValues appends evaluations to p, the first len(p) of a polynomial of
// degree below len(p) at the powers of the root of order n, until there are n.
// n is a power of two up to r.Size() and at least len(p), else the error is
// [ErrSize]. It takes time in proportion to n*len(p).
func ExtendValues[E Elem](f Field[E], p []E, n int, r *Roots[E]) ([]E, error) {
	if !validSize(n, r.Size()) || len(p) > n || len(p) == 0 {
		return nil, ErrSize
	}
	w := extensionWeights(f, len(p), n, r)
	known := len(p)
	for k := range n - known {
		p = append(p, f.Dot(w[k*known:(k+1)*known], p[:known]))
	}
	return p, nil
}

// extensionWeights returns the matrix of n-known rows and known columns that
// maps the first known evaluations to the others.
func extensionWeights[E Elem](f Field[E], known, n int, r *Roots[E]) []E {
	// With the nodes x_i the weight of value i in value k is the product over
	// j != i of (x_k - x_j)/(x_i - x_j).
	x := make([]E, n)
	for i := range x {
		x[i] = r.Power(f, n, i)
	}
	one := f.FromUint64(1)
	inv := make([]E, known)
	for i := range inv {
		inv[i] = one
		for j := range known {
			if j != i {
				inv[i] = f.Mul(inv[i], f.Sub(x[i], x[j]))
			}
		}
	}
	tmp := make([]E, known)
	f.InvVec(inv, tmp)

	w := make([]E, 0, (n-known)*known)
	for k := known; k < n; k++ {
		row := make([]E, known)
		all := one
		for j := range row {
			row[j] = f.Sub(x[k], x[j])
			all = f.Mul(all, row[j])
		}
		f.InvVec(row, tmp)
		for j := range row {
			row[j] = f.Mul(f.Mul(row[j], all), inv[j])
		}
		w = append(w, row...)
	}
	return w
}

// BitReverse permutes v, whose length is a power of two, by reversing the bits
// of each index.
func BitReverse[E Elem](v []E) {
	shift := 64 - bits.TrailingZeros(uint(len(v)))
	for i := range v {
		if j := int(bits.Reverse64(uint64(i)) >> shift); i < j {
			v[i], v[j] = v[j], v[i]
		}
	}
}

func validSize(n, limit int) bool { return n >= 1 && n&(n-1) == 0 && n <= limit }
