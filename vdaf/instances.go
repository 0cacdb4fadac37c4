package vdaf

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/shoal-project/shoal/crypto/field"
)

// Algorithm identifiers (VDAF draft, section "IANA Considerations", and the
// L1 bound sum draft).
const (
	IDCount            uint32 = 1
	IDSum              uint32 = 2
	IDSumVec           uint32 = 3
	IDHistogram        uint32 = 4
	IDMultihotCountVec uint32 = 5
	IDL1BoundSum       uint32 = 7
	IDSumVecMultiproof uint32 = 0xFFFF1003 // private use, shared with Janus
)

// Limits of what a peer's configuration may make this package compute.
const (
	maxElements = 1 << 24 // of an encoded measurement
	maxProof    = 1 << 20 // elements of a proof
	modulus64   = 1<<64 - 1<<32 + 1
)

// config is what all constructors have in common.
type config struct {
	id     uint32
	name   string
	bytes  []byte
	shares int
}

func newConfig(id uint32, name string, bytes []byte, opts []Option) (config, error) {
	o := options{shares: 2}
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return config{}, fmt.Errorf("vdaf: %s: %w", name, err)
		}
	}
	return config{id: id, name: name, bytes: bytes, shares: o.shares}, nil
}

func (c config) errorf(format string, args ...any) error {
	return fmt.Errorf("vdaf: %s: %w", c.name, fmt.Errorf(format, args...))
}

// finish makes the instance of a circuit.
func finish[E field.Elem](c config, f field.Field[E], circ circuit[E], proofs int, xof xofKind) Instance {
	e := newEngine(f, circ, c.id, c.shares, proofs, xof)
	return &instance{e: e, id: c.id, name: c.name, config: c.bytes, shares: c.shares}
}

// Count counts the measurements that are true (Prio3Count).
func Count(opts ...Option) (*Prio3[bool, uint64], error) {
	c, err := newConfig(IDCount, "Prio3Count", []byte{}, opts)
	if err != nil {
		return nil, err
	}
	circ, err := newPointCircuit(field.Field64(), 1, nil)
	if err != nil {
		return nil, c.errorf("%w", err)
	}
	circ.linear = true
	circ.outLen = 1
	circ.decode = copyTo[field.F64]
	return &Prio3[bool, uint64]{
		Instance: finish(c, field.Field64(), circ, 1, turboShake),
		encode:   func(dst []uint8, m bool) error { dst[0] = bit(m); return nil },
		result:   single,
	}, nil
}

// Sum adds up integers from 0 to limit, which is 1 to 2^64-2^32 (Prio3Sum). The
// aggregate must stay below 2^64-2^32+1: it is computed modulo that number.
func Sum(limit uint64, opts ...Option) (*Prio3[uint64, uint64], error) {
	c, err := newConfig(IDSum, fmt.Sprintf("Prio3Sum(%d)", limit), binary.BigEndian.AppendUint64(nil, limit), opts)
	if err != nil {
		return nil, err
	}
	if limit < 1 || limit >= modulus64 {
		return nil, c.errorf("maximum %d is not in the range 1 to %d", limit, uint64(modulus64-1))
	}
	f := field.Field64()
	minusOne := f.Sub(0, 1)
	circ, err := newPointCircuit(f, bits.Len64(limit), []field.F64{0, minusOne, 1})
	if err != nil {
		return nil, c.errorf("%w", err)
	}
	w := weights(f, limit)
	circ.outLen = 1
	circ.decode = func(out, meas []field.F64) { decodeInts(f, out, meas, w) }
	return &Prio3[uint64, uint64]{
		Instance: finish(c, f, circ, 1, turboShake),
		encode:   func(dst []uint8, m uint64) error { return encodeInt(dst, m, limit) },
		result:   single,
	}, nil
}

// SumVec adds up vectors of length integers, each from 0 to limit
// (Prio3SumVec). A chunk of 0 is the best one, see [ChunkLength].
func SumVec(length int, limit uint64, chunk int, opts ...Option) (*Prio3[[]uint64, []uint64], error) {
	chunk = chunkOr(chunk, length, limit, 0)
	name := fmt.Sprintf("Prio3SumVec(%d x %d, chunk %d)", length, limit, chunk)
	c, err := newConfig(IDSumVec, name, vecConfig(length, limit, chunk), opts)
	if err != nil {
		return nil, err
	}
	circ, err := newVecCircuit(c, field.Field128(), length, limit, chunk, 0)
	if err != nil {
		return nil, err
	}
	return &Prio3[[]uint64, []uint64]{
		Instance: finish(c, field.Field128(), circ, 1, turboShake),
		encode:   vecEncoder(length, limit),
		result:   unsigned,
	}, nil
}

