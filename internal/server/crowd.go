package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/engine/local"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/metric/task"
)

// A member is one role at work: what a [shuffler.Shuffler] and an
// [analyzer.Analyzer] have in common.
type member interface {
	Handler() http.Handler
	SetKeys(shuffler.Keys) error
	Run(ctx context.Context, failed func(error)) error
	Tick(ctx context.Context) error
	Orphans() []loss.Loss
	Discard(ctx context.Context, place string) error
}

// A crowdHost is a role of the crowd route: its keys, its store, its folder, and the
// member that works with them. Tasks of a member are fixed, so when one is added the
// host replaces the member, between two requests.
type crowdHost struct {
	server *Server
	role   task.Role
	routes []publicRoute
	dir    string // everything of this role, and of no other
	store  io.Closer
	engine *local.Engine
	build  func(ctx context.Context, tasks []*task.Task, keys shuffler.Keys) (member, error)
	// waiting lists the batches that are not finished. It is called without mu.
	waiting func(context.Context) ([]pending, error)
	// look adds to a health what the member knows. It is called with mu held for reading.
	look func(member, *Health)

	keysMu sync.Mutex // guards ring
	ring   *roleKeys[*esa.PrivateKey]

	servedMu sync.Mutex                            // guards served
	served   map[*http.ResponseController]struct{} // the requests that are served

	mu      sync.RWMutex // held for reading while a request is served
	tasks   []*task.Task
	byID    map[task.ID]*task.Task // the same; guarded by keysMu, too
	member  member
	handler http.Handler

	swap chan func() // run stops the member, calls it, and goes on with what is there then
}

// newCrowdHost makes a host without a member: its folder, its keys.
func (s *Server) newCrowdHost(r task.Role) (*crowdHost, error) {
	h := &crowdHost{
		server: s, role: r, dir: filepath.Join(s.config.Data, r.String()), swap: make(chan func()),
		served: map[*http.ResponseController]struct{}{},
	}
	if err := s.o.FS.MkdirAll(h.dir, 0o700); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	var err error
	if h.ring, err = newReportKeys(s.config, r, s.identity, s.o.Rand); err != nil {
		return nil, err
	}
	h.ring.guard = clock.NewStrictGuard(s.o.Clock, settle)
	return h, h.ring.open()
}

// crowdHost returns the role of the crowd route that has a name, or nil.
func (s *Server) crowdHost(r task.Role) *crowdHost {
	h, _ := s.role(r).(*crowdHost)
	return h
}

// A crowdStore is what a host needs of its database.
type crowdStore interface {
	identified
	io.Closer
}

// open keeps the store, opens the engine, and builds the first member. After an error
// Close releases what was opened.
func (h *crowdHost) open(ctx context.Context, store crowdStore) error {
	s := h.server
	h.store = store
	if err := s.confirm(ctx, h.role, store); err != nil {
		return err
	}
	c := s.config.Batches
	var err error
	if h.engine, err = local.New(filepath.Join(h.dir, "work"), local.Options{MemoryBytes: int64(c.Memory), Workers: c.Workers}); err != nil {
		return err
	}
	return h.start(ctx, s.tasksOf(h.role))
}

// Name implements [role].
func (h *crowdHost) Name() task.Role { return h.role }

// Handler implements [responder].
func (h *crowdHost) Handler() http.Handler { return h }

// Routes implements [responder].
func (h *crowdHost) Routes() []publicRoute { return h.routes }

// Serves implements [sharer].
func (h *crowdHost) Serves(r *http.Request) bool {
	id, err := task.ParseID(r.PathValue("task"))
	if err != nil {
		return false
	}
	t, ok := h.server.task(id)
	return ok && t.Role() == h.role
}

// start builds the member.
func (h *crowdHost) start(ctx context.Context, tasks []*task.Task) error {
	h.keysMu.Lock()
	defer h.keysMu.Unlock()
	h.setTasks(tasks)
	if _, err := h.rotate(ctx); err != nil {
		return err
	}
	m, err := h.build(ctx, tasks, h.keys())
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.member, h.handler = m, m.Handler()
	return nil
}

