package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/server/pairing"
	"github.com/shoal-project/shoal/internal/store/postgres"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

// An aggregator runs the leader or the helper of an organisation: its keys, its
// store, its tasks. Tasks can be added while it runs.
type aggregator struct {
	server   *Server
	role     RoleName
	store    io.Closer
	registry *tasks.Registry
	handler  http.Handler
	run      func(ctx context.Context, failed func(error)) error
	tick     func(ctx context.Context) error
	close    func() error
	// unhealthy returns why the role cannot do its work now, "" if it can.
	unhealthy func() string
	// refresh sets the role's gauges; nil: it has none.
	refresh func(context.Context, *metrics) error

	mu      sync.Mutex
	waiting map[task.ID]string  // tasks that are not served yet, and for what they wait
	takes   map[dap.TaskID]bool // what a bundle names; false: it was withdrawn; nil before the first sync
}

// aggregatorStores are what the two roles need of a database.
type leaderStore interface {
	leader.Store
	tasks.Store
	io.Closer
	identified
}

type helperStore interface {
	helper.Store
	tasks.Store
	io.Closer
	identified
}

func (s *Server) openAggregator(ctx context.Context, r RoleName) (*aggregator, error) {
	a := &aggregator{server: s, role: r, waiting: map[task.ID]string{}, close: func() error { return nil }, unhealthy: func() string { return "" }}
	var err error
	if r == LeaderRole {
		err = a.openLeader(ctx)
	} else {
		err = a.openHelper(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the %s: %w", r, err), a.release())
	}
	a.database()
	return a, nil
}

// open opens the registry and the ledgers over a store.
func (a *aggregator) open(ctx context.Context, role dap.Role, taskStore tasks.Store, ledgers ledger.Store) (*ledger.Ledgers, error) {
	s := a.server
	if s.data.replaced { // another database: what counted is forgotten
		if err := s.openRestored(true); err != nil {
			return nil, err
		}
	}
	keys, err := readStorageKeys(s.config, a.role)
	if err != nil {
		return nil, err
	}
	plan, err := s.config.keyPlan()
	if err != nil {
		return nil, err
	}
	plan.Pending = min(time.Hour, plan.Overlap/4) // until all processes have a new key
	a.registry, err = tasks.Open(ctx, taskStore, tasks.Config{
		Role: role, Keys: keys, Clock: s.o.Clock, Rand: s.o.Rand, Plan: plan, KeyGrace: s.config.keyGrace(),
	})
	if err != nil {
		return nil, err
	}
	c := ledger.Config{Keys: keys, Clock: s.o.Clock, Rand: s.o.Rand, CacheBytes: int64(s.config.Aggregates.ReplayMemory)}
	if role == dap.Leader {
		c.ExpiryGrace = expiryGrace
	}
	if !s.restored.IsZero() {
		c.NotBefore = s.restored.Add(s.longestSkew())
	}
	return ledger.New(ledgers, c)
}

// keyGrace is for how long an aggregator keeps an HPKE key after the last report that is
// sealed to it has expired. A leader waits for an absent helper until then, and has jobs
// that began before for expiryGrace more; a report expires aggregates.expiry after its batch
// has closed, so that keys.grace has passed by then, or is added.
func (c Config) keyGrace() time.Duration {
	return max(expiryGrace, c.Keys.Grace.D()-c.Aggregates.Expiry.D())
}

// expiryGrace is how long reports that have expired are still counted by the leader's
// jobs that were begun before: longer than all rounds of a job take.
const expiryGrace = 7 * 24 * time.Hour

func (a *aggregator) openLeader(ctx context.Context) error {
	s := a.server
	store, err := openLeaderStore(ctx, s.config)
	if err != nil {
		return err
	}
	a.store = store
	if err := s.confirm(ctx, a.role, store); err != nil {
		return err
	}
	if err := s.dropNode(ctx, store); err != nil {
		return err
	}
	ledgers, err := a.open(ctx, dap.Leader, store, store)
	if err != nil {
		return err
	}
	l, err := leader.New(ctx, leader.Config{
		Store: store, Node: s.config.Aggregates.Node, Ledgers: ledgers, Registry: a.registry, FS: s.o.FS, Dir: filepath.Join(s.config.Data, string(LeaderRole)),
		Clock: s.o.Clock, Rand: s.o.Rand, Client: s.o.Client, Workers: s.config.Batches.Workers, LogAge: a.logAge(),
		LeaseTime: s.config.Leader.LeaseTime.D(), FirstPause: s.config.Leader.FirstPause.D(), LongPause: s.config.Leader.LongestPause.D(),
		CollectionTimeout: s.config.Leader.CollectionTimeout.D(), JobReports: s.config.Leader.JobReports,
		OpenAtUpload: s.config.Leader.OpenAtUpload, Withdrawn: a.withdrawn,
		Metrics: leaderMetrics{s.metrics}, Lost: s.lost(LeaderRole), Failed: func(err error) { s.failed("leader", err) },
	})
	if errors.Is(err, leader.ErrHeld) {
		return fmt.Errorf("aggregates.node: %w: give each server that shares the database a name of its own, or wait", err)
	}
	if err != nil {
		return err
	}
	a.handler, a.run, a.close = l.Handler(), l.Run, l.Close
	a.tick = l.Tick
	watch := &leaderWatch{server: s, status: l.Status, warned: map[string]time.Time{}, listed: map[leader.LossCause]int64{}}
	a.unhealthy, a.refresh = watch.unhealthy, watch.refresh
	return nil
}

// logAge is how old the reports get before they are aggregated; 0 is the default.
func (a *aggregator) logAge() time.Duration { return 0 }

func (a *aggregator) openHelper(ctx context.Context) error {
	s := a.server
	store, err := openHelperStore(ctx, s.config)
	if err != nil {
		return err
	}
	a.store = store
	if err := s.confirm(ctx, a.role, store); err != nil {
		return err
	}
	ledgers, err := a.open(ctx, dap.Helper, store, store)
	if err != nil {
		return err
	}
	config := helper.Config{
		Store: store, Registry: a.registry, Ledgers: ledgers, Clock: s.o.Clock, Rand: s.o.Rand, Workers: s.config.Batches.Workers,
		Async: s.config.Aggregates.Async, Metrics: helperMetrics{s.metrics}, Report: func(err error) { s.failed("helper", err) },
	}
	s.config.Helper.limit(&config)
	h, err := helper.New(config)
	if err != nil {
		return err
	}
	a.handler = h.Handler()
	a.run = func(ctx context.Context, _ func(error)) error { return h.Run(ctx) }
	a.tick = func(ctx context.Context) error { return errors.Join(h.Finish(ctx), h.Tick(ctx)) }
	a.unhealthy = func() string {
		if h.Status().Err != nil {
			return whyHelper
		}
		return ""
	}
	return nil
}

// database adds to the reasons why the role cannot do its work those of a database
// that can be away.
func (a *aggregator) database() {
	db, ok := a.store.(interface {
		Unready(ctx context.Context) string
	})
	if !ok {
		return
	}
	role := a.unhealthy
	a.unhealthy = func() string {
		if why := db.Unready(context.Background()); why != "" {
			return fmt.Sprintf(whyDatabase, a.role, why)
		}
		return role()
	}
}

func openLeaderStore(ctx context.Context, c Config) (leaderStore, error) {
	if c.Aggregates.Postgres != "" {
		return postgres.OpenLeader(ctx, c.Aggregates.Postgres)
	}
	return sqlite.OpenLeader(ctx, c.aggregatorStore(LeaderRole))
}

func openHelperStore(ctx context.Context, c Config) (helperStore, error) {
	if c.Aggregates.Postgres != "" {
		return postgres.OpenHelper(ctx, c.Aggregates.Postgres)
	}
	return sqlite.OpenHelper(ctx, c.aggregatorStore(HelperRole))
}

// sync lets the role serve the organisation's tasks and pairings. What cannot be
// served yet is remembered with the reason; a peer that is no longer paired loses
// what the pairing gave.
func (a *aggregator) sync(ctx context.Context) error {
	var errs []error
	waiting, takes := map[task.ID]string{}, map[dap.TaskID]bool{}
	for _, t := range a.server.tasksWith(a.role) {
		if made, err := taskconfig.New(t.Task, t.ID); err == nil {
			takes[made.ID()] = t.Until.IsZero()
		}
		e, announced, wait, err := a.entry(ctx, t)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("task %q: %w", t.Task.Metric, err))
			waiting[t.ID] = err.Error()
		case wait != "":
			waiting[t.ID] = wait
			if err := a.revoke(ctx, t); err != nil {
				errs = append(errs, fmt.Errorf("task %q: %w", t.Task.Metric, err))
			}
		default:
			if err := a.serve(ctx, e, announced); err != nil {
				errs = append(errs, fmt.Errorf("task %q: %w", t.Task.Metric, err))
				waiting[t.ID] = err.Error()
			}
		}
	}
	a.mu.Lock()
	before := a.waiting
	a.waiting, a.takes = waiting, takes
	a.mu.Unlock()
	a.server.logWaiting(a.role, before, waiting)
	return errors.Join(errs...)
}

