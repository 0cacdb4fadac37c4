package ohttp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hpke"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// This file is the place that names the algorithms of HPKE (RFC 9180); what they
// do is in crypto/hpke.

// A KEM is a key encapsulation mechanism, by its number in the HPKE registry.
type KEM uint16

// The KEMs.
const (
	X25519 KEM = 0x0020 // DHKEM(X25519, HKDF-SHA256)
	XWing  KEM = 0x647a // MLKEM768-X25519, hybrid post-quantum
)

// A Suite is a pair of symmetric algorithms, by their numbers in the HPKE registry.
type Suite struct{ KDF, AEAD uint16 }

// Numbers of the HPKE registry.
const (
	KDFSHA256            uint16 = 1 // HKDF-SHA256
	KDFSHA384            uint16 = 2
	KDFSHA512            uint16 = 3
	AEADAES128GCM        uint16 = 1
	AEADAES256GCM        uint16 = 2
	AEADChaCha20Poly1305 uint16 = 3
)

// DefaultSuite is the suite of Shoal's own keys: HKDF-SHA256 with AES-128-GCM. It
// is the only one whose answers have the lengths that a [Relay] forwards.
var DefaultSuite = Suite{KDFSHA256, AEADAES128GCM}

const (
	tagSize    = 16 // of each AEAD
	nonceSize  = 12 // of each AEAD
	secretSize = 32 // of each KEM's private key
	headerSize = 7  // key ID, KEM, KDF, AEAD
)

// String returns the KEM's name.
func (k KEM) String() string {
	switch k {
	case X25519:
		return "X25519"
	case XWing:
		return "X-Wing"
	}
	return fmt.Sprintf("KEM %#04x", uint16(k))
}

func (k KEM) hpke() (hpke.KEM, error) {
	switch k {
	case X25519:
		return hpke.DHKEM(ecdh.X25519()), nil
	case XWing:
		return hpke.MLKEM768X25519(), nil
	}
	return nil, fmt.Errorf("%w: %v", ErrUnsupported, k)
}

// publicSize returns the length of a public key, 0 if the KEM is not known.
func (k KEM) publicSize() int {
	switch k {
	case X25519:
		return 32
	case XWing:
		return 1216
	}
	return 0
}

// encSize returns the length of an encapsulated key, 0 if the KEM is not known.
func (k KEM) encSize() int {
	switch k {
	case X25519:
		return 32
	case XWing:
		return 1120
	}
	return 0
}

// supported reports whether the algorithms are known here.
func (s Suite) supported() bool {
	return KDFSHA256 <= s.KDF && s.KDF <= KDFSHA512 && AEADAES128GCM <= s.AEAD && s.AEAD <= AEADChaCha20Poly1305
}

func (s Suite) hpke() (hpke.KDF, hpke.AEAD, error) {
	if !s.supported() {
		return nil, nil, fmt.Errorf("%w: KDF %#04x with AEAD %#04x", ErrUnsupported, s.KDF, s.AEAD)
	}
	kdf, err := hpke.NewKDF(s.KDF)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	aead, err := hpke.NewAEAD(s.AEAD)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return kdf, aead, nil
}

// keySize returns the length of the AEAD's key, which is also max(Nn, Nk).
func (s Suite) keySize() int {
	if s.AEAD == AEADAES128GCM {
		return 16
	}
	return 32
}

func (s Suite) aead(key []byte) (cipher.AEAD, error) {
	if s.AEAD == AEADChaCha20Poly1305 {
		return chacha20poly1305.New(key)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
