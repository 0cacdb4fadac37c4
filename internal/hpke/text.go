package hpke

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
)

// A Stored is a private key with what belongs to it in a key file: one line of text.
// It prints redacted.
type Stored struct {
	secret
	Use       Use
	Key       *PrivateKey
	ID        []byte  // by which messages name the key, 255 bytes at most
	Suites    []Suite // that go with it, the preferred one first; 16 at most
	NotBefore int64   // Unix seconds from which others seal to the key
	NotAfter  int64   // and until which; both 0: no limit is stored
}

// A Use is what a stored key opens, so that a key is not read as one for something
// else.
type Use uint8

// The uses.
const (
	ForReports  Use = 1 // layers of reports, at a shuffler or an analyzer
	ForDAP      Use = 2 // shares, at a leader, a helper or a collector
	ForRequests Use = 3 // requests, at an OHTTP gateway
)

const (
	textPrefix  = "shoal-hpke-key:"
	textVersion = 1
	maxSuites   = 16
	sumSize     = 4 // of the checksum
	maxText     = 4 << 10
)

// Text returns the key with its secret, as one line for a file that only its owner
// can read:
//
//	shoal-hpke-key:BASE64URL(version u8 = 1, use u8, KEM u16, suites<u8> of (KDF u16, AEAD u16),
//	    not before u64, not after u64, ID<u8>, secret[32], checksum[4])
//
// The checksum is of all that is before it and of the public key, so that a damaged
// line is noticed.
func (s *Stored) Text() (string, error) {
	secret, err := s.Key.Secret()
	if err != nil {
		return "", fmt.Errorf("encoding HPKE key: %w", err)
	}
	defer clear(secret)
	if len(s.Suites) > maxSuites {
		return "", fmt.Errorf("encoding HPKE key: %d pairs of symmetric algorithms, limit %d", len(s.Suites), maxSuites)
	}
	var b cryptobyte.Builder
	b.AddUint8(textVersion)
	b.AddUint8(uint8(s.Use))
	b.AddUint16(uint16(s.Key.kem))
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, suite := range s.Suites {
			b.AddUint16(suite.KDF)
			b.AddUint16(suite.AEAD)
		}
	})
	b.AddUint64(uint64(s.NotBefore))
	b.AddUint64(uint64(s.NotAfter))
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(s.ID) })
	b.AddBytes(secret)
	text, err := b.Bytes()
	if err != nil {
		return "", fmt.Errorf("encoding HPKE key: an ID of %d bytes, limit 255", len(s.ID))
	}
	defer clear(text)
	return textPrefix + base64.RawURLEncoding.EncodeToString(append(text, checksum(text, s.Key)...)), nil
}

func checksum(b []byte, k *PrivateKey) []byte {
	h := sha256.New()
	h.Write(b)
	h.Write(k.public)
	return h.Sum(nil)[:sumSize]
}

// A form is how the bytes of a key text are decoded.
type form struct {
	prefix string
	decode func(b []byte) (*Stored, error)
}

// forms are the present form of a key text and those before it.
func forms() []form {
	return []form{
		{textPrefix, decodeText},
		{"shoal-report-key:", decodeReportKey},
		{"shoal-dap-key:", decodeDAPKey},
		{"shoal-gateway-key:", decodeGatewayKey},
	}
}

func formOf(text string) (form, string, error) {
	text = strings.TrimSpace(text)
	for _, f := range forms() {
		if rest, ok := strings.CutPrefix(text, f.prefix); ok {
			return f, rest, nil
		}
	}
	return form{}, "", fmt.Errorf("want a line that begins with %q", textPrefix)
}

// errText says that a key text is not what was written.
var errText = errors.New("the line is damaged")

// Parse reads what [Stored.Text] writes for this use, and what versions before it
// wrote; white space around it is ignored. Its errors never hold the text.
func Parse(text string, use Use) (*Stored, error) {
	f, rest, err := formOf(text)
	if err != nil {
		return nil, fmt.Errorf("parsing HPKE key: %w", err)
	}
	if len(rest) > maxText {
		return nil, fmt.Errorf("parsing HPKE key: a line of %d bytes, limit %d", len(rest), maxText)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil {
		return nil, fmt.Errorf("parsing HPKE key: %w: want unpadded base64url after %q", errText, f.prefix)
	}
	defer clear(b)
	s, err := f.decode(b)
	if err != nil {
		return nil, fmt.Errorf("parsing HPKE key: %w", err)
	}
	if s.Use != use {
		return nil, errors.New("parsing HPKE key: the key of a role that opens something else")
	}
	for _, suite := range s.Suites {
		if err := suite.Validate(); err != nil {
			return nil, fmt.Errorf("parsing HPKE key: %w", err)
		}
	}
	return s, nil
}

func decodeText(b []byte) (*Stored, error) {
	r := cryptobyte.String(b)
	var version, use uint8
	var kem uint16
	var suites, id cryptobyte.String
	var from, until uint64
	var secret, sum []byte
	ok := r.ReadUint8(&version) && r.ReadUint8(&use) && r.ReadUint16(&kem) && r.ReadUint8LengthPrefixed(&suites) && len(suites)%4 == 0 &&
		r.ReadUint64(&from) && r.ReadUint64(&until) && r.ReadUint8LengthPrefixed(&id) &&
		r.ReadBytes(&secret, SecretSize) && r.ReadBytes(&sum, sumSize) && r.Empty()
	if !ok || version != textVersion {
		return nil, fmt.Errorf("%w: want version %d", errText, textVersion)
	}
	key, err := NewPrivateKey(KEM(kem), secret)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(checksum(b[:len(b)-sumSize], key), sum) != 1 {
		return nil, fmt.Errorf("%w: the checksum does not match", errText)
	}
	s := &Stored{Use: Use(use), Key: key, ID: slices.Clone([]byte(id)), NotBefore: int64(from), NotAfter: int64(until)}
	for !suites.Empty() {
		var suite Suite
		suites.ReadUint16(&suite.KDF)
		suites.ReadUint16(&suite.AEAD)
		s.Suites = append(s.Suites, suite)
	}
	if len(s.Suites) > maxSuites {
		return nil, fmt.Errorf("%w: %d pairs of symmetric algorithms, limit %d", errText, len(s.Suites), maxSuites)
	}
	return s, nil
}
