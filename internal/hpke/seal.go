package hpke

import (
	"crypto/rand"
	"errors"

	"github.com/shoal-project/shoal/crypto/x25519"
)

// ErrKey means that a public key is a point of small order, which yields no shared
// secret.
var ErrKey = errors.New("hpke: the public key has small order")

// Seal seals one message to a public key, in a context of its own: SealBase of RFC
// 9180, section 6.1. It appends the ciphertext to dst, which may be empty but not
// overlap plaintext, and returns the encapsulated key beside it. Half of the time of
// crypto/hpke, which multiplies by the base point as by any other, is saved. It fails
// with [ErrKey].
func Seal(dst []byte, public *[Size]byte, info, aad, plaintext []byte) (encapsulated [Size]byte, sealed []byte, err error) {
	var ephemeral [Size]byte
	rand.Read(ephemeral[:]) // does not fail
	return seal(dst, &ephemeral, public, info, aad, plaintext)
}

// seal is Seal with the private half of the encapsulated key.
func seal(dst []byte, ephemeral, public *[Size]byte, info, aad, plaintext []byte) (encapsulated [Size]byte, sealed []byte, err error) {
	shared := x25519.Multiply(ephemeral, public)
	agreed, ok := shared.Secret()
	if !ok {
		return encapsulated, nil, ErrKey
	}
	encapsulated = x25519.Public(ephemeral)
	r := Receiver{public: *public, context: contextOf(info)}
	k := MessageKey{ok: true}
	r.derive(&k, &agreed, &encapsulated)
	gcm, err := k.aead()
	if err != nil {
		return encapsulated, nil, err
	}
	return encapsulated, gcm.Seal(dst, k.nonce[:nonceSize], plaintext, aad), nil
}
