package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/internal/server"
)

// keysCmd manages the keys to which others seal.
type keysCmd struct {
	List   keysListCmd   `cmd:"" help:"List the keys, without their secrets."`
	Rotate keysRotateCmd `cmd:"" help:"Rotate keys before they are due."`
}

type keyList struct {
	Keys []struct {
		Role     string    `json:"role"`
		ID       string    `json:"id"`
		KEM      string    `json:"kem"`
		State    string    `json:"state"`
		NotAfter time.Time `json:"not_after"`
	} `json:"keys"`
}

func (l *keyList) write(e *env) {
	for _, k := range l.Keys {
		fmt.Fprintf(e.stdout, "%s %s: %s, %s, until %s\n", k.Role, k.ID, k.KEM, k.State, k.NotAfter.Format(time.DateOnly))
	}
}

type keysListCmd struct {
	configFlag
}

// Run lists the keys of the running server.
func (c *keysListCmd) Run(e *env) error {
	return c.keys(e, http.MethodGet, "/api/v1/keys", server.ScopeRead)
}

func (f configFlag) keys(e *env, method, path string, scope server.Scope) error {
	config, err := f.load()
	if err != nil {
		return err
	}
	m, err := f.manage(e, config, scope)
	if err != nil {
		return setup(err)
	}
	var list keyList
	if err := errors.Join(m.do(e.ctx, method, path, nil, &list), m.close()); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	list.write(e)
	return nil
}

type keysRotateCmd struct {
	configFlag
	Collector bool `help:"Make a new key of the collector in its file, also while the server is stopped."`
}

// Help is printed by "shoal keys rotate --help".
func (*keysRotateCmd) Help() string {
	return `Keys rotate by themselves; this is for when one may have been seen. What was
sealed to the older keys still opens.

Leaders and helpers ask a collector for its keys. To one of an
earlier version, or one that cannot reach the collector, send the new card ("shoal pair
card").`
}

// Run makes new keys.
func (c *keysRotateCmd) Run(e *env) error {
	if !c.Collector {
		return c.keys(e, http.MethodPost, "/api/v1/keys/rotate", server.ScopeKeys)
	}
	config, err := c.load()
	if err != nil {
		return err
	}
	if err := server.RenewCollectorKey(config, e.clock.Now(), rand.Reader); err != nil {
		return setup(err)
	}
	fmt.Fprintln(e.stdout, "The collector has a new key, which a running server announces. Send the new card (\"shoal pair card\") to organisations that do not ask for keys.")
	return nil
}
