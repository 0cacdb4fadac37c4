package dapkey

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/keyring"
)

// A Held is a key of a [Ring], with the time in which it is offered.
type Held = keyring.Key[*PrivateKey]

// Hold returns a key that is offered from one time to another.
func Hold(key *PrivateKey, from, until time.Time) Held {
	return Held{Key: key, KEM: key.KEM(), From: from, Until: until}
}

// DefaultPlan returns keys of X25519 that are pending an hour and then offered for a
// week, with a day of overlap, in lists that are good for a day.
func DefaultPlan() keyring.Plan {
	const day = 24 * time.Hour
	return keyring.Plan{KEMs: []hpke.KEM{hpke.X25519}, Lifetime: 7 * day, Overlap: day, Announce: day, Pending: time.Hour}
}

// A Ring is a party's HPKE keys. It is read-only and safe for concurrent use:
// [Ring.Rotate] returns another one.
type Ring struct{ *keyring.Ring[*PrivateKey] }

var _ dap.Keys = (*Ring)(nil)

// NewRing returns the ring of these keys, the oldest first. Their IDs must be distinct.
func NewRing(plan keyring.Plan, keys ...Held) (*Ring, error) {
	for i, k := range keys {
		if k.Key == nil {
			return nil, fmt.Errorf("keyring: key %d is missing", i+1)
		}
		if slices.ContainsFunc(keys[:i], func(o Held) bool { return o.Key.ID() == k.Key.ID() }) {
			return nil, fmt.Errorf("keyring: duplicate key ID %d", k.Key.ID())
		}
	}
	r, err := keyring.New(plan, keys...)
	if err != nil {
		return nil, err
	}
	return &Ring{r}, nil
}

// Find implements [dap.Keys]: all keys of a ring open.
func (r *Ring) Find(id dap.HpkeConfigID, _ time.Time) dap.Opener {
	for k := range r.All() {
		if k.Key.ID() == id {
			return k.Key
		}
	}
	return nil
}

// Configs returns what to offer to clients, the preferred configuration first. It is
// empty before the first [Ring.Rotate].
func (r *Ring) Configs(now time.Time) dap.HpkeConfigList {
	var list dap.HpkeConfigList
	for _, k := range r.Offered(now) {
		list = append(list, k.Key.Config())
	}
	return list
}

// CacheControl returns the value of the header Cache-Control for the list of
// configurations: half of the time for which a signature is good, so that a list is
// good for a while wherever it is kept.
func (r *Ring) CacheControl() string {
	return fmt.Sprintf("max-age=%d", int64(r.Plan().Announce/2/time.Second))
}

// Rotate returns the ring that is due at now, and whether it differs, as
// [keyring.Ring.Rotate] does. rand is crypto/rand.Reader.
func (r *Ring) Rotate(now time.Time, sure bool, needed func(Held) time.Time, rand io.Reader) (*Ring, bool, error) {
	next, changed, err := r.Ring.Rotate(now, keyring.Duties[*PrivateKey]{Sure: sure, Needed: needed, Make: maker(rand)})
	if err != nil {
		return nil, false, err
	}
	return &Ring{next}, changed, nil
}

// Renew returns a ring with a new key of each KEM, as [keyring.Ring.Renew] does. rand is
// crypto/rand.Reader.
func (r *Ring) Renew(now time.Time, rand io.Reader) (*Ring, error) {
	next, err := r.Ring.Renew(now, keyring.Duties[*PrivateKey]{Make: maker(rand)})
	if err != nil {
		return nil, err
	}
	return &Ring{next}, nil
}

// maker makes keys with the ID after the youngest key's that is not in use, so that IDs
// come back as late as can be.
func maker(rand io.Reader) func(hpke.KEM, time.Time, time.Time, []Held) (*PrivateKey, error) {
	return func(kem hpke.KEM, _, _ time.Time, others []Held) (*PrivateKey, error) {
		var next dap.HpkeConfigID
		if n := len(others); n > 0 {
			next = others[n-1].Key.ID() + 1
		}
		for range 256 {
			if !slices.ContainsFunc(others, func(k Held) bool { return k.Key.ID() == next }) {
				return Generate(next, kem, rand)
			}
			next++
		}
		return nil, errors.New("keyring: all 256 IDs are in use")
	}
}

// Text returns a key and the time in which it is offered, as one line for a file that
// only its owner can read.
func Text(k Held) (string, error) {
	return k.Key.text(k.From.Unix(), k.Until.Unix())
}

// ParseHeld reads what [Text] writes, or a key that earlier versions wrote: then From
// and Until are zero. Its errors never hold the text.
func ParseHeld(text string) (Held, error) {
	stored, key, err := parse(text)
	if err != nil {
		return Held{}, err
	}
	k := Held{Key: key, KEM: key.KEM()}
	if stored.NotAfter != 0 {
		k.From, k.Until = time.Unix(stored.NotBefore, 0), time.Unix(stored.NotAfter, 0)
	}
	return k, nil
}
