package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/ohttp"
)

// A sharedKeys keeps the keys of a role that several servers of the organisation play. What
// replace stores all of them read.
type sharedKeys interface {
	// read returns the text that is stored, nil before the first. The caller clears it.
	read() ([]byte, error)
	// replace stores a text in place of what was read last. It fails with
	// [tasks.ErrConflict], and changes nothing, if another server has changed it since. After
	// another error, or a crash, it is stored or not.
	replace(text []byte) error
}

// sharedKeysTimeout bounds one access to the database.
const sharedKeysTimeout = 5 * time.Second

// A gatewaySecret is the gateway's keys in the database of leader or helper. The HPKE keys
// of the role are beside them, sealed likewise.
type gatewaySecret struct {
	registry *tasks.Registry
	revision uint64 // of what was read last
}

func (s *gatewaySecret) read() ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), sharedKeysTimeout)
	defer cancel()
	text, revision, err := s.registry.GatewayKeys(ctx)
	if err != nil {
		return nil, err
	}
	s.revision = revision
	return text, nil
}

func (s *gatewaySecret) replace(text []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), sharedKeysTimeout)
	defer cancel()
	revision, err := s.registry.PutGatewayKeys(ctx, s.revision, text)
	if err != nil {
		return err
	}
	s.revision = revision
	return nil
}

// sharedGatewayKeys returns where the organisation's servers share the keys of the gateway,
// nil if there is only one server: without a database of leader or helper.
func (s *Server) sharedGatewayKeys() sharedKeys {
	if s.config.Aggregates.Postgres == "" {
		return nil
	}
	for _, a := range rolesOf[*aggregator](s) {
		return &gatewaySecret{registry: a.registry}
	}
	return nil
}

// openKeys reads the gateway's keys.
func (g *gatewayHost) openKeys() error {
	if g.ring.shared = g.server.sharedGatewayKeys(); g.ring.shared != nil {
		return g.adoptKeys()
	}
	err := g.ring.open()
	if _, missing := os.Lstat(g.ring.file); errors.Is(missing, fs.ErrNotExist) { // of an organisation that had no gateway
		err = g.ring.create()
	}
	return err
}

// adoptKeys reads the keys in the database. If that has none, those of the file that the
// server had before go into it, so that what clients have sealed to them is still opened.
// The file goes: what is in it would outlive its end.
func (g *gatewayHost) adoptKeys() error {
	if _, err := os.Lstat(g.ring.file); errors.Is(err, fs.ErrNotExist) {
		return g.ring.open()
	}
	shared, err := g.moveKeys()
	if err != nil {
		return err
	}
	if err := errors.Join(replacePrivate(g.ring.file, []byte(keysHeader)), os.Remove(g.ring.file)); err != nil {
		return fmt.Errorf("removing the gateway keys that are in the database now: %w", err)
	}
	if shared {
		g.server.o.Logger.Info("the keys of the gateway for relays are in the database now, where all servers of the organisation share them")
	} else {
		g.server.o.Logger.Warn("the servers of the organisation share other keys of the gateway for relays than this one had; clients that have its keys wait until the relay's next period",
			"period", relay.Period.String())
	}
	return nil
}

// moveKeys reads the keys in the database, and stores those of the file there if it has none.
// It reports whether the keys of the file are shared: another server may have been first.
func (g *gatewayHost) moveKeys() (bool, error) {
	file := *g.ring
	file.shared = nil
	if err := file.open(); err != nil {
		return false, err
	}
	err := g.ring.again(func() error {
		if err := g.ring.open(); err != nil || len(g.ring.ring.Keys()) > 0 {
			return err
		}
		return g.ring.save(file.ring)
	})
	if err != nil {
		return false, err
	}
	for k := range file.ring.All() {
		if !slices.ContainsFunc(g.ring.ring.Keys(), func(o keyring.Key[*ohttp.PrivateKey]) bool { return o.Key.Equal(k.Key) }) {
			return false, nil
		}
	}
	return true, nil
}

// refresh reads the keys that servers share, unless they were just read. It is called with
// keysMu held. What is announced for a period was made two hours before its start, so it is
// the same for all servers if each has read since; without the database nothing is announced.
func (g *gatewayHost) refresh() error {
	now := g.server.o.Clock.Now()
	if g.ring.shared == nil || !g.read.IsZero() && now.Sub(g.read).Abs() < witnessEvery {
		return nil
	}
	changed, err := g.rotate()
	if err != nil {
		g.server.failed("gateway keys", err)
		return fmt.Errorf("%w: %w", relay.ErrNoKeys, err)
	}
	if changed {
		return g.take()
	}
	return nil
}
