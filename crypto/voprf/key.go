package voprf

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/shoal-project/shoal/internal/redact"
)

// Sizes of encodings in bytes.
const (
	PublicKeySize  = elementSize
	PrivateKeySize = scalarSize
	SeedSize       = 32
	OutputSize     = 64
)

// Limits of a request.
const (
	// MaxBatch is the highest number of elements in a request: one proof serves
	// all of them.
	MaxBatch = 64
	// MaxInput is the highest length of an input in bytes.
	MaxInput = 1<<16 - 1
)

// Errors that callers distinguish.
var (
	// ErrEncoding means bytes that are not the canonical encoding of anything.
	ErrEncoding = errors.New("malformed encoding")
	// ErrProof means an evaluation that was not made with the public key's private
	// key, or not of this request.
	ErrProof = errors.New("the proof does not hold")
	// ErrInput means inputs that cannot be evaluated.
	ErrInput = errors.New("unusable input")
)

// secret is embedded in what must not be printed.
type secret = redact.Secret

// A PublicKey is what clients check evaluations with. It is safe for use by
// several goroutines.
type PublicKey struct{ p *point }

// ParsePublicKey decodes what [PublicKey.Bytes] returns.
func ParsePublicKey(b []byte) (*PublicKey, error) {
	if len(b) != PublicKeySize {
		return nil, fmt.Errorf("voprf: %w: public key of %d bytes, want %d", ErrEncoding, len(b), PublicKeySize)
	}
	p, err := decodePoint(b)
	if err != nil {
		return nil, fmt.Errorf("voprf: %w: public key %w", ErrEncoding, err)
	}
	return &PublicKey{p}, nil
}

// Bytes returns the encoding.
func (k *PublicKey) Bytes() []byte { return bytes.Clone(k.p.enc[:]) }

// A PrivateKey evaluates. It prints redacted, and is safe for use by several
// goroutines.
type PrivateKey struct {
	secret
	k      *scalar
	public *PublicKey
}

// GenerateKey draws a key. rand must be cryptographically secure, as
// crypto/rand.Reader is.
func GenerateKey(rand io.Reader) (*PrivateKey, error) {
	s, err := randomScalar(rand)
	if err != nil {
		return nil, err
	}
	return newPrivateKey(s)
}

// DeriveKey is DeriveKeyPair of RFC 9497, section 3.2.1: the key of a seed of 32
// bytes and of public information of at most 65,535 bytes. A holder of the seed has
// the key.
func DeriveKey(seed, info []byte) (*PrivateKey, error) {
	if len(seed) != SeedSize {
		return nil, fmt.Errorf("voprf: seed of %d bytes, want %d", len(seed), SeedSize)
	}
	if len(info) > MaxInput {
		return nil, fmt.Errorf("voprf: key information of %d bytes, at most %d", len(info), MaxInput)
	}
	input := binary.BigEndian.AppendUint16(bytes.Clone(seed), uint16(len(info)))
	input = append(input, info...)
	for counter := range 256 {
		if s := hashToScalar(append(input, byte(counter)), "DeriveKeyPair"+suite); !isZero(s) {
			return newPrivateKey(s)
		}
	}
	return nil, errors.New("voprf: the seed gives no key")
}

// ParsePrivateKey decodes what [PrivateKey.Bytes] returns. Its errors do not
// hold the bytes.
func ParsePrivateKey(b []byte) (*PrivateKey, error) {
	if len(b) != PrivateKeySize {
		return nil, fmt.Errorf("voprf: %w: private key of %d bytes, want %d", ErrEncoding, len(b), PrivateKeySize)
	}
	s, err := decodeNonZero(b)
	if err != nil {
		return nil, fmt.Errorf("voprf: %w: private key %w", ErrEncoding, err)
	}
	return newPrivateKey(s)
}

func newPrivateKey(s *scalar) (*PrivateKey, error) {
	p, err := basePoint(s)
	if err != nil {
		return nil, fmt.Errorf("voprf: public key %w", err)
	}
	return &PrivateKey{k: s, public: &PublicKey{p}}, nil
}

// Bytes returns the encoding, which is secret.
func (k *PrivateKey) Bytes() []byte { return k.k.Bytes() }

// Public returns the public key.
func (k *PrivateKey) Public() *PublicKey { return k.public }

// Equal compares two keys in constant time.
func (k *PrivateKey) Equal(other *PrivateKey) bool {
	return subtle.ConstantTimeCompare(k.Bytes(), other.Bytes()) == 1
}
