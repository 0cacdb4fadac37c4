package esa

import (
	"bytes"
	stdhpke "crypto/hpke"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/task"
)

// A PrivateKey opens the layers that are sealed to it. It prints redacted;
// [PrivateKey.Text] is the one way to its secret. It is safe for use by several
// goroutines.
type PrivateKey struct {
	public task.Key
	key    stdhpke.PrivateKey
	many   *hpke.Key // of a key of X25519: opens many layers at once
}

// GenerateKey makes a private key from 32 bytes of rand. The key opens reports
// of epochs that overlap the time from notBefore to notAfter, to the second.
func GenerateKey(kem KEM, notBefore, notAfter time.Time, rand io.Reader) (*PrivateKey, error) {
	suite, err := kem.suite()
	if err != nil {
		return nil, fmt.Errorf("generating key: %w", err)
	}
	var seed [secretSize]byte
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		return nil, fmt.Errorf("generating key: reading randomness: %w", err)
	}
	key, err := suite.DeriveKeyPair(seed[:])
	if err != nil {
		return nil, fmt.Errorf("generating key: %w", err)
	}
	return newPrivateKey(key, kem, notBefore, notAfter)
}

func newPrivateKey(key stdhpke.PrivateKey, kem KEM, notBefore, notAfter time.Time) (*PrivateKey, error) {
	if notBefore.After(notAfter) {
		return nil, fmt.Errorf("key: not_after %[2]v is not after not_before %[1]v", notBefore.UTC(), notAfter.UTC())
	}
	public := task.NewKey(uint16(kem), key.PublicKey().Bytes(), notBefore, notAfter)
	many, err := openerOfMany(kem, key)
	if err != nil {
		return nil, fmt.Errorf("a key of %v without a secret: %w", kem, err)
	}
	return &PrivateKey{public: public, key: key, many: many}, nil
}

// Public returns the public half, as used in a [task.KeyConfig].
func (k *PrivateKey) Public() task.Key {
	public := k.public
	public.Public = bytes.Clone(public.Public)
	return public
}

// covers reports whether the key is valid at some moment between start and end.
func (k *PrivateKey) covers(start, end int64) bool {
	return k.public.NotBefore <= end && start <= k.public.NotAfter
}

const (
	textPrefix  = "shoal-report-key:"
	textVersion = 1
	textSize    = 1 + 2 + 8 + 8 + 8 + secretSize
)

// Text returns the key with its secret, as one line for a file that only its
// owner can read:
//
//	shoal-report-key:BASE64URL(version u8 = 1, KEM u16, not before u64, not after u64, key ID[8], secret[32])
func (k *PrivateKey) Text() (string, error) {
	secret, err := k.key.Bytes()
	if err != nil {
		return "", fmt.Errorf("encoding key %v: %w", k.public.ID, err)
	}
	b := make([]byte, 0, textSize)
	b = append(b, textVersion)
	b = binary.BigEndian.AppendUint16(b, k.public.KEM)
	b = binary.BigEndian.AppendUint64(b, uint64(k.public.NotBefore))
	b = binary.BigEndian.AppendUint64(b, uint64(k.public.NotAfter))
	b = append(b, k.public.ID[:]...)
	b = append(b, secret...)
	return textPrefix + base64.RawURLEncoding.EncodeToString(b), nil
}

// ParsePrivateKey reads what [PrivateKey.Text] writes; white space around it is
// ignored. Its errors never hold the text.
func ParsePrivateKey(text string) (*PrivateKey, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), textPrefix)
	if !ok {
		return nil, fmt.Errorf("parsing private key: want a line that begins with %q", textPrefix)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(b) != textSize || b[0] != textVersion {
		return nil, fmt.Errorf("parsing private key: want %d bytes in unpadded base64url, of version %d", textSize, textVersion)
	}
	kem := KEM(binary.BigEndian.Uint16(b[1:]))
	notBefore, notAfter := binary.BigEndian.Uint64(b[3:]), binary.BigEndian.Uint64(b[11:])
	id, secret := task.KeyID(b[19:27]), b[27:]
	suite, err := kem.suite()
	if err != nil {
		return nil, fmt.Errorf("parsing private key: %w", err)
	}
	key, err := suite.NewPrivateKey(secret)
	if err != nil {
		return nil, fmt.Errorf("parsing private key: not a secret of %v", kem)
	}
	k, err := newPrivateKey(key, kem, time.Unix(int64(notBefore), 0), time.Unix(int64(notAfter), 0))
	if err != nil {
		return nil, fmt.Errorf("parsing private key: %w", err)
	}
	canonical, err := key.Bytes()
	if err != nil || k.public.ID != id || subtle.ConstantTimeCompare(canonical, secret) != 1 {
		return nil, errors.New("parsing private key: the secret does not belong to the key ID beside it; the text is damaged")
	}
	return k, nil
}

// String returns the key's ID and nothing of its secret.
func (k *PrivateKey) String() string {
	if k == nil {
		return "private key (none)"
	}
	return fmt.Sprintf("private key %v (redacted)", k.public.ID)
}

// Format writes what [PrivateKey.String] returns, whatever the verb.
func (k *PrivateKey) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// LogValue returns what [PrivateKey.String] returns.
func (k *PrivateKey) LogValue() slog.Value { return slog.StringValue(k.String()) }