// SumVecMultiproof is SumVec over the smaller Field64 with several proofs, at
// least three (VDAF draft, section "Choosing FLP Parameters"), and with
// XofHmacSha256Aes128. It is not in the VDAF draft; Janus has it under a private
// identifier. Sums are modulo 2^64-2^32+1.
func SumVecMultiproof(length int, limit uint64, chunk, proofs int, opts ...Option) (*Prio3[[]uint64, []uint64], error) {
	return multiproof(IDSumVecMultiproof, hmacAES, length, limit, chunk, proofs, opts)
}

func multiproof(id uint32, xof xofKind, length int, limit uint64, chunk, proofs int, opts []Option) (*Prio3[[]uint64, []uint64], error) {
	chunk = chunkOr(chunk, length, limit, 0)
	name := fmt.Sprintf("Prio3SumVecMultiproof(%d x %d, chunk %d, %d proofs)", length, limit, chunk, proofs)
	c, err := newConfig(id, name, append(vecConfig(length, limit, chunk), byte(proofs)), opts)
	if err != nil {
		return nil, err
	}
	if proofs < 3 || proofs > 255 {
		return nil, c.errorf("%d proofs over Field64 are not sound, want 3 to 255", proofs)
	}
	if limit >= modulus64 {
		return nil, c.errorf("maximum %d is not below the modulus", limit)
	}
	circ, err := newVecCircuit(c, field.Field64(), length, limit, chunk, 0)
	if err != nil {
		return nil, err
	}
	return &Prio3[[]uint64, []uint64]{
		Instance: finish(c, field.Field64(), circ, proofs, xof),
		encode:   vecEncoder(length, limit),
		result:   unsigned,
	}, nil
}

// L1BoundSum adds up vectors of length integers, none negative, whose sum is at
// most limit (Prio3L1BoundSum).
func L1BoundSum(length int, limit uint64, chunk int, opts ...Option) (*Prio3[[]uint64, []uint64], error) {
	chunk = chunkOr(chunk, length, limit, 1)
	name := fmt.Sprintf("Prio3L1BoundSum(%d, %d, chunk %d)", length, limit, chunk)
	c, err := newConfig(IDL1BoundSum, name, vecConfig(length, limit, chunk), opts)
	if err != nil {
		return nil, err
	}
	f := field.Field128()
	circ, err := newVecCircuit(c, f, length, limit, chunk, 1)
	if err != nil {
		return nil, err
	}
	w := weights(f, limit)
	circ.sum = func(meas []field.F128) field.F128 {
		return f.Sub(weightedSum(f, meas[:length*len(w)], w), f.Dot(meas[length*len(w):], w))
	}
	encodeVec := vecEncoder(length, limit)
	return &Prio3[[]uint64, []uint64]{
		Instance: finish(c, f, circ, 1, turboShake),
		encode: func(dst []uint8, m []uint64) error {
			n := length * len(w)
			if err := encodeVec(dst[:n], m); err != nil {
				return err
			}
			norm, err := l1Norm(m, limit)
			if err != nil {
				return err
			}
			return encodeInt(dst[n:], norm, limit)
		},
		result: unsigned,
	}, nil
}

// Histogram counts measurements by bucket, 0 to length-1 (Prio3Histogram).
func Histogram(length, chunk int, opts ...Option) (*Prio3[int, []uint64], error) {
	chunk = chunkOr(chunk, length, 1, 0)
	b := binary.BigEndian.AppendUint32(nil, uint32(length))
	b = binary.BigEndian.AppendUint32(b, uint32(chunk))
	c, err := newConfig(IDHistogram, fmt.Sprintf("Prio3Histogram(%d, chunk %d)", length, chunk), b, opts)
	if err != nil {
		return nil, err
	}
	f := field.Field128()
	circ, err := newVecCircuit(c, f, length, 1, chunk, 0)
	if err != nil {
		return nil, err
	}
	circ.sum = func(meas []field.F128) field.F128 { return f.Sub(f.Sum(meas), circ.sharesInv) }
	return &Prio3[int, []uint64]{
		Instance: finish(c, f, circ, 1, turboShake),
		encode: func(dst []uint8, m int) error {
			if m < 0 || m >= length {
				return fmt.Errorf("bucket %d of %d", m, length)
			}
			for i := range dst {
				dst[i] = equal(uint64(i), uint64(m))
			}
			return nil
		},
		result: unsigned,
	}, nil
}

