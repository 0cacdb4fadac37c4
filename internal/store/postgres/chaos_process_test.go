package postgres_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/store/postgres"
)

// What a process of the chaos test finds in its environment.
const (
	chaosRole   = "SHOAL_TEST_CHAOS_ROLE" // leader or helper
	chaosStore  = "SHOAL_TEST_CHAOS_STORE"
	chaosKey    = "SHOAL_TEST_CHAOS_KEY"
	chaosNode   = "SHOAL_TEST_CHAOS_NODE"
	chaosDir    = "SHOAL_TEST_CHAOS_DIR"
	chaosHelper = "SHOAL_TEST_CHAOS_HELPER" // address of the way to the helpers
)

// chaosClaim is how long the processes lease their names.
const chaosClaim = 10 * time.Second

// openRole opens what both roles have.
func openRole(ctx context.Context, role dap.Role, key string, taskStore tasks.Store, ledgers ledger.Store) (*tasks.Registry, *ledger.Ledgers, error) {
	k, err := atrest.ParseKey(key)
	if err != nil {
		return nil, nil, err
	}
	keys, err := atrest.New(k)
	if err != nil {
		return nil, nil, err
	}
	r, err := tasks.Open(ctx, taskStore, tasks.Config{Role: role, Keys: keys, Clock: clock.System(), Rand: rand.Reader})
	if err != nil {
		return nil, nil, err
	}
	b, err := ledger.New(ledgers, ledger.Config{Keys: keys, Clock: clock.System(), Rand: rand.Reader})
	return r, b, err
}

// rerouted sends every request to one address.
type rerouted struct{ address func() string }

func (d rerouted) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", d.address()
	return http.DefaultTransport.RoundTrip(r)
}

// TestChaosProcess is a leader or a helper that [TestChaos] kills: it prints its
// address and serves until it dies.
func TestChaosProcess(t *testing.T) {
	role := os.Getenv(chaosRole)
	if role == "" {
		t.Skip("only for TestChaos")
	}
	ctx := t.Context()
	report := func(err error) { fmt.Fprintf(os.Stderr, "%s %s: %v\n", role, os.Getenv(chaosNode), err) }
	var handler http.Handler
	if role == dap.Leader.String() {
		s, err := postgres.OpenLeader(ctx, os.Getenv(chaosStore))
		if err != nil {
			t.Fatal(err)
		}
		taskStore, ledgers, err := openRole(ctx, dap.Leader, os.Getenv(chaosKey), s, s)
		if err != nil {
			t.Fatal(err)
		}
		l, err := leader.New(ctx, leader.Config{
			Store: s, Ledgers: ledgers, Registry: taskStore, FS: durable.OS(), Dir: os.Getenv(chaosDir), Node: os.Getenv(chaosNode),
			Client: &http.Client{Transport: rerouted{func() string { return os.Getenv(chaosHelper) }}, Timeout: 20 * time.Second},
			LogAge: time.Second, JobReports: 100, LeaseTime: 20 * time.Second, FirstPause: 100 * time.Millisecond, LongPause: 2 * time.Second,
			ClaimTime: chaosClaim, Failed: report,
		})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = l.Run(ctx, report) }()
		handler = l.Handler()
	} else {
		s, err := postgres.OpenHelper(ctx, os.Getenv(chaosStore))
		if err != nil {
			t.Fatal(err)
		}
		taskStore, ledgers, err := openRole(ctx, dap.Helper, os.Getenv(chaosKey), s, s)
		if err != nil {
			t.Fatal(err)
		}
		h, err := helper.New(helper.Config{Store: s, Registry: taskStore, Ledgers: ledgers, Report: report})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = h.Run(ctx) }()
		handler = h.Handler()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("address %v\n", l.Addr())
	t.Fatal(http.Serve(l, handler)) //nolint:gosec // a test's server, killed by the test
}

// A chaosVictim is a process that is killed and started again.
type chaosVictim struct {
	name string
	env  []string
	log  io.Writer

	mu      sync.Mutex
	cmd     *exec.Cmd
	address string // "" while it is down
}

// addressOf returns where the process listens, an address that refuses if it is down.
func (v *chaosVictim) addressOf() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.address == "" {
		return "127.0.0.1:1"
	}
	return v.address
}

// start starts the process until it listens: the database may be away.
func (v *chaosVictim) start(ctx context.Context) error {
	for ctx.Err() == nil {
		if v.try() {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return fmt.Errorf("starting %s: %w", v.name, ctx.Err())
}

func (v *chaosVictim) try() bool {
	cmd := exec.Command(os.Args[0], "-test.run=^TestChaosProcess$")
	cmd.Env = append(os.Environ(), v.env...)
	cmd.Stderr = v.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false
	}
	if err := cmd.Start(); err != nil {
		return false
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "address "); ok {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			v.mu.Lock()
			v.cmd, v.address = cmd, rest
			v.mu.Unlock()
			return true
		}
		fmt.Fprintln(v.log, v.name, lines.Text())
	}
	_ = cmd.Wait()
	return false
}

// kill ends the process at once.
func (v *chaosVictim) kill() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.cmd == nil {
		return
	}
	v.address = ""
	_ = v.cmd.Process.Kill()
	if err := v.cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		fmt.Fprintln(v.log, v.name, err)
	}
	v.cmd = nil
}
