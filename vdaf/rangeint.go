package vdaf

import (
	"fmt"
	"math/bits"

	"github.com/shoal-project/shoal/crypto/field"
)

// An integer from 0 to limit is encoded as bits.Len64(limit) elements, zero or
// one, whose weights are 1, 2, 4 and so on, except for the last one, which is what
// is missing to limit. So every sum of weights is in range, and no integer out
// of range has an encoding (VDAF draft, section "Prio3Sum").

// lastWeight is the weight of the last element.
func lastWeight(limit uint64) uint64 { return limit - allButLast(limit) }

// allButLast is the sum of the other weights.
func allButLast(limit uint64) uint64 { return 1<<(bits.Len64(limit)-1) - 1 }

// encodeInt writes the encoding of v, in time that does not depend on v.
func encodeInt(dst []uint8, v, limit uint64) error {
	if v > limit {
		return fmt.Errorf("value %d is above the maximum %d", v, limit)
	}
	_, last := bits.Sub64(allButLast(limit), v, 0) // 1 if v is too large for the others
	v -= lastWeight(limit) & -last
	n := len(dst) - 1
	for i := range n {
		dst[i] = uint8(v>>i) & 1
	}
	dst[n] = uint8(last)
	return nil
}

// weights returns the weights for limit as field elements.
func weights[E field.Elem](f field.Field[E], limit uint64) []E {
	w := make([]E, bits.Len64(limit))
	for i := range len(w) - 1 {
		w[i] = f.FromUint64(1 << i)
	}
	w[len(w)-1] = f.FromUint64(lastWeight(limit))
	return w
}

// decodeInts writes the integers, or shares of them, that meas encodes. It is
// linear.
func decodeInts[E field.Elem](f field.Field[E], out, meas, weights []E) {
	n := len(weights)
	if n == 1 {
		copy(out, meas[:len(out)])
		return
	}
	for i := range out {
		out[i] = f.Dot(meas[i*n:][:n], weights)
	}
}

// ChunkLength returns the chunk length with which the proof for n range-checked
// elements is shortest. n is length*bits for SumVec, length for Histogram,
// length plus the bits of the weight for MultihotCountVec and (length+1)*bits
// for L1BoundSum. The constructors use it for a chunk length of zero.
func ChunkLength(n int) int {
	best, least := max(n, 1), 0
	for p := 2; ; p *= 2 {
		chunk := (n + p - 2) / (p - 1) // fills p-1 calls
		proof := 2*chunk + 2*p - 1
		if least == 0 || proof < least {
			best, least = max(chunk, 1), proof
		}
		if chunk <= 1 {
			return best
		}
	}
}
