package ohttp

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/shoal-project/shoal/internal/hpke"
)

// A PrivateKey opens the requests that are sealed to its configuration. It prints
// redacted; [PrivateKey.Text] is the one way to its secret. It is safe for
// concurrent use.
type PrivateKey struct {
	config KeyConfig
	key    *hpke.PrivateKey
}

// GenerateKey makes a private key of a KEM from 32 bytes of rand, for requests of
// the given suites, [DefaultSuite] if there are none.
func GenerateKey(id uint8, kem KEM, rand io.Reader, suites ...Suite) (*PrivateKey, error) {
	return newPrivateKey(id, kem, suites, func() (*hpke.PrivateKey, error) { return hpke.Generate(hpke.KEM(kem), rand) })
}

// DeriveKey makes the private key that DeriveKeyPair of RFC 9180 makes of ikm, at
// least 32 bytes of keying material.
func DeriveKey(id uint8, kem KEM, ikm []byte, suites ...Suite) (*PrivateKey, error) {
	return newPrivateKey(id, kem, suites, func() (*hpke.PrivateKey, error) { return hpke.Derive(hpke.KEM(kem), ikm) })
}

// NewPrivateKey joins a secret (SerializePrivateKey of RFC 9180) with its
// configuration. Errors never hold the secret.
func NewPrivateKey(id uint8, kem KEM, secret []byte, suites ...Suite) (*PrivateKey, error) {
	return newPrivateKey(id, kem, suites, func() (*hpke.PrivateKey, error) { return hpke.NewPrivateKey(hpke.KEM(kem), secret) })
}

func newPrivateKey(id uint8, kem KEM, suites []Suite, private func() (*hpke.PrivateKey, error)) (*PrivateKey, error) {
	if err := kem.supported(); err != nil {
		return nil, fmt.Errorf("gateway key %d: %w", id, err)
	}
	if len(suites) == 0 {
		suites = []Suite{DefaultSuite}
	}
	if len(suites) > maxSuites {
		return nil, fmt.Errorf("gateway key %d: %d pairs of symmetric algorithms, limit %d", id, len(suites), maxSuites)
	}
	for _, s := range suites {
		if !s.supported() {
			return nil, fmt.Errorf("gateway key %d: %w: KDF %#04x with AEAD %#04x", id, ErrUnsupported, s.KDF, s.AEAD)
		}
	}
	key, err := private()
	if errors.Is(err, hpke.ErrMalformed) {
		err = fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err != nil {
		return nil, fmt.Errorf("gateway key %d: %w", id, err)
	}
	config := KeyConfig{ID: id, KEM: kem, PublicKey: key.Public(), Suites: slices.Clone(suites)}
	return &PrivateKey{config: config, key: key}, nil
}

// Config returns the configuration that clients get.
func (k *PrivateKey) Config() KeyConfig {
	c := k.config
	c.PublicKey, c.Suites = bytes.Clone(c.PublicKey), slices.Clone(c.Suites)
	return c
}

// Equal reports, in constant time, whether both keys have one secret.
func (k *PrivateKey) Equal(other *PrivateKey) bool { return k.key.Equal(other.key) }

// fingerprint names the key within this process, whatever its ID.
func (k *PrivateKey) fingerprint() [32]byte { return sha256.Sum256(k.config.PublicKey) }

// Text returns the key with its secret, as one line for a file that only its
// owner can read. The line has a checksum, so that damage is noticed.
func (k *PrivateKey) Text() (string, error) {
	stored := hpke.Stored{Use: hpke.ForRequests, Key: k.key, ID: []byte{k.config.ID}}
	for _, s := range k.config.Suites {
		stored.Suites = append(stored.Suites, hpke.Suite(s))
	}
	text, err := stored.Text()
	if err != nil {
		return "", fmt.Errorf("gateway key %d: %w", k.config.ID, err)
	}
	return text, nil
}

// ParsePrivateKey reads what [PrivateKey.Text] writes, and what earlier versions
// wrote; white space around it is ignored. Its errors never hold the text.
func ParsePrivateKey(text string) (*PrivateKey, error) {
	stored, err := hpke.Parse(text, hpke.ForRequests)
	if err != nil {
		return nil, fmt.Errorf("gateway key: %w", err)
	}
	if len(stored.ID) != 1 {
		return nil, fmt.Errorf("gateway key: an ID of %d bytes, want 1", len(stored.ID))
	}
	var suites []Suite
	for _, s := range stored.Suites {
		suites = append(suites, Suite(s))
	}
	return newPrivateKey(stored.ID[0], KEM(stored.Key.KEM()), suites, func() (*hpke.PrivateKey, error) { return stored.Key, nil })
}

// String returns the key's ID and nothing of its secret.
func (k *PrivateKey) String() string {
	if k == nil {
		return "gateway key (none)"
	}
	return fmt.Sprintf("gateway key %d of %v (redacted)", k.config.ID, k.config.KEM)
}

// Format writes what [PrivateKey.String] returns, whatever the verb.
func (k *PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue returns what [PrivateKey.String] returns.
func (k *PrivateKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText refuses: a secret is not written by accident.
func (k *PrivateKey) MarshalText() ([]byte, error) {
	return nil, fmt.Errorf("%v is not marshalled: call Text to store it", k)
}
