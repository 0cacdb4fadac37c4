package blind

import (
	"crypto/sha512"

	"filippo.io/edwards25519/field"

	"github.com/shoal-project/shoal/crypto/xmd"
)

// HashToCurve returns the u-coordinate of a point of Curve25519 that a message is
// mapped to: encode_to_curve of the suite curve25519_XMD:SHA-512_ELL2_NU_ of RFC
// 9380, section 8.5. The domain is the domain separation tag of section 3.1; it must
// name the application and its version.
//
// The point is in the subgroup of prime order. Its distribution is not uniform
// (about half of the points are reached), which the argument of the package does
// not need.
func HashToCurve(domain string, message []byte) [Size]byte {
	x, z := mapToCurve(hashToField(domain, message))
	for range 3 { // clear_cofactor, RFC 9380, section 7
		x, z = double(x, z)
	}
	return divide(x, z)
}

// hashToField is hash_to_field of RFC 9380, section 5.2, for one element.
func hashToField(domain string, message []byte) *field.Element {
	const length = 48 // L of the suite
	uniform := xmd.Expand(sha512.New, message, domain, length)
	var wide [64]byte // little-endian
	for i, b := range uniform {
		wide[length-1-i] = b
	}
	u, err := new(field.Element).SetWideBytes(wide[:])
	if err != nil {
		panic("blind: 64 bytes are not 64 bytes")
	}
	return u
}

// coefficient is J of the curve: v^2 = u^3 + J u^2 + u.
func coefficient() *field.Element {
	return new(field.Element).Mult32(new(field.Element).One(), 486662)
}

// mapToCurve is map_to_curve_elligator2 of RFC 9380, section 6.7.1, with Z = 2 and
// K = 1, without the v-coordinate: the fraction x/z. z is not 0, because -1/2 is not
// a square.
func mapToCurve(u *field.Element) (x, z *field.Element) {
	j := coefficient()
	x1 := new(field.Element).Negate(j)
	z = new(field.Element).Square(u)
	z.Add(z, z)
	z.Add(z, new(field.Element).One())

	x2 := new(field.Element).Multiply(j, z) // -x1 - J z
	x2.Add(x2, x1)
	x2.Negate(x2)

	// v^2 of x1/z is g / z^3 with g = x1 (x1^2 + J x1 z + z^2): a square where g/z is.
	g := quadratic(x1, z)
	g.Multiply(g, x1)
	_, square := new(field.Element).SqrtRatio(g, z)
	return new(field.Element).Select(x1, x2, square), z
}

// quadratic returns x^2 + J x z + z^2.
func quadratic(x, z *field.Element) *field.Element {
	xz := new(field.Element).Multiply(x, z)
	xz.Mult32(xz, 486662)
	sum := new(field.Element).Square(x)
	sum.Add(sum, new(field.Element).Square(z))
	return sum.Add(sum, xz)
}

// double returns the u-coordinate of twice a point, as a fraction (RFC 7748,
// section 5; affine: (u^2-1)^2 / (4u (u^2 + J u + 1))).
func double(x, z *field.Element) (x2, z2 *field.Element) {
	z2 = quadratic(x, z)
	z2.Multiply(z2, new(field.Element).Multiply(x, z))
	z2.Mult32(z2, 4)
	x2 = new(field.Element).Square(x)
	x2.Subtract(x2, new(field.Element).Square(z))
	return x2.Square(x2), z2
}

// divide returns the encoding of x/z, 0 where z is 0.
func divide(x, z *field.Element) [Size]byte {
	inverse := new(field.Element).Invert(z)
	return [Size]byte(inverse.Multiply(inverse, x).Bytes())
}
