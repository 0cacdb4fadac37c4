package storetest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/collector"
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
func (m *Model) Asks(context.Context) ([]collector.Ask, error) { return m.sorted() }

func (m *Model) sorted() ([]collector.Ask, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return nil, ErrCrashed
	}
	return slices.SortedFunc(maps.Values(m.asks), func(a, b collector.Ask) int {
		return cmp.Or(bytes.Compare(a.Task[:], b.Task[:]), cmp.Compare(a.Number, b.Number), bytes.Compare(a.ID[:], b.ID[:]))
	}), nil
}

// where returns the asks that keep wants, the last ones if there are more than most.
func (m *Model) where(most int, keep func(collector.Ask) bool) ([]collector.Ask, error) {
	all, err := m.sorted()
	all = slices.DeleteFunc(all, func(a collector.Ask) bool { return !keep(a) })
	return all[max(0, len(all)-most):], err
}

// manifest decodes that of an ask; one that is no JSON gives the zero value.
func manifest(a collector.Ask) (m collector.Manifest) {
	_ = json.Unmarshal(a.Manifest, &m)
	return m
}

func isReleased(a collector.Ask) bool {
	return a.State == collector.Released || a.State == collector.Expired
}

// Open implements [collector.Store].
func (m *Model) Open(context.Context) ([]collector.Ask, error) {
	return m.where(math.MaxInt, func(a collector.Ask) bool { return a.State == collector.Asked || a.State == collector.Received })
}

// Of implements [collector.Store].
func (m *Model) Of(_ context.Context, task dap.TaskID, most int) ([]collector.Ask, error) {
	all, err := m.where(most, func(a collector.Ask) bool { return a.Task == task })
	for i := range all {
		all[i].Response, all[i].Manifest = nil, nil
	}
	return all, err
}

// Unreleased implements [collector.Store].
func (m *Model) Unreleased(_ context.Context, task dap.TaskID, most int) ([]collector.Ask, error) {
	return m.where(most, func(a collector.Ask) bool { return a.Task == task && !isReleased(a) })
}

// Released implements [collector.Store].
func (m *Model) Released(_ context.Context, task dap.TaskID, before uint64, most int) ([]collector.Ask, error) {
	return m.where(most, func(a collector.Ask) bool { return a.Task == task && isReleased(a) && a.Number < before })
}

// Named implements [collector.Store].
func (m *Model) Named(_ context.Context, metric string) ([]collector.Ask, error) {
	return m.where(math.MaxInt, func(a collector.Ask) bool { return isReleased(a) && manifest(a).Metric == metric })
}

// Metrics implements [collector.Store].
func (m *Model) Metrics(context.Context) ([]string, error) {
	all, err := m.where(math.MaxInt, isReleased)
	names := map[string]bool{}
	for _, a := range all {
		names[manifest(a).Metric] = true
	}
	return slices.Sorted(maps.Keys(names)), err
}

// Stamps implements [collector.Store].
func (m *Model) Stamps(context.Context) (map[string]string, error) {
	all, err := m.where(math.MaxInt, isReleased)
	counts := map[string][2]int{}
	for _, a := range all {
		name := manifest(a).Metric
		counts[name] = [2]int{counts[name][0] + 1, counts[name][1] + int(a.State)}
	}
	stamps := map[string]string{}
	for name, c := range counts {
		stamps[name] = fmt.Sprintf("%d %d", c[0], c[1])
	}
	return stamps, err
}

// Due implements [collector.Store].
func (m *Model) Due(_ context.Context, now int64) ([]collector.Ask, error) {
	return m.where(math.MaxInt, func(a collector.Ask) bool {
		found := manifest(a)
		at := found.Expires()
		return a.State == collector.Released && at > 0 && at <= now
	})
}

// Undated implements [collector.Store].
func (m *Model) Undated(context.Context) ([]collector.Ask, error) {
	return m.where(math.MaxInt, func(a collector.Ask) bool { return a.State == collector.Released && manifest(a).End.IsZero() })
}

// Expired implements [collector.Store].
func (m *Model) Expired(context.Context) ([]collector.Ask, error) {
	all, err := m.where(math.MaxInt, func(a collector.Ask) bool { return a.State == collector.Expired })
	for i := range all {
		all[i].Manifest = nil
	}
	return all, err
}

// Answered implements [collector.Store].
func (m *Model) Answered(_ context.Context, task dap.TaskID, digest string) (bool, error) {
	all, err := m.where(1, func(a collector.Ask) bool { return a.Task == task && isReleased(a) && manifest(a).Digest == digest })
	return len(all) > 0, err
}

// Summaries implements [collector.Store].
func (m *Model) Summaries(context.Context) ([]collector.Summary, error) {
	asks, err := m.where(math.MaxInt, isReleased)
	var all []collector.Summary
	for _, a := range asks {
		if len(all) == 0 || all[len(all)-1].Task != a.Task {
			all = append(all, collector.Summary{Task: a.Task})
		}
		last, found := &all[len(all)-1], manifest(a)
		last.Batches++
		last.Reports += int64(found.Reports)
		if !found.End.IsZero() {
			last.End = max(last.End, found.End.Unix())
		}
	}
	return all, err
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
