package simulation

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/atrest"
	"github.com/shoal-project/shoal/dap/helper"
	helpertest "github.com/shoal-project/shoal/dap/helper/storetest"
	"github.com/shoal-project/shoal/dap/leader"
	leadertest "github.com/shoal-project/shoal/dap/leader/storetest"
	"github.com/shoal-project/shoal/dap/ledger"
	"github.com/shoal-project/shoal/dap/roster"
	rostertest "github.com/shoal-project/shoal/dap/roster/storetest"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
)

// Stores makes the stores of a run. Their own crashes are not simulated: with
// them, only processes crash, between two steps.
type Stores interface {
	Leader() leader.Store
	Helper() helper.Store
}

// A node is an aggregator: a process that may be down, and what it has on disk.
type node interface {
	handler() http.Handler
	// down reports whether the process has crashed.
	down() bool
	// crashSoon makes the process crash at one of its next changes of the disk or
	// the store, or at once if its stores do not simulate that.
	crashSoon(r *rand.Rand)
	// restart starts the process on what the disk holds.
	restart(ctx context.Context) error
	// tick lets it do what is due.
	tick(ctx context.Context) error
	ledgers() *ledger.Books
}

// A process is what the two kinds of node have in common.
type process struct {
	setting Setting
	role    dap.Role
	clock   *clock.Virtual
	rand    io.Reader
	keys    *atrest.Keys
	secrets *rostertest.Model // never crashes: it is tested by itself
	roster  *roster.Roster
	books   *ledger.Books
	dead    bool // stopped from outside
}

// rotation is short, so that keys turn within a run. Expired keys are kept long,
// since reports wait for as long as the network is bad.
func rotation() dap.Rotation {
	plan := dap.DefaultRotation()
	plan.Pending, plan.Active, plan.Expired = 30*time.Minute, 5*time.Hour, 14*24*time.Hour
	return plan
}

func (p *process) open(ctx context.Context, store ledger.Store) error {
	var err error
	p.roster, err = roster.Open(ctx, p.secrets, roster.Config{Role: p.role, Keys: p.keys, Clock: p.clock, Rand: p.rand, Rotation: rotation(), Refresh: 10 * time.Minute})
	if err != nil {
		return err
	}
	p.books, err = ledger.New(store, ledger.Config{Keys: p.keys, Clock: p.clock, Rand: p.rand, CacheBytes: 1 << 16, Parts: 3})
	p.dead = false
	return err
}

func (p *process) ledgers() *ledger.Books { return p.books }

// A leaderNode is the leader.
type leaderNode struct {
	process
	client *http.Client
	model  *leadertest.Model // nil with other stores
	store  leader.Store
	disk   *crashfs.FS
	leader *leader.Leader
	serve  http.Handler
}

func newLeader(p process, client *http.Client) *leaderNode {
	n := &leaderNode{process: p, client: client, disk: crashfs.New(p.setting.Seed)}
	if p.setting.Stores != nil {
		n.store = p.setting.Stores.Leader()
		return n
	}
	n.model = leadertest.NewModel()
	n.store = n.model
	return n
}

func (n *leaderNode) start(ctx context.Context) error {
	if err := n.open(ctx, n.store); err != nil {
		return err
	}
	attempts := 1 << 20
	if n.setting.Abandon {
		attempts = 3
	}
	l, err := leader.New(ctx, leader.Config{
		Store: n.store, Books: n.books, Roster: n.roster, FS: durable.FS(n.disk), Dir: "reports", Clock: n.clock, Rand: n.rand, Client: n.client,
		RecentIDs: 4, LogReports: n.setting.LogReports, LogAge: 10 * time.Minute, JobReports: n.setting.JobReports, Workers: 1,
		LeaseTime: 10 * time.Minute, Attempts: attempts, Rounds: 1 << 20, FirstPause: time.Second, LongPause: time.Minute,
		Patience: 30 * 24 * time.Hour, Results: 365 * 24 * time.Hour,
	})
	if err != nil {
		return err
	}
	n.leader, n.serve = l, l.Handler()
	return nil
}

func (n *leaderNode) handler() http.Handler { return n.serve }

func (n *leaderNode) down() bool {
	return n.dead || n.disk.Crashed() || n.model != nil && n.model.Crashed()
}

func (n *leaderNode) crashSoon(r *rand.Rand) {
	switch {
	case n.model == nil:
		n.dead = true
	case r.IntN(2) == 0:
		n.disk.CrashAt(1 + r.IntN(12))
	default:
		n.model.CrashAt(1+r.IntN(8), r.IntN(2) == 0)
	}
}

func (n *leaderNode) restart(ctx context.Context) error {
	if n.leader != nil {
		_ = n.leader.Close() // of a crashed process: its disk answers with errors
	}
	n.disk = n.disk.Restart()
	if n.model != nil {
		n.model = n.model.Restart()
		n.store = n.model
	}
	return n.start(ctx)
}

func (n *leaderNode) tick(ctx context.Context) error {
	if err := n.roster.Refresh(ctx); err != nil {
		return err
	}
	return n.leader.Tick(ctx)
}

// A helperNode is the helper.
type helperNode struct {
	process
	model  *helpertest.Model // nil with other stores
	store  helper.Store
	helper *helper.Helper
	serve  http.Handler
}

func newHelper(p process) *helperNode {
	n := &helperNode{process: p}
	if p.setting.Stores != nil {
		n.store = p.setting.Stores.Helper()
		return n
	}
	n.model = helpertest.NewModel()
	n.store = n.model
	return n
}

func (n *helperNode) start(ctx context.Context) error {
	if err := n.open(ctx, n.store); err != nil {
		return err
	}
	h, err := helper.New(helper.Config{
		Store: n.store, Roster: n.roster, Books: n.books, Clock: n.clock, Rand: n.rand, Async: n.setting.Async, Poll: time.Second, Workers: 1,
	})
	if err != nil {
		return err
	}
	n.helper, n.serve = h, h.Handler()
	return nil
}

func (n *helperNode) handler() http.Handler { return n.serve }
func (n *helperNode) down() bool            { return n.dead || n.model != nil && n.model.Crashed() }

func (n *helperNode) crashSoon(r *rand.Rand) {
	if n.model == nil {
		n.dead = true
		return
	}
	n.model.CrashAt(1+r.IntN(6), r.IntN(2) == 0)
}

func (n *helperNode) restart(ctx context.Context) error {
	if n.model != nil {
		n.model = n.model.Restart()
		n.store = n.model
	}
	return n.start(ctx)
}

func (n *helperNode) tick(ctx context.Context) error {
	if err := n.roster.Refresh(ctx); err != nil {
		return err
	}
	if err := n.helper.Finish(ctx); err != nil {
		return err
	}
	return n.helper.Tick(ctx)
}
