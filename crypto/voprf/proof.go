package voprf

import (
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"io"

	"filippo.io/edwards25519"
)

// A proof shows that evaluated elements are one multiple of blinded ones, and
// the public key the same multiple of the generator (RFC 9497, section 2.2).
type proof struct{ c, s *scalar }

// decodeProof reads a proof: challenge and response, canonical.
func decodeProof(b []byte) (*proof, error) {
	c, err := decodeScalar(b[:scalarSize])
	if err != nil {
		return nil, fmt.Errorf("challenge %w", err)
	}
	s, err := decodeScalar(b[scalarSize:])
	if err != nil {
		return nil, fmt.Errorf("response %w", err)
	}
	return &proof{c, s}, nil
}

func (p *proof) append(b []byte) []byte { return append(append(b, p.c.Bytes()...), p.s.Bytes()...) }

// prove is GenerateProof for a whole batch, in constant time in k.
func prove(rand io.Reader, k *scalar, public *point, blinded, evaluated []*point) (*proof, error) {
	r, err := randomScalar(rand)
	if err != nil {
		return nil, err
	}
	// ComputeCompositesFast: the second composite is a multiple of the first.
	weights := weigh(public, blinded, evaluated)
	m := sumVarTime(weights, blinded)
	z := new(edwards25519.Point).ScalarMult(k, m)
	t2 := new(edwards25519.Point).ScalarBaseMult(r)
	t3 := new(edwards25519.Point).ScalarMult(r, m)
	c := challenge(public, m, z, t2, t3)
	s := new(scalar).Subtract(r, new(scalar).Multiply(c, k))
	return &proof{c, s}, nil
}

// verify is VerifyProof for a whole batch, in variable time: all of it is public.
func (p *proof) verify(public *point, blinded, evaluated []*point) bool {
	weights := weigh(public, blinded, evaluated)
	m, z := sumVarTime(weights, blinded), sumVarTime(weights, evaluated)
	t2 := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(p.c, public.p, p.s)
	t3 := new(edwards25519.Point).VarTimeMultiScalarMult([]*scalar{p.s, p.c}, []*edwards25519.Point{m, z})
	return challenge(public, m, z, t2, t3).Equal(p.c) == 1
}

// weigh returns the coefficients of ComputeComposites, which are public.
func weigh(public *point, blinded, evaluated []*point) []*scalar {
	seed := sha512.Sum512(appendSized(appendSized(nil, public.enc[:]), []byte("Seed-"+suite)))
	out := make([]*scalar, len(blinded))
	for i := range out {
		b := binary.BigEndian.AppendUint16(appendSized(nil, seed[:]), uint16(i))
		b = appendSized(appendSized(b, blinded[i].enc[:]), evaluated[i].enc[:])
		out[i] = hashToScalar(append(b, "Composite"...), "HashToScalar-"+suite)
	}
	return out
}

// sumVarTime returns the sum of the products of public scalars and points.
func sumVarTime(scalars []*scalar, points []*point) *edwards25519.Point {
	list := make([]*edwards25519.Point, len(points))
	for i, p := range points {
		list[i] = p.p
	}
	return new(edwards25519.Point).VarTimeMultiScalarMult(scalars, list)
}

// challenge hashes the public key and the four points of a proof.
func challenge(public *point, points ...*edwards25519.Point) *scalar {
	b := appendSized(nil, public.enc[:])
	for _, p := range points {
		enc := encodeRistretto(p)
		b = appendSized(b, enc[:])
	}
	return hashToScalar(append(b, "Challenge"...), "HashToScalar-"+suite)
}
