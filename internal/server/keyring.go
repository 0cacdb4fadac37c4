package server

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/metric/task"
)

// allowance is how far back a new key and a new announcement are dated, so that
// a client whose clock is slow can use them at once.
const allowance = time.Hour

// settle is how long a clock must have gone evenly before a key is destroyed on
// its word: what a wrong clock destroys is lost to every report that is sealed
// to it.
const settle = time.Hour

// A keyCodec is how keys of one kind are made, written to a file, and announced.
type keyCodec[K any] struct {
	generate func(kem hpke.KEM, from, until time.Time, rand io.Reader) (K, error)
	text     func(keyring.Key[K]) (string, error)
	// parse reads a line of the file. It gets the plan for keys of versions before.
	parse  func(line string, plan keyring.Plan) (keyring.Key[K], error)
	public func(keyring.Key[K]) task.Key
	name   func(keyring.Key[K]) string // by which others name the key
	// short, if it is set, returns a byte by which others name the key too, so that no
	// two keys have the same.
	short func(K) byte
}

// reportKeys is the codec of shuffler and analyzer.
func reportKeys() keyCodec[*esa.PrivateKey] {
	return keyCodec[*esa.PrivateKey]{
		generate: esa.GenerateKey,
		text:     func(k keyring.Key[*esa.PrivateKey]) (string, error) { return k.Key.Text() },
		parse: func(line string, _ keyring.Plan) (keyring.Key[*esa.PrivateKey], error) {
			k, err := esa.ParsePrivateKey(line)
			if err != nil {
				return keyring.Key[*esa.PrivateKey]{}, err
			}
			p := k.Public()
			return keyring.Key[*esa.PrivateKey]{Key: k, KEM: esa.KEM(p.KEM), From: time.Unix(p.NotBefore, 0), Until: time.Unix(p.NotAfter, 0)}, nil
		},
		public: func(k keyring.Key[*esa.PrivateKey]) task.Key { return k.Key.Public() },
		name:   func(k keyring.Key[*esa.PrivateKey]) string { return k.Key.Public().ID.String() },
	}
}

// newReportKeys returns the keys of a shuffler or an analyzer, which are not read yet.
func newReportKeys(c Config, r task.Role, identity task.IdentityKey, random io.Reader) (*roleKeys[*esa.PrivateKey], error) {
	plan, err := c.keyPlan()
	if err != nil {
		return nil, err
	}
	plan.Backdate = allowance
	policy, err := policyDigest(c.Keys.PolicyFile)
	if err != nil {
		return nil, err
	}
	role, err := task.ParseRole(r.String())
	if err != nil {
		return nil, err
	}
	return &roleKeys[*esa.PrivateKey]{
		file: c.roleKeysPath(r), role: role, identity: identity, plan: plan, policy: policy, rand: random, codec: reportKeys(),
	}, nil
}

// A roleKeys holds the keys of one role: those that are announced, and older ones that
// something may still need. They are in a file that only its owner can read, or sealed in
// a database that several servers share. Its methods are called by one goroutine at a time.
type roleKeys[K any] struct {
	file     string
	role     task.Role // 0: the keys are not announced in a key config
	identity task.IdentityKey
	plan     keyring.Plan
	policy   [32]byte
	rand     io.Reader
	codec    keyCodec[K]
	guard    *clock.Guard // nil: no key is destroyed
	shared   sharedKeys   // in place of the file, of a role that several servers play; nil: the file

	saves  int              // how often this process has stored keys
	ring   *keyring.Ring[K] // as stored
	stored []byte           // digest of what is stored; nil: nothing yet

	config    []byte           // the announcement that was signed last
	announced *keyring.Ring[K] // what it announces
	from      time.Time        // when it begins
	until     time.Time        // when it ends
}

// what names the keys in errors.
func (k *roleKeys[K]) what() string {
	if k.role == 0 {
		return task.Gateway.String()
	}
	return k.role.String()
}

