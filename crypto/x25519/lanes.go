package x25519

import (
	"crypto/subtle"
	"encoding/binary"
	"math/bits"
)

const (
	lanes       = 8         // points of an element
	halfLanes   = lanes / 2 // points that the four-lane kernel multiplies at once
	limbs       = 5         // of an element
	limbBits    = 51        // of each of them
	blockGroups = 8         // groups of lanes that share one inversion
	limbMask    = 1<<limbBits - 1
)

// An element is one element of GF(2^255-19) a lane: limb i of lane j at [i][j]. It is loose
// if its limbs are below 2^52; what a kernel returns is below 2^51+2^16.
type element [limbs][lanes]uint64

// multiplyBlock multiplies up to blockGroups groups of lanes, group g by
// scalars[g%len(scalars)].
func (k kernel) multiplyBlock(shared []Shared, points [][Size]byte, scalars []swaps) {
	work := workspace{halves: 2}
	if len(points) <= halfLanes {
		work.halves = 1
	}
	var x, z, before [blockGroups]element // before: the product of the z before it
	var zero [blockGroups][lanes]uint64
	groups := (len(points) + lanes - 1) / lanes
	for g := range groups {
		first := g * lanes
		u := pack(points[first:min(len(points), first+lanes)])
		k.ladder(&x[g], &z[g], &u, &scalars[g%len(scalars)], min(lanes, len(points)-first), &work)
		zero[g] = replaceZero(&z[g])
		if g == 0 {
			before[g] = one()
			continue
		}
		k.mul(&before[g], &before[g-1], &z[g-1], &work)
	}
	var inverse element
	k.mul(&inverse, &before[groups-1], &z[groups-1], &work)
	k.invert(&inverse, &work)
	for g := groups - 1; g >= 0; g-- {
		var q element
		k.mul(&q, &inverse, &before[g], &work)
		k.mul(&inverse, &inverse, &z[g], &work)
		k.mul(&q, &q, &x[g], &work)
		first := g * lanes
		unpack(shared[first:min(len(shared), first+lanes)], &q, &zero[g])
	}
}

// pack puts up to lanes points into an element, without their bit 255 (RFC
// 7748, section 5). Values of the prime and above stay: the arithmetic reduces
// them. Lanes without a point are 0.
func pack(points [][Size]byte) element {
	var e element
	for j := range points {
		p := &points[j]
		w0, w1 := binary.LittleEndian.Uint64(p[0:]), binary.LittleEndian.Uint64(p[8:])
		w2, w3 := binary.LittleEndian.Uint64(p[16:]), binary.LittleEndian.Uint64(p[24:])
		e[0][j] = w0 & limbMask
		e[1][j] = (w0>>51 | w1<<13) & limbMask
		e[2][j] = (w1>>38 | w2<<26) & limbMask
		e[3][j] = (w2>>25 | w3<<39) & limbMask
		e[4][j] = w3 >> 12 & limbMask
	}
	return e
}

// canonical returns the limbs of one lane reduced below the prime. Those of e
// are below 2^53.
func (e *element) canonical(j int) [limbs]uint64 {
	var r [limbs]uint64
	for i := range r {
		r[i] = e[i][j]
	}
	for range 2 { // then all limbs are below 2^51
		carry := uint64(0)
		for i := range r {
			r[i] += carry
			r[i], carry = r[i]&limbMask, r[i]>>51
		}
		r[0] += 19 * carry
	}
	// The quotient by the prime is the bit 255 of the value plus 19.
	q := uint64(19)
	for i := range r {
		q = (r[i] + q) >> 51
	}
	carry := 19 * q
	for i := range r {
		r[i] += carry
		r[i], carry = r[i]&limbMask, r[i]>>51
	}
	return r
}

// replaceZero makes each lane that is zero one, so that it can be inverted, and
// returns all ones for these lanes, 0 for the others.
func replaceZero(e *element) [lanes]uint64 {
	var zero [lanes]uint64
	for j := range zero {
		r := e.canonical(j)
		x := r[0] | r[1] | r[2] | r[3] | r[4]
		_, borrow := bits.Sub64(x, 1, 0)
		zero[j] = -borrow
		for i := range e {
			e[i][j] = r[i]
		}
		e[0][j] |= borrow
	}
	return zero
}

// unpack writes the secrets of an element's lanes, of which those marked in
// zero are zero.
func unpack(shared []Shared, e *element, zero *[lanes]uint64) {
	for j := range shared {
		r := e.canonical(j)
		for i := range r {
			r[i] &^= zero[j]
		}
		out := &shared[j]
		binary.LittleEndian.PutUint64(out.secret[0:], r[0]|r[1]<<51)
		binary.LittleEndian.PutUint64(out.secret[8:], r[1]>>13|r[2]<<38)
		binary.LittleEndian.PutUint64(out.secret[16:], r[2]>>26|r[3]<<25)
		binary.LittleEndian.PutUint64(out.secret[24:], r[3]>>39|r[4]<<12)
		out.ok = subtle.ConstantTimeCompare(out.secret[:], make([]byte, Size)) != 1
	}
}

func one() element {
	var e element
	for j := range e[0] {
		e[0][j] = 1
	}
	return e
}

// invert sets e to e^(2^255-21), which is 1/e. The addition chain makes runs of
// ones: x5 is e^(2^5-1).
func (k kernel) invert(e *element, work *workspace) {
	var x1, x2, x9, x11, x5, x10, x20, x40, x50, x100, t element
	mul := func(dst, a, b *element) { k.mul(dst, a, b, work) }
	square := func(dst, a *element, n int) { k.square(dst, a, n, work) }
	run := func(dst, a, b *element, n int) {
		square(&t, a, n)
		mul(dst, &t, b)
	}
	x1 = *e
	square(&x2, &x1, 1)
	run(&x9, &x2, &x1, 2)
	mul(&x11, &x9, &x2)
	run(&x5, &x11, &x9, 1)
	run(&x10, &x5, &x5, 5)
	run(&x20, &x10, &x10, 10)
	run(&x40, &x20, &x20, 20)
	run(&x50, &x40, &x10, 10)
	run(&x100, &x50, &x50, 50)
	run(&t, &x100, &x100, 100)
	run(&t, &t, &x50, 50)
	run(e, &t, &x11, 5)
}
