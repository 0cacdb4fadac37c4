package hpke

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"

	"github.com/shoal-project/shoal/crypto/x25519"
)

const (
	hpkeVersion = "HPKE-v1"
	kemSuite    = "KEM\x00\x20"                  // DHKEM(X25519, HKDF-SHA256)
	hpkeSuite   = "HPKE\x00\x20\x00\x01\x00\x01" // with HKDF-SHA256 and AES-128-GCM
	keySize     = 16                             // of the AEAD
	nonceSize   = 12                             // and of its nonce
	maxMAC      = sha256.BlockSize + 16*8        // room for the input of a MAC, except for a long info
	contextSize = 1 + sha256.Size + sha256.Size  // of the key schedule
	baseMode    = 0                              // RFC 9180, section 5, table 1
	kemContext  = Size + Size                    // encapsulated key, public key
	macBlock    = sha256.BlockSize + sha256.Size // outer hash of a MAC
	innerPad    = 0x36
	outerPad    = 0x5c
)

// A Receiver opens the messages that are sealed to one key with one info. It
// holds no secret. It is safe for concurrent use.
type Receiver struct {
	public  [Size]byte
	context [contextSize]byte // key_schedule_context of RFC 9180, section 5.1
	pairs   *pairSchedule     // nil without the instructions for it
}

func newReceiver(public [Size]byte, info []byte) *Receiver {
	r := &Receiver{public: public, context: contextOf(info)}
	if supportsSHA() {
		r.pairs = newPairSchedule(r)
	}
	return r
}

// contextOf returns the key_schedule_context of RFC 9180, section 5.1.
func contextOf(info []byte) (context [contextSize]byte) {
	pskID := extract(nil, hpkeSuite, "psk_id_hash", nil)
	infoHash := extract(nil, hpkeSuite, "info_hash", info)
	context[0] = baseMode
	copy(context[1:], pskID[:])
	copy(context[1+sha256.Size:], infoHash[:])
	return context
}

// Open opens the first message of the context that an encapsulated key has set
// up, where shared is what [Key.Agree] returned for it, and appends the plaintext
// to dst. It fails with [ErrOpen].
func (r *Receiver) Open(dst []byte, shared *x25519.Shared, encapsulated *[Size]byte, aad, sealed []byte) ([]byte, error) {
	agreed, ok := shared.Secret()
	if !ok {
		return nil, ErrOpen
	}
	k := MessageKey{ok: true}
	r.derive(&k, &agreed, encapsulated)
	return k.Open(dst, aad, sealed)
}

// Derive returns the keys of the first messages of the contexts that encapsulated
// keys have set up, where shared is what [Key.Agree] returned for them. Where the
// processor has instructions for SHA-256, two are derived at once.
func (r *Receiver) Derive(shared []x25519.Shared, encapsulated [][Size]byte) []MessageKey {
	keys := make([]MessageKey, len(shared))
	var agreed [2][Size]byte
	waiting := -1 // of a pair the first
	for i := range shared {
		lane := 0
		if waiting >= 0 {
			lane = 1
		}
		if agreed[lane], keys[i].ok = shared[i].Secret(); !keys[i].ok {
			continue
		}
		switch {
		case r.pairs == nil:
			r.derive(&keys[i], &agreed[0], &encapsulated[i])
		case waiting < 0:
			waiting = i
		default:
			r.pairs.derive([2]*MessageKey{&keys[waiting], &keys[i]}, [2]*[Size]byte{&agreed[0], &agreed[1]}, [2]*[Size]byte{&encapsulated[waiting], &encapsulated[i]})
			waiting = -1
		}
	}
	if waiting >= 0 {
		r.derive(&keys[waiting], &agreed[0], &encapsulated[waiting])
	}
	return keys
}

// ExportSize is the length in bytes of the secrets that [Receiver.Export] returns.
const ExportSize = sha256.Size

// Export returns a secret of each of the contexts that encapsulated keys have set up:
// Export of RFC 9180, section 5.3, with an exporter context of at most 64 bytes. That of a context
// without a shared secret is zero.
func (r *Receiver) Export(shared []x25519.Shared, encapsulated [][Size]byte, label string) [][ExportSize]byte {
	secrets := make([][ExportSize]byte, len(shared))
	for i := range shared {
		agreed, ok := shared[i].Secret()
		if !ok {
			continue
		}
		o := r.opened(&agreed, &encapsulated[i])
		secrets[i] = [ExportSize]byte(o.export(label, ExportSize))
	}
	return secrets
}

// derive derives the key of one message.
func (r *Receiver) derive(k *MessageKey, agreed, encapsulated *[Size]byte) {
	o := r.opened(agreed, encapsulated)
	o.derive(k)
}

// An opened is a context that both sides have set up.
type opened struct {
	prk     [sha256.Size]byte
	context *[contextSize]byte
}

