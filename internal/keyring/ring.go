// Package keyring rotates keys to which others seal, and keeps the keys of peers.
//
// # Use
//
// A [Ring] is the private keys of one role, by a [Plan]. [Ring.Rotate] returns the ring
// that is due at a time: successors are made before keys end, and keys that nothing
// needs any more are left out. Store the ring that it returns before it is used, and
// call it several times in each [Plan.Pending]:
//
//	next, changed, err := ring.Rotate(now, keyring.Duties[*Key]{Sure: sure, Needed: needed, Make: make})
//
// [Ring.Offered] is what to announce to those who seal, the preferred key first.
//
// A [Cache] fetches what peers announce, once for all who ask at the same time, and
// keeps it as long as it is good.
//
// # Security
//
// A key that is left out must be destroyed; what is sealed to it is lost. So Needed
// says until when anything may need a key, and nothing is left out while the clock is
// in doubt, see [github.com/shoal-project/shoal/internal/clock.NewStrictGuard].
package keyring

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/hpke"
)

// A Plan is how keys follow each other.
type Plan struct {
	KEMs     []hpke.KEM    // a key of each, the preferred one first
	Lifetime time.Duration // for how long a key is offered
	Overlap  time.Duration // how long before a key ends its successor is offered; at most half of Lifetime
	Announce time.Duration // for how long others may use what they were offered without asking again
	Pending  time.Duration // for how long a new key opens before it is offered: longer than other processes take to learn it
	Backdate time.Duration // how long before it is made a key begins, for clocks that are slow
}

// Validate reports the first thing that is wrong with the plan.
func (p Plan) Validate() error {
	switch {
	case len(p.KEMs) == 0:
		return errors.New("key rotation: no KEM")
	case p.Lifetime <= 0 || p.Overlap <= 0 || p.Announce <= 0 || p.Pending < 0 || p.Backdate < 0:
		return fmt.Errorf("key rotation: lifetime %v, overlap %v and announce %v must be positive, pending %v and backdate %v not negative", p.Lifetime, p.Overlap, p.Announce, p.Pending, p.Backdate)
	case p.Overlap+2*p.Pending > p.Lifetime-p.Overlap:
		return fmt.Errorf("key rotation: overlap %v and twice pending %v exceed the rest of lifetime %v", p.Overlap, p.Pending, p.Lifetime)
	}
	for i, kem := range p.KEMs {
		if kem.PublicSize() == 0 {
			return fmt.Errorf("key rotation: %w: %v", hpke.ErrUnsupported, kem)
		}
		if slices.Contains(p.KEMs[:i], kem) {
			return fmt.Errorf("key rotation: duplicate KEM %v", kem)
		}
	}
	return nil
}

// A State is where in its life a key is.
type State uint8

// The states, in the order of a key's life.
const (
	Pending State = iota + 1 // opens, but is not offered yet
	Active                   // opens and is offered
	Expired                  // opens, but is not offered any more
)

// String returns the state in one word.
func (s State) String() string {
	switch s {
	case Pending:
		return "pending"
	case Active:
		return "active"
	case Expired:
		return "expired"
	}
	return fmt.Sprintf("key state %d", uint8(s))
}

// A Key is a private key of a ring.
type Key[K any] struct {
	Key   K
	KEM   hpke.KEM
	From  time.Time // it is offered from here
	Until time.Time // to here
}

// State returns the key's state at a time.
func (k *Key[K]) State(now time.Time) State {
	switch {
	case now.Before(k.From):
		return Pending
	case now.Before(k.Until):
		return Active
	}
	return Expired
}

// A Ring is the keys of one role, the oldest first. It is read-only and safe for
// concurrent use if K is.
type Ring[K any] struct {
	plan Plan
	keys []Key[K]
}

// New returns the ring of these keys, the oldest first.
func New[K any](plan Plan, keys ...Key[K]) (*Ring[K], error) {
	if err := plan.Validate(); err != nil {
		return nil, err
	}
	return &Ring[K]{plan, slices.Clone(keys)}, nil
}

// Plan returns the ring's plan.
func (r *Ring[K]) Plan() Plan { return r.plan }

// Keys returns all keys, to be stored: the oldest first.
func (r *Ring[K]) Keys() []Key[K] { return slices.Clone(r.keys) }

// All yields all keys, the oldest first.
func (r *Ring[K]) All() iter.Seq[Key[K]] { return slices.Values(r.keys) }

// Offered returns the keys to announce: the active ones, in the plan's order of KEMs,
// of each the newest first.
func (r *Ring[K]) Offered(now time.Time) []Key[K] {
	var offered []Key[K]
	for _, kem := range r.plan.KEMs {
		for _, k := range slices.Backward(r.keys) {
			if k.KEM == kem && k.State(now) == Active {
				offered = append(offered, k)
			}
		}
	}
	return offered
}