// withdrawn reports whether no bundle names a task any more, so that it takes no more
// reports. Of a database that several servers share another one may know it.
func (a *aggregator) withdrawn(id dap.TaskID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	takes, known := a.takes[id]
	if !known {
		return a.takes != nil && a.server.config.Aggregates.Postgres == ""
	}
	return !takes
}

// entry is a task as the role serves it, and whether its collector has announced the key
// that is in it. The text says what it still waits for.
func (a *aggregator) entry(ctx context.Context, t Task) (e *tasks.Entry, announced bool, wait string, err error) {
	made, err := taskconfig.New(t.Task, t.ID)
	if err != nil {
		return nil, false, "", err
	}
	e = &tasks.Entry{
		ID: made.ID(), Variant: made.Variant().String(), Config: made.Bytes(), Role: dap.Leader, VerifyWith: 1,
		Leeway: time.Duration(t.Task.ClockSkew) * time.Second, Grace: taskconfig.Grace(t.Task),
		ShoalTask: t.Signed.Bytes,
	}
	e.Expiry = e.Grace + a.server.config.Aggregates.Expiry.D()
	collector, err := a.pairing(t.Task.Collector(), task.Collector)
	if err != nil || collector == nil {
		return nil, false, waitsFor(t.Task.Collector()), err
	}
	if e.Collector, announced, err = a.server.collectorKey(ctx, t.Task.Collector(), collector); err != nil {
		return nil, false, "", err
	}
	peer, role := t.Task.Helper(), task.Helper
	if a.role == HelperRole {
		e.Role, peer, role = dap.Helper, t.Task.Leader(), task.Leader
	}
	p, err := a.pairing(peer, role)
	if err != nil || p == nil || len(p.Seed) == 0 {
		return nil, false, waitsFor(peer), err
	}
	if a.role == LeaderRole && collector.Token.IsZero() {
		return nil, false, waitsFor(t.Task.Collector()), nil
	}
	return e, announced, "", a.secrets(e, p, collector)
}

