package pairing

import (
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/redact"
	"github.com/shoal-project/shoal/metric/task"
)

const (
	cardPrefix        = "shoal-card:"
	invitePrefix      = "shoal-invitation:"
	cardDomain        = task.Domain("shoal pairing card v1")
	inviteDomain      = task.Domain("shoal pairing invitation v1")
	collectorDomain   = task.Domain("shoal pairing collector v1")
	maxLine           = 1 << 16
	signatureSize     = 64
	pairingKeyPrefix  = "shoal-pairing-key:"
	pairingKeySize    = 32
	cardVersion       = 1
	invitationVersion = 1
)

// A Card is an organisation's description of itself for others.
type Card struct {
	Version      int      `json:"version"`
	Organisation string   `json:"organisation"`
	URL          string   `json:"url"`
	Identity     string   `json:"identity"` // ed25519:...
	Roles        []string `json:"roles"`    // leader, helper, collector
	Key          []byte   `json:"key"`      // X25519: secrets for the organisation are sealed to it
	// Of a collector: its own identity, its signed KeyConfig with the key that
	// aggregate shares are sealed to, and its signature that it is this
	// organisation's, see [Card.SetCollector].
	Collector      string `json:"collector,omitempty"`
	CollectorKeys  []byte `json:"collector_keys,omitempty"`
	CollectorProof []byte `json:"collector_proof,omitempty"`
	Created        int64  `json:"created"` // Unix seconds

	line string
}

// Has reports whether the organisation plays a role.
func (c *Card) Has(role string) bool { return slices.Contains(c.Roles, role) }

// SetCollector makes by the identity of the card's collector, which proves by its
// signature that it is that of the card's organisation: its KeyConfig is public, and without this
// somebody else could put it into a card of their own and be given the token by
// which leaders know the collector.
func (c *Card) SetCollector(by task.IdentityKey) {
	c.Collector = task.FormatPublic(by.Public())
	c.CollectorProof = by.Sign(collectorDomain, []byte(c.Identity))
}

// SignCard returns the card as a line of text, signed.
func SignCard(c Card, by task.IdentityKey) (string, error) {
	c.Version = cardVersion
	if c.Identity != task.FormatPublic(by.Public()) {
		return "", errors.New("signing a card: the key at hand is not the card's identity")
	}
	if err := c.validate(); err != nil {
		return "", fmt.Errorf("signing a card: %w", err)
	}
	body, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("signing a card: %w", err)
	}
	return line(cardPrefix, body, by.Sign(cardDomain, body)), nil
}

// ParseCard reads a card and checks that the identity that it names has signed it.
// White space around it is ignored.
func ParseCard(text string) (*Card, error) {
	body, signature, err := splitSigned(cardPrefix, text)
	if err != nil {
		return nil, fmt.Errorf("reading a card: %w", err)
	}
	c := new(Card)
	if err := json.Unmarshal(body, c); err != nil {
		return nil, errors.New("reading a card: the text is damaged")
	}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("reading a card: %w", err)
	}
	identity, err := task.ParsePublic(c.Identity)
	if err != nil {
		return nil, fmt.Errorf("reading a card: %w", err)
	}
	if !task.Verify(identity, cardDomain, body, signature) {
		return nil, errors.New("reading a card: its identity has not signed it: the text was changed on the way")
	}
	c.line = strings.TrimSpace(text)
	return c, nil
}

func (c *Card) validate() error {
	if c.Version != cardVersion {
		return fmt.Errorf("version %d, want %d", c.Version, cardVersion)
	}
	if _, err := task.ParsePublic(c.Identity); err != nil {
		return err
	}
	if _, err := ecdh.X25519().NewPublicKey(c.Key); err != nil {
		return errors.New("its key is not an X25519 key")
	}
	if len(c.Organisation) > 256 || len(c.URL) > 2048 || len(c.Roles) > 16 {
		return errors.New("a field is too long")
	}
	if (c.Collector == "") != (len(c.CollectorKeys) == 0) || (c.Collector != "") != c.Has("collector") {
		return errors.New("a collector has an identity and keys, others have neither")
	}
	if c.Collector == "" {
		return nil
	}
	collector, err := task.ParsePublic(c.Collector)
	if err != nil {
		return fmt.Errorf("collector: %w", err)
	}
	if !task.Verify(collector, collectorDomain, []byte(c.Identity), c.CollectorProof) {
		return errors.New("the collector that it names has not signed that it is this organisation's: make a new card")
	}
	return nil
}

// collectorKeys checks the KeyConfig of a card's collector.
func (c *Card) collectorKeys(now time.Time) (*task.KeyConfig, error) {
	identity, err := task.ParsePublic(c.Collector)
	if err != nil {
		return nil, err
	}
	return task.OpenKeyConfig(c.CollectorKeys, identity, task.Collector, now)
}

func line(prefix string, body, signature []byte) string {
	return prefix + base64.RawURLEncoding.EncodeToString(append(slices.Clone(body), signature...))
}

// cut takes a line apart into what is signed and the signature.
func splitSigned(prefix, text string) (body, signature []byte, err error) {
	text = strings.TrimSpace(text)
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok || len(text) > maxLine {
		return nil, nil, fmt.Errorf("want one line that begins with %q", prefix)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(b) <= signatureSize {
		return nil, nil, errors.New("the text is damaged")
	}
	n := len(b) - signatureSize
	return b[:n], b[n:], nil
}

// IsCard reports whether a text looks like a card, rather than an invitation.
func IsCard(text string) bool { return strings.HasPrefix(strings.TrimSpace(text), cardPrefix) }

// hidden makes a type print redacted.
type hidden = redact.Secret

// A Key opens the secrets in invitations. It prints redacted.
type Key struct {
	hidden
	secret []byte // of which the X25519 key is derived
}

// GenerateKey makes a key from rand, which is crypto/rand.Reader.
func GenerateKey(rand io.Reader) (Key, error) {
	secret := make([]byte, pairingKeySize)
	if _, err := io.ReadFull(rand, secret); err != nil {
		return Key{}, fmt.Errorf("making a pairing key: %w", err)
	}
	return Key{secret: secret}, nil
}

// ParseKey reads what [Key.Text] returns. Its errors never hold the text.
func ParseKey(text string) (Key, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), pairingKeyPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if !ok || err != nil || len(b) != pairingKeySize {
		return Key{}, fmt.Errorf("reading the pairing key: want %q and 32 bytes in unpadded base64url", pairingKeyPrefix)
	}
	return Key{secret: b}, nil
}

// Text returns the key with its secret, for a file that only its owner can read.
func (k Key) Text() string { return pairingKeyPrefix + base64.RawURLEncoding.EncodeToString(k.secret) }

// Public is the public half, as used in cards.
func (k Key) Public() ([]byte, error) {
	key, err := k.private()
	if err != nil {
		return nil, err
	}
	return key.Public(), nil
}

func (k Key) private() (*hpke.PrivateKey, error) { return hpke.Derive(hpke.X25519, k.secret) }