// keyPlan is the plan of the keys of a role. Backdate and Pending differ by role.
func (c Config) keyPlan() (keyring.Plan, error) {
	plan := keyring.Plan{Lifetime: c.Keys.Lifetime.D(), Overlap: c.Keys.Overlap.D(), Announce: c.Keys.Announce.D()}
	for _, name := range c.Keys.KEMs {
		kem, err := hpke.ParseKEM(name)
		if err != nil {
			return plan, err
		}
		plan.KEMs = append(plan.KEMs, kem)
	}
	return plan, nil
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

// read returns what is stored. A file must be there.
func (k *roleKeys[K]) read() ([]byte, error) {
	if k.shared != nil {
		return k.shared.read()
	}
	if err := private(k.file); err != nil {
		return nil, err
	}
	return os.ReadFile(k.file)
}

// open reads the keys that are stored, if any.
func (k *roleKeys[K]) open() error {
	b, err := k.read()
	if err != nil {
		return fmt.Errorf("reading %s keys: %w", k.what(), err)
	}
	defer clear(b)
	digest := sha256.Sum256(b)
	if k.ring != nil && bytes.Equal(digest[:], k.stored) {
		return nil
	}
	var keys []keyring.Key[K]
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := k.codec.parse(line, k.plan)
		if err != nil {
			return fmt.Errorf("reading %s keys: %s: line %d: %w", k.what(), k.place(), n, err)
		}
		keys = append(keys, key)
	}
	if k.role == task.Collector { // the version before wrote the newest first
		slices.SortStableFunc(keys, func(a, b keyring.Key[K]) int { return a.From.Compare(b.From) })
	}
	ring, err := keyring.New(k.plan, keys...)
	if err != nil {
		return fmt.Errorf("reading %s keys: %w", k.what(), err)
	}
	k.ring, k.stored = ring, digest[:]
	return nil
}

// place names where the keys are, in errors.
func (k *roleKeys[K]) place() string {
	if k.shared != nil {
		return "database"
	}
	return k.file
}

// create is open for a file that is not there yet.
func (k *roleKeys[K]) create() (err error) {
	k.ring, err = keyring.New[K](k.plan)
	return err
}

// rotate adds keys that are due, drops those that nothing needs any more, and renews the
// announcement. It returns whether anything changed. The file is written before a new
// key is announced, and read first: "shoal keys rotate" may have changed it, or another
// server what both share.
func (k *roleKeys[K]) rotate(now time.Time, needed func(keyring.Key[K]) time.Time) (bool, error) {
	before := k.ring
	if err := k.again(func() error { return k.rotateOnce(now, needed) }); err != nil {
		return false, err
	}
	changed := k.ring != before
	if k.role == 0 {
		return changed, nil
	}
	if !changed && !now.Before(k.from) && k.until.Sub(now) > k.plan.Announce/2 && k.announced == k.ring {
		return false, nil
	}
	return true, k.announce(now)
}

// rotateOnce is the part of rotate that fails with [tasks.ErrConflict] if another server
// has changed the keys meanwhile.
func (k *roleKeys[K]) rotateOnce(now time.Time, needed func(keyring.Key[K]) time.Time) error {
	if k.stored != nil || k.shared != nil {
		if err := k.open(); err != nil {
			return err
		}
	}
	sure := false
	if k.guard != nil {
		_, sure = k.guard.Now()
	}
	next, changed, err := k.ring.Rotate(now, k.duties(sure, needed))
	if err != nil {
		return fmt.Errorf("rotating %s keys: %w", k.what(), err)
	}
	if !changed {
		return nil
	}
	return k.save(next)
}

// renew adds a key of each mechanism and announces it before the others.
func (k *roleKeys[K]) renew(now time.Time) error {
	err := k.again(func() error {
		if err := k.open(); err != nil {
			return err
		}
		next, err := k.ring.Renew(now, k.duties(false, nil))
		if err != nil {
			return fmt.Errorf("renewing %s keys: %w", k.what(), err)
		}
		return k.save(next)
	})
	if err != nil || k.role == 0 {
		return err
	}
	return k.announce(now)
}

// mostConflicts bounds how often a change of shared keys is tried: each conflict means that
// another server has made its change.
const mostConflicts = 100

// again makes a change of the stored keys, once more for each other server that was faster.
func (k *roleKeys[K]) again(change func() error) error {
	var err error
	for range mostConflicts {
		if err = change(); !errors.Is(err, tasks.ErrConflict) {
			return err
		}
	}
	return err
}

