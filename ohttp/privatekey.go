package ohttp

import (
	"bytes"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// A PrivateKey opens the requests that are sealed to its configuration. It prints
// redacted; [PrivateKey.Text] is the one way to its secret. It is safe for
// concurrent use.
type PrivateKey struct {
	config KeyConfig
	key    hpke.PrivateKey
}

// GenerateKey makes a private key of a KEM from 32 bytes of rand, for requests of
// the given suites, [DefaultSuite] if there are none.
func GenerateKey(id uint8, kem KEM, rand io.Reader, suites ...Suite) (*PrivateKey, error) {
	var seed [secretSize]byte
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		return nil, fmt.Errorf("generating gateway key: reading randomness: %w", err)
	}
	return DeriveKey(id, kem, seed[:], suites...)
}

// DeriveKey makes the private key that DeriveKeyPair of RFC 9180 makes of ikm, at
// least 32 bytes of keying material.
func DeriveKey(id uint8, kem KEM, ikm []byte, suites ...Suite) (*PrivateKey, error) {
	k, err := kem.hpke()
	if err != nil {
		return nil, fmt.Errorf("deriving gateway key: %w", err)
	}
	key, err := k.DeriveKeyPair(ikm)
	if err != nil {
		return nil, fmt.Errorf("deriving gateway key: %v refuses keying material of %d bytes", kem, len(ikm))
	}
	return newPrivateKey(id, kem, key, suites)
}

// NewPrivateKey joins a secret (SerializePrivateKey of RFC 9180) with its
// configuration. Errors never hold the secret.
func NewPrivateKey(id uint8, kem KEM, secret []byte, suites ...Suite) (*PrivateKey, error) {
	k, err := kem.hpke()
	if err != nil {
		return nil, fmt.Errorf("gateway key %d: %w", id, err)
	}
	key, err := k.NewPrivateKey(secret)
	if err != nil {
		return nil, fmt.Errorf("gateway key %d: %w: not a secret of %v", id, ErrMalformed, kem)
	}
	return newPrivateKey(id, kem, key, suites)
}

func newPrivateKey(id uint8, kem KEM, key hpke.PrivateKey, suites []Suite) (*PrivateKey, error) {
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
	config := KeyConfig{ID: id, KEM: kem, PublicKey: key.PublicKey().Bytes(), Suites: slices.Clone(suites)}
	return &PrivateKey{config: config, key: key}, nil
}

// Config returns the configuration that clients get.
func (k *PrivateKey) Config() KeyConfig {
	c := k.config
	c.PublicKey, c.Suites = bytes.Clone(c.PublicKey), slices.Clone(c.Suites)
	return c
}

// Equal reports, in constant time, whether both keys have one secret.
func (k *PrivateKey) Equal(other *PrivateKey) bool {
	a, errA := k.key.Bytes()
	b, errB := other.key.Bytes()
	return errA == nil && errB == nil && k.config.KEM == other.config.KEM && subtle.ConstantTimeCompare(a, b) == 1
}

// fingerprint names the key within this process, whatever its ID.
func (k *PrivateKey) fingerprint() [32]byte { return sha256.Sum256(k.config.PublicKey) }

const (
	textPrefix  = "shoal-gateway-key:"
	textVersion = 1
)

// Text returns the key with its secret, as one line for a file that only its
// owner can read:
//
//	shoal-gateway-key:BASE64URL(version u8 = 1, key ID u8, KEM u16, secret[32], (KDF u16, AEAD u16)*, checksum[4])
//
// The checksum is of all that is before it and of the public key, so that a damaged
// line is noticed.
func (k *PrivateKey) Text() (string, error) {
	secret, err := k.key.Bytes()
	if err != nil {
		return "", fmt.Errorf("encoding gateway key %d: %w", k.config.ID, err)
	}
	b := []byte{textVersion, k.config.ID}
	b = binary.BigEndian.AppendUint16(b, uint16(k.config.KEM))
	b = append(b, secret...)
	for _, s := range k.config.Suites {
		b = binary.BigEndian.AppendUint16(b, s.KDF)
		b = binary.BigEndian.AppendUint16(b, s.AEAD)
	}
	return textPrefix + base64.RawURLEncoding.EncodeToString(append(b, k.checksum(b)...)), nil
}

func (k *PrivateKey) checksum(b []byte) []byte {
	sum := sha256.Sum256(append(bytes.Clone(b), k.config.PublicKey...))
	return sum[:4]
}

// ParsePrivateKey reads what [PrivateKey.Text] writes; white space around it is
// ignored. Its errors never hold the text.
func ParsePrivateKey(text string) (*PrivateKey, error) {
	const fixed = 4 + secretSize + 4
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), textPrefix)
	if !ok {
		return nil, fmt.Errorf("parsing gateway key: want a line that begins with %q", textPrefix)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(b) < fixed+4 || len(b) > fixed+4*maxSuites || len(b)%4 != 0 || b[0] != textVersion {
		return nil, fmt.Errorf("parsing gateway key: want version %d in unpadded base64url, the line is damaged", textVersion)
	}
	var suites []Suite
	for s := b[4+secretSize : len(b)-4]; len(s) > 0; s = s[4:] {
		suites = append(suites, Suite{binary.BigEndian.Uint16(s), binary.BigEndian.Uint16(s[2:])})
	}
	k, err := NewPrivateKey(b[1], KEM(binary.BigEndian.Uint16(b[2:])), b[4:4+secretSize], suites...)
	if err != nil {
		return nil, fmt.Errorf("parsing gateway key: %w", err)
	}
	if n := len(b) - 4; !bytes.Equal(k.checksum(b[:n]), b[n:]) {
		return nil, fmt.Errorf("parsing gateway key: the checksum does not match, the line is damaged")
	}
	return k, nil
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
