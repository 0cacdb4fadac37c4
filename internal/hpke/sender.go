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
	encapsulated [Size]byte // of X25519
	shared       x25519.Shared
}

// Senders returns a sender to each of the keys. The multiplications of the keys of X25519
// are done together: two cost little more than one where package x25519 has AVX2.
func Senders(keys ...*PublicKey) []Sender {
	senders := make([]Sender, len(keys))
	var at []int
	var ephemerals, publics [][Size]byte
	for i, key := range keys {
		senders[i].to = key
		if key.kem != X25519 {
			continue
		}
		var ephemeral [Size]byte
		rand.Read(ephemeral[:]) // does not fail
		at = append(at, i)
		ephemerals = append(ephemerals, ephemeral)
		publics = append(publics, [Size]byte(key.key.Bytes()))
	}
	encapsulated, shared := x25519.Agree(ephemerals, publics)
	for j, i := range at {
		senders[i].encapsulated, senders[i].shared = encapsulated[j], shared[j]
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
	if s.to.kem != X25519 || suite != DefaultSuite() {
		return s.to.Seal(suite, info, aad, plaintext)
	}
	defer func() { s.shared = x25519.Shared{} }()
	sealed, err = sealAgreed(nil, &s.shared, &s.encapsulated, (*[Size]byte)(s.to.key.Bytes()), info, aad, plaintext)
	return s.encapsulated[:], sealed, err
}
