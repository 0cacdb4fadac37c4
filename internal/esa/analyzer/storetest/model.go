package storetest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/metric/task"
)

// ErrCrashed is what a [Model] returns from its crash on.
var ErrCrashed = errors.New("store crashed")

// A Model is an [analyzer.Store] in memory that can crash just before or just
// after a change takes effect.
type Model struct {
	// Crashed is asked before each call whether the machine has stopped for
	// another reason; OnCrash is called when the model stops it. Both may be nil.
	Crashed func() bool
	OnCrash func()

	mu      sync.Mutex
	batches map[esa.BatchID]analyzer.Batch
	stated  map[task.ID]esa.Coverage
	changes map[task.ID]int64 // of stated
	calls   int
	crashAt int  // number of the call that crashes; 0: none
	after   bool // whether that call takes effect
	dead    bool
}

var _ analyzer.Store = (*Model)(nil)

// NewModel returns an empty store.
func NewModel() *Model {
	return &Model{batches: map[esa.BatchID]analyzer.Batch{}, stated: map[task.ID]esa.Coverage{}, changes: map[task.ID]int64{}}
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
	return &Model{batches: maps.Clone(m.batches), stated: maps.Clone(m.stated), changes: maps.Clone(m.changes)}
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

// Accept implements [analyzer.Store].
func (m *Model) Accept(_ context.Context, b analyzer.Batch) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return false, ErrCrashed
	}
	if err := b.Check(analyzer.None); err != nil {
		return false, err
	}
	have, known := m.batches[b.ID]
	switch {
	case !known:
		err := m.change(func() { m.batches[b.ID] = b })
		return err == nil, err
	case have.Task != b.Task || have.Epoch != b.Epoch || have.Digest != b.Digest:
		return false, analyzer.ErrConflict
	}
	return false, nil
}

// Batches implements [analyzer.Store].
func (m *Model) Batches(context.Context) ([]analyzer.Batch, error) { return m.sorted() }

func (m *Model) sorted() ([]analyzer.Batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return nil, ErrCrashed
	}
	return slices.SortedFunc(maps.Values(m.batches), func(a, b analyzer.Batch) int {
		return cmp.Or(bytes.Compare(a.Task[:], b.Task[:]), cmp.Compare(a.Epoch, b.Epoch), bytes.Compare(a.ID[:], b.ID[:]))
	}), nil
}

// pick returns the batches that keep chooses, in order.
func (m *Model) pick(keep func(analyzer.Batch) bool) ([]analyzer.Batch, error) {
	all, err := m.sorted()
	return slices.DeleteFunc(all, func(b analyzer.Batch) bool { return !keep(b) }), err
}

// Batch implements [analyzer.Store].
func (m *Model) Batch(_ context.Context, id esa.BatchID) (analyzer.Batch, error) {
	all, err := m.pick(func(b analyzer.Batch) bool { return b.ID == id })
	if err != nil || len(all) == 0 {
		return analyzer.Batch{}, err
	}
	return all[0], nil
}

// In implements [analyzer.Store].
func (m *Model) In(_ context.Context, state analyzer.State) ([]analyzer.Batch, error) {
	all, err := m.pick(func(b analyzer.Batch) bool { return b.State == state })
	for i := range all {
		all[i].Manifest = nil
	}
	return all, err
}

// Due implements [analyzer.Store].
func (m *Model) Due(_ context.Context, now int64) ([]analyzer.Batch, error) {
	return m.pick(func(b analyzer.Batch) bool {
		return b.State == analyzer.Released && b.Expires > 0 && b.Expires <= now
	})
}

// Of implements [analyzer.Store].
func (m *Model) Of(_ context.Context, id task.ID, before task.Epoch, most int) ([]analyzer.Batch, error) {
	all, err := m.pick(func(b analyzer.Batch) bool { return b.Task == id && b.Epoch < before })
	return all[max(0, len(all)-most):], err
}

// Outline implements [analyzer.Store].
func (m *Model) Outline(ctx context.Context, id task.ID, before task.Epoch, most int) ([]analyzer.Batch, error) {
	all, err := m.Of(ctx, id, before, most)
	for i := range all {
		all[i].Manifest = nil
	}
	return all, err
}

// Stamps implements [analyzer.Store].
func (m *Model) Stamps(context.Context) (map[string]string, error) {
	all, err := m.pick(isReleased)
	counts := map[string][2]int{}
	for _, b := range all {
		c := counts[metricOf(b)]
		counts[metricOf(b)] = [2]int{c[0] + 1, c[1] + int(b.State)}
	}
	stamps := map[string]string{}
	for metric, c := range counts {
		stamps[metric] = fmt.Sprintf("%d %d", c[0], c[1])
	}
	return stamps, err
}

func isReleased(b analyzer.Batch) bool {
	return b.State == analyzer.Released || b.State == analyzer.Expired
}

// metricOf reads the name in a manifest; one that is no JSON has none.
func metricOf(b analyzer.Batch) string {
	var named analyzer.Manifest
	_ = json.Unmarshal(b.Manifest, &named)
	return named.Metric
}

// Named implements [analyzer.Store].
func (m *Model) Named(_ context.Context, metric string) ([]analyzer.Batch, error) {
	return m.pick(func(b analyzer.Batch) bool { return isReleased(b) && metricOf(b) == metric })
}

// Metrics implements [analyzer.Store].
func (m *Model) Metrics(context.Context) ([]string, error) {
	all, err := m.pick(isReleased)
	names := map[string]bool{}
	for _, b := range all {
		names[metricOf(b)] = true
	}
	return slices.Sorted(maps.Keys(names)), err
}

// Summaries implements [analyzer.Store].
func (m *Model) Summaries(context.Context) ([]analyzer.Summary, error) {
	all, err := m.pick(isReleased)
	var found []analyzer.Summary
	for _, b := range all {
		if n := len(found); n == 0 || found[n-1].Task != b.Task {
			found = append(found, analyzer.Summary{Task: b.Task})
		}
		s := &found[len(found)-1]
		s.Batches, s.Records, s.Latest = s.Batches+1, s.Records+b.Records, b.Epoch
	}
	return found, err
}

// Try implements [analyzer.Store].
func (m *Model) Try(_ context.Context, id esa.BatchID, attempts int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return ErrCrashed
	}
	b := m.batches[id]
	if b.State != analyzer.Received {
		return analyzer.ErrConflict
	}
	b.Attempts = attempts
	return m.change(func() { m.batches[id] = b })
}

// Advance implements [analyzer.Store].
func (m *Model) Advance(_ context.Context, from analyzer.State, b analyzer.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return ErrCrashed
	}
	if err := b.Check(from); err != nil {
		return err
	}
	if m.batches[b.ID].State != from {
		return analyzer.ErrConflict
	}
	return m.change(func() { m.batches[b.ID] = b })
}

// Learn implements [analyzer.Store].
func (m *Model) Learn(_ context.Context, id task.ID, c esa.Coverage) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return ErrCrashed
	}
	merged := m.stated[id].Merge(c)
	if merged.Equal(m.stated[id]) {
		return nil
	}
	return m.change(func() {
		m.stated[id] = merged
		m.changes[id]++
	})
}

// Stated implements [analyzer.Store].
func (m *Model) Stated(_ context.Context, id task.ID) (esa.Coverage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return esa.Coverage{}, ErrCrashed
	}
	return m.stated[id], nil
}

// StatedChanges implements [analyzer.Store].
func (m *Model) StatedChanges(context.Context) (map[task.ID]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return nil, ErrCrashed
	}
	return maps.Clone(m.changes), nil
}
