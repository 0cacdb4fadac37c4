package tasks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/vdaf"
)

// ErrUnknown means that the aggregator does not serve a task: a server answers it
// with [dap.ProblemUnrecognizedTask].
var ErrUnknown = errors.New("unknown task")

// A Config is the configuration of a [Registry]. Role, Keys, Clock and Rand are
// needed.
type Config struct {
	Role  dap.Role     // of all tasks
	Keys  *atrest.Keys // seal everything that is stored
	Clock clock.Clock
	Rand  io.Reader // crypto/rand.Reader
	// Plan is that of the HPKE keys; the zero plan means [dapkey.DefaultPlan].
	Plan keyring.Plan
	// KeyGrace is for how long a key is kept after the last report has expired that may
	// be sealed to it; 0 means a week.
	KeyGrace time.Duration
	// Refresh is how often the store is asked for what other processes changed; 0
	// means a minute, or half of Plan.Pending. It must be shorter than that.
	Refresh time.Duration
	// Known are the types of report extensions that the role handles.
	Known []uint16
	// Admission returns how reports of an entry's task are admitted, and the name of the
	// list of what they spend; nil if they are counted by ID alone. It may be nil: then all
	// are.
	Admission func(e *Entry) (dap.Admission, [32]byte, error)
}

// A Serving is a task that is served, as it was at one time. It is read-only and
// safe for concurrent use.
type Serving struct {
	Entry      *Entry
	Task       *dap.Task
	Aggregator *dap.Aggregator
	Spent      *[32]byte // the name of the list of what reports spend; nil: they spend nothing

	revision uint64
}

// A Registry is an aggregator's tasks and keys, in memory. It is safe for
// concurrent use.
type Registry struct {
	store    Store
	config   Config
	guard    *clock.Guard // a key that is destroyed too early loses reports
	resource dap.ResourceKey
	ring     atomic.Pointer[heldRing]

	mu      sync.RWMutex
	tasks   map[dap.TaskID]*Serving
	newest  uint64
	checked time.Time // when the store was last asked for an unknown task

	refreshing sync.Mutex
}

// settle is for how long the clock must have gone evenly before a key is deleted.
const settle = time.Hour

// heldRing is a keyring, and the revision and bytes as which it is stored.
type heldRing struct {
	ring     *dapkey.Ring
	old      bool // stored in the form of a version before
	revision uint64
	sealed   []byte
}

// Open reads a registry from a store; in an empty store it makes the first HPKE
// keys and the resource key. What is sealed with another storage key than the first
// one of the list is resealed.
func Open(ctx context.Context, store Store, c Config) (*Registry, error) {
	if c.Keys == nil || c.Clock == nil || c.Rand == nil {
		return nil, errors.New("opening registry: keys, clock and randomness are needed")
	}
	if c.Role != dap.Leader && c.Role != dap.Helper {
		return nil, fmt.Errorf("opening registry: the %v does not aggregate, want leader or helper", c.Role)
	}
	if c.Plan.Lifetime == 0 {
		kems := c.Plan.KEMs
		c.Plan = dapkey.DefaultPlan()
		if len(kems) > 0 {
			c.Plan.KEMs = kems
		}
	}
	if c.KeyGrace == 0 {
		c.KeyGrace = 7 * 24 * time.Hour
	}
	if err := c.Plan.Validate(); err != nil {
		return nil, fmt.Errorf("opening registry: %w", err)
	}
	if c.Refresh == 0 {
		c.Refresh = time.Minute
		if c.Plan.Pending > 0 {
			c.Refresh = min(c.Refresh, c.Plan.Pending/2)
		}
	}
	if c.Refresh < 0 || c.Refresh >= c.Plan.Pending && c.Plan.Pending > 0 {
		return nil, fmt.Errorf("opening registry: refreshed every %v, want less than the %v that keys are pending", c.Refresh, c.Plan.Pending)
	}
	r := &Registry{store: store, config: c, guard: clock.NewStrictGuard(c.Clock, settle), tasks: make(map[dap.TaskID]*Serving)}
	if err := r.reseal(ctx); err != nil {
		return nil, fmt.Errorf("opening registry: %w", err)
	}
	if err := r.readResourceKey(ctx); err != nil {
		return nil, fmt.Errorf("opening registry: %w", err)
	}
	if err := r.Rotate(ctx); err != nil {
		return nil, fmt.Errorf("opening registry: %w", err)
	}
	if err := r.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("opening registry: %w", err)
	}
	return r, nil
}

