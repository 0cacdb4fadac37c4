package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/internal/esa/shuffler"
)

// ErrCrashed is what a [Model] returns from its crash on.
var ErrCrashed = errors.New("store crashed")

// A Model is a [shuffler.Store] in memory that can crash just before or just
// after a change takes effect.
type Model struct {
	// Crashed is asked before each call whether the machine has stopped for
	// another reason; OnCrash is called when the model stops it. Both may be nil.
	Crashed func() bool
	OnCrash func()

	mu      sync.Mutex
	batches map[shuffler.Key]shuffler.Batch
	calls   int
	crashAt int  // number of the call that crashes; 0: none
	after   bool // whether that call takes effect
	dead    bool
}

var _ shuffler.Store = (*Model)(nil)

// NewModel returns an empty store.
func NewModel() *Model { return &Model{batches: map[shuffler.Key]shuffler.Batch{}} }

// CrashAt makes the nth Apply from now crash, n >= 1, before or after its
// changes have taken effect.
func (m *Model) CrashAt(n int, after bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashAt, m.after = m.calls+n, after
}

// Calls returns how often Apply has been called.
func (m *Model) Calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

// Restart returns the store that is found after a crash.
func (m *Model) Restart() *Model {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	return &Model{batches: maps.Clone(m.batches)}
}

func (m *Model) stopped() bool { return m.dead || m.Crashed != nil && m.Crashed() }

// Batches implements [shuffler.Store].
func (m *Model) Batches(context.Context) ([]shuffler.Batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return nil, ErrCrashed
	}
	return slices.SortedFunc(maps.Values(m.batches), func(a, b shuffler.Batch) int {
		return cmp.Or(bytes.Compare(a.Task[:], b.Task[:]), cmp.Compare(a.Epoch, b.Epoch))
	}), nil
}

// Live implements [shuffler.Store].
func (m *Model) Live(ctx context.Context) ([]shuffler.Batch, error) {
	all, err := m.Batches(ctx)
	return slices.DeleteFunc(all, func(b shuffler.Batch) bool { return b.State == shuffler.Destroyed }), err
}

// Batch implements [shuffler.Store].
func (m *Model) Batch(_ context.Context, k shuffler.Key) (shuffler.Batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return shuffler.Batch{}, ErrCrashed
	}
	return m.batches[k], nil
}

// Apply implements [shuffler.Store].
func (m *Model) Apply(_ context.Context, changes ...shuffler.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return ErrCrashed
	}
	m.calls++
	if m.calls == m.crashAt {
		m.dead = true
		if m.OnCrash != nil {
			m.OnCrash()
		}
		if !m.after {
			return ErrCrashed
		}
	}
	after := maps.Clone(m.batches)
	for _, c := range changes {
		if err := c.Check(); err != nil {
			return err
		}
		if after[c.To.Key()].State != c.From {
			return shuffler.ErrConflict
		}
		after[c.To.Key()] = c.To
	}
	m.batches = after
	if m.dead {
		return ErrCrashed
	}
	return nil
}
