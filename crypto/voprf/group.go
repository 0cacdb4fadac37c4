package voprf

import (
	"bytes"
	"crypto"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/zk/dleq"
)

// This is the only file that uses circl: the group and the proofs of equality of
// logarithms.

// suite is ristretto255-SHA512 in mode 1 (RFC 9497, section 4.1): contextString.
const suite = "OPRFV1-\x01-ristretto255-SHA512"

// Sizes of encodings in bytes.
const (
	elementSize = 32
	scalarSize  = 32
	proofSize   = 2 * scalarSize
)

// curve is ristretto255 (RFC 9496), constant time in scalars and points.
var curve = group.Ristretto255

// proofs are the parameters of GenerateProof and VerifyProof (RFC 9497, section
// 2.2).
var proofs = dleq.Params{G: curve, H: crypto.SHA512, DST: []byte(suite)}

// A scalar is an integer modulo the group's order.
type scalar = group.Scalar

// A dleqProof is a proof that logarithms are equal.
type dleqProof = dleq.Proof

// A point is an element that is not the identity, with its encoding.
type point struct {
	e   group.Element
	enc [elementSize]byte
}

func newPoint(e group.Element) (*point, error) {
	if e.IsIdentity() {
		return nil, errors.New("is the identity")
	}
	b, err := e.MarshalBinaryCompress()
	if err != nil {
		return nil, fmt.Errorf("has no encoding: %w", err)
	}
	return &point{e, [elementSize]byte(b)}, nil
}

// decodePoint reads the canonical encoding of a point.
func decodePoint(b []byte) (*point, error) {
	e := curve.NewElement()
	if err := e.UnmarshalBinary(b); err != nil {
		return nil, errors.New("not an element of ristretto255")
	}
	p, err := newPoint(e)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(p.enc[:], b) {
		return nil, errors.New("not the canonical encoding")
	}
	return p, nil
}

// hashToPoint is HashToGroup of the suite.
func hashToPoint(input []byte) (*point, error) {
	return newPoint(curve.HashToElement(input, []byte("HashToGroup-"+suite)))
}

// times returns s*p in constant time.
func (p *point) times(s scalar) (*point, error) {
	return newPoint(curve.NewElement().Mul(p.e, s))
}

// decodeScalar reads a canonical scalar that is not zero.
func decodeScalar(b []byte) (scalar, error) {
	s := curve.NewScalar()
	if err := s.UnmarshalBinary(b); err != nil {
		return nil, errors.New("not below the group's order")
	}
	if s.IsZero() {
		return nil, errors.New("is zero")
	}
	return s, nil
}

// encodeScalar returns the encoding, which cannot fail for ristretto255.
func encodeScalar(s scalar) []byte {
	b, err := s.MarshalBinary()
	if err != nil {
		panic("voprf: a scalar has no encoding: " + err.Error())
	}
	return b
}

// drawTries bounds the rejections of randomScalar: each draw is refused with a
// probability of 1/2, all of them with 2^-256.
const drawTries = 256

// randomScalar draws a uniform scalar that is not zero: 32 bytes, of which the
// three highest bits are cleared, until they are below the order (RFC 9497,
// section 4.7.1). What is refused says nothing about what is kept.
func randomScalar(rand io.Reader) (scalar, error) {
	for range drawTries {
		var b [scalarSize]byte
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return nil, fmt.Errorf("voprf: reading randomness: %w", err)
		}
		b[scalarSize-1] &= 0x1f
		if s, err := decodeScalar(b[:]); err == nil {
			return s, nil
		}
	}
	return nil, errors.New("voprf: the source of randomness is stuck")
}

// prove returns one proof that all of evaluated are k times those of blinded.
func prove(rand io.Reader, k scalar, public *point, blinded, evaluated []*point) ([]byte, error) {
	r, err := randomScalar(rand)
	if err != nil {
		return nil, err
	}
	p, err := dleq.Prover{Params: proofs}.ProveBatchWithRandomnessRFC9497(k, public.e, elements(blinded), elements(evaluated), r)
	if err != nil {
		return nil, fmt.Errorf("voprf: proving: %w", err)
	}
	b, err := p.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("voprf: encoding the proof: %w", err)
	}
	return b, nil
}

// decodeProof reads a proof: challenge and response, canonical.
func decodeProof(b []byte) (*dleqProof, error) {
	p := new(dleqProof)
	if err := p.UnmarshalBinary(curve, b); err != nil {
		return nil, errors.New("not two scalars below the group's order")
	}
	return p, nil
}

// verify checks a proof.
func verify(proof *dleqProof, public *point, blinded, evaluated []*point) bool {
	return dleq.Verifier{Params: proofs}.VerifyBatchRFC9497(public.e, elements(blinded), elements(evaluated), proof)
}

func elements(points []*point) []group.Element {
	out := make([]group.Element, len(points))
	for i, p := range points {
		out[i] = p.e
	}
	return out
}

// finalize is the hash at the end of Finalize and Evaluate (RFC 9497, section
// 3.3.1).
func finalize(input []byte, unblinded *point) []byte {
	h := sha512.New()
	h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(input))))
	h.Write(input)
	h.Write(binary.BigEndian.AppendUint16(nil, elementSize))
	h.Write(unblinded.enc[:])
	h.Write([]byte("Finalize"))
	return h.Sum(nil)
}

// hashToScalar is HashToScalar of the suite with a domain separation tag.
func hashToScalar(input []byte, dst string) scalar { return curve.HashToScalar(input, []byte(dst)) }

// basePoint returns s times the generator in constant time.
func basePoint(s scalar) (*point, error) { return newPoint(curve.NewElement().MulGen(s)) }

// invert returns 1/s in constant time.
func invert(s scalar) scalar { return curve.NewScalar().Inv(s) }
