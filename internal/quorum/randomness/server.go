package randomness

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/spent"
	"github.com/shoal-project/shoal/metric/task"
)

// ErrPresentation is what an [Admit] returns for a presentation that is not valid.
var ErrPresentation = errors.New("the presentation is not valid")

// An Admit verifies the presentation of one request of a task's epoch: that it was made for
// the digest of that request, with the limit of the task. It returns the
// presentation's tag. It does not judge whether the tag was spent. It fails with
// [ErrPresentation], or with another error if it cannot verify now.
type Admit func(ctx context.Context, id task.ID, e task.Epoch, presentation []byte, request [sha256.Size]byte) (tag []byte, err error)

// A Task is one that the party serves.
type Task struct {
	ID   task.ID
	Task *task.Task
}

// A KeySlot is what a key is announced for.
type KeySlot struct {
	Task       task.ID
	Epoch      task.Epoch
	Start, End time.Time // of the epoch
}

// A Config holds all that a [Server] needs.
type Config struct {
	// Dir holds keys and spent tags. It must be in no backup.
	Dir   string
	FS    durable.FS
	Tasks []Task // hardened ones; others are passed over
	Admit Admit
	// Since is when the folder was last restored or given up, zero for never. Of epochs that
	// had begun by then no key is made: there may have been another.
	Since time.Time
	// Sign returns the bytes that clients get of a key: signed by the party.
	Sign  func(s KeySlot, announcement []byte) ([]byte, error)
	Clock clock.Clock
	Rand  io.Reader // keys and proofs; default: crypto/rand
	// Settle is how long a clock that has jumped forward is not believed; 0 means 10
	// minutes.
	Settle time.Duration
	// Waiting is how many requests wait for a processor at most; 0 means 64 for each.
	Waiting int
}

// A Server is a randomness party. It is safe for concurrent use.
type Server struct {
	c     Config
	tasks atomic.Pointer[map[task.ID]*task.Task]
	guard *clock.Guard
	wake  clock.Signal

	mu    sync.Mutex // guards what follows, and the store
	store *store
	held  map[keyID]*held
	lost  []string

	slots   chan struct{} // one a request at work
	waiting chan struct{} // one a request at work or waiting
	counts  counts
}

// New opens the folder of a party, and destroys keys whose epochs have ended.
func New(ctx context.Context, c Config) (*Server, error) {
	if c.FS == nil || c.Dir == "" || c.Sign == nil || c.Admit == nil {
		return nil, errors.New("starting randomness: files, directory, admission and signer must be given")
	}
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Settle == 0 {
		c.Settle = 10 * time.Minute
	}
	cores := runtime.GOMAXPROCS(0)
	if c.Waiting == 0 {
		c.Waiting = 64 * cores
	}
	st, err := openStore(c.FS, c.Dir, c.Rand)
	if err != nil {
		return nil, fmt.Errorf("starting randomness: %w", err)
	}
	s := &Server{
		c: c, guard: clock.NewGuard(c.Clock, c.Settle), wake: clock.NewSignal(),
		store: st, held: map[keyID]*held{}, lost: st.lost(),
		slots: make(chan struct{}, cores), waiting: make(chan struct{}, c.Waiting+cores),
	}
	s.SetTasks(c.Tasks)
	if err := s.Tick(ctx); err != nil {
		return nil, fmt.Errorf("starting randomness: %w", err)
	}
	return s, nil
}

// SetTasks replaces the tasks that are served. Keys of tasks that are no longer served
// are destroyed at their time.
func (s *Server) SetTasks(all []Task) {
	hardened := map[task.ID]*task.Task{}
	for _, t := range all {
		if t.Task.Hardened() {
			hardened[t.ID] = t.Task
		}
	}
	s.tasks.Store(&hardened)
}

func (s *Server) task(id task.ID) *task.Task { return (*s.tasks.Load())[id] }

// Run destroys keys when they are due until ctx ends, and returns ctx's error. Failures
// do not end it; they are passed to failed, if that is not nil.
func (s *Server) Run(ctx context.Context, failed func(error)) error {
	return clock.Loop(ctx, s.c.Clock, s.wake, s.Tick, func(error) time.Time { return s.due() }, failed)
}

// longest is how long Run sleeps at most.
const longest = time.Minute

// due returns when the next key is to be destroyed, or a look later.
func (s *Server) due() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.c.Clock.Now()
	at := now.Add(longest)
	for name, e := range s.store.in.Keys {
		if ends := time.Unix(e.Ends, 0); ends.Before(at) && !slices.Contains(s.lost, name) {
			at = ends
		}
	}
	if again := now.Add(time.Second); at.Before(again) {
		return again // what is overdue could not be destroyed
	}
	return at
}