// setTasks is called with keysMu held, and with mu once requests are served.
func (h *crowdHost) setTasks(tasks []*task.Task) {
	h.tasks, h.byID = tasks, make(map[task.ID]*task.Task, len(tasks))
	for _, t := range tasks {
		if id, err := t.ID(); err == nil {
			h.byID[id] = t
		}
	}
}

// keys is what a member gets. It is called with keysMu held.
func (h *crowdHost) keys() shuffler.Keys {
	return shuffler.Keys{Private: h.ring.keys(), Config: h.ring.config}
}

// rotate brings the keyring up to date. It is called with keysMu held.
func (h *crowdHost) rotate(ctx context.Context) (bool, error) {
	oldest, busy, err := h.unfinished(ctx)
	if err != nil {
		return false, err
	}
	grace := h.server.config.Keys.Grace.D()
	orphaned := len(h.orphans()) > 0 // there is what cannot be worked on, and may need any key
	return h.ring.rotate(h.server.o.Clock.Now(), func(k keyring.Key[*esa.PrivateKey]) time.Time {
		if orphaned {
			return farFuture // it is not known of which epoch they are
		}
		if busy && !oldest.After(k.Until) {
			return farFuture // a batch that waits may hold reports that were sealed to it
		}
		return neededUntil(h.tasks, grace, k.Until)
	})
}

// farFuture is later than any time that a clock of a server reads.
var farFuture = time.Unix(1<<40, 0)

// Sync implements [syncer]: it rotates the keys and hands them to the member.
func (h *crowdHost) Sync(ctx context.Context) error {
	h.keysMu.Lock()
	defer h.keysMu.Unlock()
	changed, err := h.rotate(ctx)
	if err != nil || !changed {
		return err
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.member.SetKeys(h.keys())
}

// unfinished returns the start of the earliest epoch of which a report may
// still have to be opened here. It is called with keysMu held.
func (h *crowdHost) unfinished(ctx context.Context) (time.Time, bool, error) {
	waiting, err := h.waiting(ctx)
	if err != nil {
		return time.Time{}, false, err
	}
	var oldest time.Time
	found := false
	for _, b := range waiting {
		t := h.byID[b.task]
		if t == nil || !b.needsKeys {
			continue
		}
		if start := t.Start(b.epoch); !found || start.Before(oldest) {
			oldest, found = start, true
		}
	}
	return oldest, found, nil
}

// pending is a batch that waits for something.
type pending struct {
	task      task.ID
	epoch     task.Epoch
	state     string
	needsKeys bool // reports of it have yet to be opened
}

// ServeHTTP passes a request of the public listener to the member.
func (h *crowdHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	c := http.NewResponseController(w)
	h.servedMu.Lock()
	h.served[c] = struct{}{}
	h.servedMu.Unlock()
	defer func() { // before the end of the request, after which c must not be used
		h.servedMu.Lock()
		delete(h.served, c)
		h.servedMu.Unlock()
	}()
	h.handler.ServeHTTP(w, r)
}

// endBodies ends the bodies of all requests that are served.
func (h *crowdHost) endBodies() {
	h.servedMu.Lock()
	defer h.servedMu.Unlock()
	for c := range h.served {
		_ = c.SetReadDeadline(time.Now()) // without deadlines (in tests) there is nothing to cut
	}
}

// drainTimeout is how long requests may go on while the member waits to be
// replaced. New ones wait as long.
const drainTimeout = 2 * time.Second

// lock waits until no request is served. Bodies that do not end soon are cut:
// the sender of a batch may take an hour, and offers it again.
func (h *crowdHost) lock(ctx context.Context) {
	waiting, locked := context.WithCancel(context.WithoutCancel(ctx)) // until no request is served
	defer locked()
	go func() {
		for clock.Sleep(waiting, clock.System(), drainTimeout) == nil {
			h.endBodies()
		}
	}()
	h.mu.Lock()
}

// Run implements [role]: the member does its periodic work.
func (h *crowdHost) Run(ctx context.Context, report func(error)) error {
	for ctx.Err() == nil {
		h.mu.RLock()
		m := h.member
		h.mu.RUnlock()
		pause, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			// It ends with its context only; failures are reported and tried again.
			_ = m.Run(pause, report)
		}()
		var change func()
		select {
		case <-ctx.Done():
		case change = <-h.swap:
		}
		cancel()
		<-done
		if change != nil {
			change()
		}
	}
	return ctx.Err()
}

