package vdaf

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Sensitivity returns by how much one client can change an aggregate of in, in
// all elements together (L1) and in Euclidean length (L2, rounded up): by giving
// one valid measurement in place of another. It is what noise must hide.
//
// Replacing, not adding or removing: how many reports there are is known to all
// parties of DAP, so neighbouring batches have the same number, and what must not
// show is which measurement a client gave. Where zero is a measurement, the
// figure covers adding and removing as well. The range proofs are exact, so these
// are bounds for malicious clients too:
//
//   - Count: from 0 to 1, so 1 and 1.
//   - Sum: from 0 to limit, so limit and limit.
//   - SumVec, SumVecMultiproof and LInfGradient: every element from 0 to limit, so
//     length*limit and sqrt(length)*limit.
//   - Histogram: one count goes down and another up, so 2 and sqrt(2); 0 if there
//     is only one bucket.
//   - MultihotCountVec: up to limit positions go down and as many others up, as
//     far as there are so many: with c = min(2*limit, length), c and sqrt(c).
//   - L1BoundSum and L1Gradient: all of limit moves from one element to another,
//     so 2*limit and sqrt(2)*limit; limit and limit for one element.
//
// Figures of gradients are in units of their quantisation. It is 1<<64-1 where
// l1 has no uint64. ok is false for an instance that is not known here.
func Sensitivity(in Instance) (l1 uint64, l2 float64, ok bool) {
	c := in.Config()
	switch in.ID() {
	case IDCount:
		return 1, 1, true
	case IDSum:
		limit := binary.BigEndian.Uint64(c)
		return limit, up(float64(limit)), true
	case IDSumVec, IDSumVecMultiproof:
		length, limit := uint64(binary.BigEndian.Uint32(c)), binary.BigEndian.Uint64(c[4:])
		return product(length, limit), up(math.Sqrt(float64(length)) * float64(limit)), true
	case IDHistogram:
		if binary.BigEndian.Uint32(c) == 1 {
			return 0, 0, true
		}
		return 2, up(math.Sqrt2), true
	case IDMultihotCountVec:
		length, limit := uint64(binary.BigEndian.Uint32(c)), binary.BigEndian.Uint64(c[8:])
		moved := min(2*limit, length) // limit is at most length
		return moved, up(math.Sqrt(float64(moved))), true
	case IDL1BoundSum:
		length, limit := binary.BigEndian.Uint32(c), binary.BigEndian.Uint64(c[4:])
		if length == 1 {
			return limit, up(float64(limit)), true
		}
		return product(2, limit), up(math.Sqrt2 * float64(limit)), true
	}
	return 0, 0, false
}

// product returns a*b, or the largest number if that is larger.
func product(a, b uint64) uint64 {
	if high, low := bits.Mul64(a, b); high == 0 {
		return low
	}
	return math.MaxUint64
}

// up covers the rounding of the operations before it.
func up(x float64) float64 { return x * (1 + 1e-14) }
