package blind

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"filippo.io/edwards25519"

	"github.com/shoal-project/shoal/crypto/x25519"
	"github.com/shoal-project/shoal/internal/redact"
)

// Size is the length in bytes of points, scalars and tags.
const Size = x25519.Size

// ErrSmallOrder means that a product is all zero: the point is of small order, or
// none that a client makes.
var ErrSmallOrder = errors.New("blind: the product is all zero: the point has small order")

// A Factor blinds the crowd of one report, and unblinds it again. It prints
// redacted.
type Factor struct {
	secret
	scalar [Size]byte
}

type secret = redact.Secret

// NewFactor returns the factor that follows from 32 bytes: those that client and
// second shuffler export from the HPKE context of the report (RFC 9180, section
// 5.3).
func NewFactor(exported [Size]byte) Factor { return Factor{scalar: clamp(exported)} }

func clamp(k [Size]byte) [Size]byte {
	k[0] &= 248
	k[Size-1] = k[Size-1]&127 | 64
	return k
}

// Blind returns beta, what the first shuffler receives, for the point of a crowd.
// It fails with [ErrSmallOrder], for a point of [HashToCurve] with a probability
// below 2^-250.
func (f Factor) Blind(point [Size]byte) ([Size]byte, error) {
	product := x25519.Multiply(&f.scalar, &point)
	beta, ok := product.Secret()
	if !ok {
		return [Size]byte{}, ErrSmallOrder
	}
	return beta, nil
}

// An Exponent is the secret of the first shuffler for one batch. It prints
// redacted.
type Exponent = x25519.Scalar

// NewExponent returns an exponent from a source of randomness. It fails if that
// does.
func NewExponent(random io.Reader) (*Exponent, error) {
	var secret [Size]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return nil, fmt.Errorf("blind: drawing the exponent of a batch: %w", err)
	}
	return x25519.NewScalar(secret[:])
}

// A Tag represents the crowd of a report within a batch.
type Tag struct {
	// Value is the same for two reports of one crowd, and differs otherwise.
	Value [Size]byte
	// OK is false for a point of small order, which has no tag: the report is dropped.
	OK bool
}

// Unblind returns the tag of each report: what the second shuffler makes of the
// point gamma that the first one sent along, and of the factor that follows from
// the report's layer. The inversions are shared within a call, and the products are
// computed together ([x25519.MultiplyPairs]), so it is at its best with some hundred
// reports, a multiple of 64. It fails if the lengths differ.
func Unblind(factors []Factor, points [][Size]byte) ([]Tag, error) {
	if len(factors) != len(points) {
		return nil, fmt.Errorf("blind: %d factors for %d points", len(factors), len(points))
	}
	all := inverses(factors)
	scalars := make([][Size]byte, len(all))
	for i := range all {
		scalars[i] = all[i].scalar
	}
	tags := make([]Tag, len(points))
	for i, product := range x25519.MultiplyPairs(scalars, points) {
		if all[i].ok {
			tags[i].Value, tags[i].OK = product.Secret()
		}
	}
	return tags, nil
}

// An inverse is a clamped scalar that undoes a factor. It is not ok with a
// probability of 2^-127, see the package's documentation.
type inverse struct {
	scalar [Size]byte
	ok     bool
}

// inverses inverts the factors modulo the order of the subgroup by one inversion
// and three multiplications for each (Montgomery's trick). No factor is 0.
func inverses(factors []Factor) []inverse {
	result := make([]inverse, len(factors))
	before := make([]edwards25519.Scalar, len(factors)) // the product of the factors before
	eighths := make([]edwards25519.Scalar, len(factors))
	product := one()
	eight := small(8)
	for i := range factors {
		s := &eighths[i]
		if _, err := s.SetBytesWithClamping(factors[i].scalar[:]); err != nil {
			panic("blind: 32 bytes are not 32 bytes")
		}
		s.Multiply(s, eight)
		before[i].Set(product)
		product.Multiply(product, s)
	}
	product.Invert(product)
	for i := len(factors) - 1; i >= 0; i-- {
		var m edwards25519.Scalar
		m.Multiply(product, &before[i])
		product.Multiply(product, &eighths[i])
		result[i] = representative(&m)
	}
	return result
}

// representative returns 8m or 8(l-m), whichever is clamped.
func representative(m *edwards25519.Scalar) inverse {
	const top = 1 << 3 // bit 251 of a scalar, in its last byte
	plus := m.Bytes()
	minus := new(edwards25519.Scalar).Negate(m).Bytes()
	high := int(plus[Size-1] & top >> 3)
	subtle.ConstantTimeCopy(1^high, plus, minus)
	var inv inverse
	// Below 2^252 and bit 251: the last byte is 8 to 15.
	inv.ok = plus[Size-1]>>3 == 1
	carry := byte(0)
	for i, b := range plus {
		inv.scalar[i] = b<<3 | carry
		carry = b >> 5
	}
	return inv
}

func one() *edwards25519.Scalar { return small(1) }

func small(n byte) *edwards25519.Scalar {
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(append([]byte{n}, make([]byte, Size-1)...))
	if err != nil {
		panic("blind: a small number is not below the order")
	}
	return s
}