// MultihotCountVec counts, for each of length positions, the measurements that
// are true there; a measurement is true at no more than limit positions
// (Prio3MultihotCountVec).
func MultihotCountVec(length int, limit uint64, chunk int, opts ...Option) (*Prio3[[]bool, []uint64], error) {
	chunk = chunkOr(chunk, length+bits.Len64(limit), 1, 0)
	b := binary.BigEndian.AppendUint32(nil, uint32(length))
	b = binary.BigEndian.AppendUint32(b, uint32(chunk))
	b = binary.BigEndian.AppendUint64(b, limit)
	c, err := newConfig(IDMultihotCountVec, fmt.Sprintf("Prio3MultihotCountVec(%d, %d, chunk %d)", length, limit, chunk), b, opts)
	if err != nil {
		return nil, err
	}
	if length < 1 || length > maxElements || limit < 1 || limit > uint64(length) {
		return nil, c.errorf("maximum weight %d is not in the range 1 to the length %d", limit, length)
	}
	f := field.Field128()
	circ, err := newVecCircuit(c, f, length+bits.Len64(limit), 1, chunk, 0)
	if err != nil {
		return nil, err
	}
	w := weights(f, limit)
	circ.outLen = length
	circ.decode = copyTo[field.F128]
	circ.sum = func(meas []field.F128) field.F128 {
		return f.Sub(f.Sum(meas[:length]), f.Dot(meas[length:], w))
	}
	return &Prio3[[]bool, []uint64]{
		Instance: finish(c, f, circ, 1, turboShake),
		encode: func(dst []uint8, m []bool) error {
			if len(m) != length {
				return fmt.Errorf("measurement of length %d, want %d", len(m), length)
			}
			weight := uint64(0)
			for i, b := range m {
				dst[i] = bit(b)
				weight += uint64(dst[i])
			}
			return encodeInt(dst[length:], weight, limit)
		},
		result: unsigned,
	}, nil
}

// newVecCircuit is the range check of length+extra integers from 0 to limit, of
// which length are aggregated.
func newVecCircuit[E field.Elem](c config, f field.Field[E], length int, limit uint64, chunk, extra int) (*rangeCircuit[E], error) {
	if length < 1 || length > maxElements {
		return nil, c.errorf("length %d is not in the range 1 to %d", length, maxElements)
	}
	if limit < 1 {
		return nil, c.errorf("maximum 0 leaves nothing to measure")
	}
	n := (length + extra) * bits.Len64(limit)
	if n > maxElements {
		return nil, c.errorf("measurement of %d elements, at most %d are possible", n, maxElements)
	}
	if chunk < 1 || chunk > maxProof/2 {
		return nil, c.errorf("chunk length %d is not in the range 1 to %d", chunk, maxProof/2)
	}
	if p := nextPowerOfTwo(1 + (n+chunk-1)/chunk); 2*chunk+2*p > maxProof {
		return nil, c.errorf("chunk length %d makes a proof of %d elements, at most %d are possible", chunk, 2*chunk+2*p-1, maxProof)
	}
	circ, err := newRangeCircuit(f, n, chunk, c.shares)
	if err != nil {
		return nil, c.errorf("%w", err)
	}
	w := weights(f, limit)
	circ.outLen = length
	circ.decode = func(out, meas []E) { decodeInts(f, out, meas, w) }
	return circ, nil
}

// weightedSum is the sum of the integers that meas encodes.
func weightedSum[E field.Elem](f field.Field[E], meas, weights []E) E {
	sum := f.FromUint64(0)
	for ; len(meas) > 0; meas = meas[len(weights):] {
		sum = f.Add(sum, f.Dot(meas[:len(weights)], weights))
	}
	return sum
}

func vecEncoder(length int, limit uint64) func(dst []uint8, m []uint64) error {
	n := bits.Len64(limit)
	return func(dst []uint8, m []uint64) error {
		if len(m) != length {
			return fmt.Errorf("measurement of length %d, want %d", len(m), length)
		}
		for i, v := range m {
			if err := encodeInt(dst[i*n:][:n], v, limit); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
		return nil
	}
}

func l1Norm(m []uint64, limit uint64) (uint64, error) {
	var norm, over uint64
	for _, v := range m {
		var c uint64
		norm, c = bits.Add64(norm, v, 0)
		over |= c
	}
	if over != 0 || norm > limit {
		return 0, fmt.Errorf("sum of the elements is above the maximum %d", limit)
	}
	return norm, nil
}

func chunkOr(chunk, length int, limit uint64, extra int) int {
	if chunk != 0 || length < 1 || length > maxElements {
		return chunk
	}
	return ChunkLength((length + extra) * max(bits.Len64(limit), 1))
}

func vecConfig(length int, limit uint64, chunk int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(length))
	b = binary.BigEndian.AppendUint64(b, limit)
	return binary.BigEndian.AppendUint32(b, uint32(chunk))
}

func copyTo[E field.Elem](out, meas []E) { copy(out, meas[:len(out)]) }

// bit and equal return 1 for true, without a branch on a measurement.
func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

func equal(a, b uint64) uint8 {
	x := a ^ b
	return uint8((x - 1) &^ x >> 63)
}
