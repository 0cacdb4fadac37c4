package dapkey

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/hpke"
)

// A KeyState says where in its life an HPKE key is.
type KeyState uint8

// The states, in the order of a key's life.
const (
	KeyPending KeyState = iota + 1 // opens, but is not offered yet: other servers may not have it
	KeyActive                      // opens and is offered to clients
	KeyExpired                     // opens, but is not offered: clients still have it in their caches
	KeyGone                        // must be deleted
)

// String returns the state in one word.
func (s KeyState) String() string {
	switch s {
	case KeyPending:
		return "pending"
	case KeyActive:
		return "active"
	case KeyExpired:
		return "expired"
	case KeyGone:
		return "gone"
	}
	return fmt.Sprintf("key state %d", uint8(s))
}

// A Rotation is the plan by which HPKE keys follow each other.
type Rotation struct {
	Pending time.Duration // from creation; longer than servers keep a copy of the ring
	Active  time.Duration // after Pending
	Expired time.Duration // after Active; at least twice Cache
	Cache   time.Duration // how long clients may keep the list of configurations
	KEMs    []hpke.KEM    // a key of each, the preferred first; none is X25519 alone
}

// DefaultRotation returns keys that are pending an hour, active twelve weeks and
// expired one week, and lists that may be cached for a day.
func DefaultRotation() Rotation {
	const day = 24 * time.Hour
	return Rotation{Pending: time.Hour, Active: 84 * day, Expired: 7 * day, Cache: day}
}

// Validate reports the first thing that is wrong with the plan. Keys must open
// reports for twice the cache's life after they are no longer offered (section
// "HPKE Configuration Request").
func (p Rotation) Validate() error {
	if p.Pending < 0 || p.Active <= 2*p.Pending || p.Cache < 0 {
		return errors.New("key rotation: want pending and cache not negative, and active longer than twice pending")
	}
	if p.Expired < 2*p.Cache {
		return fmt.Errorf("key rotation: expired keys are kept for %v, want at least twice the cache's %v", p.Expired, p.Cache)
	}
	for i, kem := range p.KEMs {
		if kem.PublicSize() == 0 {
			return fmt.Errorf("key rotation: %w: %v", dap.ErrUnsupported, kem)
		}
		if slices.Contains(p.KEMs[:i], kem) {
			return fmt.Errorf("key rotation: duplicate KEM %v", kem)
		}
	}
	return nil
}

// State returns the state at a time of a key that was created at another.
func (p Rotation) State(created, now time.Time) KeyState {
	age := now.Sub(created)
	switch {
	case age < p.Pending:
		return KeyPending
	case age < p.Pending+p.Active:
		return KeyActive
	case age < p.Pending+p.Active+p.Expired:
		return KeyExpired
	}
	return KeyGone
}

// CacheControl returns the value of the header Cache-Control for the list of
// configurations.
func (p Rotation) CacheControl() string {
	return fmt.Sprintf("max-age=%d", int64(p.Cache/time.Second))
}

// A HeldKey is a key and the time from which its states count.
type HeldKey struct {
	Key     *PrivateKey
	Created time.Time
}

// A Ring is an aggregator's HPKE keys. It is read-only and safe for
// concurrent use: [Ring.Rotate] returns another one.
type Ring struct {
	plan Rotation
	keys []HeldKey
}

// NewRing returns the ring of these keys, whose IDs must be distinct.
func NewRing(plan Rotation, keys ...HeldKey) (*Ring, error) {
	if err := plan.Validate(); err != nil {
		return nil, err
	}
	for i, k := range keys {
		if k.Key == nil {
			return nil, fmt.Errorf("keyring: key %d is missing", i+1)
		}
		if slices.ContainsFunc(keys[:i], func(o HeldKey) bool { return o.Key.ID() == k.Key.ID() }) {
			return nil, fmt.Errorf("keyring: two keys have the ID %d", k.Key.ID())
		}
	}
	return &Ring{plan: plan, keys: slices.Clone(keys)}, nil
}

// Keys returns all keys, to be stored.
func (r *Ring) Keys() []HeldKey { return slices.Clone(r.keys) }

// Plan returns the ring's plan.
func (r *Ring) Plan() Rotation { return r.plan }

