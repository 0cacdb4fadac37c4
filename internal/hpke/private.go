package hpke

import (
	"bytes"
	std "crypto/hpke"
	"crypto/subtle"
	"fmt"
	"io"

	"github.com/shoal-project/shoal/internal/redact"
)

// secret makes a type print redacted.
type secret = redact.Secret

// A PrivateKey opens messages that are sealed to its public half. It prints redacted;
// [PrivateKey.Secret] and [Stored.Text] are the ways to its secret. It is safe for
// concurrent use.
type PrivateKey struct {
	secret
	kem    KEM
	key    std.PrivateKey
	public []byte
	many   *Key // of X25519: opens many messages at once
}

// Generate makes a private key from 32 bytes of rand. It fails with [ErrUnsupported].
func Generate(kem KEM, rand io.Reader) (*PrivateKey, error) {
	if _, err := kem.std(); err != nil {
		return nil, err
	}
	var seed [SecretSize]byte
	defer clear(seed[:])
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		return nil, fmt.Errorf("reading randomness: %w", err)
	}
	return Derive(kem, seed[:])
}

// Derive makes the private key that DeriveKeyPair of RFC 9180 makes of ikm, at least
// 32 bytes of keying material. It fails with [ErrUnsupported] or [ErrMalformed].
func Derive(kem KEM, ikm []byte) (*PrivateKey, error) {
	k, err := kem.std()
	if err != nil {
		return nil, err
	}
	key, err := k.DeriveKeyPair(bytes.Clone(ikm))
	if err != nil { // its text may depend on the secret
		return nil, fmt.Errorf("%w: %v refuses keying material of %d bytes", ErrMalformed, kem, len(ikm))
	}
	return newPrivateKey(kem, key)
}

// NewPrivateKey reads a private key (DeserializePrivateKey of RFC 9180). It fails with
// [ErrUnsupported] or [ErrMalformed]; errors never hold the secret.
func NewPrivateKey(kem KEM, secret []byte) (*PrivateKey, error) {
	k, err := kem.std()
	if err != nil {
		return nil, err
	}
	key, err := k.NewPrivateKey(bytes.Clone(secret)) // which may be retained
	if err != nil {
		return nil, fmt.Errorf("%w: not a secret of %v", ErrMalformed, kem)
	}
	return newPrivateKey(kem, key)
}

func newPrivateKey(kem KEM, key std.PrivateKey) (*PrivateKey, error) {
	k := &PrivateKey{kem: kem, key: key, public: key.PublicKey().Bytes()}
	if kem != X25519 {
		return k, nil
	}
	b, err := key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %v without a secret", ErrMalformed, kem)
	}
	k.many, err = NewKey(b, k.public)
	return k, err
}

// KEM returns the key's mechanism.
func (k *PrivateKey) KEM() KEM { return k.kem }

// Public returns the public half (SerializePublicKey of RFC 9180).
func (k *PrivateKey) Public() []byte { return bytes.Clone(k.public) }

// Secret returns the secret (SerializePrivateKey of RFC 9180).
func (k *PrivateKey) Secret() ([]byte, error) {
	b, err := k.key.Bytes()
	return bytes.Clone(b), err // which may be the key's own
}

// Many returns what opens many messages of [DefaultSuite] at once, nil for other KEMs
// than [X25519].
func (k *PrivateKey) Many() *Key { return k.many }

// Equal reports, in constant time, whether both keys have one secret.
func (k *PrivateKey) Equal(other *PrivateKey) bool {
	a, errA := k.key.Bytes()
	b, errB := other.key.Bytes()
	return errA == nil && errB == nil && k.kem == other.kem && subtle.ConstantTimeCompare(a, b) == 1
}

// Open opens one message: OpenBase of RFC 9180, section 6.1. It fails with
// [ErrUnsupported] or [ErrOpen].
func (k *PrivateKey) Open(s Suite, encapsulated, info, aad, sealed []byte) ([]byte, error) {
	if k.single(s, encapsulated) {
		plaintext, _, err := k.many.open(encapsulated, info, aad, sealed)
		return plaintext, err
	}
	plaintext, _, err := k.open(s, encapsulated, info, aad, sealed)
	return plaintext, err
}

