package lifecycle

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// keySize is the length of a Key in bytes.
const keySize = 32

// A Key protects what an engine stores. It prints redacted.
type Key struct{ secret [keySize]byte }

// NewKey makes a key of 32 uniformly random bytes, which the embedder keeps
// where the store is not: a key store of the operating system, a key of
// WebCrypto that cannot be exported. Deleting the key clears the store.
func NewKey(secret []byte) (*Key, error) {
	if len(secret) != keySize {
		return nil, fmt.Errorf("discovery key: got %d bytes, want %d", len(secret), keySize)
	}
	return &Key{[keySize]byte(secret)}, nil
}

// String returns words that hold nothing of the key.
func (Key) String() string { return "discovery key (redacted)" }

// GoString returns what String returns.
func (k Key) GoString() string { return k.String() }

// LogValue returns what String returns.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Format writes what String returns, whatever the verb.
func (k Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, k.String()) }

// MarshalText refuses to write the key.
func (Key) MarshalText() ([]byte, error) {
	return nil, errors.New("a discovery key is not to be written")
}

// ErrStore is returned by New, wrapped, if a record cannot be opened: the key
// is another one, or the store is damaged. To go on with what is left could
// forget what is private; the embedder may clear the store instead.
var ErrStore = errors.New("decrypting the store failed: another key, or damage")

// A tag is a truncated keyed hash: it is kept in place of a URL, a query or a
// host that must not be kept.
type tag uint64

// A vault seals records and computes tags.
type vault struct {
	aead cipher.AEAD
	tags []byte
	rand io.Reader
}

// Records are padded to a multiple of this many bytes.
const padding = 256

// sealVersion is the first byte of a sealed record.
const sealVersion = 1

func newVault(k *Key, rand io.Reader) (*vault, error) {
	derive := func(label string) ([]byte, error) {
		return hkdf.Key(sha256.New, k.secret[:], nil, "shoal discovery v1 "+label, keySize)
	}
	records, err := derive("records")
	if err != nil {
		return nil, err
	}
	tags, err := derive("tags")
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(records)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &vault{aead, tags, rand}, nil
}

// seal encrypts plain under a fresh nonce; the record's key is its associated
// data, so that records cannot change places.
func (v *vault) seal(key string, plain []byte) ([]byte, error) {
	padded := binary.BigEndian.AppendUint32(make([]byte, 0, len(plain)+4+padding), uint32(len(plain)))
	padded = append(padded, plain...)
	padded = append(padded, make([]byte, (padding-len(padded)%padding)%padding)...)
	head := make([]byte, 1+v.aead.NonceSize(), 1+v.aead.NonceSize()+len(padded)+v.aead.Overhead())
	head[0] = sealVersion
	if _, err := io.ReadFull(v.rand, head[1:]); err != nil {
		return nil, fmt.Errorf("drawing a nonce: %w", err)
	}
	return v.aead.Seal(head, head[1:], padded, []byte(key)), nil
}

func (v *vault) open(key string, sealed []byte) ([]byte, error) {
	n := 1 + v.aead.NonceSize()
	if len(sealed) < n || sealed[0] != sealVersion {
		return nil, ErrStore
	}
	padded, err := v.aead.Open(nil, sealed[1:n], sealed[n:], []byte(key))
	if err != nil || len(padded) < 4 {
		return nil, ErrStore
	}
	size := binary.BigEndian.Uint32(padded)
	if uint64(size) > uint64(len(padded)-4) {
		return nil, ErrStore
	}
	return padded[4 : 4+size], nil
}

// tag hashes parts, each with its length, under a label.
func (v *vault) tag(label string, parts ...string) tag {
	return tag(binary.BigEndian.Uint64(v.hash(label, parts...)))
}

func (v *vault) hash(label string, parts ...string) []byte {
	h := hmac.New(sha256.New, v.tags)
	var n [8]byte
	for _, p := range append([]string{label}, parts...) {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		_, _ = io.WriteString(h, p)
	}
	return h.Sum(nil)
}

// name returns the opaque key of a record that exists once.
func (v *vault) name(label string, parts ...string) string {
	return hex.EncodeToString(v.hash("name "+label, parts...)[:16])
}

// fresh returns a random key for a record.
func (v *vault) fresh() (string, error) {
	b := make([]byte, 16)
	if _, err := io.ReadFull(v.rand, b); err != nil {
		return "", fmt.Errorf("drawing the key of a record: %w", err)
	}
	return hex.EncodeToString(b), nil
}
