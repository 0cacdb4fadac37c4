package secretshare

import "slices"

// decode finds the polynomial of degree below t with which all points except at most
// (n-t)/2 agree, and reports whether its secret is accepted. All x are distinct.
//
// The points are a word of a generalised Reed-Solomon code: with u_i the inverse of the
// product of x_i - x_j over all other j, the sum of u_i P(x_i) x_i^k is 0 for k below
// n-t and every P of degree below t. The sums over the points, the syndromes, are thus
// those of the errors alone, and the shortest linear recurrence that generates them has
// the wrong x as the roots of its polynomial (Berlekamp and Massey). 2e syndromes
// determine e errors, so that they are computed and tried in blocks of growing size:
// n^2 steps for the weights, and n for each of about 2e syndromes.
func (r *Recoverer) decode(points []point, ok accept) bool {
	n := len(points)
	if !r.weigh(points) {
		return false
	}
	r.syndromes = slices.Grow(r.syndromes[:0], n-r.t)
	var rec recurrence
	for len(r.syndromes) < n-r.t {
		// Blocks end after 64, 128, 256, ... syndromes.
		for range min(max(64, len(r.syndromes)), n-r.t-len(r.syndromes)) {
			r.syndromes = append(r.syndromes, r.syndrome(points))
			rec.extend(r.syndromes)
		}
		if rec.length > len(r.syndromes)/2 {
			continue // not determined yet
		}
		good, located := r.without(points, rec)
		if located && r.try(good[:r.t], ok) {
			return true
		}
	}
	return false
}

// weigh sets r.weights to the weighted points u_i y_i: what the next syndrome adds up.
func (r *Recoverer) weigh(points []point) bool {
	n := len(points)
	r.weights = slices.Grow(r.weights[:0], n)[:n]
	r.scratch = slices.Grow(r.scratch[:0], n)[:n]
	for start := 0; start < n; start += lanes {
		differences(points, start, r.weights) // times x_i
	}
	if invertAll(r.weights, r.scratch).isZero() {
		return false
	}
	for i, p := range points {
		r.weights[i] = r.weights[i].mul(p.x).mul(p.y)
	}
	return true
}

// syndrome returns the next syndrome and advances r.weights to the one after.
func (r *Recoverer) syndrome(points []point) element {
	var sum element
	for i := range points {
		w := r.weights[i]
		sum = sum.add(w)
		r.weights[i] = w.mul(points[i].x)
	}
	return sum
}

// without returns the points at which the recurrence has no root, if it has as many
// roots among all as its length and t others are left.
func (r *Recoverer) without(points []point, rec recurrence) ([]point, bool) {
	n := rec.length
	if len(points)-n < r.t {
		return nil, false
	}
	// The reciprocal of c has the x themselves as roots.
	r.poly = slices.Grow(r.poly[:0], n+1)[:n+1]
	for i := range r.poly {
		r.poly[i] = element{}
		if n-i < len(rec.c) {
			r.poly[i] = rec.c[n-i]
		}
	}
	good := r.good[:0]
	var p [lanes]point
	var y [lanes]element
	for start := 0; start < len(points); start += lanes {
		m := copy(p[:], points[start:])
		r.at(&p, &y)
		for i := range m {
			if !y[i].isZero() {
				good = append(good, p[i])
			}
		}
	}
	r.good = good
	return good, len(points)-len(good) == n
}

// A recurrence is the shortest linear one that generates a sequence s:
// s_n + c_1 s_(n-1) + ... + c_length s_(n-length) = 0. The zero value generates the
// empty sequence.
type recurrence struct {
	c      []element // c_0 is 1
	length int

	before  []element // c before length last grew
	inverse element   // of the discrepancy at that time
	since   int       // elements since
	spare   []element
}

// extend makes the recurrence generate s, whose last element is new (Massey's
// algorithm).
func (r *recurrence) extend(s []element) {
	if r.c == nil {
		*r = recurrence{c: []element{{lo: 1}}, before: []element{{lo: 1}}, inverse: element{lo: 1}}
	}
	n := len(s) - 1
	r.since++
	d := s[n]
	for i, c := range r.c[1:] {
		d = d.add(c.mul(s[n-1-i]))
	}
	if d.isZero() {
		return
	}
	grows := 2*r.length <= n
	if grows {
		r.spare = append(r.spare[:0], r.c...)
	}
	for len(r.c) < len(r.before)+r.since {
		r.c = append(r.c, element{})
	}
	factor := d.mul(r.inverse)
	for i, b := range r.before {
		r.c[r.since+i] = r.c[r.since+i].sub(factor.mul(b))
	}
	if grows {
		r.before, r.spare = r.spare, r.before
		r.length, r.inverse, r.since = n+1-r.length, d.inverse(), 0
	}
}