// Tick destroys the keys whose time has come, also those of tasks that are no longer
// served.
func (s *Server) Tick(ctx context.Context) error {
	now, sure := s.guard.Now()
	if !sure {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.store.folders(ctx)
	if err != nil {
		return fmt.Errorf("looking for keys to destroy: %w", err)
	}
	var errs []error
	for _, k := range all {
		if now.Before(s.store.ends(k)) {
			continue
		}
		if h := s.held[k]; h != nil {
			delete(s.held, k)
			errs = append(errs, h.spent.Close())
		}
		if err := s.store.destroy(k); err != nil {
			s.counts.undestroyed.Add(1)
			errs = append(errs, fmt.Errorf("destroying the key of task %v, epoch %d: %w", k.task, k.epoch, err))
			continue
		}
		s.counts.destroyed.Add(1)
		s.lost = slices.DeleteFunc(s.lost, func(name string) bool { return name == k.name() })
	}
	s.lost = slices.DeleteFunc(s.lost, func(name string) bool { return s.over(name, now) })
	return errors.Join(errs...)
}

// over reports whether the epoch of a lost key has ended: of one that is not indexed, by
// its task. It is called with mu held.
func (s *Server) over(name string, now time.Time) bool {
	k, ok := parseName(name)
	if _, indexed := s.store.in.Keys[name]; indexed || !ok {
		return !ok
	}
	t := s.task(k.task)
	return t == nil || !now.Before(t.EvaluationEnds(k.epoch))
}

// Close releases files. Keys stay.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for k, h := range s.held {
		errs = append(errs, h.spent.Close())
		delete(s.held, k)
	}
	return errors.Join(errs...)
}

// Errors of requests, each with a problem of its own.
var (
	errTask  = errors.New("no such task")
	errEarly = errors.New("the epoch has not begun")
	errLate  = errors.New("the epoch's key was or is being destroyed")
	errClock = errors.New("the clock is not believed")
)

// serve returns the key of a task and epoch, which it makes if the epoch is the present
// one.
func (s *Server) serve(id task.ID, e task.Epoch) (*held, error) {
	t := s.task(id)
	if t == nil || !t.Covers(e) {
		return nil, errTask
	}
	now, sure := s.guard.Now()
	switch {
	case !sure:
		return nil, errClock
	case now.Before(t.Start(e).Add(-time.Duration(t.ClockSkew) * time.Second)):
		return nil, errEarly
	case !now.Before(t.EvaluationEnds(e)):
		return nil, errLate
	}
	k := keyID{id, e}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[k]; h != nil {
		return h, nil
	}
	began := t.Start(e).Add(-time.Duration(t.ClockSkew) * time.Second)
	key, err := s.store.key(k, t.EvaluationEnds(e), s.c.Since.IsZero() || began.After(s.c.Since))
	if errors.Is(err, errDestroyed) {
		return nil, errLate
	}
	if err != nil {
		if name := k.name(); errors.Is(err, errLost) && !slices.Contains(s.lost, name) {
			s.lost = append(s.lost, name)
		}
		return nil, err
	}
	h := &held{key: key, ends: t.EvaluationEnds(e)}
	slot := KeySlot{Task: id, Epoch: e, Start: t.Start(e), End: t.Start(e + 1)}
	if h.announced, err = s.c.Sign(slot, Announcement(key.Public())); err != nil {
		return nil, err
	}
	if h.spent, err = spent.Open(s.c.FS, s.store.path(k.name(), "spent")); err != nil {
		return nil, err
	}
	s.counts.cut.Add(uint64(h.spent.Cut()))
	s.held[k] = h
	s.wake.Set()
	return h, nil
}

// ErrNotNow means a task or epoch that has no key now.
var ErrNotNow = errors.New("there is no key of this task and epoch now")

// Announced returns what is announced of the key of a task and epoch, the same bytes
// whenever it is called. It makes the key if the epoch is the present one and had none. It
// fails with [ErrNotNow] for tasks and epochs that have no key.
func (s *Server) Announced(id task.ID, e task.Epoch) ([]byte, error) {
	h, err := s.serve(id, e)
	if errors.Is(err, errTask) || errors.Is(err, errEarly) || errors.Is(err, errLate) {
		return nil, ErrNotNow
	}
	if err != nil {
		return nil, err
	}
	return h.announced, nil
}

// evaluate answers one request.
func (s *Server) evaluate(ctx context.Context, id task.ID, e task.Epoch, q *Request) ([]byte, error) {
	h, err := s.serve(id, e)
	if err != nil {
		return nil, err
	}
	points, err := voprf.ParseRequest(q.Points)
	if err != nil {
		return nil, err
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	tag, err := s.c.Admit(ctx, id, e, q.Presentation, q.Digest(id, e))
	if err != nil {
		return nil, err
	}
	if err := h.spent.Spend(spent.RowOf(tag, q.Points)); err != nil {
		return nil, err
	}
	// The key may have been destroyed while the request waited.
	if now, sure := s.guard.Now(); !sure || !now.Before(h.ends) {
		return nil, errLate
	}
	a, err := h.key.Evaluate(s.c.Rand, points)
	if err != nil {
		return nil, err
	}
	return a.Bytes(), nil
}

var errBusy = errors.New("too many requests wait")

// enter waits for a processor.
func (s *Server) enter(ctx context.Context) error {
	select {
	case s.waiting <- struct{}{}:
	default:
		return errBusy
	}
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		<-s.waiting
		return ctx.Err()
	}
}

func (s *Server) leave() {
	<-s.slots
	<-s.waiting
}
