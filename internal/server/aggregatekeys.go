package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/server/pairing"
	"github.com/shoal-project/shoal/metric/task"
)

// collectorKeyLife is how long a collector's key config is good: it is handed to
// leader and helper by hand, and a task that has begun keeps the key.
const collectorKeyLife = 10 * 365 * 24 * time.Hour

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
	for _, r := range []RoleName{LeaderRole, HelperRole} {
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
	if !c.Has(CollectorRole) {
		return nil
	}
	identity, err := task.GenerateIdentityKey(random)
	if err != nil {
		return err
	}
	if err := WriteIdentity(c.collectorIdentityPath(), identity); err != nil {
		return err
	}
	return addCollectorKey(c, now, random)
}

// RenewCollectorKey makes a new key of the collector. A running server takes it up
// by itself; leader and helper must be given the new card.
func RenewCollectorKey(c Config, now time.Time, random io.Reader) error {
	if !c.Has(CollectorRole) {
		return errors.New("making a collector's key: this organisation is not a collector")
	}
	return addCollectorKey(c, now, random)
}

// addCollectorKey puts a new key before those of the collector.
func addCollectorKey(c Config, now time.Time, random io.Reader) error {
	keys, err := readCollectorKeys(c)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for {
		key, err := newCollectorKey(random)
		if err != nil {
			return err
		}
		taken := false
		for _, k := range keys {
			taken = taken || k.Config().ID == key.Config().ID
		}
		if taken { // IDs are a byte of a digest
			continue
		}
		text, err := key.Text()
		if err != nil {
			return err
		}
		b := fmt.Appendf(nil, "%s%s %d\n", keysHeader, text, now.Unix())
		for _, k := range keys {
			if text, err = k.Text(); err != nil {
				return err
			}
			b = fmt.Appendf(b, "%s %d\n", text, k.created)
		}
		defer clear(b)
		return replacePrivate(c.roleKeysPath(CollectorRole), b)
	}
}

// newCollectorKey makes a key whose ID is the one that leader and helper derive
// from the announced key.
func newCollectorKey(random io.Reader) (*dapkey.PrivateKey, error) {
	var seed [32]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, fmt.Errorf("making a collector's key: %w", err)
	}
	defer clear(seed[:])
	first, err := dapkey.Generate(0, hpke.X25519, bytes.NewReader(seed[:]))
	if err != nil {
		return nil, err
	}
	id := task.NewKeyID(task.KEMX25519, first.Config().PublicKey)
	return dapkey.Generate(dap.HpkeConfigID(id[0]), hpke.X25519, bytes.NewReader(seed[:]))
}

// A collectorKey is a key with the time when it was made, in Unix seconds.
type collectorKey struct {
	*dapkey.PrivateKey
	created int64
}

// readCollectorKeys reads the collector's keys, the newest first.
func readCollectorKeys(c Config) ([]collectorKey, error) {
	name := c.roleKeysPath(CollectorRole)
	if _, err := os.Stat(name); err != nil {
		return nil, fmt.Errorf("reading collector keys: %w", err)
	}
	lines, err := privateLines(name)
	if err != nil {
		return nil, fmt.Errorf("reading collector keys: %w", err)
	}
	var keys []collectorKey
	for _, line := range lines {
		var k collectorKey
		text, at, _ := strings.Cut(line, " ")
		if _, err := fmt.Sscan(at, &k.created); err != nil {
			return nil, fmt.Errorf("reading collector keys: %s: a line has no time", name)
		}
		if k.PrivateKey, err = dapkey.Parse(text); err != nil {
			return nil, fmt.Errorf("reading collector keys: %s: %w", name, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
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
func readStorageKeys(c Config, r RoleName) (*atrest.Keys, error) {
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
		if !r.Crowd() {
			card.Roles = append(card.Roles, string(r))
		}
	}
	if !c.Has(CollectorRole) {
		return card, identity, nil
	}
	collector, err := LoadIdentity(c.collectorIdentityPath())
	if err != nil {
		return none, identity, err
	}
	card.SetCollector(collector)
	card.CollectorKeys, err = collectorConfig(c, collector)
	return card, identity, err
}

// collectorConfig signs the newest key of the collector. The same key gives the
// same bytes.
func collectorConfig(c Config, by task.IdentityKey) ([]byte, error) {
	keys, err := readCollectorKeys(c)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s holds no key", c.roleKeysPath(CollectorRole))
	}
	newest := keys[0]
	from := time.Unix(newest.created, 0).Add(-allowance)
	until := from.Add(collectorKeyLife)
	return task.SignKeyConfig(&task.KeyConfig{
		Role: task.Collector, Identity: by.Public(), NotBefore: from.Unix(), NotAfter: until.Unix(),
		Keys: []task.Key{task.NewKey(task.KEMX25519, newest.Config().PublicKey, from, until)},
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