// Tick implements [ticker].
func (h *crowdHost) Tick(ctx context.Context) error {
	err := h.Sync(ctx)
	h.mu.RLock()
	defer h.mu.RUnlock()
	return errors.Join(err, h.member.Tick(ctx))
}

// replace goes on with another list of tasks. Requests wait while the member
// changes; what it had begun is continued by the next one, as after a crash.
func (h *crowdHost) replace(ctx context.Context, tasks []*task.Task) error {
	if h.server.o.Manual {
		return h.rebuild(ctx, tasks)
	}
	result := make(chan error, 1)
	select {
	case h.swap <- func() { result <- h.rebuild(context.WithoutCancel(ctx), tasks) }:
		return <-result
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rebuild closes the member and builds the next. The old one must not be at
// periodic work.
func (h *crowdHost) rebuild(ctx context.Context, tasks []*task.Task) error {
	h.keysMu.Lock()
	defer h.keysMu.Unlock()
	h.lock(ctx)
	defer h.mu.Unlock()
	if err := closeMember(h.member); err != nil {
		return err
	}
	m, err := h.build(ctx, tasks, h.keys())
	if err == nil {
		h.member, h.handler = m, m.Handler()
		h.setTasks(tasks)
		return nil
	}
	old, again := h.build(ctx, h.tasks, h.keys())
	if again == nil {
		h.member, h.handler = old, old.Handler()
	}
	return errors.Join(err, again)
}

// Health implements [role].
func (h *crowdHost) Health(ctx context.Context) Health {
	var out Health
	waiting, err := h.waiting(ctx)
	if err != nil {
		out.Reasons, out.Err = []string{fmt.Sprintf(whyStore, h.role)}, err
	}
	states := map[string]int{}
	for _, b := range waiting {
		states[b.state]++
	}
	for _, state := range slices.Sorted(maps.Keys(states)) {
		out.Figures = append(out.Figures, Figure{"queue_batches", state, float64(states[state])})
	}
	out.Losses = h.orphans()
	h.mu.RLock()
	if h.member != nil {
		h.look(h.member, &out)
	}
	out.figure("tasks", float64(len(h.tasks)))
	h.mu.RUnlock()
	h.keysMu.Lock()
	defer h.keysMu.Unlock()
	out.figure(keyFigure, h.ring.ring.Left(h.server.o.Clock.Now()).Seconds())
	return out
}

func (h *crowdHost) orphans() []loss.Loss {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.member == nil {
		return nil
	}
	return h.member.Orphans()
}

// Discard implements [orphanage].
func (h *crowdHost) Discard(ctx context.Context, place string) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.member.Discard(ctx, place)
}

// Keys implements [keyHolder].
func (h *crowdHost) Keys(now time.Time) []keyView {
	h.keysMu.Lock()
	defer h.keysMu.Unlock()
	return h.ring.view(h.role, now)
}

// RenewKeys implements [keyHolder].
func (h *crowdHost) RenewKeys(context.Context) error {
	h.keysMu.Lock()
	defer h.keysMu.Unlock()
	if err := h.ring.renew(h.server.o.Clock.Now()); err != nil {
		return err
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.member.SetKeys(h.keys())
}

// closeMember releases what a member holds, if it holds anything.
func closeMember(m member) error {
	if c, ok := m.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Close implements [role].
func (h *crowdHost) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	if h.member != nil {
		errs = append(errs, closeMember(h.member))
	}
	if h.engine != nil {
		errs = append(errs, h.engine.Close())
	}
	if h.store != nil {
		errs = append(errs, h.store.Close())
	}
	return errors.Join(errs...)
}
