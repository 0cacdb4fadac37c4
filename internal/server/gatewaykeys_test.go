package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/dap/tasks/storetest"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp"
)

// FuzzGatewayKey covers a damaged line of the gateway's key file: it is read as what it is
// written as, or refused, without a panic.
func FuzzGatewayKey(f *testing.F) {
	codec := gatewayKeys()
	f.Add("")
	f.Add("x25519 1 2")
	f.Fuzz(func(t *testing.T, line string) {
		k, err := codec.parse(line, keyring.Plan{})
		if err != nil {
			return
		}
		text, err := codec.text(k)
		if err != nil {
			t.Fatal(err)
		}
		again, err := codec.parse(text, keyring.Plan{})
		if err != nil || !again.From.Equal(k.From) || !again.Until.Equal(k.Until) || codec.name(again) != codec.name(k) || !again.Until.After(again.From) {
			t.Errorf("%q is written as %q: %v", line, text, err)
		}
	})
}

// TestGatewayKeyText: a key is read as it was written.
func TestGatewayKeyText(t *testing.T) {
	codec := gatewayKeys()
	for _, kem := range []hpke.KEM{hpke.X25519, hpke.XWing} {
		key, err := codec.generate(kem, time.Time{}, time.Time{}, zeros{})
		must(t, err)
		k := keyring.Key[*ohttp.PrivateKey]{Key: key, KEM: kem, From: time.Unix(86400, 0), Until: time.Unix(2*86400, 0)}
		text, err := codec.text(k)
		must(t, err)
		again, err := codec.parse(text, keyring.Plan{})
		if err != nil || again.KEM != kem || !again.Until.Equal(k.Until) {
			t.Errorf("%s: %+v, %v", text, again, err)
		}
	}
}

// zeros is randomness of a fixed key, for the corpus.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// sharers returns hosts of gateways as n servers of an organisation have them, over one
// store of the leader, and what opens one more. No server has keys yet.
func sharers(t *testing.T, m tasks.Store, c clock.Clock) func() (*gatewayHost, error) {
	t.Helper()
	key, err := atrest.GenerateKey(rand.Reader)
	must(t, err)
	sealing, err := atrest.New(key)
	must(t, err)
	log := slog.New(slog.DiscardHandler)
	return func() (*gatewayHost, error) {
		dir := t.TempDir()
		config, err := Parse([]byte("url: https://leader.example\nroles: [leader]\naggregates: {postgres: \"postgres://db.example/leader\"}\n"), dir, func(string) string { return "" })
		must(t, err)
		registry, err := tasks.Open(t.Context(), m, tasks.Config{Role: dap.Leader, Keys: sealing, Clock: c, Rand: rand.Reader})
		if err != nil {
			return nil, err
		}
		s := &Server{config: config, o: Options{Clock: c, Rand: rand.Reader, Logger: log}, metrics: newMetrics()}
		s.roles = []role{&aggregator{server: s, role: task.Leader, registry: registry}}
		g := &gatewayHost{server: s}
		if g.ring, err = newGatewayKeys(config, rand.Reader); err != nil {
			return nil, err
		}
		g.ring.guard = clock.NewStrictGuard(c, settle)
		if err := g.openKeys(); err != nil {
			return nil, err
		}
		if _, err := g.rotate(); err != nil {
			return nil, err
		}
		gateway := ohttp.GatewayConfig{Handler: http.NotFoundHandler(), Keys: g.accepted(), Authorities: []string{"leader.example"}}
		if g.gateway, err = ohttp.NewGateway(gateway); err != nil {
			return nil, err
		}
		g.issuing, err = ohttp.NewGateway(gateway)
		return g, err
	}
}

// ids are the keys of a host, the oldest first.
func (g *gatewayHost) ids() []string {
	var all []string
	for k := range g.ring.ring.All() {
		all = append(all, fmt.Sprintf("%x", k.Key.Config().PublicKey[:8]))
	}
	return all
}

