// Package auth holds the tokens by which DAP's leader and collector authenticate to
// the other side (draft-ietf-ppm-dap, section "Request Authentication"). The draft
// leaves the scheme open; these are bearer tokens of RFC 6750, and the header
// DAP-Auth-Token, which other implementations send.
//
// # Use
//
// The party that receives requests makes a token, gives it to the other, and
// keeps only its [Hash]:
//
//	token, err := auth.NewToken(rand.Reader)
//	hashes = append(hashes, token.Hash())
//
//	token.SetBearer(request.Header)          // the sender
//	ok := auth.Allowed(request.Header, hashes) // the receiver
//
// Several hashes are valid at once: to rotate a token, add the new one, give it
// to the sender, and remove the old one.
//
// # Security
//
// Tokens have 256 bits, so that their SHA-256 digest needs neither salt nor
// stretching. [Allowed] looks at every hash and takes a time that depends on the
// number of hashes and the length of the header only. A token proves nothing over
// a connection that is not encrypted, and anyone with a copy of it is accepted.
// Tokens print redacted.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
)

// Header is the header field of DAP-Auth-Token.
const Header = "DAP-Auth-Token"

const (
	scheme   = "Bearer"
	maxToken = 512 // characters
)

// A Token authenticates requests. It prints redacted; [Token.Reveal] is the one way to
// its text. It cannot be compared by ==. The zero Token is no token.
type Token struct {
	_    [0]func()
	text string
}

// NewToken makes a token of 32 bytes of rand, which is crypto/rand.Reader.
func NewToken(rand io.Reader) (Token, error) {
	var b [32]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return Token{}, fmt.Errorf("making an authentication token: %w", err)
	}
	return Token{text: base64.RawURLEncoding.EncodeToString(b[:])}, nil
}

// ParseToken takes the text of a token that another program made: 1 to 512
// letters, digits and signs that RFC 6750 allows in a bearer token. Its errors
// never hold the text.
func ParseToken(text string) (Token, error) {
	if !valid(text) {
		return Token{}, fmt.Errorf("authentication token: want 1 to %d letters, digits or signs of \"-._~+/\", then \"=\" or nothing", maxToken)
	}
	return Token{text: text}, nil
}

// valid reports whether a text is a b64token (RFC 6750, section 2.1).
func valid(text string) bool {
	body := strings.TrimRight(text, "=")
	if body == "" || len(text) > maxToken {
		return false
	}
	for _, c := range []byte(body) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("-._~+/", rune(c)) {
			return false
		}
	}
	return true
}

// Equal reports whether two tokens are the same. It takes a time that depends on their
// lengths only.
func (t Token) Equal(o Token) bool {
	return subtle.ConstantTimeCompare([]byte(t.text), []byte(o.text)) == 1
}

// IsZero reports whether there is no token.
func (t Token) IsZero() bool { return t.text == "" }

// Reveal returns the token's text.
func (t Token) Reveal() string { return t.text }

// SetBearer authenticates a request by the header field Authorization.
func (t Token) SetBearer(h http.Header) { h.Set("Authorization", scheme+" "+t.text) }

// SetDAP authenticates a request by the header field DAP-Auth-Token.
func (t Token) SetDAP(h http.Header) { h.Set(Header, t.text) }

// String hides the token.
func (Token) String() string { return "auth.Token(redacted)" }

// GoString hides the token.
func (t Token) GoString() string { return t.String() }

// Format hides the token under every verb.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue hides the token.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText hides the token: an encoder does not reveal it.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// A Hash is the SHA-256 digest of a token's text: what the receiver keeps. It
// reveals nothing about the token.
type Hash [sha256.Size]byte

// Hash returns the token's hash.
func (t Token) Hash() Hash { return sha256.Sum256([]byte(t.text)) }

// String returns the hash in unpadded base64url.
func (h Hash) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

// MarshalText returns [Hash.String].
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what [Hash.String] returns.
func (h *Hash) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	if err != nil || len(b) != len(h) {
		return errors.New("token hash: want 32 bytes in unpadded base64url")
	}
	*h = Hash(b)
	return nil
}

// From returns the token that a request carries, false if it carries none, an
// invalid one, or two that differ.
func From(h http.Header) (Token, bool) {
	var found []string
	for _, v := range h.Values("Authorization") {
		name, rest, _ := strings.Cut(v, " ")
		if strings.EqualFold(name, scheme) {
			found = append(found, strings.TrimLeft(rest, " "))
		}
	}
	found = append(found, h.Values(Header)...)
	if len(found) == 0 || len(found) > 2 {
		return Token{}, false
	}
	for _, text := range found {
		if !valid(text) || text != found[0] {
			return Token{}, false
		}
	}
	return Token{text: found[0]}, true
}

// Allowed reports whether a request carries a token with one of the hashes.
func Allowed(h http.Header, hashes []Hash) bool {
	t, ok := From(h)
	return ok && t.Matches(hashes)
}

// Matches reports whether the token has one of the hashes.
func (t Token) Matches(hashes []Hash) bool {
	have, match := t.Hash(), 0
	for i := range hashes {
		match |= subtle.ConstantTimeCompare(have[:], hashes[i][:])
	}
	return match == 1 && !t.IsZero()
}
