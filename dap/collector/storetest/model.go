package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/collector"
)

// ErrCrashed is what a [Model] returns from its crash on.
var ErrCrashed = errors.New("store crashed")

// A Model is an [collector.Store] in memory that can crash just before or just
// after a change takes effect.
type Model struct {
	// Crashed is asked before each call whether the machine has stopped for
	// another reason; OnCrash is called when the model stops it. Both may be nil.
	Crashed func() bool
	OnCrash func()

	mu      sync.Mutex
	asks    map[dap.CollectionJobID]collector.Ask
	begun   map[dap.TaskID]int64
	calls   int
	crashAt int  // number of the call that crashes; 0: none
	after   bool // whether that call takes effect
	dead    bool
}

var _ collector.Store = (*Model)(nil)

// NewModel returns an empty store.
func NewModel() *Model {
	return &Model{asks: map[dap.CollectionJobID]collector.Ask{}, begun: map[dap.TaskID]int64{}}
}

// CrashAt makes the nth change from now crash, n >= 1, before or after it has
// taken effect.
func (m *Model) CrashAt(n int, after bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashAt, m.after = m.calls+n, after
}

// Calls returns how many changes have been asked for.
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
	return &Model{asks: maps.Clone(m.asks), begun: maps.Clone(m.begun)}
}

func (m *Model) stopped() bool { return m.dead || m.Crashed != nil && m.Crashed() }

// change does one change, or crashes before or after it. Callers hold mu.
func (m *Model) change(do func()) error {
	m.calls++
	if m.calls != m.crashAt {
		do()
		return nil
	}
	m.dead = true
	if m.OnCrash != nil {
		m.OnCrash()
	}
	if m.after {
		do()
	}
	return ErrCrashed
}

// Begin implements [collector.Store].
func (m *Model) Begin(_ context.Context, task dap.TaskID, at int64) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return 0, ErrCrashed
	}
	if first, known := m.begun[task]; known {
		return first, nil
	}
	err := m.change(func() { m.begun[task] = at })
	return at, err
}

// Add implements [collector.Store].
func (m *Model) Add(_ context.Context, a collector.Ask) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return false, ErrCrashed
	}
	if err := a.Check(collector.None); err != nil {
		return false, err
	}
	if _, known := m.asks[a.ID]; known {
		return false, nil
	}
	err := m.change(func() { m.asks[a.ID] = a })
	return err == nil, err
}

// Asks implements [collector.Store].
func (m *Model) Asks(context.Context) ([]collector.Ask, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return nil, ErrCrashed
	}
	return slices.SortedFunc(maps.Values(m.asks), func(a, b collector.Ask) int {
		return cmp.Or(bytes.Compare(a.Task[:], b.Task[:]), cmp.Compare(a.Number, b.Number), bytes.Compare(a.ID[:], b.ID[:]))
	}), nil
}

// Advance implements [collector.Store].
func (m *Model) Advance(_ context.Context, from collector.State, a collector.Ask) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return ErrCrashed
	}
	if err := a.Check(from); err != nil {
		return err
	}
	have := m.asks[a.ID]
	if have.State != from {
		return collector.ErrConflict
	}
	a.Task, a.Number, a.Request, a.Created = have.Task, have.Number, have.Request, have.Created
	return m.change(func() { m.asks[a.ID] = a })
}
