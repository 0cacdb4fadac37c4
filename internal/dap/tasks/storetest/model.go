package storetest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// ErrCrashed is what a [Model] returns from its crash on.
var ErrCrashed = errors.New("store crashed")

// A Model is a [tasks.Store] in memory that can crash just before or just after
// a change takes effect.
type Model struct {
	mu      sync.Mutex
	tasks   map[dap.TaskID]tasks.Record
	secrets map[string]tasks.Secret
	newest  uint64
	calls   int
	crashAt int  // number of the call that crashes; 0: none
	after   bool // whether that call takes effect
	dead    bool
}

var _ tasks.Store = (*Model)(nil)

// NewModel returns an empty store.
func NewModel() *Model {
	return &Model{tasks: make(map[dap.TaskID]tasks.Record), secrets: make(map[string]tasks.Secret)}
}

// CrashAt makes the nth change from now crash, n >= 1, before or after it has
// taken effect.
func (m *Model) CrashAt(n int, after bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashAt, m.after = m.calls+n, after
}

// Restart returns the store that is found after a crash. This one is dead then.
func (m *Model) Restart() *Model {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	return &Model{tasks: maps.Clone(m.tasks), secrets: maps.Clone(m.secrets), newest: m.newest}
}

// change makes a change whose apply decides whether it may be made.
func (m *Model) change(have, want uint64, apply func()) error {
	if m.dead {
		return ErrCrashed
	}
	m.calls++
	m.dead = m.calls == m.crashAt
	if m.dead && !m.after {
		return ErrCrashed
	}
	if have != want {
		return tasks.ErrConflict
	}
	apply()
	if m.dead {
		return ErrCrashed
	}
	return nil
}

// PutTask implements [tasks.Store].
func (m *Model) PutTask(_ context.Context, task dap.TaskID, revision uint64, sealed []byte) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.change(m.tasks[task].Revision, revision, func() {
		m.newest++
		m.tasks[task] = tasks.Record{Task: task, Revision: m.newest, Sealed: bytes.Clone(sealed)}
	})
	return m.newest, err
}

// Tasks implements [tasks.Store].
func (m *Model) Tasks(_ context.Context, since uint64) ([]tasks.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return nil, ErrCrashed
	}
	all := slices.SortedFunc(maps.Values(m.tasks), func(a, b tasks.Record) int { return int(a.Revision) - int(b.Revision) })
	return slices.DeleteFunc(all, func(r tasks.Record) bool { return r.Revision <= since }), nil
}

// Secret implements [tasks.Store].
func (m *Model) Secret(_ context.Context, name string) (tasks.Secret, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return tasks.Secret{}, ErrCrashed
	}
	return m.secrets[name], nil
}

// PutSecret implements [tasks.Store].
func (m *Model) PutSecret(_ context.Context, name string, revision uint64, sealed []byte) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.change(m.secrets[name].Revision, revision, func() {
		m.secrets[name] = tasks.Secret{Revision: revision + 1, Sealed: bytes.Clone(sealed)}
	})
	return m.secrets[name].Revision, err
}
