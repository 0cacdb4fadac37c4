package x25519

import "encoding/binary"

// A kernel is a way to multiply several points at once.
type kernel uint8

const (
	kernelNone kernel = iota // one by one, with crypto/ecdh
	kernelAVX2               // four lanes, each with a scalar of its own
	kernelIFMA               // eight lanes with one scalar
)

// fastest returns the best kernel for many points and one scalar.
func fastest() kernel {
	switch {
	case supportsIFMA():
		return kernelIFMA
	case supportsAVX2():
		return kernelAVX2
	default:
		return kernelNone
	}
}

// swaps are the clamped scalars of the lanes, each bit exclusive-or the one above it: word
// i of lane j at [i][j].
type swaps [Size / 8][lanes]uint64

// set clamps a private key (RFC 7748, section 5) and marks the bits that differ from the
// next higher one.
func (s *swaps) set(lane int, private [Size]byte) {
	private[0] &= 248
	private[31] = private[31]&127 | 64
	above := uint64(0)
	for i := len(s) - 1; i >= 0; i-- {
		word := binary.LittleEndian.Uint64(private[8*i:])
		s[i][lane] = word ^ (word>>1 | above<<63)
		above = word
	}
}

// A workspace is what a kernel keeps while it runs.
type workspace struct {
	eight  eightSpace
	four   fourSpace
	halves int // of elements that are in use, if they have four lanes: 1 or 2
}

// The workspaces of the kernels have room to align them.
type (
	eightSpace [14*limbs*lanes + 8]uint64
	fourSpace  [(15*limbs+5)*halfLanes + 8]uint64
)

// ladder sets x/z to the products of the first n points of u, by their u coordinates, and
// the scalars. The lanes after them are unspecified. z may be 0.
func (k kernel) ladder(x, z, u *element, scalars *swaps, n int, work *workspace) {
	if k == kernelIFMA {
		var first [len(scalars)]uint64
		for i := range first {
			first[i] = scalars[i][0]
		}
		ladderIFMA(x, z, u, &first, &work.eight)
		return
	}
	for lane := 0; lane < n; lane += halfLanes {
		ladderAVX2(&x[0][lane], &z[0][lane], &u[0][lane], &scalars[0][lane], &work.four)
	}
}

// mul sets dst to the product of two loose elements.
func (k kernel) mul(dst, a, b *element, work *workspace) {
	if k == kernelIFMA {
		mulIFMA(dst, a, b)
		return
	}
	mulAVX2(dst, a, b, work.halves, &work.four)
}

// square sets dst to the loose element a squared n times, n > 0.
func (k kernel) square(dst, a *element, n int, work *workspace) {
	if k == kernelIFMA {
		squareIFMA(dst, a, n)
		return
	}
	squareAVX2(dst, a, n, work.halves, &work.four)
}
