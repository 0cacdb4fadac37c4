package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/internal/server/pairing"
	"github.com/shoal-project/shoal/metric/task"
)

// cardLife is how long the key config in a collector's card is good. A leader or helper
// keeps the card and then follows what the collector announces; one of a version before,
// or one that cannot reach the collector, goes on with the key in the card.
const cardLife = 10 * 365 * 24 * time.Hour

// writeAggregateKeys writes the key files of the aggregate route that a new
// organisation needs.
func writeAggregateKeys(c Config, now time.Time, random io.Reader) error {
	if !c.aggregates() {
		return nil
	}
	key, err := pairing.GenerateKey(random)
	if err != nil {
		return err
	}
	if err := writePrivate(c.pairingKeyPath(), []byte(key.Text()+"\n")); err != nil {
		return err
	}
	for _, r := range []task.Role{task.Leader, task.Helper} {
		if !c.Has(r) {
			continue
		}
		key, err := atrest.GenerateKey(random)
		if err != nil {
			return err
		}
		text := "# Keys that seal the store's secrets; the first seals, all open. Keep secret.\n" + key.Text() + "\n"
		if err := writePrivate(c.storageKeysPath(r), []byte(text)); err != nil {
			return err
		}
	}
	if !c.Has(task.Collector) {
		return nil
	}
	identity, err := task.GenerateIdentityKey(random)
	if err != nil {
		return err
	}
	if err := WriteIdentity(c.collectorIdentityPath(), identity); err != nil {
		return err
	}
	keys, err := newCollectorKeys(c, identity, random)
	if err != nil {
		return err
	}
	if err := keys.create(); err != nil {
		return err
	}
	_, err = keys.rotate(now, nil)
	return err
}

// RenewCollectorKey makes a new key of the collector before it is due. A running server
// takes it up by itself.
func RenewCollectorKey(c Config, now time.Time, random io.Reader) error {
	if !c.Has(task.Collector) {
		return errors.New("making a collector's key: this organisation is not a collector")
	}
	identity, err := LoadIdentity(c.collectorIdentityPath())
	if err != nil {
		return err
	}
	keys, err := newCollectorKeys(c, identity, random)
	if err != nil {
		return err
	}
	return keys.renew(now)
}

// collectorCodec is that of a collector's keys. Leader and helper know a key by the first
// byte of its ID.
func collectorCodec() keyCodec[*dapkey.PrivateKey] {
	return keyCodec[*dapkey.PrivateKey]{
		generate: func(kem hpke.KEM, _, _ time.Time, random io.Reader) (*dapkey.PrivateKey, error) {
			key, err := hpke.Generate(kem, random)
			if err != nil {
				return nil, err
			}
			id := task.NewKeyID(uint16(kem), key.Public())
			return dapkey.Wrap(dap.HpkeConfigID(id[0]), key), nil
		},
		text:  dapkey.Text,
		parse: parseCollectorKey,
		public: func(k dapkey.Held) task.Key {
			return task.NewKey(uint16(k.KEM), k.Key.Config().PublicKey, k.From, k.Until)
		},
		name:  func(k dapkey.Held) string { return fmt.Sprint(k.Key.ID()) },
		short: func(k *dapkey.PrivateKey) byte { return byte(k.ID()) },
	}
}

// parseCollectorKey reads a line of the collector's file. The version before wrote the
// time when the key was made behind it, and offered the newest key without an end.
func parseCollectorKey(line string, plan keyring.Plan) (dapkey.Held, error) {
	text, at, former := strings.Cut(line, " ")
	k, err := dapkey.ParseHeld(text)
	if err != nil || !k.Until.IsZero() {
		return k, err
	}
	var created int64
	if _, err := fmt.Sscan(at, &created); err != nil || !former {
		return k, errors.New("a key without a time")
	}
	k.From = time.Unix(created, 0).Add(-allowance)
	k.Until = time.Unix(created, 0).Add(plan.Lifetime)
	return k, nil
}

// newCollectorKeys returns the collector's keys, which are not read yet.
func newCollectorKeys(c Config, identity task.IdentityKey, random io.Reader) (*roleKeys[*dapkey.PrivateKey], error) {
	plan, err := c.keyPlan()
	if err != nil {
		return nil, err
	}
	plan.Backdate = allowance
	plan.KEMs = []hpke.KEM{hpke.X25519} // what leader and helper choose
	policy, err := policyDigest(c.Keys.PolicyFile)
	if err != nil {
		return nil, err
	}
	return &roleKeys[*dapkey.PrivateKey]{
		file: c.roleKeysPath(task.Collector), role: task.Collector, identity: identity, plan: plan, policy: policy, rand: random,
		codec: collectorCodec(),
	}, nil
}