// ResourceKey returns the key that makes the IDs of resources. It is one for all
// processes and never changes.
func (r *Registry) ResourceKey() *dap.ResourceKey { return &r.resource }

// Keyring returns the HPKE keys as they are now.
func (r *Registry) Keyring() *dapkey.Ring { return r.ring.Load().ring }

// unknownEvery bounds how often an unknown task makes the registry ask the store,
// so that requests for tasks that do not exist cost no more than a look-up.
const unknownEvery = time.Second

// Lookup returns a task that is served or disabled. It fails with [ErrUnknown].
func (r *Registry) Lookup(ctx context.Context, id dap.TaskID) (*Serving, error) {
	if s := r.held(id); s != nil {
		return s, nil
	}
	// Another process may have added it.
	now := r.config.Clock.Now()
	r.mu.Lock()
	ask := r.checked.IsZero() || now.Sub(r.checked) >= unknownEvery || now.Before(r.checked)
	if ask {
		r.checked = now
	}
	r.mu.Unlock()
	if ask {
		if err := r.refreshTasks(ctx); err != nil {
			return nil, err
		}
		if s := r.held(id); s != nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("%w %v", ErrUnknown, id)
}

// held returns a task in memory, nil if it is not there or was removed.
func (r *Registry) held(id dap.TaskID) *Serving {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if s := r.tasks[id]; s != nil && s.Entry != nil {
		return s
	}
	return nil
}

// List returns all tasks by ID.
func (r *Registry) List() []*Serving {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := slices.DeleteFunc(slices.Collect(maps.Values(r.tasks)), func(s *Serving) bool { return s.Entry == nil })
	slices.SortFunc(all, func(a, b *Serving) int { return slices.Compare(a.Entry.ID[:], b.Entry.ID[:]) })
	return all
}

// serving makes what an entry needs to be served.
func (r *Registry) serving(e *Entry, revision uint64) (*Serving, error) {
	t, err := e.Task()
	if err != nil {
		return nil, fmt.Errorf("task %v: %w", e.ID, err)
	}
	if err := e.validate(); err != nil {
		return nil, err
	}
	if e.Role != r.config.Role {
		return nil, fmt.Errorf("task %v: entry for the %v, this is the %v", e.ID, e.Role, r.config.Role)
	}
	keys := make(map[dap.VerificationKeyID]*vdaf.VerifyKey, len(e.VerifyKeys))
	for id, key := range e.VerifyKeys {
		keys[id] = &key
	}
	a, err := dap.NewAggregator(t, e.Role, keys, e.Leeway, r.config.Known...)
	if err != nil {
		return nil, fmt.Errorf("task %v: %w", e.ID, err)
	}
	s := &Serving{Entry: e, Task: t, Aggregator: a, revision: revision}
	if r.config.Admission == nil {
		return s, nil
	}
	x, list, err := r.config.Admission(e)
	if err != nil {
		return nil, fmt.Errorf("task %v: %w", e.ID, err)
	}
	if x != nil {
		s.Aggregator, s.Spent = a.Admitting(x), &list
	}
	return s, nil
}

const entryKind = "dap task entry"

// Add adds a task. It fails with [ErrConflict] if the store has it.
func (r *Registry) Add(ctx context.Context, e Entry) error { return r.put(ctx, e.Clone(), 0) }

// put stores an entry over a revision and serves it.
func (r *Registry) put(ctx context.Context, e *Entry, revision uint64) error {
	s, err := r.serving(e, 0)
	if err != nil {
		return fmt.Errorf("storing a task: %w", err)
	}
	plain, err := e.encode()
	if err != nil {
		return fmt.Errorf("storing a task: %w", err)
	}
	defer clear(plain)
	s.revision, err = r.store.PutTask(ctx, e.ID, revision, r.config.Keys.Seal(plain, entryKind, e.ID[:]))
	if err != nil {
		return fmt.Errorf("storing task %v: %w", e.ID, err)
	}
	r.serve(e.ID, s)
	return nil
}

// serve replaces a task by a newer state of it, which has no entry if the task
// was removed.
func (r *Registry) serve(id dap.TaskID, s *Serving) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.tasks[id]; old == nil || old.revision < s.revision {
		r.tasks[id] = s
	}
}

