package esa

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/task"
)

// A PrivateKey opens the layers that are sealed to it. It prints redacted;
// [PrivateKey.Text] is the one way to its secret. It is safe for use by several
// goroutines.
type PrivateKey struct {
	public task.Key
	key    *hpke.PrivateKey
}

// GenerateKey makes a private key from 32 bytes of rand. The key opens reports
// of epochs that overlap the time from notBefore to notAfter, to the second.
func GenerateKey(kem KEM, notBefore, notAfter time.Time, rand io.Reader) (*PrivateKey, error) {
	key, err := hpke.Generate(kem, rand)
	if err != nil {
		return nil, fmt.Errorf("generating key: %w", err)
	}
	k, err := newPrivateKey(key, notBefore, notAfter)
	if err != nil {
		return nil, fmt.Errorf("generating key: %w", err)
	}
	return k, nil
}

func newPrivateKey(key *hpke.PrivateKey, notBefore, notAfter time.Time) (*PrivateKey, error) {
	if notBefore.After(notAfter) {
		return nil, fmt.Errorf("key: not_after %[2]v is not after not_before %[1]v", notBefore.UTC(), notAfter.UTC())
	}
	return &PrivateKey{public: task.NewKey(uint16(key.KEM()), key.Public(), notBefore, notAfter), key: key}, nil
}

// Public returns the public half, as a [task.KeyConfig] has it.
func (k *PrivateKey) Public() task.Key {
	public := k.public
	public.Public = bytes.Clone(public.Public)
	return public
}

// covers reports whether the key is valid at some moment between start and end.
func (k *PrivateKey) covers(start, end int64) bool {
	return k.public.NotBefore <= end && start <= k.public.NotAfter
}

// Text returns the key with its secret, as one line for a file that only its
// owner can read, in the form of [hpke.Stored].
func (k *PrivateKey) Text() (string, error) {
	stored := hpke.Stored{
		Use: hpke.ForReports, Key: k.key, ID: k.public.ID[:], Suites: []hpke.Suite{hpke.DefaultSuite()},
		NotBefore: k.public.NotBefore, NotAfter: k.public.NotAfter,
	}
	text, err := stored.Text()
	if err != nil {
		return "", fmt.Errorf("key %v: %w", k.public.ID, err)
	}
	return text, nil
}

// ParsePrivateKey reads what [PrivateKey.Text] writes, and what earlier versions
// wrote; white space around it is ignored. Its errors never hold the text.
func ParsePrivateKey(text string) (*PrivateKey, error) {
	stored, err := hpke.Parse(text, hpke.ForReports)
	if err != nil {
		return nil, fmt.Errorf("report key: %w", err)
	}
	k, err := newPrivateKey(stored.Key, time.Unix(stored.NotBefore, 0), time.Unix(stored.NotAfter, 0))
	if err != nil {
		return nil, fmt.Errorf("report key: %w", err)
	}
	if !bytes.Equal(k.public.ID[:], stored.ID) {
		return nil, errors.New("report key: the secret does not belong to the key ID beside it: the text is damaged")
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

// GoString is [PrivateKey.String].
func (k *PrivateKey) GoString() string { return k.String() }

// Format writes what [PrivateKey.String] returns, whatever the verb.
func (k *PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue returns what [PrivateKey.String] returns.
func (k *PrivateKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is [PrivateKey.String]: an encoder does not reveal the key.
func (k *PrivateKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
