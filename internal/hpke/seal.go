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
// overlap plaintext, and returns the encapsulated key beside it. It takes half of the time
// of crypto/hpke, and less where package x25519 has AVX2. It fails with [ErrKey].
func Seal(dst []byte, public *[Size]byte, info, aad, plaintext []byte) (encapsulated [Size]byte, sealed []byte, err error) {
	var ephemeral [Size]byte
	rand.Read(ephemeral[:]) // does not fail
	return seal(dst, &ephemeral, public, info, aad, plaintext)
}

// seal is Seal with the private half of the encapsulated key.
func seal(dst []byte, ephemeral, public *[Size]byte, info, aad, plaintext []byte) (encapsulated [Size]byte, sealed []byte, err error) {
	encapsulateds, shared := x25519.Agree([][Size]byte{*ephemeral}, [][Size]byte{*public})
	sealed, err = sealAgreed(dst, &shared[0], &encapsulateds[0], public, info, aad, plaintext)
	return encapsulateds[0], sealed, err
}

// sealAgreed is Seal after the key agreement.
func sealAgreed(dst []byte, shared *x25519.Shared, encapsulated, public *[Size]byte, info, aad, plaintext []byte) ([]byte, error) {
	agreed, ok := shared.Secret()
	if !ok {
		return nil, ErrKey
	}
	r := Receiver{public: *public, context: contextOf(info)}
	k := MessageKey{ok: true}
	r.derive(&k, &agreed, encapsulated)
	gcm, err := k.aead()
	if err != nil {
		return nil, err
	}
	return gcm.Seal(dst, k.nonce[:nonceSize], plaintext, aad), nil
}

// sealExport is [Seal] and returns what the context exports, which must be [exportable].
func sealExport(public *[Size]byte, info, aad, plaintext []byte, label string, size int) (encapsulated, sealed, secret []byte, err error) {
	var ephemeral [Size]byte
	defer clear(ephemeral[:])
	rand.Read(ephemeral[:]) // does not fail
	encapsulateds, shared := x25519.Agree([][Size]byte{ephemeral}, [][Size]byte{*public})
	agreed, ok := shared[0].Secret()
	if !ok {
		return nil, nil, nil, ErrKey
	}
	defer clear(agreed[:])
	r := Receiver{public: *public, context: contextOf(info)}
	o := r.opened(&agreed, &encapsulateds[0])
	var k MessageKey
	o.derive(&k)
	gcm, err := k.aead()
	if err != nil {
		return nil, nil, nil, err
	}
	return encapsulateds[0][:], gcm.Seal(nil, k.nonce[:nonceSize], plaintext, aad), o.export(label, size), nil
}

// open opens one message, by one ladder, and returns its context.
func (k *Key) open(encapsulated, info, aad, sealed []byte) ([]byte, *opened, error) {
	enc := [Size]byte(encapsulated)
	shared := x25519.Multiply(&k.private, &enc)
	agreed, ok := shared.Secret()
	if !ok {
		return nil, nil, ErrOpen
	}
	defer clear(agreed[:])
	r := Receiver{public: k.public, context: contextOf(info)}
	o := r.opened(&agreed, &enc)
	var m MessageKey
	o.derive(&m)
	plaintext, err := m.Open(nil, aad, sealed)
	if err != nil {
		return nil, nil, err
	}
	return plaintext, &o, nil
}
