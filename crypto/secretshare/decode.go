package secretshare

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

const (
	// DecodeSize is the size up to which a group is decoded as a whole, which takes
	// time quadratic in it. Of a larger one a random sample of this size is.
	DecodeSize = 1 << 14
	// firstSample is the size of the first sample that is decoded, or twice the
	// threshold if that is more: a few wrong points are found in it.
	firstSample = 512
	// samples is how many samples of DecodeSize are decoded of a larger group.
	samples = 2
	// tries is how many subsets of t points are tried by chance, beside the decoder.
	tries = 8
)

// An accept function reports whether r.keys, which are those of a secret that
// may be the right one, are.
type accept func() bool

// find finds the secret whose keys are accepted, and leaves them in r.keys. The
// first t points do if no client cheated. Else the decoder finds up to (n-t)/2 wrong
// points; beside it a few random subsets are tried: before it where that costs less,
// and after it because they may succeed where more points are wrong.
func (r *Recoverer) find(ok accept, random io.Reader) error {
	if len(r.points) >= r.t && r.try(r.points[:r.t], ok) {
		return nil
	}
	r.points = once(r.points)
	if len(r.points) < r.t {
		return ErrTooFew
	}
	steps := []func(accept, io.Reader) (bool, error){r.decoded, r.subsets}
	if n := min(len(r.points), firstSample); tries*r.t*r.t < n*n {
		steps = []func(accept, io.Reader) (bool, error){r.subsets, r.decoded, r.subsets}
	}
	for _, step := range steps {
		found, err := step(ok, random)
		if err != nil {
			return fmt.Errorf("drawing a subset of shares: %w", err)
		}
		if found {
			return nil
		}
	}
	return ErrNoKey
}

// subsets tries random subsets of t points.
func (r *Recoverer) subsets(ok accept, random io.Reader) (bool, error) {
	for range tries {
		if err := shuffle(r.points, r.t, random); err != nil {
			return false, err
		}
		if r.try(r.points[:r.t], ok) {
			return true, nil
		}
	}
	return false, nil
}

// decoded decodes random samples, each four times as large as the one before, and
// in the end the whole group or samples of DecodeSize.
func (r *Recoverer) decoded(ok accept, random io.Reader) (bool, error) {
	points := unambiguous(r.points)
	if len(points) < r.t {
		return false, nil
	}
	rounds := 1
	if len(points) > DecodeSize {
		rounds = samples
	}
	most := min(len(points), DecodeSize)
	for size := min(most, max(firstSample, 2*r.t)); rounds > 0; size = min(most, 4*size) {
		if size < len(points) {
			if err := shuffle(points, size, random); err != nil {
				return false, err
			}
		}
		if r.decode(points[:size], ok) {
			return true, nil
		}
		if size == most {
			rounds--
		}
	}
	return false, nil
}

// try interpolates through exactly t points and asks whether what comes out is the
// secret.
func (r *Recoverer) try(points []point, ok accept) bool {
	s, distinct := r.interpolate(points)
	if !distinct {
		return false
	}
	r.keys.expand(s, r.binding)
	return ok()
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
