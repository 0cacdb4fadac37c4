package arc

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"filippo.io/nistec"

	"github.com/shoal-project/shoal/crypto/xmd"
)

// This file has hash_to_curve of RFC 9380 with the suite
// P256_XMD:SHA-256_SSWU_RO_, and hash_to_field for scalars. It runs in constant
// time in the message, its length aside: a crowd or a quorum tag is part of a
// client's contexts.

// hashToScalar is HashToScalar of the draft (section on ARC(P-256)).
func hashToScalar(msg []byte, suite, info string) residue {
	wide := [wideSize]byte(xmd.Expand(sha256.New, msg, "HashToScalar-"+suite+info, wideSize))
	return order.reduce(&wide)
}

// hashToGroup is HashToGroup of the draft: a point of unknown discrete logarithm.
func hashToGroup(msg []byte, suite, info string) (*nistec.P256Point, error) {
	return hashToCurve(msg, "HashToGroup-"+suite+info)
}

// hashToCurve is hash_to_curve with a domain separation tag.
func hashToCurve(msg []byte, dst string) (*nistec.P256Point, error) {
	wide := xmd.Expand(sha256.New, msg, dst, 2*wideSize)
	first, second := [wideSize]byte(wide[:wideSize]), [wideSize]byte(wide[wideSize:])
	a, b := mapToCurve(prime.reduce(&first)), mapToCurve(prime.reduce(&second))
	// One inversion serves both denominators.
	inv := prime.inverse(prime.mul(a.den, b.den))
	p, err := a.point(prime.mul(inv, b.den))
	if err != nil {
		return nil, err
	}
	q, err := b.point(prime.mul(inv, a.den))
	if err != nil {
		return nil, err
	}
	sum := nistec.NewP256Point().Add(p, q)
	if sum.IsInfinity() == 1 {
		return nil, errors.New("arc: the message hashes to the identity")
	}
	return sum, nil
}

// A fraction is a point of the curve with the x coordinate num/den.
type fraction struct{ num, den, y residue }

func (f *fraction) point(inverse residue) (*nistec.P256Point, error) {
	x := prime.mul(f.num, inverse)
	b := append(append([]byte{4}, x[:]...), f.y[:]...)
	p, err := nistec.NewP256Point().SetBytes(b)
	if err != nil {
		return nil, fmt.Errorf("arc: the map to the curve gives no point: %w", err)
	}
	return p, nil
}

// swuConstants are those of the simplified SWU map for P-256 (RFC 9380, 8.2):
// the curve's coefficients, Z = -10, c1 = (p-3)/4, and c2 = sqrt(-Z).
var swuConstants = struct {
	a, b, z, c2 residue
	c1          []byte
}{
	a:  residue(fromHex("ffffffff00000001000000000000000000000000fffffffffffffffffffffffc")),
	b:  residue(fromHex("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b")),
	z:  residue(fromHex("ffffffff00000001000000000000000000000000fffffffffffffffffffffff5")),
	c2: residue(fromHex("da538e3be1d89b99c978fc675180aab27b8d1ff84c55d5b62ccd3427e433c47f")),
	c1: fromHex("3fffffffc00000004000000000000000000000003fffffffffffffffffffffff"),
}

// mapToCurve is the simplified Shallue-van de Woestijne-Ulas map in straight-line
// form (RFC 9380, appendix F.2), the division left to the caller.
func mapToCurve(u residue) fraction {
	k := &swuConstants
	zu2 := prime.mul(k.z, prime.mul(u, u))
	t := prime.add(prime.mul(zu2, zu2), zu2)
	num := prime.mul(k.b, prime.add(t, small(1)))
	den := prime.mul(k.a, choose(t.isZero(), k.z, prime.neg(t)))
	// g(num/den) = gn/gd, of which a root or the root of its Z-fold is taken.
	den2 := prime.mul(den, den)
	gd := prime.mul(den2, den)
	gn := prime.mul(prime.add(prime.mul(num, num), prime.mul(k.a, den2)), num)
	gn = prime.add(gn, prime.mul(k.b, gd))
	square, root := squareRootOfRatio(gn, gd)
	x := choose(square, num, prime.mul(zu2, num))
	y := choose(square, root, prime.mul(prime.mul(zu2, u), root))
	sameSign := 1 ^ int(u[scalarSize-1]&1^y[scalarSize-1]&1)
	return fraction{x, den, choose(sameSign, y, prime.neg(y))}
}

// squareRootOfRatio is sqrt_ratio for p = 3 mod 4 (RFC 9380, appendix F.2.1.2):
// the root of u/v and 1 if there is one, else that of Z*u/v and 0.
func squareRootOfRatio(u, v residue) (int, residue) {
	uv := prime.mul(u, v)
	root := prime.mul(prime.exp(prime.mul(prime.mul(v, v), uv), swuConstants.c1), uv)
	check := prime.mul(prime.mul(root, root), v)
	square := check.equal(&u)
	return square, choose(square, root, prime.mul(root, swuConstants.c2))
}
