package outbox

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"

	"github.com/shoal-project/shoal/internal/durable"
)

// keySize is the length of a [Key] in bytes.
const keySize = 32

// A Key encrypts an outbox at rest. It prints redacted.
type Key struct{ secret [keySize]byte }

// NewKey makes a key of 32 uniformly random bytes.
func NewKey(secret []byte) (*Key, error) {
	if len(secret) != keySize {
		return nil, fmt.Errorf("outbox key: got %d bytes, want %d", len(secret), keySize)
	}
	return &Key{[keySize]byte(secret)}, nil
}

// String returns words that hold nothing of the key.
func (Key) String() string { return "outbox key (redacted)" }

// GoString returns what String returns.
func (k Key) GoString() string { return k.String() }

// LogValue returns what String returns.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Format writes what String returns, whatever the verb.
func (k Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, k.String()) }

// MarshalText refuses to write the key.
func (Key) MarshalText() ([]byte, error) {
	return nil, errors.New("an outbox key is not to be written")
}

// Subkey returns 32 bytes for something beside the outbox that is to be encrypted under
// the same key. Different labels give independent bytes.
func (b *Box) Subkey(label string) ([]byte, error) {
	b.sem <- struct{}{}
	defer func() { <-b.sem }()
	if b.journal.key == nil {
		return nil, ErrClosed
	}
	return b.journal.key.derive("", "subkey "+label, keySize)
}

func (k *Key) derive(salt, label string, n int) ([]byte, error) {
	return hkdf.Key(sha256.New, k.secret[:], []byte(salt), "shoal outbox v1 "+label, n)
}

// aead returns the cipher of the journal that was begun with salt.
func (k *Key) aead(salt []byte) (cipher.AEAD, error) {
	b, err := k.derive(string(salt), "journal", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(b)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// A tag is a keyed hash under which caps are counted. Equal inputs have equal
// tags in one outbox; without its key a tag reveals nothing.
type tag [16]byte

// A tagger computes tags.
type tagger struct{ key []byte }

func (k *Key) tagger() (tagger, error) {
	b, err := k.derive("", "caps", 32)
	return tagger{b}, err
}

// tag hashes parts, each with its length, under a label.
func (t tagger) tag(label string, parts ...[]byte) tag {
	h := hmac.New(sha256.New, t.key)
	for _, p := range append([][]byte{[]byte(label)}, parts...) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return tag(h.Sum(nil)[:len(tag{})])
}

// errKeyMissing: a journal without its key file.
var errKeyMissing = errors.New("the key file is missing beside an existing journal: restore it, or remove the directory and all that waits in it")

// loadKey reads the key file of an outbox, or makes one while there is no
// journal yet.
func loadKey(fsys durable.FS, name, journal string, rand io.Reader) (*Key, error) {
	b, err := durable.ReadFile(fsys, name)
	if err == nil {
		k, err := NewKey(b)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		return k, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the outbox key: %w", err)
	}
	if _, err := fsys.Stat(journal); err == nil {
		return nil, errKeyMissing
	}
	secret := make([]byte, keySize)
	if _, err := io.ReadFull(rand, secret); err != nil {
		return nil, fmt.Errorf("making an outbox key: %w", err)
	}
	if err := durable.WriteFile(fsys, name, secret, 0o600); err != nil {
		return nil, fmt.Errorf("making an outbox key: %w", err)
	}
	return NewKey(secret)
}
