package bundle

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors of Open. A caller that downloads bundles keeps the one it has on any
// of them.
var (
	ErrUnsigned    = errors.New("the bundle is not signed, or its signature is wrong")
	ErrUnknownKey  = errors.New("the bundle is signed by a key that is not trusted")
	ErrExpired     = errors.New("the bundle has expired")
	ErrNotYetValid = errors.New("the bundle is not valid yet")
	ErrDowngraded  = errors.New("the bundle is older than one that was seen before")
	ErrTooLarge    = errors.New("the bundle is too large")
	ErrMalformed   = errors.New("the bundle is malformed")
)

const (
	header  = "shoal-rule-bundle-1"
	context = "shoal rule bundle v1\x00" // before the bytes that are signed
)

// KeyID returns the short name of a key by which bundles name their signer.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// Sign returns the signed form of a document:
//
//	shoal-rule-bundle-1 <key ID> <base64url signature>\n<canonical JSON>
//
// Ed25519 (RFC 8032) over "shoal rule bundle v1", a zero byte and the canonical
// JSON. The same document and key give the same bytes.
func Sign(doc *Document, key ed25519.PrivateKey) ([]byte, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("signing a rule bundle: not an Ed25519 key")
	}
	if _, err := compile(doc); err != nil {
		return nil, fmt.Errorf("signing a rule bundle: %w", err)
	}
	body, err := doc.Canonical()
	if err != nil {
		return nil, err
	}
	signed := signRaw(body, key)
	if len(signed) > MaxSize {
		return nil, fmt.Errorf("signing a rule bundle: %w", ErrTooLarge)
	}
	return signed, nil
}

// signRaw puts the line with the signature before a body.
func signRaw(body []byte, key ed25519.PrivateKey) []byte {
	public, _ := key.Public().(ed25519.PublicKey)
	signature := ed25519.Sign(key, append([]byte(context), body...))
	line := fmt.Sprintf("%s %s %s\n", header, KeyID(public), base64.RawURLEncoding.EncodeToString(signature))
	return append([]byte(line), body...)
}

// Open verifies a signed bundle and compiles its rules. It is refused unless
// one of keys signed exactly these bytes, now lies within its validity, and its
// version is at least newest, the highest that the caller has seen of the
// series and must keep.
func Open(signed []byte, keys []ed25519.PublicKey, now time.Time, newest uint64) (*Bundle, error) {
	doc, err := verify(signed, keys)
	if err != nil {
		return nil, fmt.Errorf("opening a rule bundle: %w", err)
	}
	switch {
	case now.Before(doc.NotBefore):
		return nil, fmt.Errorf("opening a rule bundle: %w: it begins %s", ErrNotYetValid, doc.NotBefore.Format(time.RFC3339))
	case !now.Before(doc.Expires):
		return nil, fmt.Errorf("opening a rule bundle: %w: %s", ErrExpired, doc.Expires.Format(time.RFC3339))
	case doc.Version < newest:
		return nil, fmt.Errorf("opening a rule bundle: %w: version %d, after %d", ErrDowngraded, doc.Version, newest)
	}
	b, err := compile(doc)
	if err != nil {
		return nil, fmt.Errorf("opening a rule bundle: %w: %w", ErrMalformed, err)
	}
	b.digest = sha256.Sum256(signed)
	return b, nil
}

// Verify checks the signature of a bundle and returns its document, whatever
// the time and the version: for tools that show a bundle.
func Verify(signed []byte, keys []ed25519.PublicKey) (*Document, error) {
	doc, err := verify(signed, keys)
	if err != nil {
		return nil, fmt.Errorf("verifying a rule bundle: %w", err)
	}
	return doc, nil
}

func verify(signed []byte, keys []ed25519.PublicKey) (*Document, error) {
	if len(signed) > MaxSize {
		return nil, ErrTooLarge
	}
	line, body, ok := bytes.Cut(signed, []byte("\n"))
	words := strings.Split(string(line), " ")
	if !ok || len(words) != 3 || words[0] != header {
		return nil, ErrUnsigned
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(words[2])
	// The decoder skips carriage returns: one document must have one digest.
	if err != nil || len(signature) != ed25519.SignatureSize || base64.RawURLEncoding.EncodeToString(signature) != words[2] {
		return nil, ErrUnsigned
	}
	key, ok := keyOf(words[1], keys)
	if !ok {
		return nil, ErrUnknownKey
	}
	if !ed25519.Verify(key, append([]byte(context), body...), signature) {
		return nil, ErrUnsigned
	}
	doc, err := Parse(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if again, err := doc.Canonical(); err != nil || !bytes.Equal(again, body) {
		return nil, fmt.Errorf("%w: what is signed is not the canonical spelling", ErrMalformed)
	}
	return doc, nil
}

// keyOf finds a trusted key by its ID.
func keyOf(id string, keys []ed25519.PublicKey) (ed25519.PublicKey, bool) {
	for _, k := range keys {
		if len(k) == ed25519.PublicKeySize && KeyID(k) == id {
			return k, true
		}
	}
	return nil, false
}
