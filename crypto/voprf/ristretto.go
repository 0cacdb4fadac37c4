package voprf

import (
	"bytes"
	"encoding/hex"
	"errors"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
)

// This file has ristretto255 (RFC 9496, section 4) over the points of
// filippo.io/edwards25519. Everything in it runs in constant time, except for
// whether an encoding is valid.

// ristrettoConstants are those of RFC 9496, section 4.1, little-endian.
var ristrettoConstants = struct {
	one, d, sqrtM1, sqrtADMinusOne, invSqrtAMinusD, oneMinusDSquared, dMinusOneSquared *field.Element
}{
	one:              new(field.Element).One(),
	d:                constant("a3785913ca4deb75abd841414d0a700098e879777940c78c73fe6f2bee6c0352"),
	sqrtM1:           constant("b0a00e4a271beec478e42fad0618432fa7d7fb3d99004d2b0bdfc14f8024832b"),
	sqrtADMinusOne:   constant("1b2e7b49a0f6977ebd54781b0c8e9daffdd1f531c9fc3c0fac48832bbf316937"),
	invSqrtAMinusD:   constant("ea405d80aafdc899be72415a17162f9d40d801fe917bc216a2fcafcf05896c78"),
	oneMinusDSquared: constant("76c15f94c1097ce20f355ecd38a1812ce4df70beddab9499d7e0b3b2a8729002"),
	dMinusOneSquared: constant("204ded44aa5aad3199191eb02c4a9ed2eb4e9b522fd3dc4c41226cf67ab36859"),
}

func constant(text string) *field.Element {
	b, err := hex.DecodeString(text)
	if err != nil {
		panic("voprf: malformed constant: " + err.Error())
	}
	e, err := new(field.Element).SetBytes(b)
	if err != nil {
		panic("voprf: malformed constant: " + err.Error())
	}
	return e
}

// Shorthands for new results.
func add(a, b *field.Element) *field.Element         { return new(field.Element).Add(a, b) }
func sub(a, b *field.Element) *field.Element         { return new(field.Element).Subtract(a, b) }
func mul(a, b *field.Element) *field.Element         { return new(field.Element).Multiply(a, b) }
func square(a *field.Element) *field.Element         { return new(field.Element).Square(a) }
func negate(a *field.Element) *field.Element         { return new(field.Element).Negate(a) }
func absolute(a *field.Element) *field.Element       { return new(field.Element).Absolute(a) }
func pick(c int, a, b *field.Element) *field.Element { return new(field.Element).Select(a, b, c) }

// decodeRistretto is Decode of RFC 9496, section 4.3.1. It also decodes the
// identity.
func decodeRistretto(b []byte) (*edwards25519.Point, error) {
	errInvalid := errors.New("not an element of ristretto255")
	s, err := new(field.Element).SetBytes(b)
	if err != nil || !bytes.Equal(s.Bytes(), b) || s.IsNegative() == 1 {
		return nil, errInvalid
	}
	k := &ristrettoConstants
	ss := square(s)
	u1, u2 := sub(k.one, ss), add(k.one, ss)
	u2Squared := square(u2)
	v := sub(negate(mul(k.d, square(u1))), u2Squared)
	root, wasSquare := new(field.Element).SqrtRatio(k.one, mul(v, u2Squared))
	denX := mul(root, u2)
	denY := mul(mul(root, denX), v)
	x := absolute(mul(add(s, s), denX))
	y := mul(u1, denY)
	t := mul(x, y)
	if wasSquare == 0 || t.IsNegative() == 1 || y.Equal(new(field.Element)) == 1 {
		return nil, errInvalid
	}
	p, err := new(edwards25519.Point).SetExtendedCoordinates(x, y, k.one, t)
	if err != nil {
		return nil, errInvalid
	}
	return p, nil
}

// encodeRistretto is Encode of RFC 9496, section 4.3.2.
func encodeRistretto(p *edwards25519.Point) [elementSize]byte {
	k := &ristrettoConstants
	x0, y0, z0, t0 := p.ExtendedCoordinates()
	u1 := mul(add(z0, y0), sub(z0, y0))
	u2 := mul(x0, y0)
	root, _ := new(field.Element).SqrtRatio(k.one, mul(u1, square(u2))) // always a square
	den1, den2 := mul(root, u1), mul(root, u2)
	zInverse := mul(mul(den1, den2), t0)
	rotate := mul(t0, zInverse).IsNegative()
	x := pick(rotate, mul(y0, k.sqrtM1), x0)
	y := pick(rotate, mul(x0, k.sqrtM1), y0)
	den := pick(rotate, mul(den1, k.invSqrtAMinusD), den2)
	y = pick(mul(x, zInverse).IsNegative(), negate(y), y)
	return [elementSize]byte(absolute(mul(den, sub(z0, y))).Bytes())
}

// mapToRistretto is MAP of RFC 9496, section 4.3.4.
func mapToRistretto(b []byte) (*edwards25519.Point, error) {
	t, err := new(field.Element).SetBytes(b) // the top bit is ignored, as MAP demands
	if err != nil {
		return nil, err
	}
	k := &ristrettoConstants
	r := mul(k.sqrtM1, square(t))
	u := mul(add(r, k.one), k.oneMinusDSquared)
	minusOne := negate(k.one)
	v := mul(sub(minusOne, mul(r, k.d)), add(r, k.d))
	s, wasSquare := new(field.Element).SqrtRatio(u, v)
	s = pick(wasSquare, s, negate(absolute(mul(s, t))))
	c := pick(wasSquare, minusOne, r)
	n := sub(mul(mul(c, sub(r, k.one)), k.dMinusOneSquared), v)
	ss := square(s)
	w0 := mul(add(s, s), v)
	w1 := mul(n, k.sqrtADMinusOne)
	w2, w3 := sub(k.one, ss), add(k.one, ss)
	return new(edwards25519.Point).SetExtendedCoordinates(mul(w0, w3), mul(w2, w1), mul(w1, w3), mul(w0, w2))
}

// uniformRistretto is the one-way map of RFC 9496, section 4.3.4, for 64 bytes.
func uniformRistretto(b *[64]byte) (*edwards25519.Point, error) {
	p, err := mapToRistretto(b[:32])
	if err != nil {
		return nil, err
	}
	q, err := mapToRistretto(b[32:])
	if err != nil {
		return nil, err
	}
	return p.Add(p, q), nil
}
