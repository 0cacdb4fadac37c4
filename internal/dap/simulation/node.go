package simulation

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	taskstest "github.com/shoal-project/shoal/internal/dap/tasks/storetest"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/internal/keyring"
)

// A node is one process of an aggregator, which may be down, and what it has on
// disk.
type node interface {
	fmt.Stringer
	id() string
	handler() http.Handler
	// down reports whether the process has crashed.
	down() bool
	// crashSoon makes the process crash at one of its next changes of the disk or
	// the store.
	crashSoon(r *rand.Rand)
	// stayUp takes a crash back that has not come yet.
	stayUp()
	// restart starts the process on what the disk holds.
	restart(ctx context.Context) error
	// tick lets it do what is due.
	tick(ctx context.Context) error
	// refresh reads keys and tasks again, as every process does now and then.
	refresh(ctx context.Context) error
	allLedgers() *ledger.Ledgers
}

// A process is what the two kinds of node have in common.
type process struct {
	name     string
	setting  Setting
	role     dap.Role
	clock    *clock.Virtual
	rand     io.Reader
	keys     *atrest.Keys
	secrets  *taskstest.Model // of all nodes of the role; never crashes: it is tested by itself
	link     *link
	registry *tasks.Registry
	ledgers  *ledger.Ledgers
}

// rotation is short, so that keys turn within a run. Expired keys are kept long,
// since reports wait for as long as the network is bad.
func rotation() keyring.Plan {
	plan := dapkey.DefaultPlan()
	plan.Pending, plan.Lifetime, plan.Overlap = 30*time.Minute, 5*time.Hour, time.Hour
	return plan
}

// keyGrace is how long keys are kept.
const keyGrace = 60 * 24 * time.Hour

// refreshEvery is how often a process reads its keys and tasks.
const refreshEvery = 10 * time.Minute

func (p *process) open(ctx context.Context, store ledger.Store) error {
	var err error
	p.registry, err = tasks.Open(ctx, p.secrets, tasks.Config{Role: p.role, Keys: p.keys, Clock: p.clock, Rand: p.rand, Plan: rotation(), KeyGrace: keyGrace, Refresh: refreshEvery})
	if err != nil {
		return err
	}
	p.ledgers, err = ledger.New(store, ledger.Config{Keys: p.keys, Clock: p.clock, Rand: p.rand, CacheBytes: 1 << 16, Parts: 3})
	return err
}

func (p *process) String() string                    { return p.role.String() + " " + p.name }
func (p *process) id() string                        { return p.name }
func (p *process) allLedgers() *ledger.Ledgers       { return p.ledgers }
func (p *process) refresh(ctx context.Context) error { return p.registry.Refresh(ctx) }

// A leaderNode is a node of the leader.
type leaderNode struct {
	process
	client *http.Client
	shared leader.Store // of all nodes, without faults
	disk   *crashfs.FS
	lost   bool // the disk is another one, and the node was not dropped yet
	leader *leader.Leader
	serve  http.Handler
}

func (n *leaderNode) start(ctx context.Context) error {
	store := leaderLink{ledgerLink{n.link, n.shared}, leaderStore{n.shared}}
	if err := n.open(ctx, store); err != nil {
		return err
	}
	l, err := leader.New(ctx, n.config(store))
	if err != nil {
		return err
	}
	n.leader, n.serve = l, l.Handler()
	return nil
}

func (n *leaderNode) config(store leader.Store) leader.Config {
	c := leader.Config{
		Store: store, Ledgers: n.ledgers, Registry: n.registry, FS: durable.FS(n.disk), Dir: "reports", Node: n.name,
		Clock: n.clock, Rand: n.rand, Client: n.client,
		RecentIDs: 4, LogReports: n.setting.LogReports, LogAge: 10 * time.Minute, JobReports: n.setting.JobReports, Workers: 1,
		LeaseTime: 10 * time.Minute, FirstPause: time.Second, LongPause: time.Minute, CollectionTimeout: 60 * 24 * time.Hour, Results: 365 * 24 * time.Hour,
	}
	if n.setting.Abandon {
		c.Attempts = 3
	}
	return c
}

func (n *leaderNode) handler() http.Handler { return n.serve }
func (n *leaderNode) down() bool            { return n.link.dead || n.disk.Crashed() }

func (n *leaderNode) crashSoon(r *rand.Rand) {
	if r.IntN(2) == 0 {
		n.disk.CrashAt(1 + r.IntN(12))
		return
	}
	n.link.crashAt, n.link.late = 1+r.IntN(8), r.IntN(2) == 0
}

func (n *leaderNode) stayUp() {
	n.link.crashAt = 0
	n.disk.CrashAt(math.MaxInt32)
}

func (n *leaderNode) restart(ctx context.Context) error {
	n.link.dead = true // for what is left of the old process
	if n.leader != nil {
		_ = n.leader.Close() //nolint:contextcheck // Close has no context; of a crashed process: its disk answers with errors
	}
	n.disk = n.disk.Restart()
	old := *n.link
	n.link = &link{world: old.world, peers: old.peers}
	if err := n.start(ctx); err != nil {
		n.link.dead = true
		return err
	}
	return nil
}

func (n *leaderNode) tick(ctx context.Context) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	return n.leader.Tick(ctx)
}

// A helperNode is a node of the helper.
type helperNode struct {
	process
	shared helper.Store // of all nodes, without faults
	helper *helper.Helper
	serve  http.Handler
}

func (n *helperNode) start(ctx context.Context) error {
	store := helperLink{ledgerLink{n.link, n.shared}, helperStore{n.shared}}
	if err := n.open(ctx, store); err != nil {
		return err
	}
	h, err := helper.New(helper.Config{
		Store: store, Registry: n.registry, Ledgers: n.ledgers, Clock: n.clock, Rand: n.rand, Async: n.setting.Async, Poll: time.Second, Workers: 1,
	})
	if err != nil {
		return err
	}
	n.helper, n.serve = h, h.Handler()
	return nil
}

func (n *helperNode) handler() http.Handler { return n.serve }
func (n *helperNode) down() bool            { return n.link.dead }

func (n *helperNode) crashSoon(r *rand.Rand) {
	n.link.crashAt, n.link.late = 1+r.IntN(6), r.IntN(2) == 0
}

func (n *helperNode) stayUp() { n.link.crashAt = 0 }

func (n *helperNode) restart(ctx context.Context) error {
	n.link.dead = true
	old := *n.link
	n.link = &link{world: old.world, peers: old.peers}
	if err := n.start(ctx); err != nil {
		n.link.dead = true
		return err
	}
	return nil
}

func (n *helperNode) tick(ctx context.Context) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	if err := n.helper.Finish(ctx); err != nil {
		return err
	}
	return n.helper.Tick(ctx)
}
