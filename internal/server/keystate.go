package server

import (
	"context"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/hpke"
)

// keys lists the keys of all roles that open reports or aggregates.
func (s *Server) keys() []keyView {
	now := s.o.Clock.Now()
	views := []keyView{}
	for _, h := range s.hosts {
		h.keysMu.Lock()
		for _, k := range h.ring.keys {
			p := k.Public()
			state := "active"
			switch {
			case p.NotBefore > now.Unix():
				state = "pending"
			case p.NotAfter <= now.Unix():
				state = "expired"
			}
			views = append(views, keyView{string(h.role), p.ID.String(), hpke.KEM(p.KEM).Name(), state, time.Unix(p.NotAfter, 0).UTC()})
		}
		h.keysMu.Unlock()
	}
	for _, a := range s.aggregators {
		ring := a.registry.Keyring()
		plan := ring.Plan()
		for _, k := range ring.Keys() {
			config := k.Key.Config()
			end := k.Created.Add(plan.Pending + plan.Active)
			views = append(views, keyView{string(a.role), fmt.Sprint(config.ID), hpke.KEM(config.KEM).Name(), plan.State(k.Created, now).String(), end.UTC()})
		}
	}
	if s.collectorHost == nil {
		return views
	}
	keys, err := readCollectorKeys(s.config)
	if err != nil {
		return views
	}
	for i, k := range keys {
		state := "active"
		if i > 0 {
			state = "expired"
		}
		views = append(views, keyView{string(CollectorRole), fmt.Sprint(k.Config().ID), k.KEM().Name(), state, time.Unix(k.created, 0).Add(collectorKeyLife).UTC()})
	}
	return views
}

// renewKeys makes a new key of each mechanism before it is due, and announces it.
func (h *host) renewKeys(ctx context.Context) error {
	h.keysMu.Lock()
	defer h.keysMu.Unlock()
	now := h.server.o.Clock.Now()
	if err := h.ring.renew(now); err != nil {
		return err
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.member.SetKeys(h.keys())
}

// renew adds a key of each mechanism and announces it before the others.
func (k *keyring) renew(now time.Time) error {
	next := append([]*esa.PrivateKey(nil), k.keys...)
	for _, name := range k.settings.KEMs {
		kem, err := hpke.ParseKEM(name)
		if err != nil {
			return err
		}
		key, err := esa.GenerateKey(kem, now.Add(-allowance), now.Add(k.settings.Lifetime.D()), k.rand)
		if err != nil {
			return fmt.Errorf("making a %s key: %w", k.role, err)
		}
		next = append(next, key)
	}
	if err := k.save(next); err != nil {
		return fmt.Errorf("writing %s keys: %w", k.role, err)
	}
	k.keys = next
	return k.announce(now)
}
