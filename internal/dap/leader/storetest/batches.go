package storetest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	ledgertest "github.com/shoal-project/shoal/internal/dap/ledger/storetest"
)

// Batches implements [leader.Store].
func (m *Model) Batches(_ context.Context, task dap.TaskID) (all []leader.Batch, err error) {
	err = m.Read(func() error {
		var found []numbered[leader.Batch]
		for _, b := range m.batches {
			if b.value.Task == task && !b.value.Taken {
				found = append(found, b)
			}
		}
		slices.SortFunc(found, func(a, b numbered[leader.Batch]) int { return cmp.Compare(a.serial, b.serial) })
		for _, b := range found {
			all = append(all, b.value)
		}
		return nil
	})
	return all, err
}

// ForgetBatches implements [leader.Store].
func (m *Model) ForgetBatches(_ context.Context, task dap.TaskID, before dap.Time) error {
	return m.change(func() (func(), error) {
		return func() {
			maps.DeleteFunc(m.batches, func(_ batchKey, b numbered[leader.Batch]) bool {
				return b.value.Task == task && b.value.Taken && b.value.Window < before
			})
		}, nil
	})
}

// CreateCollection implements [leader.Store].
func (m *Model) CreateCollection(_ context.Context, c leader.Collection) (leader.Collection, bool, error) {
	fresh := false
	err := m.change(func() (func(), error) {
		k := collectionKey{c.Task, c.ID}
		if have, ok := m.collections[k]; ok {
			c = have.value
			return func() {}, nil
		}
		fresh = true
		c.Rev = 1
		return func() {
			*m.serial++
			m.collections[k] = numbered[leader.Collection]{*m.serial, c}
		}, nil
	})
	return c, fresh, err
}

// Collection implements [leader.Store].
func (m *Model) Collection(_ context.Context, task dap.TaskID, id dap.CollectionJobID) (c leader.Collection, err error) {
	err = m.Read(func() error {
		have, ok := m.collections[collectionKey{task, id}]
		if !ok {
			return leader.ErrUnknown
		}
		c = have.value
		return nil
	})
	return c, err
}

// Collections implements [leader.Store].
func (m *Model) Collections(context.Context) (all []leader.Collection, err error) {
	err = m.Read(func() error {
		var found []numbered[leader.Collection]
		for _, c := range m.collections {
			if c.value.State == leader.Waiting || c.value.State == leader.Draining {
				found = append(found, c)
			}
		}
		slices.SortFunc(found, func(a, b numbered[leader.Collection]) int { return cmp.Compare(a.serial, b.serial) })
		for _, c := range found {
			all = append(all, c.value)
		}
		return nil
	})
	return all, err
}

// stepCollection replaces a collection job.
func (m *Model) stepCollection(c leader.Collection, check func(have *leader.Collection) error) ledgertest.Step {
	return func() (func(), error) {
		k := collectionKey{c.Task, c.ID}
		have, ok := m.collections[k]
		if !ok || have.value.Rev != c.Rev {
			return nil, leader.ErrConflict
		}
		if err := check(&have.value); err != nil {
			return nil, err
		}
		c.Rev++
		have.value = c
		return func() { m.collections[k] = have }, nil
	}
}

// UpdateCollection implements [leader.Store].
func (m *Model) UpdateCollection(_ context.Context, c leader.Collection) error {
	return m.steps(m.stepCollection(c, func(have *leader.Collection) error { return leader.CheckUpdate(have.State, c.State) }))
}

// Drain implements [leader.Store].
func (m *Model) Drain(_ context.Context, c leader.Collection) error {
	check := func(have *leader.Collection) error {
		if have.State != leader.Waiting {
			return leader.ErrConflict
		}
		if m.undone(c.Task, c.Upto) > 0 || m.draining(func(o *leader.Collection) bool { return o.Task == c.Task && o.Clashes(&c) }) {
			return leader.ErrBusy
		}
		for _, j := range m.jobs {
			if j.Task == c.Task && c.Overlaps(&j) {
				return leader.ErrBusy
			}
		}
		if c.Batch != (dap.BatchID{}) {
			if b, ok := m.batches[batchKey{c.Task, c.Batch}]; !ok || b.value.Taken {
				return leader.ErrConflict
			}
			if m.ahead(&c) {
				return leader.ErrBusy
			}
		}
		return nil
	}
	return m.steps(m.stepCollection(c, check), func() (func(), error) {
		return func() {
			k := batchKey{c.Task, c.Batch}
			if b, ok := m.batches[k]; ok {
				b.value.Taken = true
				m.batches[k] = b
			}
		}, nil
	})
}

// EndCollection implements [leader.Store].
func (m *Model) EndCollection(_ context.Context, c leader.Collection, mark ledger.Collection) error {
	return m.steps(m.stepCollection(c, func(have *leader.Collection) error {
		if have.State != leader.Draining {
			return leader.ErrConflict
		}
		return nil
	}), m.StepCollect(mark))
}

// ForgetCollections implements [leader.Store].
func (m *Model) ForgetCollections(_ context.Context, task dap.TaskID, before time.Time) error {
	return m.change(func() (func(), error) {
		return func() {
			maps.DeleteFunc(m.collections, func(_ collectionKey, c numbered[leader.Collection]) bool {
				ended := c.value.State != leader.Waiting && c.value.State != leader.Draining
				return c.value.Task == task && ended && c.value.Due.Before(before)
			})
		}, nil
	})
}