// privateLines reads the lines of a private file that are no comments.
func privateLines(name string) ([]string, error) {
	if err := private(name); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	var lines []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// readStorageKeys reads the keys that seal what an aggregator stores.
func readStorageKeys(c Config, r task.Role) (*atrest.Keys, error) {
	name := c.storageKeysPath(r)
	lines, err := privateLines(name)
	if err != nil {
		return nil, fmt.Errorf("reading storage keys: %w", err)
	}
	var keys []atrest.Key
	for _, line := range lines {
		key, err := atrest.ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("reading storage keys: %s: %w", name, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("reading storage keys: %s holds none", name)
	}
	return atrest.New(keys[0], keys[1:]...)
}

// Card returns the organisation's description of itself for others, and the key
// that signs it.
func Card(c Config, now time.Time) (pairing.Card, task.IdentityKey, error) {
	card, id, err := cardOf(c, now)
	if err != nil {
		err = fmt.Errorf("making the card: %w", err)
	}
	return card, id, err
}

func cardOf(c Config, now time.Time) (pairing.Card, task.IdentityKey, error) {
	var none pairing.Card
	if !c.aggregates() {
		return none, task.IdentityKey{}, errors.New("only a leader, a helper or a collector pairs with others")
	}
	identity, err := LoadIdentity(c.identityPath())
	if err != nil {
		return none, identity, err
	}
	key, err := PairingKey(c)
	if err != nil {
		return none, identity, err
	}
	card := pairing.Card{
		Version: 1, Organisation: c.Organisation, URL: c.URL, Identity: task.FormatPublic(identity.Public()), Created: now.Unix(),
	}
	if card.Key, err = key.Public(); err != nil {
		return none, identity, err
	}
	for _, r := range c.Roles {
		if !onCrowdRoute(r) {
			card.Roles = append(card.Roles, r.String())
		}
	}
	if !c.Has(task.Collector) {
		return card, identity, nil
	}
	collector, err := LoadIdentity(c.collectorIdentityPath())
	if err != nil {
		return none, identity, err
	}
	card.SetCollector(collector)
	card.CollectorKeys, err = collectorConfig(c, now, collector)
	return card, identity, err
}

// collectorConfig signs the newest key of the collector for its card. The same key gives
// the same bytes.
func collectorConfig(c Config, now time.Time, by task.IdentityKey) ([]byte, error) {
	keys, err := newCollectorKeys(c, by, nil)
	if err != nil {
		return nil, err
	}
	if err := keys.open(); err != nil {
		return nil, err
	}
	held := keys.ring.Keys()
	if offered := keys.ring.Offered(now); len(offered) > 0 {
		held = offered[:1]
	}
	if len(held) == 0 {
		return nil, fmt.Errorf("%s holds no key", keys.file)
	}
	newest := held[len(held)-1] // of a server that has not run for long
	until := newest.From.Add(cardLife)
	return task.SignKeyConfig(&task.KeyConfig{
		Role: task.Collector, Identity: by.Public(), NotBefore: newest.From.Unix(), NotAfter: until.Unix(),
		Keys: []task.Key{task.NewKey(uint16(newest.KEM), newest.Key.Config().PublicKey, newest.From, until)},
	}, by)
}

// PairingKey reads the key that opens invitations.
func PairingKey(c Config) (pairing.Key, error) {
	lines, err := privateLines(c.pairingKeyPath())
	if err == nil && len(lines) != 1 {
		err = fmt.Errorf("%s: want one line", c.pairingKeyPath())
	}
	if err != nil {
		return pairing.Key{}, fmt.Errorf("reading the pairing key: %w", err)
	}
	return pairing.ParseKey(lines[0])
}

// OpenPairings opens the organisation's pairings.
func OpenPairings(c Config) (*pairing.File, error) { return pairing.OpenFile(c.pairingsPath()) }

// lastingConfigs returns the list of HPKE configurations that clients get through relays
// for a period.
func lastingConfigs(ring *dapkey.Ring, now, start, end time.Time) ([]byte, error) {
	var list dap.HpkeConfigList
	for _, k := range ring.Lasting(now, start.Add(-statedBefore), end) {
		list = append(list, k.Key.Config())
	}
	if len(list) == 0 {
		return nil, relay.ErrNoKeys
	}
	return dap.NewCodec(dap.DAP18()).Encode(&list) // the same in all variants
}
