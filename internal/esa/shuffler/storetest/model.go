package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/metric/task"
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
	history shuffler.History
	kept    bool // there is a history
	stated  map[task.ID]esa.Coverage
	calls   int
	crashAt int  // number of the call that crashes; 0: none
	after   bool // whether that call takes effect
	dead    bool
}

var _ shuffler.Store = (*Model)(nil)

// NewModel returns an empty store.
func NewModel() *Model {
	return &Model{batches: map[shuffler.Key]shuffler.Batch{}, stated: map[task.ID]esa.Coverage{}}
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
	history := m.history
	history.Sent = maps.Clone(history.Sent)
	return &Model{batches: maps.Clone(m.batches), history: history, kept: m.kept, stated: maps.Clone(m.stated)}
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

// crash counts a change, and reports whether it crashes. Callers hold mu.
func (m *Model) crash() bool {
	m.calls++
	if m.calls != m.crashAt {
		return false
	}
	m.dead = true
	if m.OnCrash != nil {
		m.OnCrash()
	}
	return true
}

// change does one change, or crashes before or after it.
func (m *Model) change(do func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return ErrCrashed
	}
	crashes := m.crash()
	if !crashes || m.after {
		do()
	}
	if crashes {
		return ErrCrashed
	}
	return nil
}

// History implements [shuffler.Store].
func (m *Model) History(context.Context) (shuffler.History, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return shuffler.History{}, false, ErrCrashed
	}
	h := m.history
	h.Gaps, h.Sent = slices.Clone(h.Gaps), maps.Clone(h.Sent)
	return h, m.kept, nil
}

// Keep implements [shuffler.Store].
func (m *Model) Keep(_ context.Context, h shuffler.History) error {
	return m.change(func() {
		m.kept = true
		m.history.Since, m.history.Through = h.Since, h.Through
		for _, g := range h.Gaps {
			if !slices.ContainsFunc(m.history.Gaps, func(o shuffler.Gap) bool { return o.Place == g.Place }) {
				m.history.Gaps = append(m.history.Gaps, g)
			}
		}
		m.history.Gaps = slices.DeleteFunc(m.history.Gaps, func(g shuffler.Gap) bool { return g.Until < h.Since })
		slices.SortFunc(m.history.Gaps, func(a, b shuffler.Gap) int { return cmp.Compare(a.Place, b.Place) })
		if m.history.Sent == nil {
			m.history.Sent = map[task.ID][32]byte{}
		}
		maps.Copy(m.history.Sent, h.Sent)
	})
}

// Learn implements [shuffler.Store].
func (m *Model) Learn(_ context.Context, id task.ID, c esa.Coverage) error {
	return m.change(func() { m.stated[id] = m.stated[id].Merge(c) }) // a store may skip what says nothing new
}

// Stated implements [shuffler.Store].
func (m *Model) Stated(_ context.Context, id task.ID) (esa.Coverage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return esa.Coverage{}, ErrCrashed
	}
	return m.stated[id], nil
}

// Apply implements [shuffler.Store].
func (m *Model) Apply(_ context.Context, changes ...shuffler.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return ErrCrashed
	}
	if m.crash() && !m.after {
		return ErrCrashed
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