// Find returns the key of an ID, nil if there is none or it is gone.
func (r *Ring) Find(id dap.HpkeConfigID, now time.Time) dap.Opener {
	for _, k := range r.keys {
		if k.Key.ID() == id && r.plan.State(k.Created, now) != KeyGone {
			return k.Key
		}
	}
	return nil
}

// Configs returns what to offer to clients: the active keys, those of the
// plan's first KEM first, the newer first. It is empty before the first
// [Ring.Rotate].
func (r *Ring) Configs(now time.Time) dap.HpkeConfigList {
	active := slices.DeleteFunc(slices.Clone(r.keys), func(k HeldKey) bool {
		return r.plan.State(k.Created, now) != KeyActive
	})
	kems := preferred(r.plan.KEMs)
	rank := func(k HeldKey) int {
		if i := slices.Index(kems, k.Key.KEM()); i >= 0 {
			return i
		}
		return len(kems)
	}
	slices.SortStableFunc(active, func(a, b HeldKey) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return b.Created.Compare(a.Created)
	})
	var list dap.HpkeConfigList
	for _, k := range active {
		list = append(list, k.Key.Config())
	}
	return list
}

// Rotate returns the ring that is due at now, and whether it differs: keys that
// are gone are left out, and each KEM of the plan gets a new key when the
// youngest one would otherwise expire without a successor. A new key is pending,
// unless no key of its KEM is active: then it is active at once. Call it at least
// as often as a key is pending, and store the ring before it is used; rand is
// crypto/rand.Reader.
func (r *Ring) Rotate(now time.Time, rand io.Reader) (*Ring, bool, error) {
	next := &Ring{plan: r.plan}
	for _, k := range r.keys {
		if r.plan.State(k.Created, now) != KeyGone {
			next.keys = append(next.keys, k)
		}
	}
	changed := len(next.keys) != len(r.keys)
	for _, kem := range preferred(r.plan.KEMs) {
		created, due := next.due(kem, now)
		if !due {
			continue
		}
		id, err := next.freeID()
		if err != nil {
			return nil, false, err
		}
		key, err := Generate(id, kem, rand)
		if err != nil {
			return nil, false, err
		}
		next.keys = append(next.keys, HeldKey{key, created})
		changed = true
	}
	return next, changed, nil
}

// Renew returns a ring with a new key of each KEM of the plan, before it is due:
// pending first, so that other servers learn it, and then preferred to the ones
// there are. rand is crypto/rand.Reader.
func (r *Ring) Renew(now time.Time, rand io.Reader) (*Ring, error) {
	next := &Ring{plan: r.plan, keys: slices.Clone(r.keys)}
	for _, kem := range preferred(r.plan.KEMs) {
		id, err := next.freeID()
		if err != nil {
			return nil, err
		}
		key, err := Generate(id, kem, rand)
		if err != nil {
			return nil, err
		}
		next.keys = append(next.keys, HeldKey{key, now})
	}
	return next, nil
}

// due returns from when the states of a new key of the KEM count, and whether
// one is needed.
func (r *Ring) due(kem hpke.KEM, now time.Time) (time.Time, bool) {
	active := false
	for _, k := range r.keys {
		if k.Key.KEM() != kem {
			continue
		}
		// Twice: a successor is pending once, and the next call may come as late
		// again.
		if s := r.plan.State(k.Created, now.Add(2*r.plan.Pending)); s == KeyPending || s == KeyActive {
			return time.Time{}, false
		}
		active = active || r.plan.State(k.Created, now) == KeyActive
	}
	if active {
		return now, true
	}
	return now.Add(-r.plan.Pending), true
}

// freeID returns the ID after the youngest key's that is not in use, so that IDs
// come back as late as can be.
func (r *Ring) freeID() (dap.HpkeConfigID, error) {
	var next dap.HpkeConfigID
	if n := len(r.keys); n > 0 {
		next = r.keys[n-1].Key.ID() + 1
	}
	for range 256 {
		if !slices.ContainsFunc(r.keys, func(k HeldKey) bool { return k.Key.ID() == next }) {
			return next, nil
		}
		next++
	}
	return 0, errors.New("keyring: all 256 IDs are in use")
}

// preferred are the KEMs for which a [Ring] makes keys if a [Rotation] names none: the
// one that every party has.
func preferred(kems []hpke.KEM) []hpke.KEM {
	if len(kems) == 0 {
		return []hpke.KEM{hpke.X25519}
	}
	return kems
}