// single reports whether [Key.open] opens a message: in less than half of the time of
// crypto/hpke, whose X25519 is slower.
func (k *PrivateKey) single(s Suite, encapsulated []byte) bool {
	return k.many != nil && s == DefaultSuite() && len(encapsulated) == Size
}

// OpenExport is [PrivateKey.Open] and returns the secret that
// [PublicKey.SealExport] has returned.
func (k *PrivateKey) OpenExport(s Suite, encapsulated, info, aad, sealed []byte, label string, size int) (plaintext, exported []byte, err error) {
	if k.single(s, encapsulated) && exportable(label, size) {
		plaintext, opened, err := k.many.open(encapsulated, info, aad, sealed)
		if err != nil {
			return nil, nil, err
		}
		return plaintext, opened.export(label, size), nil
	}
	plaintext, recipient, err := k.open(s, encapsulated, info, aad, sealed)
	if err != nil {
		return nil, nil, err
	}
	if exported, err = recipient.Export(label, size); err != nil {
		return nil, nil, fmt.Errorf("exporting a secret: %w", err)
	}
	return plaintext, exported, nil
}

func (k *PrivateKey) open(s Suite, encapsulated, info, aad, sealed []byte) ([]byte, *std.Recipient, error) {
	kdf, aead, err := s.std()
	if err != nil {
		return nil, nil, err
	}
	recipient, err := std.NewRecipient(encapsulated, k.key, kdf, aead, info)
	if err != nil {
		return nil, nil, ErrOpen
	}
	plaintext, err := recipient.Open(aad, sealed)
	if err != nil {
		return nil, nil, ErrOpen
	}
	return plaintext, recipient, nil
}

// together is how many messages are opened in one step: as many as share one
// inversion.
const together = 64

// A Message is one that was sealed to a key, in a context of its own.
type Message struct{ Encapsulated, Sealed []byte }

// OpenMany opens several messages of one suite and info, which is several times
// faster for [X25519] and [DefaultSuite] than [PrivateKey.Open] for each. aad appends
// the additional data of message i to b. Plaintexts are appended to room as long as its
// capacity lasts: result i may refer to it. It is nil if message i does not open. What
// is wrong with one message harms no other.
func (k *PrivateKey) OpenMany(s Suite, info []byte, messages []Message, aad func(b []byte, i int) []byte, room []byte) [][]byte {
	results := make([][]byte, len(messages))
	if k.many == nil || s != DefaultSuite() {
		for i, m := range messages {
			plaintext, err := k.Open(s, m.Encapsulated, info, aad(nil, i), m.Sealed)
			if err == nil {
				results[i] = append([]byte{}, plaintext...)
			}
		}
		return results
	}
	receiver := k.many.Receiver(info)
	points, at := make([][Size]byte, 0, together), make([]int, 0, together)
	var data []byte
	open := func() {
		keys := receiver.Derive(k.many.Agree(points), points)
		for j, i := range at {
			data = aad(data[:0], i)
			if cap(room)-len(room) < len(messages[i].Sealed) {
				room = make([]byte, 0, len(messages[i].Sealed))
			}
			from := len(room)
			plaintext, err := keys[j].Open(room[from:], data, messages[i].Sealed)
			if err != nil {
				continue
			}
			room = room[:from+len(plaintext)]
			results[i] = plaintext[:len(plaintext):len(plaintext)]
		}
		points, at = points[:0], at[:0]
	}
	for i := range messages {
		if len(messages[i].Encapsulated) != Size {
			continue
		}
		points, at = append(points, [Size]byte(messages[i].Encapsulated)), append(at, i)
		if len(at) == together {
			open()
		}
	}
	if len(at) > 0 {
		open()
	}
	return results
}
