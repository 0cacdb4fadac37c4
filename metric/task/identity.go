package task

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// A Domain separates the signatures that one identity key makes for different
// purposes: none can be taken for another.
type Domain string

// The domains.
const (
	TaskDomain      Domain = "shoal task v1"
	KeyConfigDomain Domain = "shoal key config v1"
	BatchDomain     Domain = "shoal batch v1"
	StatementDomain Domain = "shoal statement v1"
)

// input returns what is signed: the domain, a zero byte, the body.
func (d Domain) input(body []byte) []byte {
	return append(append([]byte(d), 0), body...)
}

// Verify reports whether sig is by's Ed25519 signature (RFC 8032) of body in
// the domain d.
func Verify(by ed25519.PublicKey, d Domain, body, sig []byte) bool {
	return len(by) == ed25519.PublicKeySize && ed25519.Verify(by, d.input(body), sig)
}

const (
	privatePrefix = "shoal-identity-key:"
	publicPrefix  = "ed25519:"
)

// An IdentityKey is the long-lived Ed25519 key by which an owner or a party is
// known. It prints redacted; [IdentityKey.Secret] alone reveals it.
type IdentityKey struct{ private ed25519.PrivateKey }

// GenerateIdentityKey draws a key from rand.
func GenerateIdentityKey(rand io.Reader) (IdentityKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(rand, seed); err != nil {
		return IdentityKey{}, fmt.Errorf("drawing identity key: %w", err)
	}
	return IdentityKey{ed25519.NewKeyFromSeed(seed)}, nil
}

// ParseIdentityKey reads the form that [IdentityKey.Secret] writes. Its errors
// do not repeat the input.
func ParseIdentityKey(s string) (IdentityKey, error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(s), privatePrefix)
	seed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(seed) != ed25519.SeedSize {
		return IdentityKey{}, errors.New("identity key: want \"" + privatePrefix + "\" and 43 characters of unpadded base64url")
	}
	return IdentityKey{ed25519.NewKeyFromSeed(seed)}, nil
}

// Public returns the public half.
func (k IdentityKey) Public() ed25519.PublicKey {
	if len(k.private) != ed25519.PrivateKeySize {
		return nil
	}
	return k.private.Public().(ed25519.PublicKey)
}

// Sign signs body in the domain d. The zero key has no signature.
func (k IdentityKey) Sign(d Domain, body []byte) []byte {
	if len(k.private) != ed25519.PrivateKeySize {
		return nil
	}
	return ed25519.Sign(k.private, d.input(body))
}

// Secret returns the key's text form, for a file that only its user may read.
func (k IdentityKey) Secret() string {
	if len(k.private) != ed25519.PrivateKeySize {
		return ""
	}
	return privatePrefix + base64.RawURLEncoding.EncodeToString(k.private.Seed())
}

// String names the key by its public half.
func (k IdentityKey) String() string { return "identity key of " + FormatPublic(k.Public()) }

// GoString is [IdentityKey.String].
func (k IdentityKey) GoString() string { return k.String() }

// Format writes [IdentityKey.String], whatever the verb.
func (k IdentityKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is [IdentityKey.String].
func (k IdentityKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is [IdentityKey.String]: an encoder does not reveal the key.
func (k IdentityKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// FormatPublic returns the text form of a public key: "ed25519:" and unpadded
// base64url.
func FormatPublic(key ed25519.PublicKey) string {
	return publicPrefix + base64.RawURLEncoding.EncodeToString(key)
}

// ParsePublic reads the form that [FormatPublic] writes.
func ParsePublic(s string) (ed25519.PublicKey, error) {
	text, ok := strings.CutPrefix(s, publicPrefix)
	key, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("public key %q: want %q and 43 characters of unpadded base64url", s, publicPrefix)
	}
	return key, nil
}
