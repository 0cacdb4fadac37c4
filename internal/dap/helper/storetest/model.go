package storetest

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/ledger/storetest"
)

// ErrCrashed is what a [Model] returns from its crash on.
var ErrCrashed = storetest.ErrCrashed

// A Model is a [helper.Store] in memory that can crash just before or just after
// a change takes effect, see [storetest.Model].
type Model struct {
	*storetest.Model
	jobs   map[helper.JobKey]helper.Job // what it holds is replaced, never changed
	shares map[shareKey]helper.Share
}

var _ helper.Store = (*Model)(nil)

type shareKey struct {
	task dap.TaskID
	id   dap.AggregateShareID
}

// NewModel returns an empty store.
func NewModel() *Model {
	return &Model{storetest.NewModel(), make(map[helper.JobKey]helper.Job), make(map[shareKey]helper.Share)}
}

// Restart returns the store that is found after a crash. This one is dead then.
func (m *Model) Restart() *Model {
	return &Model{m.Model.Restart(), maps.Clone(m.jobs), maps.Clone(m.shares)}
}

func cloneJob(j helper.Job) helper.Job {
	j.Request, j.Verdicts = bytes.Clone(j.Request), bytes.Clone(j.Verdicts)
	j.Response, j.Problem = bytes.Clone(j.Response), bytes.Clone(j.Problem)
	j.Made = j.Made.Truncate(time.Second).UTC()
	return j
}

func cloneShare(s helper.Share) helper.Share {
	s.Response = bytes.Clone(s.Response)
	s.Made = s.Made.Truncate(time.Second).UTC()
	return s
}

// put is a step that stores a job, if the ID has no job or one in one of the
// states.
func (m *Model) put(j *helper.Job, over ...helper.State) storetest.Step {
	next := cloneJob(*j)
	return func() (func(), error) {
		have, ok := m.jobs[next.Key()]
		if ok && !slices.Contains(over, have.State) {
			return nil, helper.ErrExists
		}
		return func() { m.jobs[next.Key()] = next }, nil
	}
}

// Job implements [helper.Store].
func (m *Model) Job(_ context.Context, task dap.TaskID, id dap.AggregationJobID) (job *helper.Job, err error) {
	err = m.Read(func() error {
		have, ok := m.jobs[helper.JobKey{Task: task, ID: id}]
		if !ok {
			return helper.ErrNone
		}
		have = cloneJob(have)
		job = &have
		return nil
	})
	return job, err
}

// BeginJob implements [helper.Store].
func (m *Model) BeginJob(_ context.Context, j *helper.Job) error { return m.Atomically(m.put(j)) }

// CommitJob implements [helper.Store].
func (m *Model) CommitJob(_ context.Context, c ledger.Change, j *helper.Job) error {
	return m.Atomically(m.put(j, helper.Waiting), m.StepCommit(c))
}

// FailJob implements [helper.Store].
func (m *Model) FailJob(_ context.Context, j *helper.Job) error {
	return m.Atomically(func() (func(), error) {
		if _, ok := m.jobs[j.Key()]; !ok {
			return nil, helper.ErrNone
		}
		return func() {}, nil
	}, m.put(j, helper.Waiting))
}

// DeleteJob implements [helper.Store].
func (m *Model) DeleteJob(_ context.Context, k helper.JobKey, now time.Time) error {
	return m.Atomically(func() (func(), error) {
		have, ok := m.jobs[k]
		if !ok {
			return nil, helper.ErrNone
		}
		next := cloneJob(helper.Job{Task: k.Task, ID: k.ID, State: helper.Deleted, Digest: have.Digest, Made: now})
		return func() { m.jobs[k] = next }, nil
	})
}

// WaitingJobs implements [helper.Store].
func (m *Model) WaitingJobs(_ context.Context, before time.Time, limit int) (keys []helper.JobKey, err error) {
	err = m.Read(func() error {
		var jobs []helper.Job
		for _, j := range m.jobs {
			if j.State == helper.Waiting && j.Made.Before(before) {
				jobs = append(jobs, j)
			}
		}
		slices.SortFunc(jobs, func(a, b helper.Job) int {
			return cmp.Or(a.Made.Compare(b.Made), bytes.Compare(a.ID[:], b.ID[:]))
		})
		for _, j := range jobs[:min(limit, len(jobs))] {
			keys = append(keys, j.Key())
		}
		return nil
	})
	return keys, err
}

// Share implements [helper.Store].
func (m *Model) Share(_ context.Context, task dap.TaskID, id dap.AggregateShareID) (share *helper.Share, err error) {
	err = m.Read(func() error {
		have, ok := m.shares[shareKey{task, id}]
		if !ok {
			return helper.ErrNone
		}
		have = cloneShare(have)
		share = &have
		return nil
	})
	return share, err
}

// CollectShare implements [helper.Store].
func (m *Model) CollectShare(_ context.Context, c ledger.Collection, s *helper.Share) error {
	next, k := cloneShare(*s), shareKey{s.Task, s.ID}
	return m.Atomically(func() (func(), error) {
		if _, ok := m.shares[k]; ok {
			return nil, helper.ErrExists
		}
		return func() { m.shares[k] = next }, nil
	}, m.StepCollect(c))
}

// DeleteShare implements [helper.Store].
func (m *Model) DeleteShare(_ context.Context, task dap.TaskID, id dap.AggregateShareID, now time.Time) error {
	return m.Atomically(func() (func(), error) {
		have, ok := m.shares[shareKey{task, id}]
		if !ok {
			return nil, helper.ErrNone
		}
		next := cloneShare(helper.Share{Task: task, ID: id, State: helper.Deleted, Digest: have.Digest, Made: now})
		return func() { m.shares[shareKey{task, id}] = next }, nil
	})
}

// Sweep implements [helper.Store].
func (m *Model) Sweep(_ context.Context, responses, records time.Time, limit int) (n int, err error) {
	err = m.Atomically(func() (func(), error) {
		jobs, shares := maps.Clone(m.jobs), maps.Clone(m.shares)
		dropped, forgotten, forgottenShares := 0, 0, 0
		for k, j := range m.jobs {
			switch {
			case j.State == helper.Waiting:
			case j.Made.Before(records) && forgotten < limit:
				delete(jobs, k)
				forgotten++
			case j.Made.Before(responses) && len(j.Response) > 0 && dropped < limit:
				j.Response = nil
				jobs[k] = j
				dropped++
			}
		}
		for k, s := range m.shares {
			if s.Made.Before(records) && forgottenShares < limit {
				delete(shares, k)
				forgottenShares++
			}
		}
		n = dropped + forgotten + forgottenShares
		return func() { m.jobs, m.shares = jobs, shares }, nil
	})
	return n, err
}
