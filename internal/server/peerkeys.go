package server

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/internal/server/pairing"
	"github.com/shoal-project/shoal/metric/task"
)

// askCollectorEvery is how often a collector is asked for its keys that did not answer.
const askCollectorEvery = 10 * time.Minute

// collectorPeers fetches the keys that collectors announce.
type collectorPeers struct {
	peers *keyring.Peers

	mu   sync.Mutex
	away map[string]time.Time // when to ask one again that did not answer
}

// get returns what a collector announces, nil if it does not.
func (c *collectorPeers) get(ctx context.Context, p task.Party, now time.Time) (config *task.KeyConfig, first bool, err error) {
	name := string(p.Identity) + p.URL
	c.mu.Lock()
	again, away := c.away[name]
	c.mu.Unlock()
	if away && now.Before(again) {
		return nil, false, nil
	}
	signed, err := c.peers.Get(ctx, p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		delete(c.away, name)
		return signed.Config, false, nil
	}
	if c.away == nil {
		c.away = map[string]time.Time{}
	}
	c.away[name] = now.Add(askCollectorEvery)
	return nil, !away, err
}

// collectorKey returns the key to which aggregate shares for a collector are sealed, and
// whether the collector has announced it: the organisation's own collector does so by
// its file, another one at keys/collector. A collector that cannot be asked, or of a
// version that does not answer, is known by the card that it was paired by.
func (s *Server) collectorKey(ctx context.Context, p task.Party, known *pairing.Pairing) (dap.HpkeConfig, bool, error) {
	now := s.o.Clock.Now()
	card, err := task.OpenKeyConfig(known.Keys, p.Identity, task.Collector, now)
	if err != nil {
		return dap.HpkeConfig{}, false, fmt.Errorf("the collector's keys: %w", err)
	}
	own := s.config.Has(task.Collector) && bytes.Equal(p.Identity, s.collector.Public())
	config := card
	if !own {
		p.URL = cmp.Or(p.URL, known.URL) // a task need not have it
		announced, first, err := s.peerKeys.get(ctx, p, now)
		if first {
			s.o.Logger.Warn("a collector does not announce its keys: shares for it are sealed to the last one that is known", "collector", task.FormatPublic(p.Identity), "err", unwrapNet(err))
		}
		if announced != nil {
			config = announced
		}
	}
	key, err := taskconfig.CollectorKey(config, now)
	return key, own || config != card, err
}

func sameConfig(a, b dap.HpkeConfig) bool {
	return a.ID == b.ID && a.KEM == b.KEM && a.KDF == b.KDF && a.AEAD == b.AEAD && bytes.Equal(a.PublicKey, b.PublicKey)
}
