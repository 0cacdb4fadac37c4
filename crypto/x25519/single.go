package x25519

import (
	"filippo.io/edwards25519"
	"github.com/cloudflare/circl/dh/x25519"
)

// Public returns the public key of a private key that need not be clamped: its
// product with the base point, by a table of multiples of that point, in a fraction
// of the time of a ladder.
func Public(private *[Size]byte) [Size]byte {
	var s edwards25519.Scalar
	if _, err := s.SetBytesWithClamping(private[:]); err != nil {
		panic("x25519: 32 bytes are not 32 bytes")
	}
	return [Size]byte(new(edwards25519.Point).ScalarBaseMult(&s).BytesMontgomery())
}

// basePoint returns the u coordinate of the base point (RFC 7748, section 4.1).
func basePoint() [Size]byte { return [Size]byte{9} }

// Multiply returns the product of one private key, which need not be clamped, and one
// point, by one ladder: for private keys that are used once. [NewScalar] costs another
// one.
func Multiply(private, point *[Size]byte) Shared {
	var s Shared
	s.ok = x25519.Shared((*x25519.Key)(&s.secret), (*x25519.Key)(private), (*x25519.Key)(point))
	if !s.ok {
		s.secret = [Size]byte{}
	}
	return s
}