// TestSharedGatewayKeysRace: of servers that start and renew at once none has keys that the
// others do not get to know, and each change is made.
func TestSharedGatewayKeysRace(t *testing.T) {
	clk := clock.NewVirtual(noon)
	open := sharers(t, storetest.NewModel(), clk)
	const n = 8
	hosts := make([]*gatewayHost, n)
	each := func(do func(i int) error) {
		var group sync.WaitGroup
		for i := range n {
			group.Go(func() {
				if err := do(i); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
	each(func(i int) (err error) { hosts[i], err = open(); return err })
	first := hosts[0].ids()
	for i, g := range hosts {
		if got := g.ids(); len(got) != len(g.ring.plan.KEMs) || !slices.Equal(got, first) {
			t.Errorf("server %d has the keys %v, the first %v", i, got, first)
		}
	}
	each(func(i int) error { return hosts[i].ring.renew(clk.Now()) })
	each(func(i int) error { _, err := hosts[i].rotate(); return err })
	all := hosts[0].ids()
	if len(all) != (n+1)*len(first) || !slices.Equal(all[:len(first)], first) {
		t.Errorf("after %d renewals there are the keys %v", n, all)
	}
	for i, g := range hosts {
		if !slices.Equal(g.ids(), all) {
			t.Errorf("server %d has the keys %v, the first %v", i, g.ids(), all)
		}
	}
}

// TestSharedGatewayKeysCrash: a server that crashes just before or after a change of the
// keys leaves the others with what it has announced, and all state the same for a period.
func TestSharedGatewayKeysCrash(t *testing.T) {
	for n := 1; n <= 5; n++ {
		for _, after := range []bool{false, true} {
			clk := clock.NewVirtual(noon)
			m := storetest.NewModel()
			shared := &switched{Store: m}
			open := sharers(t, shared, clk)
			m.CrashAt(n, after)
			crashed := 0
			started := func() *gatewayHost {
				g, err := open()
				if errors.Is(err, storetest.ErrCrashed) {
					crashed++
					m = m.Restart()
					shared.Store = m
					g, err = open()
				}
				must(t, err)
				return g
			}
			hosts := []*gatewayHost{started(), started()}
			announced := map[string]bool{}
			for day := range 12 { // keys live for a week
				start := noon.Add(time.Duration(day)*24*time.Hour - 12*time.Hour)
				for _, i := range []int{day % 2, 1 - day%2} {
					b, err := hosts[i].state(start, start.Add(24*time.Hour))
					if errors.Is(err, storetest.ErrCrashed) {
						crashed++
						m = m.Restart()
						shared.Store = m
						hosts[i] = started()
						b, err = hosts[i].state(start, start.Add(24*time.Hour))
					}
					must(t, err)
					announced[fmt.Sprint(day, b)] = true
				}
				clk.Set(noon.Add(time.Duration(day+1) * 24 * time.Hour))
			}
			if len(announced) != 12 {
				t.Errorf("crash at change %d, after it: %t: %d statements for 12 periods", n, after, len(announced))
			}
			if crashed != 1 {
				t.Errorf("crash at change %d: %d crashes, want 1", n, crashed)
			}
		}
	}
}

// A switched store is another one after a crash, or cannot be reached.
type switched struct {
	tasks.Store
	away atomic.Bool
}

var errAway = errors.New("the database is away")

func (s *switched) Secret(ctx context.Context, name string) (tasks.Secret, error) {
	if s.away.Load() {
		return tasks.Secret{}, errAway
	}
	return s.Store.Secret(ctx, name)
}

// TestSharedGatewayKeysAway: without the database nothing is announced, since another server
// may have made keys, and requests are still opened; with it the server has what was made.
func TestSharedGatewayKeysAway(t *testing.T) {
	clk := clock.NewVirtual(noon)
	store := &switched{Store: storetest.NewModel()}
	open := sharers(t, store, clk)
	one, err := open()
	must(t, err)
	two, err := open()
	must(t, err)
	must(t, one.ring.renew(clk.Now()))
	store.away.Store(true)
	clk.Advance(time.Minute)
	start, end := noon.Add(-12*time.Hour), noon.Add(12*time.Hour)
	if _, err := two.state(start, end); !errors.Is(err, relay.ErrNoKeys) || !errors.Is(err, errAway) {
		t.Errorf("without the database it announces: %v", err)
	}
	if len(two.accepted()) == 0 {
		t.Error("without the database it opens nothing")
	}
	store.away.Store(false)
	if _, err := two.rotate(); err != nil || !slices.Equal(one.ids(), two.ids()) {
		t.Errorf("with the database: %v, the other has %v: %v", two.ids(), one.ids(), err)
	}
}

// TestGatewayKeysMoveToTheDatabase: the keys of the file of a server that ran alone are
// shared, and the file is gone; those of a second one are not, which is logged.
func TestGatewayKeysMoveToTheDatabase(t *testing.T) {
	clk := clock.NewVirtual(noon)
	m := storetest.NewModel()
	for _, stored := range []bool{false, true} {
		fresh := sharers(t, storetest.NewModel(), clk)
		former, err := fresh()
		must(t, err)
		want := former.ids()
		former.ring.shared = nil
		must(t, os.MkdirAll(filepath.Dir(former.ring.file), 0o700))
		must(t, former.ring.save(former.ring.ring))
		registry, err := tasks.Open(t.Context(), m, tasks.Config{Role: dap.Leader, Keys: atRest(t), Clock: clk, Rand: rand.Reader})
		must(t, err)
		rolesOf[*aggregator](former.server)[0].registry = registry
		var log bytes.Buffer
		former.server.o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		must(t, former.openKeys())
		if got := former.ids(); slices.Equal(got, want) == stored {
			t.Errorf("keys %v, in the file %v", got, want)
		}
		if _, err := os.Lstat(former.ring.file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file is there: %v", err)
		}
		if text := log.String(); strings.Contains(text, "level=WARN") != stored {
			t.Errorf("logged %s", text)
		}
	}
}

// atRest returns the same storage keys whenever it is called.
func atRest(t *testing.T) *atrest.Keys {
	t.Helper()
	key, err := atrest.GenerateKey(strings.NewReader(strings.Repeat("k", 64)))
	must(t, err)
	keys, err := atrest.New(key)
	must(t, err)
	return keys
}
