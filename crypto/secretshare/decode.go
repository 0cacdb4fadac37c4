package secretshare

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

const (
	// sampleSize bounds the decoder's work, which is quadratic: of a larger
	// group a random sample of this size is decoded.
	sampleSize = 1024
	// samples bounds how many samples are decoded.
	samples = 4
	// tries bounds how many subsets of t points are tried, before and after the
	// decoder.
	tries = 8
)

// find finds the secret whose keys open the ciphertext, and leaves them in
// r.keys. The first t points do if no client cheated; then luck, which a few wrong
// points among many need; then the Reed-Solomon decoder, which corrects (n-t)/2
// wrong points; then luck again.
func (r *Recoverer) find(ciphertext []byte, random io.Reader) ([]byte, error) {
	if len(r.points) >= r.t {
		if message, ok := r.try(r.points[:r.t], ciphertext); ok {
			return message, nil
		}
	}
	r.points = once(r.points)
	if len(r.points) < r.t {
		return nil, ErrTooFew
	}
	for _, step := range []func([]byte, io.Reader) ([]byte, bool, error){r.subsets, r.decoded, r.subsets} {
		message, ok, err := step(ciphertext, random)
		if err != nil {
			return nil, fmt.Errorf("drawing a subset of shares: %w", err)
		}
		if ok {
			return message, nil
		}
	}
	return nil, ErrNoKey
}

// subsets tries random subsets of t points.
func (r *Recoverer) subsets(ciphertext []byte, random io.Reader) ([]byte, bool, error) {
	for range tries {
		if err := shuffle(r.points, r.t, random); err != nil {
			return nil, false, err
		}
		if message, ok := r.try(r.points[:r.t], ciphertext); ok {
			return message, true, nil
		}
	}
	return nil, false, nil
}

// decoded tries what the Reed-Solomon decoder finds.
func (r *Recoverer) decoded(ciphertext []byte, random io.Reader) ([]byte, bool, error) {
	points := unambiguous(r.points)
	if len(points) < r.t {
		return nil, false, nil
	}
	rounds := samples
	if len(points) <= sampleSize {
		rounds = 1 // the same again would fail again
	}
	for range rounds {
		if len(points) > sampleSize {
			if err := shuffle(points, sampleSize, random); err != nil {
				return nil, false, err
			}
		}
		s, ok := decode(points[:min(len(points), sampleSize)], r.t)
		if !ok {
			continue
		}
		if message, ok := r.open(s, ciphertext); ok {
			return message, true, nil
		}
	}
	return nil, false, nil
}

// try interpolates through exactly t points and opens the ciphertext with what
// comes out.
func (r *Recoverer) try(points []point, ciphertext []byte) ([]byte, bool) {
	s, ok := r.interpolate(points)
	if !ok {
		return nil, false
	}
	return r.open(s, ciphertext)
}

// open opens the ciphertext with the keys of s.
func (r *Recoverer) open(s element, ciphertext []byte) ([]byte, bool) {
	r.keys.expand(s, r.binding)
	return r.keys.open(ciphertext)
}

// interpolate returns the value at 0 of the polynomial through the points, in
// Lagrange's form with a single inversion; ok is false if two x are equal.
func (r *Recoverer) interpolate(points []point) (element, bool) {
	n := len(points)
	r.den = slices.Grow(r.den[:0], n)[:n]
	r.scratch = slices.Grow(r.scratch[:0], n)[:n]
	all := element{lo: 1} // product of all x
	for _, p := range points {
		all = all.mul(p.x)
	}
	for start := 0; start < n; start += lanes {
		differences(points, start, r.den)
	}
	product := invertAll(r.den, r.scratch)
	if product.isZero() {
		return element{}, false
	}
	var s element
	for i, p := range points {
		s = s.add(p.y.mul(r.den[i]))
	}
	return s.mul(all), true
}

// differences sets den, from start on for up to lanes points, to the product of
// the point's x, so that the product of all x divided by den has that of the
// others, and of what all other x exceed it by.
func differences(points []point, start int, den []element) {
	end := min(start+lanes, len(points))
	at := func(k int) element { return points[min(start+k, end-1)].x }
	x0, x1, x2, x3 := at(0), at(1), at(2), at(3)
	d0, d1, d2, d3 := x0, x1, x2, x3
	for j := range points {
		if j >= start && j < end {
			continue
		}
		x := points[j].x
		d0 = d0.mul(x.sub(x0))
		d1 = d1.mul(x.sub(x1))
		d2 = d2.mul(x.sub(x2))
		d3 = d3.mul(x.sub(x3))
	}
	copy(den[start:end], []element{d0, d1, d2, d3})
	for k := start; k < end; k++ {
		for j := start; j < end; j++ {
			if j != k {
				den[k] = den[k].mul(points[j].x.sub(points[k].x))
			}
		}
	}
}

// once sorts the points and drops exact repeats. Of points with one x and different
// y all except one may be forged; the decoder finds out which.
func once(points []point) []point {
	for i, p := range points {
		points[i] = point{p.x.canonical(), p.y.canonical()}
	}
	slices.SortFunc(points, func(a, b point) int {
		return cmp.Or(a.x.compare(b.x), a.y.compare(b.y))
	})
	return slices.Compact(points)
}

// unambiguous returns the points whose x no other point has, given points that
// are canonical.
func unambiguous(points []point) []point {
	points = slices.Clone(points)
	slices.SortFunc(points, func(a, b point) int { return a.x.compare(b.x) })
	alone := make([]point, 0, len(points))
	for i, p := range points {
		before := i > 0 && points[i-1].x == p.x
		after := i+1 < len(points) && points[i+1].x == p.x
		if !before && !after {
			alone = append(alone, p)
		}
	}
	return alone
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
			return err
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
