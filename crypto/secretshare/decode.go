package secretshare

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

const (
	// sampleSize bounds the decoder's work, which is quadratic: of a larger
	// group a random sample of this size is decoded.
	sampleSize = 1024
	// tries bounds how many samples and subsets are drawn.
	tries = 32
)

// key finds the secret whose keys open the ciphertext. The first t points do if
// nobody cheated; then the Reed-Solomon decoder, which corrects (n-t)/2 wrong
// points; then luck.
func (r *Recoverer) key(ciphertext []byte, random io.Reader) (keys, []byte, error) {
	if k, message, ok := r.try(r.points[:r.t], ciphertext); ok {
		return k, message, nil
	}
	points := unambiguous(r.points)
	for range tries {
		if len(points) < r.t {
			break
		}
		sample := points[:min(len(points), sampleSize)]
		if len(points) > sampleSize {
			if err := shuffle(points, sampleSize, random); err != nil {
				return keys{}, nil, err
			}
		}
		if s, ok := decode(sample, r.t); ok {
			k := expand(s, r.binding)
			if message, ok := k.open(ciphertext); ok {
				return k, message, nil
			}
		}
		if len(points) <= sampleSize {
			break // the same again would fail again
		}
	}
	points = r.points
	for range tries {
		if err := shuffle(points, r.t, random); err != nil {
			return keys{}, nil, err
		}
		if k, message, ok := r.try(points[:r.t], ciphertext); ok {
			return k, message, nil
		}
	}
	return keys{}, nil, ErrNoKey
}

// try interpolates through exactly t points and opens the ciphertext with what
// comes out.
func (r *Recoverer) try(points []point, ciphertext []byte) (keys, []byte, bool) {
	s, ok := r.interpolate(points)
	if !ok {
		return keys{}, nil, false
	}
	k := expand(s, r.binding)
	message, ok := k.open(ciphertext)
	return k, message, ok
}

// interpolate returns the value at 0 of the polynomial through the points, in
// Lagrange's form with a single inversion; ok is false if two x are equal.
func (r *Recoverer) interpolate(points []point) (element, bool) {
	n := len(points)
	r.den = slices.Grow(r.den[:0], n)[:n]
	r.scratch = slices.Grow(r.scratch[:0], n)[:n]
	all := element{lo: 1} // product of all x
	for i := range r.den {
		r.den[i] = points[i].x // so that all/den has the product of the other x
		all = all.mul(points[i].x)
	}
	for i := range points {
		for j := i + 1; j < n; j++ {
			d := points[j].x.sub(points[i].x)
			if d.isZero() {
				return element{}, false
			}
			r.den[i] = r.den[i].mul(d)
			r.den[j] = r.den[j].mul(d.neg())
		}
	}
	invertAll(r.den, r.scratch)
	var s element
	for i, p := range points {
		s = s.add(p.y.mul(r.den[i]))
	}
	return s.mul(all), true
}

// unambiguous returns the points whose x no other point has.
func unambiguous(points []point) []point {
	count := make(map[element]int, len(points))
	for _, p := range points {
		count[p.x]++
	}
	return slices.DeleteFunc(slices.Clone(points), func(p point) bool { return count[p.x] > 1 })
}

// decode returns the value at 0 of the polynomial of degree below t that agrees
// with all but at most (n-t)/2 of the points, by Gao's algorithm: the extended
// Euclidean algorithm on the polynomial that vanishes at all x and the one that
// interpolates all points, stopped half-way.
func decode(points []point, t int) (element, bool) {
	n := len(points)
	vanishing, through := newton(points)
	r0, r1 := vanishing, through
	v0, v1 := []element(nil), []element{{lo: 1}}
	for 2*degree(r1) >= n+t {
		q, rem := divide(r0, r1)
		r0, r1 = r1, rem
		v0, v1 = v1, subtract(v0, multiply(q, v1))
	}
	quotient, rem := divide(r1, v1)
	if degree(rem) >= 0 || degree(quotient) >= t || len(quotient) == 0 {
		return element{}, false
	}
	return quotient[0], true
}

// newton returns the product of all X - x and the interpolating polynomial, as
// coefficients from the constant term on. All x are distinct.
func newton(points []point) (vanishing, through []element) {
	vanishing = make([]element, 1, len(points)+1)
	vanishing[0] = element{lo: 1}
	for _, p := range points {
		// Add the multiple of the vanishing polynomial that corrects the value at p.x.
		c := p.y.sub(evaluate(through, p.x)).mul(evaluate(vanishing, p.x).inverse())
		through = append(through, element{})
		for i, v := range vanishing {
			through[i] = through[i].add(c.mul(v))
		}
		vanishing = append(vanishing, element{})
		for i := len(vanishing) - 1; i >= 0; i-- {
			v := vanishing[i].mul(p.x).neg()
			if i > 0 {
				v = v.add(vanishing[i-1])
			}
			vanishing[i] = v
		}
	}
	return vanishing, through
}

func evaluate(f []element, x element) element {
	var y element
	for i := len(f) - 1; i >= 0; i-- {
		y = y.mul(x).add(f[i])
	}
	return y
}

// degree returns the degree of f, and -1 for the zero polynomial.
func degree(f []element) int {
	for i := len(f) - 1; i >= 0; i-- {
		if !f[i].isZero() {
			return i
		}
	}
	return -1
}

// divide returns quotient and remainder of f by g, which is not zero.
func divide(f, g []element) (quotient, remainder []element) {
	rem := slices.Clone(f)
	dg := degree(g)
	inv := g[dg].inverse()
	for df := degree(rem); df >= dg; df = degree(rem) {
		if quotient == nil {
			quotient = make([]element, df-dg+1)
		}
		c := rem[df].mul(inv)
		quotient[df-dg] = c
		for i := range dg + 1 {
			rem[df-dg+i] = rem[df-dg+i].sub(c.mul(g[i]))
		}
	}
	return quotient, rem[:degree(rem)+1]
}

func multiply(f, g []element) []element {
	if len(f) == 0 || len(g) == 0 {
		return nil
	}
	out := make([]element, len(f)+len(g)-1)
	for i, a := range f {
		for j, b := range g {
			out[i+j] = out[i+j].add(a.mul(b))
		}
	}
	return out
}

func subtract(f, g []element) []element {
	out := make([]element, max(len(f), len(g)))
	copy(out, f)
	for i, b := range g {
		out[i] = out[i].sub(b)
	}
	return out
}

// shuffle moves n uniformly chosen points to the front.
func shuffle(points []point, n int, random io.Reader) error {
	for i := range min(n, len(points)-1) {
		j, err := below(uint64(len(points)-i), random)
		if err != nil {
			return fmt.Errorf("drawing a subset of shares: %w", err)
		}
		points[i], points[i+int(j)] = points[i+int(j)], points[i]
	}
	return nil
}

// below draws a uniformly random integer from 0 to n-1, by rejection.
func below(n uint64, random io.Reader) (uint64, error) {
	limit := -n % n // 2^64 mod n
	for {
		var b [8]byte
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return 0, err
		}
		if v := binary.LittleEndian.Uint64(b[:]); v >= limit {
			return v % n, nil
		}
	}
}
