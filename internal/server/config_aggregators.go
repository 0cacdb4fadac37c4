package server

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// AggregatesConfig is about the aggregate route: leader, helper and collector.
type AggregatesConfig struct {
	Expiry Duration `yaml:"expiry"`
	Async  bool     `yaml:"async"`
	// ReplayMemory bounds what is in memory of the IDs of reports that counted.
	ReplayMemory Size `yaml:"replay_memory"`
	// Postgres is the connection string of a database for the leader or helper, ""
	// for a file in the data folder.
	Postgres string `yaml:"postgres"`
	// Node is the server's name among those of a leader that share a database.
	Node string `yaml:"node"`
}

// releases reports whether the organisation has results to show.
func (c Config) releases() bool { return c.Has(task.Analyzer) || c.Has(task.Collector) }

// aggregates reports whether the organisation has a part in the aggregate route.
func (c Config) aggregates() bool {
	return c.Has(task.Leader) || c.Has(task.Helper) || c.Has(task.Collector)
}

func joinRoles(roles []task.Role) string {
	var names []string
	for _, r := range roles {
		names = append(names, r.String())
	}
	return strings.Join(names, ", ")
}

// validateAggregates refuses what would put both shares of a report in one
// place.
func (c Config) validateAggregates() error {
	if c.Has(task.Leader) && c.Has(task.Helper) {
		return errors.New("roles: leader and helper in one server: each of them alone knows nothing, both together know every value; " +
			"run the one of other questions with a configuration, keys, data and a url of its own")
	}
	if c.Aggregates.Expiry < Duration(24*time.Hour) {
		return fmt.Errorf("aggregates.expiry: %s is below 1d", c.Aggregates.Expiry)
	}
	if c.Aggregates.ReplayMemory < 16<<20 {
		return fmt.Errorf("aggregates.replay_memory: %s is below 16MiB", c.Aggregates.ReplayMemory)
	}
	return errors.Join(c.validatePostgres(), c.validateHelper(), c.validateLeader())
}

// validatePostgres checks the connection string of the aggregators' database. It
// may be printed and backed up with the rest of the file, so it must not contain a
// password. Errors do not repeat it.
func (c Config) validatePostgres() error {
	text := c.Aggregates.Postgres
	if text == "" {
		return nil
	}
	if !c.Has(task.Leader) && !c.Has(task.Helper) {
		return errors.New("aggregates.postgres: only a leader or a helper uses it")
	}
	errPassword := errors.New("aggregates.postgres: a password does not belong into this file: put it into one of its own, and its name here (passfile=...), or use a client certificate")
	if !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") {
		switch {
		case strings.Contains(text, "://") || !strings.Contains(text, "="):
			return errors.New("aggregates.postgres: want a URL that begins with postgres://, PostgreSQL's keywords (host=...), or nothing for the embedded store")
		case strings.Contains(text, "password="):
			return errPassword
		}
		return nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return errors.New("aggregates.postgres: not a URL: characters with a meaning in URLs must be percent-encoded")
	}
	if _, secret := u.User.Password(); secret || u.Query().Has("password") {
		return errPassword
	}
	return nil
}

// The files of the aggregate route in the key folder.
const (
	collectorIdentityFile = "collector.identity.key"
	pairingKeyFile        = "pairing.key"
	pairingsFile          = "pairings.json"
)

// collectorIdentityPath is where the collector's own identity is: a task names
// the collector apart from the aggregators, also where one organisation is both.
func (c Config) collectorIdentityPath() string {
	return filepath.Join(c.Keys.Dir, collectorIdentityFile)
}

func (c Config) pairingKeyPath() string { return filepath.Join(c.Keys.Dir, pairingKeyFile) }

func (c Config) pairingsPath() string { return filepath.Join(c.Keys.Dir, pairingsFile) }

// storageKeysPath is where the keys are that seal an aggregator's secrets in its
// store.
func (c Config) storageKeysPath(r task.Role) string {
	return filepath.Join(c.Keys.Dir, r.String()+".storage.keys")
}

// aggregatorStore is the file of an aggregator's embedded store.
func (c Config) aggregatorStore(r task.Role) string { return filepath.Join(c.Data, r.String()+".db") }

// collectorStore and collectorDir are where a collector keeps its catalogue and
// its tables.
func (c Config) collectorStore() string { return filepath.Join(c.Data, "collector.db") }

func (c Config) collectorDir() string { return filepath.Join(c.Data, task.Collector.String()) }