// secrets adds to an entry what was agreed by pairing.
func (a *aggregator) secrets(e *tasks.Entry, p, collector *pairing.Pairing) error {
	key, err := dap.DeriveVerifyKey(p.Seed, e.ID)
	if err != nil {
		return err
	}
	e.VerifyKeys = map[dap.VerificationKeyID]vdaf.VerifyKey{e.VerifyWith: *key}
	if a.role == HelperRole {
		e.Inbound = hashes(p)
		return nil
	}
	for _, t := range append(p.FormerTokens(), p.Token) { // the helper may not have accepted the newest yet
		e.Renew(t)
	}
	e.CollectorTokens = hashes(collector)
	return nil
}

// hashes are those of the tokens by which the peer of a pairing is known.
func hashes(p *pairing.Pairing) []auth.Hash {
	var all []auth.Hash
	for _, t := range []auth.Token{p.Token, p.Former} {
		if !t.IsZero() {
			all = append(all, t.Hash())
		}
	}
	return all
}

func (a *aggregator) pairing(party task.Party, role task.Role) (*pairing.Pairing, error) {
	p, ok, err := a.server.pairings.Find(task.FormatPublic(party.Identity), role.String())
	if err != nil || !ok {
		return nil, err
	}
	return &p, nil
}

func waitsFor(p task.Party) string {
	return fmt.Sprintf("waits for pairing with the %s %s: run \"shoal pair\"", p.Role, task.FormatPublic(p.Identity))
}

