package hpke

import (
	"bytes"
	std "crypto/hpke"
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by errors about bytes that are not a key.
var ErrMalformed = errors.New("malformed HPKE key")

// A PublicKey seals messages. It is safe for concurrent use.
type PublicKey struct {
	kem KEM
	key std.PublicKey
}

// NewPublicKey reads a public key (DeserializePublicKey of RFC 9180). It fails with
// [ErrUnsupported] or [ErrMalformed].
func NewPublicKey(kem KEM, b []byte) (*PublicKey, error) {
	k, err := kem.std()
	if err != nil {
		return nil, err
	}
	key, err := k.NewPublicKey(b)
	if err != nil {
		return nil, fmt.Errorf("%w: not a public key of %v: %w", ErrMalformed, kem, err)
	}
	return &PublicKey{kem, key}, nil
}

// KEM returns the key's mechanism.
func (p *PublicKey) KEM() KEM { return p.kem }

// Bytes returns the key (SerializePublicKey of RFC 9180).
func (p *PublicKey) Bytes() []byte { return bytes.Clone(p.key.Bytes()) }

// Seal seals one message in a context of its own: SealBase of RFC 9180, section 6.1.
// It fails with [ErrUnsupported], or [ErrKey] if the key has small order.
func (p *PublicKey) Seal(s Suite, info, aad, plaintext []byte) (encapsulated, sealed []byte, err error) {
	if p.kem == X25519 && s == DefaultSuite() {
		enc, sealed, err := Seal(nil, (*[Size]byte)(p.key.Bytes()), info, aad, plaintext)
		return enc[:], sealed, err
	}
	encapsulated, sealed, _, err = p.seal(s, info, aad, plaintext)
	return encapsulated, sealed, err
}

// SealExport is [PublicKey.Seal] and returns a secret of size bytes that the context
// exports under a label beside it: Export of RFC 9180, section 5.3.
func (p *PublicKey) SealExport(s Suite, info, aad, plaintext []byte, label string, size int) (encapsulated, sealed, secret []byte, err error) {
	if p.kem == X25519 && s == DefaultSuite() && exportable(label, size) {
		return sealExport((*[Size]byte)(p.key.Bytes()), info, aad, plaintext, label, size)
	}
	encapsulated, sealed, sender, err := p.seal(s, info, aad, plaintext)
	if err != nil {
		return nil, nil, nil, err
	}
	secret, err = sender.Export(label, size)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("exporting a secret: %w", err)
	}
	return encapsulated, sealed, secret, nil
}

func (p *PublicKey) seal(s Suite, info, aad, plaintext []byte) (encapsulated, sealed []byte, sender *std.Sender, err error) {
	kdf, aead, err := s.std()
	if err != nil {
		return nil, nil, nil, err
	}
	encapsulated, sender, err = std.NewSender(p.key, kdf, aead, info)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if sealed, err = sender.Seal(aad, plaintext); err != nil {
		return nil, nil, nil, err
	}
	return encapsulated, sealed, sender, nil
}