func (r *Receiver) opened(agreed, encapsulated *[Size]byte) opened {
	return opened{r.secret(agreed, encapsulated), &r.context}
}

// derive derives the key of the context's first message.
func (o *opened) derive(k *MessageKey) {
	k.key = expand(&o.prk, hpkeSuite, "key", o.context[:], keySize)
	k.nonce = expand(&o.prk, hpkeSuite, "base_nonce", o.context[:], nonceSize)
	k.ok = true
}

// maxLabel is how long an exporter context may be in bytes.
const maxLabel = 64

// exportable reports whether [opened.export] makes such a secret.
func exportable(label string, size int) bool {
	return len(label) <= maxLabel && size >= 0 && size <= ExportSize
}

// export is Export of RFC 9180, section 5.3, for what is [exportable].
func (o *opened) export(label string, size int) []byte {
	exporter := expand(&o.prk, hpkeSuite, "exp", o.context[:], sha256.Size)
	secret := expand(&exporter, hpkeSuite, "sec", []byte(label), uint16(size))
	return secret[:size:size]
}

// secret is the secret of a context, from which its keys are expanded.
func (r *Receiver) secret(agreed, encapsulated *[Size]byte) [sha256.Size]byte {
	// Decap, RFC 9180, section 4.1.
	var context [kemContext]byte
	copy(context[:], encapsulated[:])
	copy(context[Size:], r.public[:])
	eaePRK := extract(nil, kemSuite, "eae_prk", agreed[:])
	secret := expand(&eaePRK, kemSuite, "shared_secret", context[:], sha256.Size)
	// KeySchedule, section 5.1.
	return extract(secret[:], hpkeSuite, "secret", nil)
}

// A MessageKey opens one message. It prints redacted.
type MessageKey struct {
	ok    bool              // the two sides agree on something
	key   [sha256.Size]byte // keySize bytes of it
	nonce [sha256.Size]byte // nonceSize
}

// Open opens the message and appends the plaintext to dst. It fails with [ErrOpen].
func (k *MessageKey) Open(dst, aad, sealed []byte) ([]byte, error) {
	if !k.ok {
		return nil, ErrOpen
	}
	gcm, err := k.aead()
	if err != nil {
		return nil, ErrOpen // not reached: the length is right
	}
	plaintext, err := gcm.Open(dst, k.nonce[:nonceSize], sealed, aad)
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

func (k *MessageKey) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.key[:keySize])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// String reveals nothing about the key.
func (k MessageKey) String() string { return "HPKE message key (redacted)" }

// Format writes what [MessageKey.String] returns, whatever the verb.
func (k MessageKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue returns what [MessageKey.String] returns.
func (k MessageKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// extract is LabeledExtract of RFC 9180, section 4. A salt is a key of at most
// one block.
func extract(salt []byte, suite, label string, ikm []byte) [sha256.Size]byte {
	var buf [maxMAC]byte
	return finishMAC(appendExtract(appendPad(buf[:0], salt, innerPad), suite, label, ikm), salt)
}

// appendExtract adds the message of the MAC of LabeledExtract.
func appendExtract(m []byte, suite, label string, ikm []byte) []byte {
	m = append(m, hpkeVersion...)
	m = append(m, suite...)
	m = append(m, label...)
	return append(m, ikm...)
}

// expand is LabeledExpand of RFC 9180, section 4, for a length of one block at
// most, in the first bytes of its result.
func expand(prk *[sha256.Size]byte, suite, label string, info []byte, length uint16) [sha256.Size]byte {
	var buf [maxMAC]byte
	return finishMAC(appendExpand(appendPad(buf[:0], prk[:], innerPad), suite, label, info, length), prk[:])
}

// appendExpand adds the message of the only MAC of LabeledExpand.
func appendExpand(m []byte, suite, label string, info []byte, length uint16) []byte {
	m = binary.BigEndian.AppendUint16(m, length)
	m = append(m, hpkeVersion...)
	m = append(m, suite...)
	m = append(m, label...)
	m = append(m, info...)
	return append(m, 1)
}

// appendPad adds to b the block with which an HMAC under the key begins (RFC
// 2104, section 2).
func appendPad(b, key []byte, pad byte) []byte {
	start := len(b)
	b = append(b, key...)
	for len(b) < start+sha256.BlockSize {
		b = append(b, 0)
	}
	for i := start; i < len(b); i++ {
		b[i] ^= pad
	}
	return b
}

// finishMAC returns the HMAC-SHA256 under the key, where m is the inner pad and
// the message.
func finishMAC(m, key []byte) [sha256.Size]byte {
	var buf [macBlock]byte
	inner := sha256.Sum256(m)
	outer := appendPad(buf[:0], key, outerPad)
	return sha256.Sum256(append(outer, inner[:]...))
}
