// Package atrest seals secrets before they go to a database or a file.
//
// # Use
//
// A role has a list of keys. The first one seals, every one opens, so that keys
// rotate by putting a new one in front and keeping the old ones as long as
// something is left that they sealed. Registries are resealed when they are opened,
// totals when the next report comes into them; what else there is goes with its
// expiry, after which an old key can leave the list. Where several processes share a
// store, all of them get a new key at the end of their lists before one has it in
// front:
//
//	keys, err := atrest.New(current, former)
//	sealed := keys.Seal(secret, "dap total", task[:], bucket)
//	secret, err = keys.Open(sealed, "dap total", task[:], bucket)
//
// The kind of a secret and its location are bound to it: bytes that are moved to
// another row, task or column do not open.
//
// # Format
//
// Sealed bytes are a version (1), the first 4 bytes of the SHA-256 digest of the
// key, a nonce of 24 random bytes, and XAES-256-GCM (C2SP): AES-256-GCM under a
// key that is derived from ours and the first half of the nonce. Random nonces of
// AES-256-GCM alone would allow 2^32 seals a key; these allow 2^80. The associated
// data is the kind and each part of the place, each with its length of 8 bytes
// before it. Sealing adds [Overhead] bytes.
//
// # Security
//
// The length of a secret stays visible, and so does which secrets were written
// when. An older sealed value put back in the same place opens: the database is
// trusted not to go back in time. Keys print redacted. Key and nonce derivation
// are as constant in time as crypto/aes is on the machine.
package atrest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// ErrSealed means that sealed bytes do not open: they are damaged, belong
// elsewhere, or were sealed with a key that is not in the list.
var ErrSealed = errors.New("sealed bytes do not open")

const (
	version   = 1
	idSize    = 4
	nonceSize = 24
	header    = 1 + idSize + nonceSize
)

// Overhead is how many bytes longer sealed bytes are than what they hold.
const Overhead = header + 16

// A Key is 32 random bytes. It prints redacted; [Key.Text] is the one way to its
// bytes.
type Key [32]byte

const keyPrefix = "shoal-storage-key:"

// GenerateKey makes a key from rand, which is crypto/rand.Reader.
func GenerateKey(rand io.Reader) (Key, error) {
	var k Key
	if _, err := io.ReadFull(rand, k[:]); err != nil {
		return Key{}, fmt.Errorf("generating storage key: %w", err)
	}
	return k, nil
}

// Text returns the key as one line for a file that only its owner can read: the
// prefix "shoal-storage-key:" and unpadded base64url.
func (k Key) Text() string { return keyPrefix + base64.RawURLEncoding.EncodeToString(k[:]) }

// ParseKey reads what [Key.Text] writes; white space around it is ignored. Its
// errors never hold the text.
func ParseKey(text string) (Key, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), keyPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if !ok || err != nil || len(b) != len(Key{}) {
		return Key{}, fmt.Errorf("parsing storage key: want %q and %d bytes in unpadded base64url", keyPrefix, len(Key{}))
	}
	return Key(b), nil
}

// String hides the key.
func (Key) String() string { return "atrest.Key(redacted)" }

// GoString hides the key.
func (k Key) GoString() string { return k.String() }

// Format hides the key under every verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue hides the key.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText hides the key: an encoder does not reveal it.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Keys is a list of keys. It prints redacted, is read-only and safe for
// concurrent use.
type Keys struct{ list []key }

type key struct {
	id    [idSize]byte
	block cipher.Block
	k1    [aes.BlockSize]byte // subkey of CMAC
}

// New returns the list whose first key seals. Two equal keys, and a key of only
// zeros, are refused.
func New(first Key, former ...Key) (*Keys, error) {
	ks := new(Keys)
	for i, k := range append([]Key{first}, former...) {
		if k == (Key{}) {
			return nil, fmt.Errorf("storage key %d is all zeros", i+1)
		}
		digest := sha256.Sum256(k[:])
		n := key{id: [idSize]byte(digest[:])}
		for _, o := range ks.list {
			if o.id == n.id {
				return nil, fmt.Errorf("duplicate storage key %d", i+1)
			}
		}
		block, err := aes.NewCipher(k[:])
		if err != nil {
			return nil, fmt.Errorf("storage key %d: %w", i+1, err)
		}
		n.block = block
		block.Encrypt(n.k1[:], n.k1[:])
		double(&n.k1)
		ks.list = append(ks.list, n)
	}
	return ks, nil
}

// double multiplies by x in GF(2^128) as CMAC does (RFC 4493, section 2.3).
func double(b *[aes.BlockSize]byte) {
	carry := byte(0)
	for i := len(b) - 1; i >= 0; i-- {
		next := b[i] >> 7
		b[i] = b[i]<<1 | carry
		carry = next
	}
	b[len(b)-1] ^= carry * 0x87
}

// aead returns AES-256-GCM under the key that XAES-256-GCM derives for the first
// half of a nonce.
func (k *key) aead(nonce []byte) cipher.AEAD {
	var derived [32]byte
	for i := range 2 {
		half := derived[i*aes.BlockSize : (i+1)*aes.BlockSize]
		copy(half, []byte{0, byte(i + 1), 'X', 0})
		copy(half[4:], nonce[:12])
		for j := range half {
			half[j] ^= k.k1[j]
		}
		k.block.Encrypt(half, half)
	}
	block, err := aes.NewCipher(derived[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has blocks of 16 bytes
	}
	return gcm
}

// place is the associated data.
func place(what string, where [][]byte) []byte {
	ad := binary.BigEndian.AppendUint64(nil, uint64(len(what)))
	ad = append(ad, what...)
	for _, w := range where {
		ad = binary.BigEndian.AppendUint64(ad, uint64(len(w)))
		ad = append(ad, w...)
	}
	return ad
}

// Seal seals a secret of a kind for a place. Equal secrets give different bytes.
func (ks *Keys) Seal(secret []byte, what string, where ...[]byte) []byte {
	k := &ks.list[0]
	out := make([]byte, header, len(secret)+Overhead)
	out[0] = version
	copy(out[1:], k.id[:])
	nonce := out[1+idSize : header]
	rand.Read(nonce) // never fails
	return k.aead(nonce).Seal(out, nonce[12:], secret, place(what, where))
}

// Open opens what [Keys.Seal] sealed for the same kind and place. It fails with
// [ErrSealed].
func (ks *Keys) Open(sealed []byte, what string, where ...[]byte) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] != version {
		return nil, fmt.Errorf("opening %s: %w: not of this format", what, ErrSealed)
	}
	for i := range ks.list {
		k := &ks.list[i]
		if !bytes.Equal(k.id[:], sealed[1:1+idSize]) {
			continue
		}
		nonce := sealed[1+idSize : header]
		secret, err := k.aead(nonce).Open(nil, nonce[12:], sealed[header:], place(what, where))
		if err != nil {
			return nil, fmt.Errorf("opening %s: %w: damaged, or of another place", what, ErrSealed)
		}
		return secret, nil
	}
	return nil, fmt.Errorf("opening %s: %w: its storage key is not in the list", what, ErrSealed)
}

// Current reports whether the list's first key sealed the bytes. Bytes sealed with
// another key must be resealed before that key leaves the list.
func (ks *Keys) Current(sealed []byte) bool {
	return len(sealed) >= Overhead && bytes.Equal(ks.list[0].id[:], sealed[1:1+idSize])
}

// Format hides the keys under every verb.
func (ks *Keys) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "atrest.Keys(%d, redacted)", len(ks.list))
}