// Lasting returns the keys to announce for a whole period that ends at end: of each KEM,
// in the plan's order, of those that are offered now and then still the newest that was
// offered at before, or else the oldest. Keys that are made later than before (and
// Backdate) change nothing of it, so that it is the same whenever it is asked for. A KEM
// without such a key is left out.
func (r *Ring[K]) Lasting(now, before, end time.Time) []Key[K] {
	var lasting []Key[K]
	for _, kem := range r.plan.KEMs {
		found := -1
		for i, k := range r.keys {
			if k.KEM != kem || k.State(now) != Active || k.Until.Before(end) {
				continue
			}
			if found < 0 || !k.From.After(before) {
				found = i
			}
		}
		if found >= 0 {
			lasting = append(lasting, r.keys[found])
		}
	}
	return lasting
}

// Left returns for how long from now there is a key to offer, of that KEM of the plan
// for which it is the shortest; negative if a KEM has none. Rotation keeps it above
// the overlap.
func (r *Ring[K]) Left(now time.Time) time.Duration {
	least := r.plan.Lifetime
	for _, kem := range r.plan.KEMs {
		least = min(least, r.ends(kem, now).Sub(now))
	}
	return least
}

// ends returns the end of that key of a KEM that ends last. Keys that begin later than
// new ones do are passed over: a clock that was wrong has dated them.
func (r *Ring[K]) ends(kem hpke.KEM, now time.Time) time.Time {
	end := now.Add(-time.Second)
	for _, k := range r.keys {
		if k.KEM == kem && !k.From.After(now.Add(r.plan.Pending)) && k.Until.After(end) {
			end = k.Until
		}
	}
	return end
}

// Duties are what a rotation needs of the role.
type Duties[K any] struct {
	Sure bool // the clock is not in doubt: keys may be destroyed
	// Needed returns until when anything may need an expired key.
	Needed func(Key[K]) time.Time
	// Make makes a key beside those there are.
	Make func(kem hpke.KEM, from, until time.Time, others []Key[K]) (K, error)
}

// Rotate returns the ring that is due at now, and whether it differs. A key is left out
// when it has expired and is not needed any more. A KEM gets a new key when the others
// would end within the overlap; it is pending first, unless there is no other to offer.
func (r *Ring[K]) Rotate(now time.Time, d Duties[K]) (*Ring[K], bool, error) {
	next := &Ring[K]{r.plan, slices.Clone(r.keys)}
	if d.Sure {
		next.keys = slices.DeleteFunc(next.keys, func(k Key[K]) bool {
			return k.State(now) == Expired && now.After(d.Needed(k))
		})
	}
	changed := len(next.keys) != len(r.keys)
	for _, kem := range r.plan.KEMs {
		// Twice pending: a successor is pending once, and the next call may come as late
		// again.
		if next.active(kem, now) && next.ends(kem, now).Sub(now) > r.plan.Overlap+2*r.plan.Pending {
			continue
		}
		if err := next.add(kem, now, d); err != nil {
			return nil, false, err
		}
		changed = true
	}
	return next, changed, nil
}

// Renew returns a ring with a new key of each KEM, before it is due: pending first, and
// then preferred to the ones there are.
func (r *Ring[K]) Renew(now time.Time, d Duties[K]) (*Ring[K], error) {
	next := &Ring[K]{r.plan, slices.Clone(r.keys)}
	for _, kem := range r.plan.KEMs {
		if err := next.add(kem, now, d); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// active reports whether there is a key of a KEM to offer.
func (r *Ring[K]) active(kem hpke.KEM, now time.Time) bool {
	return slices.ContainsFunc(r.keys, func(k Key[K]) bool { return k.KEM == kem && k.State(now) == Active })
}

// add adds a new key.
func (r *Ring[K]) add(kem hpke.KEM, now time.Time, d Duties[K]) error {
	active := r.active(kem, now)
	start := now
	if active {
		start = now.Add(r.plan.Pending)
	}
	// To the second, as announcements have it.
	from, until := start.Add(-r.plan.Backdate).Truncate(time.Second), start.Add(r.plan.Lifetime).Truncate(time.Second)
	if active && r.plan.Pending > 0 {
		from = start.Truncate(time.Second)
	}
	key, err := d.Make(kem, from, until, r.keys)
	if err != nil {
		return fmt.Errorf("making a key of %v: %w", kem, err)
	}
	r.keys = append(r.keys, Key[K]{key, kem, from, until})
	return nil
}
