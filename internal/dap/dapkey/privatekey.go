// Package dapkey is the private HPKE keys of DAP's leader, helper and collector: a
// [PrivateKey] opens what is sealed to an HPKE configuration, a [Ring] is an
// aggregator's keys and the plan by which they follow each other.
//
// # Security
//
// Keys print redacted; [PrivateKey.Text] is the one way to a secret. Time depends on
// secrets no more than in package hpke.
package dapkey

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/hpke"
)

// A PrivateKey opens what is sealed to its configuration. It prints redacted;
// [PrivateKey.Text] is the one way to its secret. It is safe for concurrent use.
type PrivateKey struct {
	config dap.HpkeConfig
	key    *hpke.PrivateKey
}

var _ dap.Opener = (*PrivateKey)(nil)

// Generate makes a private key of a KEM, with HKDF-SHA256 and AES-128-GCM, from 32
// bytes of rand. It fails with [dap.ErrUnsupported].
func Generate(id dap.HpkeConfigID, kem hpke.KEM, rand io.Reader) (*PrivateKey, error) {
	key, err := hpke.Generate(kem, rand)
	if errors.Is(err, hpke.ErrUnsupported) {
		err = fmt.Errorf("%w: %w", dap.ErrUnsupported, err)
	}
	if err != nil {
		return nil, fmt.Errorf("generating HPKE key: %w", err)
	}
	return newPrivateKey(id, hpke.DefaultSuite(), key), nil
}

// Wrap returns a key with an ID, HKDF-SHA256 and AES-128-GCM.
func Wrap(id dap.HpkeConfigID, key *hpke.PrivateKey) *PrivateKey {
	return newPrivateKey(id, hpke.DefaultSuite(), key)
}

func newPrivateKey(id dap.HpkeConfigID, s hpke.Suite, key *hpke.PrivateKey) *PrivateKey {
	return &PrivateKey{dap.HpkeConfig{ID: id, KEM: uint16(key.KEM()), KDF: s.KDF, AEAD: s.AEAD, PublicKey: key.Public()}, key}
}

// New joins a configuration and its secret, which another program made
// (SerializePrivateKey of RFC 9180). Its errors never hold the secret.
func New(c dap.HpkeConfig, secret []byte) (*PrivateKey, error) {
	suite := hpke.Suite{KDF: c.KDF, AEAD: c.AEAD}
	if err := suite.Validate(); err != nil {
		return nil, fmt.Errorf("HPKE key %d: %w", c.ID, err)
	}
	key, err := hpke.NewPrivateKey(hpke.KEM(c.KEM), secret)
	if err != nil {
		return nil, fmt.Errorf("HPKE key %d: %w", c.ID, err)
	}
	if !bytes.Equal(key.Public(), c.PublicKey) {
		return nil, fmt.Errorf("HPKE key %d: the secret does not belong to the public key", c.ID)
	}
	return newPrivateKey(c.ID, suite, key), nil
}

// Config returns the public half.
func (k *PrivateKey) Config() dap.HpkeConfig {
	c := k.config
	c.PublicKey = bytes.Clone(c.PublicKey)
	return c
}

// ID returns the ID of the configuration.
func (k *PrivateKey) ID() dap.HpkeConfigID { return k.config.ID }

// KEM returns the key encapsulation mechanism.
func (k *PrivateKey) KEM() hpke.KEM { return k.key.KEM() }

func (k *PrivateKey) suite() hpke.Suite { return hpke.Suite{KDF: k.config.KDF, AEAD: k.config.AEAD} }

// Open implements [dap.Opener].
func (k *PrivateKey) Open(info, aad []byte, m *dap.HpkeCiphertext) ([]byte, error) {
	if m.ConfigID != k.config.ID {
		return nil, fmt.Errorf("sealed to HPKE configuration %d, not %d", m.ConfigID, k.config.ID)
	}
	plaintext, err := k.key.Open(k.suite(), m.Enc, info, aad, m.Payload)
	if err != nil {
		return nil, fmt.Errorf("opening with HPKE key %d: %w", k.config.ID, err)
	}
	return plaintext, nil
}

// OpenMany implements [dap.Opener].
func (k *PrivateKey) OpenMany(info []byte, messages []*dap.HpkeCiphertext, aad func(b []byte, i int) []byte, room []byte) [][]byte {
	sealed := make([]hpke.Message, len(messages))
	for i, m := range messages {
		sealed[i] = hpke.Message{Encapsulated: m.Enc, Sealed: m.Payload}
	}
	return k.key.OpenMany(k.suite(), info, sealed, aad, room)
}

// Text returns the key with its secret, as one line for a file that only its
// owner can read, in the form of [hpke.Stored].
func (k *PrivateKey) Text() (string, error) { return k.text(0, 0) }

func (k *PrivateKey) text(from, until int64) (string, error) {
	stored := hpke.Stored{
		Use: hpke.ForDAP, Key: k.key, ID: []byte{byte(k.config.ID)}, Suites: []hpke.Suite{k.suite()}, NotBefore: from, NotAfter: until,
	}
	text, err := stored.Text()
	if err != nil {
		return "", fmt.Errorf("HPKE key %d: %w", k.config.ID, err)
	}
	return text, nil
}

// Parse reads what [PrivateKey.Text] writes, and what earlier versions wrote; white
// space around it is ignored. Its errors never hold the text.
func Parse(text string) (*PrivateKey, error) {
	_, key, err := parse(text)
	return key, err
}

func parse(text string) (*hpke.Stored, *PrivateKey, error) {
	stored, err := hpke.Parse(text, hpke.ForDAP)
	if err != nil {
		return nil, nil, err
	}
	if len(stored.ID) != 1 || len(stored.Suites) != 1 {
		return nil, nil, fmt.Errorf("parsing HPKE key: an ID of %d bytes and %d suites, want 1 of each", len(stored.ID), len(stored.Suites))
	}
	return stored, newPrivateKey(dap.HpkeConfigID(stored.ID[0]), stored.Suites[0], stored.Key), nil
}

// String names the key by its ID, without its secret.
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