// serve adds a task to the registry, or brings the one that is there up to date. The key
// of a collector's card is for tasks that begin: later its announcements count.
func (a *aggregator) serve(ctx context.Context, e *tasks.Entry, announced bool) error {
	s, err := a.registry.Lookup(ctx, e.ID)
	if errors.Is(err, tasks.ErrUnknown) {
		return a.registry.Add(ctx, *e)
	}
	if err == nil && !announced {
		e.Collector = s.Entry.Collector
	}
	if err != nil || sameSecrets(s.Entry, e) {
		return err
	}
	return a.registry.Update(ctx, e.ID, func(old *tasks.Entry) error {
		// The verification key stays: reports may have been verified with it.
		old.Inbound, old.CollectorTokens = e.Inbound, e.CollectorTokens
		if !old.Outbound.Equal(e.Outbound) {
			for _, t := range slices.Backward(e.Former) {
				old.Renew(t)
			}
			old.Renew(e.Outbound)
		}
		old.Expiry, old.Collector = e.Expiry, e.Collector
		return nil
	})
}

func sameSecrets(a, b *tasks.Entry) bool {
	return slices.Equal(a.Inbound, b.Inbound) && slices.Equal(a.CollectorTokens, b.CollectorTokens) &&
		a.Outbound.Equal(b.Outbound) && a.Expiry == b.Expiry && sameConfig(a.Collector, b.Collector)
}

// state describes the state of a task.
func (a *aggregator) state(ctx context.Context, t Task) string {
	a.mu.Lock()
	wait := a.waiting[t.ID]
	a.mu.Unlock()
	if wait != "" {
		return wait
	}
	made, err := taskconfig.New(t.Task, t.ID)
	if err != nil {
		return err.Error()
	}
	s, err := a.registry.Lookup(ctx, made.ID())
	switch {
	case err != nil:
		return "not served"
	case s.Entry.Disabled:
		return stateDisabled
	}
	return stateServed
}

const (
	stateServed   = "served"
	stateDisabled = "disabled"
)

// disable ends a task.
func (a *aggregator) disable(ctx context.Context, t Task) error {
	made, err := taskconfig.New(t.Task, t.ID)
	if err != nil {
		return err
	}
	return a.registry.Disable(ctx, made.ID())
}

// ServeHTTP passes a request to the role, and signs the list of HPKE
// configurations: Shoal's clients trust the identity that a task names.
func (a *aggregator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.TrimPrefix(r.URL.Path, "/") != dap.HpkeConfigPath || r.Method != http.MethodGet {
		a.handler.ServeHTTP(w, r)
		return
	}
	held := &heldBody{ResponseWriter: w, status: http.StatusOK}
	a.handler.ServeHTTP(held, r)
	if held.status == http.StatusOK {
		role := dap.Leader
		if a.role == HelperRole {
			role = dap.Helper
		}
		until := a.server.o.Clock.Now().Add(a.registry.Keyring().Plan().Announce)
		w.Header().Set(dap.KeySignatureHeader, dap.SignConfigs(a.server.identity, role, held.body, until))
		w.Header().Set("Access-Control-Expose-Headers", dap.KeySignatureHeader)
	}
	w.WriteHeader(held.status)
	_, _ = w.Write(held.body)
}

// heldBody keeps a small answer until it has been signed.
type heldBody struct {
	http.ResponseWriter
	status int
	body   []byte
}

func (h *heldBody) WriteHeader(status int) { h.status = status }

func (h *heldBody) Write(b []byte) (int, error) {
	h.body = append(h.body, b...)
	return len(b), nil
}

// doTick does what is due, once.
func (a *aggregator) doTick(ctx context.Context) error {
	return errors.Join(a.sync(ctx), a.registry.Refresh(ctx), a.tick(ctx))
}

// work does the role's periodic work until ctx ends.
func (a *aggregator) work(ctx context.Context) error {
	failed := func(err error) { a.server.failed(string(a.role), err) }
	var group sync.WaitGroup
	group.Go(func() { _ = a.registry.Run(ctx, failed) }) // both end with their context only
	group.Go(func() { _ = a.run(ctx, failed) })
	group.Wait()
	return nil
}

func (a *aggregator) release() error {
	err := a.close()
	if a.store != nil {
		err = errors.Join(err, a.store.Close())
	}
	return err
}
