package voprf

import (
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"filippo.io/edwards25519"

	"github.com/shoal-project/shoal/crypto/xmd"
)

// suite is ristretto255-SHA512 in mode 1 (RFC 9497, section 4.1): contextString.
const suite = "OPRFV1-\x01-ristretto255-SHA512"

// Sizes of encodings in bytes.
const (
	elementSize = 32
	scalarSize  = 32
	proofSize   = 2 * scalarSize
)

// A scalar is an integer modulo the group's order.
type scalar = edwards25519.Scalar

// A point is an element of the group with its encoding.
type point struct {
	p   *edwards25519.Point
	enc [elementSize]byte
}

// newPoint refuses the identity, whose encoding is zeros.
func newPoint(p *edwards25519.Point) (*point, error) {
	q := &point{p, encodeRistretto(p)}
	if q.enc == ([elementSize]byte{}) {
		return nil, errors.New("is the identity")
	}
	return q, nil
}

// decodePoint reads the canonical encoding of a point.
func decodePoint(b []byte) (*point, error) {
	p, err := decodeRistretto(b)
	if err != nil {
		return nil, err
	}
	q := &point{p, [elementSize]byte(b)}
	if q.enc == ([elementSize]byte{}) {
		return nil, errors.New("is the identity")
	}
	return q, nil
}

// hashToPoint is HashToGroup of the suite.
func hashToPoint(input []byte) (*point, error) {
	uniform := [64]byte(xmd.Expand(sha512.New, input, "HashToGroup-"+suite, 64))
	p, err := uniformRistretto(&uniform)
	if err != nil {
		return nil, fmt.Errorf("is no point: %w", err)
	}
	return newPoint(p)
}

// times returns s*p in constant time.
func (p *point) times(s *scalar) (*point, error) {
	return newPoint(new(edwards25519.Point).ScalarMult(s, p.p))
}

// basePoint returns s times the generator in constant time.
func basePoint(s *scalar) (*point, error) {
	return newPoint(new(edwards25519.Point).ScalarBaseMult(s))
}

// isZero reports whether s is zero, in constant time.
func isZero(s *scalar) bool { return s.Equal(new(scalar)) == 1 }

// decodeScalar reads a canonical scalar.
func decodeScalar(b []byte) (*scalar, error) {
	s, err := new(scalar).SetCanonicalBytes(b)
	if err != nil {
		return nil, errors.New("not below the group's order")
	}
	return s, nil
}

// decodeNonZero reads a canonical scalar that is not zero.
func decodeNonZero(b []byte) (*scalar, error) {
	s, err := decodeScalar(b)
	if err == nil && isZero(s) {
		err = errors.New("is zero")
	}
	return s, err
}

// uniformScalar reduces 64 bytes.
func uniformScalar(b *[64]byte) *scalar {
	s, err := new(scalar).SetUniformBytes(b[:])
	if err != nil {
		panic("voprf: edwards25519 refused 64 bytes: " + err.Error())
	}
	return s
}

// randomScalar draws a uniform scalar that is not zero: 64 bytes, reduced. Zero
// comes with probability 2^-252, or from a source that is stuck.
func randomScalar(rand io.Reader) (*scalar, error) {
	var b [64]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return nil, fmt.Errorf("voprf: reading randomness: %w", err)
	}
	s := uniformScalar(&b)
	if isZero(s) {
		return nil, errors.New("voprf: the source of randomness returns zeros")
	}
	return s, nil
}

// hashToScalar is HashToScalar of the suite with a domain separation tag.
func hashToScalar(input []byte, dst string) *scalar {
	uniform := [64]byte(xmd.Expand(sha512.New, input, dst, 64))
	return uniformScalar(&uniform)
}

// invertAll returns the inverses of scalars that are not zero, with one inversion
// for all of them, in constant time.
func invertAll(scalars []*scalar) []*scalar {
	before := make([]*scalar, len(scalars)) // products of those before
	product := one()
	for i, s := range scalars {
		before[i] = product
		product = new(scalar).Multiply(product, s)
	}
	inverse := new(scalar).Invert(product)
	out := make([]*scalar, len(scalars))
	for i := len(scalars) - 1; i >= 0; i-- {
		out[i] = new(scalar).Multiply(inverse, before[i])
		inverse = new(scalar).Multiply(inverse, scalars[i])
	}
	return out
}

func one() *scalar {
	var b [64]byte
	b[0] = 1
	return uniformScalar(&b)
}

// appendSized appends b after its length in 2 bytes.
func appendSized(to, b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(to, uint16(len(b))), b...)
}

// finalize is the hash at the end of Finalize and Evaluate (RFC 9497, section
// 3.3.1).
func finalize(input []byte, unblinded *point) []byte {
	b := appendSized(appendSized(nil, input), unblinded.enc[:])
	sum := sha512.Sum512(append(b, "Finalize"...))
	return sum[:]
}
