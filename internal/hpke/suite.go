package hpke

import (
	"crypto/ecdh"
	std "crypto/hpke"
	"errors"
	"fmt"
	"strings"
)

// ErrUnsupported is wrapped by errors about algorithms that this package does not have.
var ErrUnsupported = errors.New("HPKE algorithm is not supported")

// A KEM is a key encapsulation mechanism, by its number in the HPKE registry of IANA.
type KEM uint16

// The KEMs.
const (
	P256   KEM = 0x0010 // DHKEM(P-256, HKDF-SHA256)
	X25519 KEM = 0x0020 // DHKEM(X25519, HKDF-SHA256)
	XWing  KEM = 0x647a // MLKEM768-X25519, hybrid post-quantum
)

// SecretSize is the length in bytes of the private key of each KEM.
const SecretSize = 32

// kems are the KEMs: what they are called in texts and in configurations, and the
// lengths in bytes of public and encapsulated keys.
var kems = [...]struct {
	kem                 KEM
	title, name         string
	public, encapsulate int
	make                func() std.KEM
}{
	{X25519, "X25519", "x25519", 32, 32, func() std.KEM { return std.DHKEM(ecdh.X25519()) }},
	{P256, "P-256", "p256", 65, 65, func() std.KEM { return std.DHKEM(ecdh.P256()) }},
	{XWing, "X-Wing", "xwing", 1216, 1120, std.MLKEM768X25519},
}

// ParseKEM returns the KEM of a name in a configuration: x25519, p256 or xwing.
func ParseKEM(name string) (KEM, error) {
	var names []string
	for _, k := range kems {
		if k.name == name {
			return k.kem, nil
		}
		names = append(names, k.name)
	}
	return 0, fmt.Errorf("%q is not one of %s", name, strings.Join(names, ", "))
}

// Name returns the name of the KEM in configurations, its number if it is not known.
func (k KEM) Name() string {
	for _, known := range kems {
		if known.kem == k {
			return known.name
		}
	}
	return fmt.Sprintf("%#04x", uint16(k))
}

// String returns the KEM's name for people.
func (k KEM) String() string {
	for _, known := range kems {
		if known.kem == k {
			return known.title
		}
	}
	return fmt.Sprintf("KEM %#04x", uint16(k))
}

// PublicSize returns the length of a public key, 0 if the KEM is not known.
func (k KEM) PublicSize() int {
	for _, known := range kems {
		if known.kem == k {
			return known.public
		}
	}
	return 0
}

// EncapsulatedSize returns the length of an encapsulated key, 0 if the KEM is not
// known.
func (k KEM) EncapsulatedSize() int {
	for _, known := range kems {
		if known.kem == k {
			return known.encapsulate
		}
	}
	return 0
}

// std returns the KEM of the standard library.
func (k KEM) std() (std.KEM, error) {
	for _, known := range kems {
		if known.kem == k {
			return known.make(), nil
		}
	}
	return nil, fmt.Errorf("%w: KEM %#04x", ErrUnsupported, uint16(k))
}

// A Suite is the symmetric algorithms that go with a KEM, by their numbers in the
// HPKE registry of IANA.
type Suite struct{ KDF, AEAD uint16 }

// Key derivation functions and ciphers.
const (
	HKDFSHA256       uint16 = 1
	HKDFSHA384       uint16 = 2
	HKDFSHA512       uint16 = 3
	AES128GCM        uint16 = 1
	AES256GCM        uint16 = 2
	ChaCha20Poly1305 uint16 = 3
)

// DefaultSuite returns the suite of Shoal's own keys: HKDF-SHA256 with AES-128-GCM.
func DefaultSuite() Suite { return Suite{HKDFSHA256, AES128GCM} }

// Supported reports whether this package has the algorithms.
func (s Suite) Supported() bool { return s.Validate() == nil }

// Validate fails with [ErrUnsupported] if this package does not have the algorithms.
func (s Suite) Validate() error {
	if s.KDF < HKDFSHA256 || s.KDF > HKDFSHA512 {
		return fmt.Errorf("%w: KDF %#04x", ErrUnsupported, s.KDF)
	}
	if s.AEAD < AES128GCM || s.AEAD > ChaCha20Poly1305 {
		return fmt.Errorf("%w: AEAD %#04x", ErrUnsupported, s.AEAD)
	}
	return nil
}

// KeySize returns the length in bytes of the AEAD's key.
func (s Suite) KeySize() int {
	if s.AEAD == AES128GCM {
		return 16
	}
	return 32
}

// std returns the algorithms of the standard library.
func (s Suite) std() (std.KDF, std.AEAD, error) {
	if err := s.Validate(); err != nil {
		return nil, nil, err
	}
	kdf, err := std.NewKDF(s.KDF)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	aead, err := std.NewAEAD(s.AEAD)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return kdf, aead, nil
}
