// Package x25519 multiplies many points by one scalar: the function X25519 of
// RFC 7748, section 5, for a server that holds one private key and meets many
// ephemeral public keys.
//
// On amd64 several points are multiplied at once, each in its lane of the vector
// registers, and one inversion serves up to 64 points: eight lanes with
// AVX512-IFMA, four with AVX2 and FMA. Without them, or with the build tag purego,
// each point goes through crypto/ecdh. The results are the same to the bit.
// GODEBUG=cpu.avx512f=off leaves AVX2, and cpu.avx512f=off,cpu.avx2=off nothing.
//
// AVX2 multiplies integers of 32 bits only. The four lanes compute in double
// precision instead, whose fused multiply-add gives both halves of a product of
// 51 by 51 bits exactly: half as many instructions. The kernel sets the rounding
// mode that it needs, and avx2_amd64.s gives the bounds that make it exact.
//
// The scalar is used in constant time: neither branches nor addresses depend on
// it, on the points, or on a result, except that whether a result is all zero is
// revealed. Like crypto/ecdh, the package does not erase what is left of secrets in
// registers and on stacks.
//
// A point is any 32 bytes: RFC 7748 gives all of them a meaning, and so does
// this package. A result that is all zero, to which only the few points of small
// order lead, is reported as such (RFC 7748, section 6.1, and RFC 9180, section
// 7.1.4) and never handed out.
package x25519

import (
	"crypto/ecdh"
	"fmt"
	"io"
	"log/slog"
)

// Size is the length in bytes of scalars, points and shared secrets.
const Size = 32

// A Scalar is a private key, ready to multiply points by. It prints redacted.
// It is safe for use by several goroutines.
type Scalar struct {
	key    *ecdh.PrivateKey
	swaps  [1]swaps
	kernel kernel
}

// NewScalar returns the scalar of a private key of 32 bytes, which need not be
// clamped.
func NewScalar(private []byte) (*Scalar, error) {
	key, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("x25519: a private key of %d bytes, want %d", len(private), Size)
	}
	s := &Scalar{key: key, kernel: fastest()}
	for lane := range lanes {
		s.swaps[0].set(lane, [Size]byte(private))
	}
	return s, nil
}

// Multiply returns the product of the scalar and each of the points, in their
// order. It is at its best with whole multiples of eight points, and of 64.
func (s *Scalar) Multiply(points [][Size]byte) []Shared {
	shared := make([]Shared, len(points))
	if s.kernel == kernelNone {
		s.multiplyEach(shared, points)
		return shared
	}
	for rest := shared; len(points) > 0; {
		n := min(len(points), blockGroups*lanes)
		s.kernel.multiplyBlock(rest[:n], points[:n], s.swaps[:])
		rest, points = rest[n:], points[n:]
	}
	return shared
}

// multiplyEach is Multiply without vector instructions.
func (s *Scalar) multiplyEach(shared []Shared, points [][Size]byte) {
	for i := range points {
		public, err := ecdh.X25519().NewPublicKey(points[i][:])
		if err != nil {
			continue // not reached: the length is right
		}
		secret, err := s.key.ECDH(public)
		if err != nil {
			continue // all zero
		}
		shared[i] = Shared{secret: [Size]byte(secret), ok: true}
	}
}

// String reveals nothing about the scalar.
func (s *Scalar) String() string { return "X25519 scalar (redacted)" }

// Format writes what [Scalar.String] returns, whatever the verb.
func (s *Scalar) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue returns what [Scalar.String] returns.
func (s *Scalar) LogValue() slog.Value { return slog.StringValue(s.String()) }

// A Shared is the result for one point: a shared secret, or none. The zero Shared
// has no secret. It prints redacted.
type Shared struct {
	secret [Size]byte
	ok     bool
}

// Secret returns the shared secret, and whether there is one: a point of small
// order yields only the all-zero value, which is not returned.
func (s *Shared) Secret() (secret [Size]byte, ok bool) { return s.secret, s.ok }

// String reveals nothing about the secret.
func (s Shared) String() string { return "X25519 shared secret (redacted)" }

// Format writes what [Shared.String] returns, whatever the verb.
func (s Shared) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue returns what [Shared.String] returns.
func (s Shared) LogValue() slog.Value { return slog.StringValue(s.String()) }
