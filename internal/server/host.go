package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/engine/local"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
)

// A member is one role at work: what a [shuffler.Shuffler] and an
// [analyzer.Analyzer] have in common.
type member interface {
	Handler() http.Handler
	SetKeys(shuffler.Keys) error
	Run(ctx context.Context, failed func(error)) error
	Tick(ctx context.Context) error
}

// A host runs one role of a server: its keys, its store, its folder, and the
// member that works with them. Tasks of a member are fixed, so when one is
// added the host replaces the member, between two requests.
type host struct {
	server *Server
	role   RoleName
	dir    string // everything of this role, and of no other
	store  io.Closer
	engine io.Closer // nil if the role has none
	build  func(ctx context.Context, tasks []*task.Task, keys shuffler.Keys) (member, error)
	// waiting lists the batches that are not finished. It is called without mu.
	waiting func(context.Context) ([]pending, error)

	orphaned atomic.Bool // there is what cannot be worked on, and may need any key

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

func (s *Server) newHost(ctx context.Context, r RoleName) (*host, error) {
	h := &host{
		server: s, role: r, dir: filepath.Join(s.config.Data, string(r)), swap: make(chan func()),
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
	if err := h.ring.open(); err != nil {
		return nil, err
	}
	if r == AnalyzerRole {
		return h, s.openAnalyzer(ctx, h)
	}
	return h, s.openShuffler(ctx, h)
}

func taskRole(r RoleName) task.Role {
	if r == AnalyzerRole {
		return task.Analyzer
	}
	return task.Shuffler
}

func (s *Server) openShuffler(ctx context.Context, h *host) error {
	store, err := sqlite.OpenShuffler(ctx, filepath.Join(s.config.Data, "shuffler.db"))
	if err != nil {
		return err
	}
	h.store = store
	if err := s.confirm(ctx, h.role, store); err != nil {
		return errors.Join(err, store.Close())
	}
	e, err := local.New(filepath.Join(h.dir, "work"), local.Options{MemoryBytes: int64(s.config.Batches.Memory), Workers: s.config.Batches.Workers})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	h.engine = e
	h.build = func(ctx context.Context, tasks []*task.Task, keys shuffler.Keys) (member, error) {
		return shuffler.New(ctx, shuffler.Config{
			Store: store, FS: s.o.FS, Dir: filepath.Join(h.dir, "batches"), Engine: e,
			Clock: s.o.Clock, Rand: s.o.Rand, Identity: s.identity, Keys: keys, Tasks: tasks, Client: s.o.Client,
			MaxReports: s.config.Intake.MaxBatchReports, MaxHandOver: int64(s.config.Batches.MaxBytes),
			Workers: s.config.Batches.Workers, Metrics: shufflerMetrics{s.metrics, s.shufflerBatch}, Lost: s.lost(ShufflerRole), Withdrawn: s.takesNoReports,
			Since: s.restored,
		})
	}
	h.waiting = func(ctx context.Context) ([]pending, error) {
		var all []shuffler.Batch
		if m := h.shuffler(); m != nil { // it has them in memory
			all = m.Live()
		} else {
			var err error
			if all, err = store.Live(ctx); err != nil {
				return nil, err
			}
		}
		found := make([]pending, 0, len(all))
		for _, b := range all {
			needs := b.State == shuffler.Open || b.State == shuffler.Closed || b.State == shuffler.Carried
			found = append(found, pending{b.Task, b.Epoch, b.State.String(), needs})
		}
		return found, nil
	}
	return nil
}

// shuffler returns the member if it is a shuffler, or nil.
func (h *host) shuffler() *shuffler.Shuffler {
	h.mu.RLock()
	defer h.mu.RUnlock()
	m, _ := h.member.(*shuffler.Shuffler)
	return m
}

func (s *Server) openAnalyzer(ctx context.Context, h *host) error {
	store, err := sqlite.OpenAnalyzer(ctx, s.config.analyzerStore())
	if err != nil {
		return err
	}
	h.store = store
	if err := s.confirm(ctx, h.role, store); err != nil {
		return errors.Join(err, store.Close())
	}
	e, err := local.New(filepath.Join(h.dir, "work"), local.Options{MemoryBytes: int64(s.config.Batches.Memory), Workers: s.config.Batches.Workers})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	h.engine = e
	h.build = func(ctx context.Context, tasks []*task.Task, keys shuffler.Keys) (member, error) {
		return analyzer.New(ctx, analyzer.Config{
			Store: store, FS: s.o.FS, Dir: s.config.analyzerDir(), Engine: e,
			Clock: s.o.Clock, Identity: s.identity.Public(), Keys: keys, Tasks: tasks,
			MaxBatch: int64(s.config.Batches.MaxBytes),
			Workers:  s.config.Batches.Workers, Metrics: analyzerMetrics{s.metrics, s.analyzerBatch}, Lost: s.lost(AnalyzerRole),
			Memory: int64(s.config.Batches.Memory), Retry: s.o.RetryBatches,
		})
	}
	h.waiting = func(ctx context.Context) ([]pending, error) {
		all, err := store.In(ctx, analyzer.Received)
		if err != nil {
			return nil, err
		}
		var found []pending
		for _, b := range all {
			found = append(found, pending{b.Task, b.Epoch, b.State.String(), true})
		}
		return found, nil
	}
	return nil
}

// start builds the member.
func (h *host) start(ctx context.Context, tasks []*task.Task) error {
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
func (h *host) setTasks(tasks []*task.Task) {
	h.tasks, h.byID = tasks, make(map[task.ID]*task.Task, len(tasks))
	for _, t := range tasks {
		if id, err := t.ID(); err == nil {
			h.byID[id] = t
		}
	}
}

// keys is what a member gets. It is called with keysMu held.
func (h *host) keys() shuffler.Keys {
	return shuffler.Keys{Private: h.ring.keys(), Config: h.ring.config}
}

// rotate brings the keyring up to date. It is called with keysMu held.
func (h *host) rotate(ctx context.Context) (bool, error) {
	oldest, busy, err := h.unfinished(ctx)
	if err != nil {
		return false, err
	}
	grace := h.server.config.Keys.Grace.D()
	return h.ring.rotate(h.server.o.Clock.Now(), func(k keyring.Key[*esa.PrivateKey]) time.Time {
		if h.orphaned.Load() {
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

// rotateKeys renews the keys and hands them to the member.
func (h *host) rotateKeys(ctx context.Context) error {
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
func (h *host) unfinished(ctx context.Context) (time.Time, bool, error) {
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
func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
func (h *host) endBodies() {
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
func (h *host) lock() {
	late := time.NewTicker(drainTimeout)
	locked := make(chan struct{})
	go func() {
		for {
			select {
			case <-locked:
				return
			case <-late.C:
				h.endBodies()
			}
		}
	}()
	h.mu.Lock()
	close(locked)
	late.Stop()
}

// run lets the member do its periodic work until ctx ends.
func (h *host) run(ctx context.Context) error {
	for ctx.Err() == nil {
		h.mu.RLock()
		m := h.member
		h.mu.RUnlock()
		pause, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			// It ends with its context only; failures are reported and tried again.
			_ = m.Run(pause, func(err error) { h.server.failed(string(h.role), err) })
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
	return nil
}

func (h *host) tick(ctx context.Context) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.member.Tick(ctx)
}

// replace goes on with another list of tasks. Requests wait while the member
// changes; what it had begun is continued by the next one, as after a crash.
func (h *host) replace(ctx context.Context, tasks []*task.Task) error {
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
func (h *host) rebuild(ctx context.Context, tasks []*task.Task) error {
	h.keysMu.Lock()
	defer h.keysMu.Unlock()
	h.lock()
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

func (h *host) refresh(ctx context.Context, m *metrics) error {
	waiting, err := h.waiting(ctx)
	if err != nil {
		return err
	}
	role := string(h.role)
	states := map[string]float64{}
	for _, b := range waiting {
		states[b.state]++
	}
	m.queue.DeletePartialMatch(map[string]string{"role": role})
	for state, n := range states {
		m.queue.WithLabelValues(role, state).Set(n)
	}
	h.mu.RLock()
	switch member := h.member.(type) {
	case *shuffler.Shuffler:
		h.server.need.Store(member.Need())
		m.damaged.WithLabelValues(role).Set(float64(member.Damaged()))
		m.unstated.WithLabelValues(role).Set(float64(member.Unstated()))
	case *analyzer.Analyzer:
		m.aside.WithLabelValues(role).Set(float64(member.Status().Aside))
	}
	h.mu.RUnlock()
	h.keysMu.Lock()
	defer h.keysMu.Unlock()
	m.tasks.WithLabelValues(role).Set(float64(len(h.tasks)))
	return nil
}

// closeMember releases what a member holds, if it holds anything.
func closeMember(m member) error {
	if c, ok := m.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

func (h *host) close() error {
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
