package tasks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/keyring"
)

// The names of the aggregator's own secrets.
const (
	ringName     = "hpke keys"
	resourceName = "resource key"
	secretKind   = "dap aggregator secret"
)

// secret reads a secret, nil if the store has none of the name.
func (r *Registry) secret(ctx context.Context, name string) ([]byte, error) {
	s, err := r.store.Secret(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", name, err)
	}
	if s.Revision == 0 {
		return nil, nil
	}
	plain, err := r.config.Keys.Open(s.Sealed, secretKind, []byte(name))
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", name, err)
	}
	return plain, nil
}

// readResourceKey reads the resource key, and creates it if the store has none.
func (r *Registry) readResourceKey(ctx context.Context) error {
	for {
		plain, err := r.secret(ctx, resourceName)
		if err != nil {
			return err
		}
		if plain != nil {
			if len(plain) != len(r.resource) {
				return fmt.Errorf("reading the %s: it has %d bytes, want %d", resourceName, len(plain), len(r.resource))
			}
			r.resource = dap.ResourceKey(plain)
			return nil
		}
		key := make([]byte, len(r.resource))
		if _, err := io.ReadFull(r.config.Rand, key); err != nil {
			return fmt.Errorf("making the %s: reading randomness: %w", resourceName, err)
		}
		_, err = r.store.PutSecret(ctx, resourceName, 0, r.config.Keys.Seal(key, secretKind, []byte(resourceName)))
		if err != nil && !errors.Is(err, ErrConflict) {
			return fmt.Errorf("storing the %s: %w", resourceName, err)
		}
	}
}

// storedKey is the form in which an HPKE key is sealed: the text of [dapkey.Text].
// Created was written by versions before, whose texts have no time.
type storedKey struct {
	Key     string    `json:"key"`
	Created time.Time `json:"created,omitzero"`
}

func encodeRing(ring *dapkey.Ring) ([]byte, error) {
	list := []storedKey{}
	for k := range ring.All() {
		text, err := dapkey.Text(k)
		if err != nil {
			return nil, err
		}
		list = append(list, storedKey{Key: text})
	}
	return json.Marshal(list)
}

// decodeRing decodes a stored ring, and reports whether it is of a version before.
func decodeRing(plan keyring.Plan, b []byte, now time.Time) (ring *dapkey.Ring, old bool, err error) {
	var list []storedKey
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil {
		return nil, false, fmt.Errorf("decoding the %s: they are not of this version", ringName)
	}
	var keys []dapkey.Held
	for _, s := range list {
		key, err := dapkey.ParseHeld(s.Key)
		if err != nil {
			return nil, false, fmt.Errorf("decoding the %s: %w", ringName, err)
		}
		if key.Until.IsZero() {
			old = true
			key.From, key.Until = formerLife(plan, s.Created, now)
		}
		keys = append(keys, key)
	}
	ring, err = dapkey.NewRing(plan, keys...)
	return ring, old, err
}

// The version before offered a key from an hour after it was made for twelve weeks.
const (
	formerPending = time.Hour
	formerActive  = 84 * 24 * time.Hour
)

// formerLife returns when a key is offered that the version before has made. Clients may
// have been offered it until now, so its end is not earlier, whatever the plan.
func formerLife(plan keyring.Plan, created, now time.Time) (from, until time.Time) {
	from, end := created.Add(formerPending), created.Add(formerPending+formerActive)
	until = from.Add(plan.Lifetime)
	if until.Before(now) {
		until = now
	}
	if until.After(end) {
		until = end
	}
	return from.Truncate(time.Second), until.Truncate(time.Second)
}

// readRing reads the HPKE keys from the store into memory. While the store has
// what was read before, that is not decoded again.
func (r *Registry) readRing(ctx context.Context) (*heldRing, error) {
	stored, err := r.store.Secret(ctx, ringName)
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", ringName, err)
	}
	if held := r.ring.Load(); held != nil && held.revision == stored.Revision && bytes.Equal(held.sealed, stored.Sealed) {
		return held, nil
	}
	held := &heldRing{revision: stored.Revision, sealed: stored.Sealed}
	if stored.Revision == 0 {
		held.ring, err = dapkey.NewRing(r.config.Plan)
		return held, err
	}
	plain, err := r.config.Keys.Open(stored.Sealed, secretKind, []byte(ringName))
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", ringName, err)
	}
	held.ring, held.old, err = decodeRing(r.config.Plan, plain, r.config.Clock.Now())
	clear(plain)
	return held, err
}

// Rotate reads the HPKE keys and makes those that are due, once for all
// processes: successors are made, and keys that nothing needs any more are deleted while
// the clock is not in doubt.
func (r *Registry) Rotate(ctx context.Context) error {
	return r.updateRing(ctx, func(ring *dapkey.Ring) (*dapkey.Ring, bool, error) {
		now, sure := r.guard.Now()
		return ring.Rotate(now, sure, r.neededUntil, r.config.Rand)
	})
}

// neededUntil returns until when a key may have to open a report: for [Config.KeyGrace]
// after the last one has expired that a client may have sealed to it. Reports of a task
// that never expire count as expired at once.
func (r *Registry) neededUntil(k dapkey.Held) time.Time {
	longest := time.Duration(0)
	for _, s := range r.List() {
		longest = max(longest, s.Entry.Expiry)
	}
	return k.Until.Add(r.config.Plan.Announce + longest + r.config.KeyGrace)
}

// Renew makes new HPKE keys before they are due. They are offered to clients when
// all processes know them.
func (r *Registry) Renew(ctx context.Context) error {
	return r.updateRing(ctx, func(ring *dapkey.Ring) (*dapkey.Ring, bool, error) {
		next, err := ring.Renew(r.config.Clock.Now(), r.config.Rand)
		return next, true, err
	})
}

// updateRing replaces the HPKE keys in the store and in memory.
func (r *Registry) updateRing(ctx context.Context, change func(*dapkey.Ring) (*dapkey.Ring, bool, error)) error {
	for {
		held, err := r.readRing(ctx)
		if err != nil {
			return err
		}
		next, changed, err := change(held.ring)
		if err != nil {
			return fmt.Errorf("rotating HPKE keys: %w", err)
		}
		if !changed && !held.old {
			r.ring.Store(held)
			return nil
		}
		plain, err := encodeRing(next)
		if err != nil {
			return fmt.Errorf("rotating HPKE keys: %w", err)
		}
		sealed := r.config.Keys.Seal(plain, secretKind, []byte(ringName))
		clear(plain)
		revision, err := r.store.PutSecret(ctx, ringName, held.revision, sealed)
		if err == nil {
			r.ring.Store(&heldRing{ring: next, revision: revision, sealed: sealed})
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return fmt.Errorf("storing the %s: %w", ringName, err)
		}
	}
}

// Refresh reads what other processes have changed, and rotates the HPKE keys if
// that is due.
func (r *Registry) Refresh(ctx context.Context) error {
	return errors.Join(r.Rotate(ctx), r.refreshTasks(ctx))
}

// Run refreshes until the context ends, and returns its error then. What goes
// wrong meanwhile goes to report: the registry serves what it has and tries again.
func (r *Registry) Run(ctx context.Context, report func(error)) error {
	next := func(error) time.Time { return r.config.Clock.Now().Add(r.config.Refresh) }
	if err := r.config.Clock.Until(ctx, next(nil)); err != nil {
		return err
	}
	return clock.Loop(ctx, r.config.Clock, nil, r.Refresh, next, report)
}
