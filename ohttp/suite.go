package ohttp

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/shoal-project/shoal/internal/hpke"
)

// This file is the place that names the algorithms of HPKE (RFC 9180).

// A KEM is a key encapsulation mechanism, by its number in the HPKE registry.
type KEM uint16

// The KEMs.
const (
	X25519 = KEM(hpke.X25519) // DHKEM(X25519, HKDF-SHA256)
	XWing  = KEM(hpke.XWing)  // MLKEM768-X25519, hybrid post-quantum
)

// A Suite is a pair of symmetric algorithms, by their numbers in the HPKE registry.
type Suite struct{ KDF, AEAD uint16 }

// Numbers of the HPKE registry.
const (
	KDFSHA256            = hpke.HKDFSHA256
	KDFSHA384            = hpke.HKDFSHA384
	KDFSHA512            = hpke.HKDFSHA512
	AEADAES128GCM        = hpke.AES128GCM
	AEADAES256GCM        = hpke.AES256GCM
	AEADChaCha20Poly1305 = hpke.ChaCha20Poly1305
)

// DefaultSuite is the suite of Shoal's own keys: HKDF-SHA256 with AES-128-GCM. It
// is the only one whose answers have the lengths that a [Relay] forwards.
var DefaultSuite = Suite(hpke.DefaultSuite())

const (
	tagSize    = hpke.TagSize
	nonceSize  = 12 // of each AEAD
	secretSize = hpke.SecretSize
	headerSize = 7 // key ID, KEM, KDF, AEAD
)

// String returns the KEM's name.
func (k KEM) String() string { return hpke.KEM(k).String() }

// supported fails with [ErrUnsupported] if gateways have no keys of the KEM.
func (k KEM) supported() error {
	if k != X25519 && k != XWing {
		return fmt.Errorf("%w: %v", ErrUnsupported, k)
	}
	return nil
}

// publicSize returns the length of a public key, 0 if the KEM is not supported.
func (k KEM) publicSize() int {
	if k.supported() != nil {
		return 0
	}
	return hpke.KEM(k).PublicSize()
}

// encSize returns the length of an encapsulated key, 0 if the KEM is not supported.
func (k KEM) encSize() int {
	if k.supported() != nil {
		return 0
	}
	return hpke.KEM(k).EncapsulatedSize()
}

// supported reports whether the algorithms are known here.
func (s Suite) supported() bool { return hpke.Suite(s).Supported() }

// keySize returns the length of the AEAD's key, which is also max(Nn, Nk).
func (s Suite) keySize() int { return hpke.Suite(s).KeySize() }

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
