package hpke

import (
	"crypto/rand"
	"errors"

	"github.com/shoal-project/shoal/crypto/x25519"
)

// ErrUsed means that a [Sender] has already sealed its message.
var ErrUsed = errors.New("hpke: the sender has sealed its message")

// A Sender seals one message to a public key, and no other: a second one would have the
// same key and nonce. It prints redacted. It is not safe for concurrent use.
type Sender struct {
	secret
	to           *PublicKey
	used         bool
	agreed       bool       // what follows is set
	encapsulated [Size]byte // of X25519
	shared       x25519.Shared
}

// Senders returns a sender to each of the keys, in the order in which they will seal. If all
// are keys of X25519 and the suite is [DefaultSuite], their multiplications are done
// together: two cost little more than one where package x25519 has AVX2. Otherwise each is
// done when its sender seals. Either way random bytes are drawn in the order of the keys,
// so that another implementation with the same randomness can make the same messages.
func Senders(suite Suite, keys ...*PublicKey) []Sender {
	senders := make([]Sender, len(keys))
	together := suite == DefaultSuite()
	for i, key := range keys {
		senders[i].to = key
		together = together && key.kem == X25519
	}
	if !together {
		return senders
	}
	ephemerals, publics := make([][Size]byte, len(keys)), make([][Size]byte, len(keys))
	for i, key := range keys {
		rand.Read(ephemerals[i][:]) // does not fail
		publics[i] = [Size]byte(key.key.Bytes())
	}
	encapsulated, shared := x25519.Agree(ephemerals, publics)
	for i := range senders {
		senders[i].agreed, senders[i].encapsulated, senders[i].shared = true, encapsulated[i], shared[i]
	}
	return senders
}

// KEM returns the mechanism of the sender's key.
func (s *Sender) KEM() KEM { return s.to.kem }

// Seal is [PublicKey.Seal] with the sender's key. It fails as that does, and with [ErrUsed].
func (s *Sender) Seal(suite Suite, info, aad, plaintext []byte) (encapsulated, sealed []byte, err error) {
	if s.used {
		return nil, nil, ErrUsed
	}
	s.used = true
	if !s.agreed || suite != DefaultSuite() {
		return s.to.Seal(suite, info, aad, plaintext)
	}
	defer func() { s.shared = x25519.Shared{} }()
	sealed, err = sealAgreed(nil, &s.shared, &s.encapsulated, (*[Size]byte)(s.to.key.Bytes()), info, aad, plaintext)
	return s.encapsulated[:], sealed, err
}

// SealExport is [PublicKey.SealExport] with the sender's key, for a secret of
// [ExportSize] bytes. It fails as that does, and with [ErrUsed].
func (s *Sender) SealExport(suite Suite, info, aad, plaintext []byte, label string) (encapsulated, sealed []byte, exported [ExportSize]byte, err error) {
	if s.used {
		return nil, nil, exported, ErrUsed
	}
	s.used = true
	if !s.agreed || suite != DefaultSuite() {
		var secret []byte
		encapsulated, sealed, secret, err = s.to.SealExport(suite, info, aad, plaintext, label, ExportSize)
		copy(exported[:], secret)
		return encapsulated, sealed, exported, err
	}
	defer func() { s.shared = x25519.Shared{} }()
	public := (*[Size]byte)(s.to.key.Bytes())
	if sealed, err = sealAgreed(nil, &s.shared, &s.encapsulated, public, info, aad, plaintext); err != nil {
		return nil, nil, exported, err
	}
	r := Receiver{public: *public, context: contextOf(info)}
	secrets := r.Export([]x25519.Shared{s.shared}, [][Size]byte{s.encapsulated}, label)
	return s.encapsulated[:], sealed, secrets[0], nil
}