// Update changes what may change of a task: everything but its ID, variant,
// configuration and role. change gets a copy to alter, perhaps more than once. It
// fails with [ErrUnknown], and with what change returns.
func (r *Registry) Update(ctx context.Context, id dap.TaskID, change func(*Entry) error) error {
	for range 10 {
		s, err := r.Lookup(ctx, id)
		if err != nil {
			return err
		}
		e := s.Entry.Clone()
		if err := change(e); err != nil {
			return fmt.Errorf("changing task %v: %w", id, err)
		}
		if e.ID != id || e.Variant != s.Entry.Variant || e.Role != s.Entry.Role || !slices.Equal(e.Config, s.Entry.Config) {
			return fmt.Errorf("changing task %v: ID, variant, configuration and role never change", id)
		}
		err = r.put(ctx, e, s.revision)
		if err == nil || !errors.Is(err, ErrConflict) {
			return err
		}
		if err := r.refreshTasks(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("changing task %v: %w", id, ErrConflict)
}

// Disable ends a task: no uploads, jobs and collections any more. What is stored
// of it stays until it expires.
func (r *Registry) Disable(ctx context.Context, id dap.TaskID) error {
	return r.Update(ctx, id, func(e *Entry) error {
		e.Disabled = true
		return nil
	})
}

// Remove forgets a task that is disabled, with its keys and tokens. Its ID can
// never be added again: which of its reports counted stays known, and what is
// stored elsewhere of it expires as before. It fails with [ErrUnknown], and with
// an error if the task is not disabled.
func (r *Registry) Remove(ctx context.Context, id dap.TaskID) error {
	if err := r.refreshTasks(ctx); err != nil {
		return err
	}
	s, err := r.Lookup(ctx, id)
	if err != nil {
		return err
	}
	if !s.Entry.Disabled {
		return fmt.Errorf("removing task %v: disable it first, and collect what is to be collected", id)
	}
	sealed := r.config.Keys.Seal([]byte(removedEntry), entryKind, id[:])
	revision, err := r.store.PutTask(ctx, id, s.revision, sealed)
	if err != nil {
		return fmt.Errorf("removing task %v: %w", id, err)
	}
	r.serve(id, &Serving{revision: revision})
	return nil
}

// refreshTasks reads the tasks that the store has new.
func (r *Registry) refreshTasks(ctx context.Context) error {
	r.refreshing.Lock()
	defer r.refreshing.Unlock()
	records, err := r.store.Tasks(ctx, r.newest)
	if err != nil {
		return fmt.Errorf("reading tasks: %w", err)
	}
	for _, record := range records {
		plain, err := r.config.Keys.Open(record.Sealed, entryKind, record.Task[:])
		if err != nil {
			return fmt.Errorf("reading task %v: %w", record.Task, err)
		}
		s := &Serving{revision: record.Revision}
		if string(plain) != removedEntry {
			e, err := decodeEntry(record.Task, plain)
			clear(plain)
			if err != nil {
				return err
			}
			if s, err = r.serving(e, record.Revision); err != nil {
				return err
			}
		}
		r.serve(record.Task, s)
		r.newest = max(r.newest, record.Revision)
	}
	return nil
}
