package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/server/pairing"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

// An aggregator runs the leader or the helper of an organisation: its keys, its
// store, its tasks. Tasks can be added while it runs.
type aggregator struct {
	server   *Server
	role     task.Role
	store    io.Closer
	registry *tasks.Registry
	handler  http.Handler
	run      func(ctx context.Context, failed func(error)) error
	tick     func(ctx context.Context) error
	close    func() error                     // nil: it holds nothing but its store
	look     func(ctx context.Context) Health // what leader or helper know of themselves
	keys     *atrest.Keys

	mu      sync.Mutex
	issuer  *credential.Issuer  // nil until a task requires credentials
	waiting map[task.ID]string  // tasks that are not served yet, and for what they wait
	served  int                 // of the others how many there are
	takes   map[dap.TaskID]bool // what a bundle names; false: it was withdrawn; nil before the first sync
}

func (s *Server) newAggregator(r task.Role) *aggregator {
	return &aggregator{server: s, role: r, waiting: map[task.ID]string{}}
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
	a.keys = keys
	plan, err := s.config.keyPlan()
	if err != nil {
		return nil, err
	}
	plan.Pending = min(time.Hour, plan.Overlap/4) // until all processes have a new key
	a.registry, err = tasks.Open(ctx, taskStore, tasks.Config{
		Role: role, Keys: keys, Clock: s.o.Clock, Rand: s.o.Rand, Plan: plan, KeyGrace: s.config.keyGrace(),
		Admission: a.admission,
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

// Health implements [role].
func (a *aggregator) Health(ctx context.Context) Health {
	away := ""
	if db, ok := a.store.(interface {
		Unready(ctx context.Context) string
	}); ok { // a database that can be away
		away = db.Unready(ctx)
	}
	h := a.look(ctx)
	if away != "" { // the cause of what else there may be
		h.Reasons = []string{fmt.Sprintf(whyDatabase, a.role, away)}
	}
	h.figure(keyFigure, a.registry.Keyring().Left(a.server.o.Clock.Now()).Seconds())
	a.issuerHealth(&h)
	a.mu.Lock()
	defer a.mu.Unlock()
	h.figure("tasks", float64(a.served))
	return h
}

// Sync implements [syncer]: it lets the role serve the organisation's tasks and pairings. What cannot be
// served yet is remembered with the reason; a peer that is no longer paired loses
// what the pairing gave.
func (a *aggregator) Sync(ctx context.Context) error {
	var errs []error
	waiting, takes := map[task.ID]string{}, map[dap.TaskID]bool{}
	all := a.server.tasksWith(a.role)
	for _, t := range all {
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
	a.waiting, a.takes, a.served = waiting, takes, len(all)-len(waiting)
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
	if a.role == task.Helper {
		e.Role, peer, role = dap.Helper, t.Task.Leader(), task.Leader
	}
	p, err := a.pairing(peer, role)
	if err != nil || p == nil || len(p.Seed) == 0 {
		return nil, false, waitsFor(peer), err
	}
	if a.role == task.Leader && collector.Token.IsZero() {
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
	if a.role == task.Helper {
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

// TaskState implements [stater].
func (a *aggregator) TaskState(ctx context.Context, t Task) string {
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

// Name implements [role].
func (a *aggregator) Name() task.Role { return a.role }

// Handler implements [responder].
func (a *aggregator) Handler() http.Handler { return a }

// aggregateExchange is how long an exchange between aggregators may take: an
// aggregation job has some megabytes.
const aggregateExchange = 5 * time.Minute

// uploadExchange is how long an upload may take: anybody can begin one, and each
// holds a place of the task. Clients wait as long.
const uploadExchange = time.Minute

// Routes implements [responder]. The handler knows its resources.
func (a *aggregator) Routes() []publicRoute {
	all := []publicRoute{
		{name: "dap_keys", pattern: "/" + dap.HpkeConfigPath, admit: forKeys, limit: shortExchange, pages: true},
		{name: routeReport, pattern: reportPattern, admit: forUploads, limit: uploadExchange, stores: true, pages: true, clients: true, relayed: true},
	}
	for _, r := range []publicRoute{{name: "dap_job", pattern: "aggregation_jobs", stores: true}, {name: "dap_share", pattern: "aggregate_shares"}, {name: "dap_collection", pattern: "collection_jobs"}} {
		r.pattern, r.admit, r.limit, r.peers = "/tasks/{task}/"+r.pattern, forPeers, aggregateExchange, true
		one := r
		one.pattern += "/"
		all = append(all, r, one)
	}
	return append(all, credentialRoutes(a.role)...)
}

// Serves implements [sharer].
func (a *aggregator) Serves(r *http.Request) bool {
	id, err := dap.ParseTaskID(r.PathValue("task"))
	if err != nil {
		return false
	}
	_, err = a.registry.Lookup(r.Context(), id)
	return err == nil
}

// Keys implements [keyHolder].
func (a *aggregator) Keys(now time.Time) []keyView {
	var views []keyView
	for k := range a.registry.Keyring().All() {
		views = append(views, keyView{a.role.String(), fmt.Sprint(k.Key.ID()), k.KEM.Name(), k.State(now).String(), k.Until.UTC()})
	}
	return views
}

// RenewKeys implements [keyHolder].
func (a *aggregator) RenewKeys(ctx context.Context) error { return a.registry.Renew(ctx) }

// ServeHTTP passes a request to the role, and signs the list of HPKE
// configurations: Shoal's clients trust the identity that a task names.
func (a *aggregator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.Pattern, "/credentials/") {
		a.serveCredentials(w, r)
		return
	}
	if strings.TrimPrefix(r.URL.Path, "/") != dap.HpkeConfigPath || r.Method != http.MethodGet {
		a.handler.ServeHTTP(w, r)
		return
	}
	held := &heldBody{ResponseWriter: w, status: http.StatusOK}
	a.handler.ServeHTTP(held, r)
	if held.status == http.StatusOK {
		role := dap.Leader
		if a.role == task.Helper {
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

// Tick implements [ticker].
func (a *aggregator) Tick(ctx context.Context) error {
	return errors.Join(a.Sync(ctx), a.registry.Refresh(ctx), a.tick(ctx), a.tickIssuer(ctx))
}

// Run implements [role].
func (a *aggregator) Run(ctx context.Context, report func(error)) error {
	var group sync.WaitGroup
	group.Go(func() { _ = a.registry.Run(ctx, report) }) // both end with their context only
	group.Go(func() { _ = a.run(ctx, report) })
	group.Go(func() { _ = a.runIssuer(ctx, report) })
	group.Wait()
	return ctx.Err()
}

// Close implements [role].
func (a *aggregator) Close() error {
	var errs []error
	if a.close != nil {
		errs = append(errs, a.close())
	}
	if i := a.issuing(); i != nil {
		errs = append(errs, i.Close())
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	return errors.Join(errs...)
}
