package server

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/task"
)

// allowance is how far back a new key and a new announcement are dated, so that
// a client whose clock is slow can use them at once.
const allowance = time.Hour

// A keyring holds the report keys of one role: those that are announced, and
// older ones that a batch may still need. Its methods are called by one
// goroutine at a time.
type keyring struct {
	file     string
	role     task.Role
	identity task.IdentityKey
	settings KeysConfig
	policy   [32]byte
	rand     io.Reader

	keys   []*esa.PrivateKey // as in the file, oldest first
	config []byte            // the announcement that was signed last
	from   time.Time         // when that begins
	until  time.Time         // when it ends

	first   time.Time     // the first rotation
	last    time.Time     // the latest rotation
	ran     time.Duration // from the first rotation to the latest, by the monotonic clock
	trusted time.Duration // when, on that clock, the wall clock will have gone evenly for long enough
	// running reads that clock; tests have one of their own.
	running func(now time.Time) time.Duration
}

// settle is how long a clock must have gone evenly before a key is destroyed on
// its word: what a wrong clock destroys is lost to every report that is sealed
// to it.
const settle = time.Hour

// believes reports whether the clock has gone evenly for long enough. A clock
// without monotonic readings, such as a virtual one, never jumps.
func (k *keyring) believes(now time.Time) bool {
	begins := k.last.IsZero()
	if begins {
		k.first, k.last = now, now
	}
	if k.running == nil {
		k.running = func(now time.Time) time.Duration { return now.Sub(k.first) }
	}
	ran := k.running(now)
	jump := now.Round(0).Sub(k.last.Round(0)) - (ran - k.ran)
	k.last, k.ran = now, ran
	if begins || jump.Abs() > time.Minute {
		k.trusted = ran + settle
	}
	return ran >= k.trusted
}

// policyDigest returns the digest of the policy file, or zeros without one.
func policyDigest(name string) ([32]byte, error) {
	if name == "" {
		return [32]byte{}, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return [32]byte{}, fmt.Errorf("keys.policy_file: %w", err)
	}
	return sha256.Sum256(b), nil
}

// open reads the key file.
func (k *keyring) open() error {
	keys, err := readReportKeys(k.file)
	if err != nil {
		return fmt.Errorf("reading %s keys: %w", k.role, err)
	}
	k.keys = keys
	return nil
}

// rotate brings the keyring up to date at the moment now: it adds keys that are
// due, deletes those that are past neededUntil, and renews the announcement. It
// returns whether anything changed. The file is written before a new key is
// announced.
func (k *keyring) rotate(now time.Time, neededUntil func(task.Key) time.Time) (bool, error) {
	next := slices.Clone(k.keys)
	if k.believes(now) {
		next = slices.DeleteFunc(next, func(p *esa.PrivateKey) bool {
			return now.After(neededUntil(p.Public()))
		})
	}
	dropped := len(k.keys) - len(next)
	for _, name := range k.settings.KEMs {
		kem, err := hpke.ParseKEM(name)
		if err != nil {
			return false, err
		}
		if newest(begun(next, now), kem).Sub(now) > k.settings.Overlap.D() {
			continue
		}
		key, err := esa.GenerateKey(kem, now.Add(-allowance), now.Add(k.settings.Lifetime.D()), k.rand)
		if err != nil {
			return false, fmt.Errorf("making a %s key: %w", k.role, err)
		}
		next = append(next, key)
	}
	changed := dropped > 0 || len(next) != len(k.keys)
	if changed {
		if err := k.save(next); err != nil {
			return false, fmt.Errorf("writing %s keys: %w", k.role, err)
		}
		k.keys = next
	}
	current := !now.Before(k.from) && k.until.Sub(now) > k.settings.Announce.D()/2
	if !changed && current {
		return false, nil
	}
	return true, k.announce(now)
}

func (k *keyring) save(keys []*esa.PrivateKey) error {
	text, err := reportKeysText(keys)
	if err != nil {
		return err
	}
	defer clear(text)
	return replacePrivate(k.file, text)
}

// begun returns the keys that are not dated ahead, as a clock that was wrong for
// a while has dated them.
func begun(keys []*esa.PrivateKey, now time.Time) []*esa.PrivateKey {
	return slices.DeleteFunc(slices.Clone(keys), func(p *esa.PrivateKey) bool { return p.Public().NotBefore > now.Unix() })
}

// newest returns the end of the key of the given mechanism that ends last.
func newest(keys []*esa.PrivateKey, kem esa.KEM) time.Time {
	var end time.Time
	for _, p := range keys {
		public := p.Public()
		if esa.KEM(public.KEM) != kem {
			continue
		}
		if t := time.Unix(public.NotAfter, 0); t.After(end) {
			end = t
		}
	}
	return end
}

// announce signs a new key config: the keys that have not ended, in the
// configured order of mechanisms and the newest of each first.
func (k *keyring) announce(now time.Time) error {
	c := &task.KeyConfig{
		Role: k.role, Identity: k.identity.Public(), PolicyDigest: k.policy,
		NotBefore: now.Add(-allowance).Unix(), NotAfter: now.Add(k.settings.Announce.D()).Unix(),
	}
	for _, name := range k.settings.KEMs {
		kem, err := hpke.ParseKEM(name)
		if err != nil {
			return err
		}
		for _, p := range slices.Backward(begun(k.keys, now)) {
			public := p.Public()
			if esa.KEM(public.KEM) == kem && public.NotAfter > now.Unix() {
				c.Keys = append(c.Keys, public)
			}
		}
	}
	if len(c.Keys) == 0 {
		return errors.New("no key to announce")
	}
	signed, err := task.SignKeyConfig(c, k.identity)
	if err != nil {
		return fmt.Errorf("announcing %s keys: %w", k.role, err)
	}
	k.config, k.from, k.until = signed, time.Unix(c.NotBefore, 0), time.Unix(c.NotAfter, 0)
	return nil
}

// neededUntil returns when a key can be destroyed, if nothing unfinished still
// needs it: after the close of the last epoch in which a client may have sealed
// a report to it, and of the epochs into which that batch may be carried over,
// plus the grace time in which a hop before may still hand over.
func neededUntil(tasks []*task.Task, grace time.Duration, key task.Key) time.Time {
	end := time.Unix(key.NotAfter, 0)
	last := end
	for _, t := range tasks {
		span := uint64(max(1, t.Crowd.SaltEpochs))
		e := t.EpochAt(end)
		e = task.Epoch((uint64(e)/span+1)*span - 1)
		if closes := t.Closes(e); closes.After(last) {
			last = closes
		}
	}
	return last.Add(grace)
}