func (k *roleKeys[K]) duties(sure bool, needed func(keyring.Key[K]) time.Time) keyring.Duties[K] {
	return keyring.Duties[K]{Sure: sure, Needed: needed, Make: func(kem hpke.KEM, from, until time.Time, others []keyring.Key[K]) (K, error) {
		for {
			key, err := k.codec.generate(kem, from, until, k.rand)
			if err != nil || !k.collides(key, others) {
				return key, err
			}
		}
	}}
}

// collides reports whether a key has the byte by which others name it in common with
// another.
func (k *roleKeys[K]) collides(key K, others []keyring.Key[K]) bool {
	if k.codec.short == nil || len(others) > 200 {
		return false
	}
	return slices.ContainsFunc(others, func(o keyring.Key[K]) bool { return k.codec.short(o.Key) == k.codec.short(key) })
}

// keysHeader stands at the top of a file of keys.
const keysHeader = "# Keys of one role. Written by shoal; keep secret, do not edit.\n"

// save stores a ring. After an error the keys in use are those of before.
func (k *roleKeys[K]) save(ring *keyring.Ring[K]) error {
	b, err := k.encode(ring)
	defer clear(b)
	if err != nil {
		return err
	}
	replace := func(b []byte) error { return replacePrivate(k.file, b) }
	if k.shared != nil {
		replace = k.shared.replace
	}
	if err := replace(b); err != nil {
		return fmt.Errorf("writing %s keys: %w", k.what(), err)
	}
	digest := sha256.Sum256(b)
	k.ring, k.stored = ring, digest[:]
	k.saves++
	return nil
}

// encode returns the text in which a ring is stored.
func (k *roleKeys[K]) encode(ring *keyring.Ring[K]) ([]byte, error) {
	b := []byte(keysHeader)
	for key := range ring.All() {
		text, err := k.codec.text(key)
		if err != nil {
			return b, fmt.Errorf("writing %s keys: %w", k.what(), err)
		}
		b = append(append(b, text...), '\n')
	}
	return b, nil
}

// announce signs a new key config: the keys that are offered, in the configured order of
// mechanisms and the newest of each first.
func (k *roleKeys[K]) announce(now time.Time) error {
	c := &task.KeyConfig{
		Role: k.role, Identity: k.identity.Public(), PolicyDigest: k.policy,
		NotBefore: now.Add(-allowance).Unix(), NotAfter: now.Add(k.plan.Announce).Unix(),
	}
	for _, key := range k.ring.Offered(now) {
		c.Keys = append(c.Keys, k.codec.public(key))
	}
	if len(c.Keys) == 0 {
		return errors.New("no key to announce")
	}
	signed, err := task.SignKeyConfig(c, k.identity)
	if err != nil {
		return fmt.Errorf("announcing %s keys: %w", k.what(), err)
	}
	k.config, k.announced, k.from, k.until = signed, k.ring, time.Unix(c.NotBefore, 0), time.Unix(c.NotAfter, 0)
	return nil
}

// keys returns the private keys, the oldest first.
func (k *roleKeys[K]) keys() []K {
	var keys []K
	for key := range k.ring.All() {
		keys = append(keys, key.Key)
	}
	return keys
}

// view is the keys as the API shows them.
func (k *roleKeys[K]) view(role task.Role, now time.Time) []keyView {
	var views []keyView
	for key := range k.ring.All() {
		views = append(views, keyView{role.String(), k.codec.name(key), key.KEM.Name(), key.State(now).String(), key.Until.UTC()})
	}
	return views
}

// neededUntil returns when a key can be destroyed, if nothing unfinished still
// needs it: after the close of the last epoch in which a client may have sealed
// a report to it, and of the epochs into which that batch may be carried over,
// plus the grace time in which a hop before may still hand over.
func neededUntil(tasks []*task.Task, grace time.Duration, end time.Time) time.Time {
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

// writeReportKeys writes the first keys of a shuffler or an analyzer.
func writeReportKeys(c Config, r task.Role, identity task.IdentityKey, now time.Time, random io.Reader) error {
	keys, err := newReportKeys(c, r, identity, random)
	if err != nil {
		return err
	}
	if err := keys.create(); err != nil {
		return err
	}
	_, err = keys.rotate(now, nil)
	return err
}
