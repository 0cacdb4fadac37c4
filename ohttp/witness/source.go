package witness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/ohttp"
)

// A SourceConfig is what a [Source] needs.
type SourceConfig struct {
	Party, Witness ed25519.PublicKey
	// Purpose and Length are those of the witness.
	Purpose string
	Length  time.Duration
	// Fetch gets what the relay serves at a path, such as [ohttp.Fetcher.Get] with
	// a prefix.
	Fetch func(ctx context.Context, path, mediaType string, limit int) ([]byte, error)
	// Now is the time by which the period is chosen, such as that of package minute.
	// Its error is the source's: then clients wait.
	Now func() (time.Time, error)
}

// A Source is a client's source of a party's keys: those that both the party and the
// witness have signed for the present period. It fetches once a period. It is safe for
// concurrent use.
type Source struct {
	config SourceConfig
	cache  *keyring.Cache[[]byte] // by the slot's path

	mu   sync.Mutex
	slot Slot // the one asked for last; guarded by mu
}

// fetchTimeout bounds one request.
const fetchTimeout = time.Minute

// always is later than any device lives: a slot has one statement, and what
// distinguishes periods is the slot.
var always = time.Unix(1<<40, 0)

// NewSource checks the configuration. It fetches nothing.
func NewSource(c SourceConfig) (*Source, error) {
	if len(c.Party) != ed25519.PublicKeySize || len(c.Witness) != ed25519.PublicKeySize || c.Party.Equal(c.Witness) {
		return nil, errors.New("source of witnessed keys: want identity keys of a party and of a witness that differ")
	}
	if c.Fetch == nil || c.Now == nil {
		return nil, errors.New("source of witnessed keys: fetch and now must be set")
	}
	if _, err := SlotAt(c.Party, c.Purpose, c.Length, time.Unix(0, 0)); err != nil {
		return nil, fmt.Errorf("source of witnessed keys: %w", err)
	}
	return &Source{config: c, cache: keyring.NewCache[[]byte](clock.System(), fetchTimeout, 0)}, nil
}

// Key returns the preferred key of a gateway in the present period, for
// [ohttp.ClientConfig]. An error means that there is no key yet, or none at all: the
// caller waits.
func (s *Source) Key(ctx context.Context) (ohttp.KeyConfig, error) {
	keys, err := s.Keys(ctx)
	if err != nil {
		return ohttp.KeyConfig{}, err
	}
	configs, err := ohttp.ParseKeyConfigs(keys)
	if err != nil {
		return ohttp.KeyConfig{}, fmt.Errorf("witnessed key: %w", err)
	}
	return configs[0], nil
}

// Keys returns what the statement of the present period has as its keys. An error
// means that there are none yet, or none at all: the caller waits.
func (s *Source) Keys(ctx context.Context) ([]byte, error) {
	now, err := s.config.Now()
	if err != nil {
		return nil, fmt.Errorf("witnessed keys: %w", err)
	}
	slot, err := SlotAt(s.config.Party, s.config.Purpose, s.config.Length, now)
	if err != nil {
		return nil, fmt.Errorf("witnessed keys: %w", err)
	}
	keys, err := s.cache.Get(ctx, slot.Path(), func(ctx context.Context, _ time.Time) (keyring.Announcement[[]byte], error) {
		keys, err := s.fetch(ctx, slot)
		return keyring.Announcement[[]byte]{Value: keys, Fresh: always, Until: always}, err
	})
	s.forgetOthers(slot)
	if err != nil {
		return nil, fmt.Errorf("witnessed keys: %w", err)
	}
	return bytes.Clone(keys), nil
}

// fetch fetches what was witnessed of a slot.
func (s *Source) fetch(ctx context.Context, slot Slot) ([]byte, error) {
	witnessed, err := s.config.Fetch(ctx, slot.Path(), MediaType, maxSigned+3+ed25519.SignatureSize)
	if err != nil {
		return nil, err
	}
	return open(witnessed, slot, s.config.Length, s.config.Witness)
}

// forgetOthers drops the keys of an earlier period.
func (s *Source) forgetOthers(slot Slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slot != slot {
		s.cache.Forget(s.slot.Path())
		s.slot = slot
	}
}
