package dap

import (
	"bytes"
	stdhpke "crypto/hpke"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/task"
)

// A PrivateKey opens what is sealed to its configuration. It prints redacted;
// [PrivateKey.Text] is the one way to its secret. It is safe for concurrent use.
type PrivateKey struct {
	config HpkeConfig
	key    stdhpke.PrivateKey
	kdf    stdhpke.KDF
	aead   stdhpke.AEAD
	many   *hpke.Key // of the mandatory suite: opens many messages at once
}

// GenerateKey makes a private key of a KEM, [task.KEMX25519], [task.KEMP256] or
// [task.KEMXWing], with HKDF-SHA256 and AES-128-GCM, from 32 bytes of rand.
func GenerateKey(id HpkeConfigID, kem uint16, rand io.Reader) (*PrivateKey, error) {
	k, err := kemOf(kem)
	if err != nil {
		return nil, fmt.Errorf("generating HPKE key: %w", err)
	}
	var seed [32]byte
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		return nil, fmt.Errorf("generating HPKE key: reading randomness: %w", err)
	}
	key, err := k.DeriveKeyPair(seed[:])
	if err != nil {
		return nil, fmt.Errorf("generating HPKE key: %w", err)
	}
	config := HpkeConfig{ID: id, KEM: kem, KDF: KDFHKDFSHA256, AEAD: AEADAES128GCM, PublicKey: key.PublicKey().Bytes()}
	many, err := newMany(&config, key.Bytes)
	if err != nil {
		return nil, fmt.Errorf("generating HPKE key: %w", err)
	}
	return &PrivateKey{config: config, key: key, kdf: stdhpke.HKDFSHA256(), aead: stdhpke.AES128GCM(), many: many}, nil
}

// NewPrivateKey joins a configuration and its secret, which another program made
// (SerializePrivateKey of RFC 9180). Its errors never hold the secret.
func NewPrivateKey(c HpkeConfig, secret []byte) (*PrivateKey, error) {
	kem, kdf, aead, err := c.suite()
	if err != nil {
		return nil, fmt.Errorf("HPKE key %d: %w", c.ID, err)
	}
	key, err := kem.NewPrivateKey(secret)
	if err != nil {
		return nil, fmt.Errorf("HPKE key %d: not a secret of KEM %#04x", c.ID, c.KEM)
	}
	if !bytes.Equal(key.PublicKey().Bytes(), c.PublicKey) {
		return nil, fmt.Errorf("HPKE key %d: the secret does not belong to the public key", c.ID)
	}
	c.PublicKey = bytes.Clone(c.PublicKey)
	many, err := newMany(&c, key.Bytes)
	if err != nil {
		return nil, fmt.Errorf("HPKE key %d: not a secret of KEM %#04x", c.ID, c.KEM)
	}
	return &PrivateKey{config: c, key: key, kdf: kdf, aead: aead, many: many}, nil
}

// Config returns the public half.
func (k *PrivateKey) Config() HpkeConfig {
	c := k.config
	c.PublicKey = bytes.Clone(c.PublicKey)
	return c
}

// open is OpenBase of RFC 9180, section 6.1.
func (k *PrivateKey) open(info, aad []byte, m *HpkeCiphertext) ([]byte, error) {
	if m.ConfigID != k.config.ID {
		return nil, fmt.Errorf("sealed to HPKE configuration %d, not %d", m.ConfigID, k.config.ID)
	}
	recipient, err := stdhpke.NewRecipient(m.Enc, k.key, k.kdf, k.aead, info)
	if err != nil {
		return nil, fmt.Errorf("opening with HPKE key %d: %w", k.config.ID, err)
	}
	plaintext, err := recipient.Open(aad, m.Payload)
	if err != nil {
		return nil, fmt.Errorf("opening with HPKE key %d: %w", k.config.ID, err)
	}
	return plaintext, nil
}

const keyPrefix = "shoal-dap-key:"

// keyCodec encodes configurations in key texts. They are the same in all
// variants.
func keyCodec() Codec { return NewCodec(DAP18()) }

// Text returns the key with its secret, as one line for a file that only its
// owner can read: the prefix "shoal-dap-key:" and, in unpadded base64url, the
// HpkeConfig and the secret.
func (k *PrivateKey) Text() (string, error) {
	secret, err := k.key.Bytes()
	if err != nil {
		return "", fmt.Errorf("encoding HPKE key %d: %w", k.config.ID, err)
	}
	b, err := keyCodec().Encode(&k.config)
	if err != nil {
		return "", err
	}
	return keyPrefix + base64.RawURLEncoding.EncodeToString(append(b, secret...)), nil
}

// ParsePrivateKey reads what [PrivateKey.Text] writes; white space around it is
// ignored. Its errors never hold the text.
func ParsePrivateKey(text string) (*PrivateKey, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), keyPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if !ok || err != nil {
		return nil, fmt.Errorf("parsing HPKE key: want a line of %q and unpadded base64url", keyPrefix)
	}
	r := &reader{s: b, codec: keyCodec(), size: len(b)}
	var c HpkeConfig
	c.unmarshal(r)
	if r.err != nil {
		return nil, errors.New("parsing HPKE key: the text is damaged")
	}
	return NewPrivateKey(c, r.s)
}

// String names the key by its ID and reveals nothing about its secret.
func (k *PrivateKey) String() string {
	if k == nil {
		return "HPKE key (none)"
	}
	return fmt.Sprintf("HPKE key %d (redacted)", k.config.ID)
}

// GoString is [PrivateKey.String].
func (k *PrivateKey) GoString() string { return k.String() }

// Format writes [PrivateKey.String], whatever the verb.
func (k *PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is [PrivateKey.String].
func (k *PrivateKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is [PrivateKey.String]: an encoder does not reveal the key.
func (k *PrivateKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// preferred are the KEMs for which a [Keyring] makes keys if a [Rotation] names
// none: the one that every party has.
func preferred(kems []uint16) []uint16 {
	if len(kems) == 0 {
		return []uint16{task.KEMX25519}
	}
	return kems
}
