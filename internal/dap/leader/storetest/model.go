package storetest

import (
	"bytes"
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

// A Model is a [leader.Store] in memory that can crash just before or just after
// a change takes effect.
type Model struct {
	*ledgertest.Model

	// What follows is guarded by the embedded model. The maps are replaced by
	// Restart only; their values are never shared.
	claim       leader.Claim // as whose holder it is seen
	nodes       map[string]leader.Claim
	drops       *[]leader.Dropped
	losses      map[lossKey]uint64
	lastLog     map[dap.TaskID]uint64
	lastJob     map[dap.TaskID]uint64
	serial      *uint64 // orders batches and collections
	logs        map[logKey]leader.Log
	jobs        map[jobKey]leader.Job
	batches     map[batchKey]numbered[leader.Batch]
	collections map[collectionKey]numbered[leader.Collection]
}

type (
	logKey struct {
		task   dap.TaskID
		number uint64
	}
	jobKey   logKey
	batchKey struct {
		task dap.TaskID
		id   dap.BatchID
	}
	lossKey struct {
		task dap.TaskID
		unit dap.Time
	}
	collectionKey struct {
		task dap.TaskID
		id   dap.CollectionJobID
	}
	numbered[T any] struct {
		serial uint64
		value  T
	}
)

var _ leader.Store = (*Model)(nil)

// NewModel returns an empty store.
func NewModel() *Model {
	return &Model{
		Model: ledgertest.NewModel(), nodes: make(map[string]leader.Claim), drops: new([]leader.Dropped), losses: make(map[lossKey]uint64), serial: new(uint64), lastLog: make(map[dap.TaskID]uint64), lastJob: make(map[dap.TaskID]uint64),
		logs: make(map[logKey]leader.Log), jobs: make(map[jobKey]leader.Job),
		batches: make(map[batchKey]numbered[leader.Batch]), collections: make(map[collectionKey]numbered[leader.Collection]),
	}
}

// Restart returns the store that is found after a crash. This one is dead then.
func (m *Model) Restart() *Model {
	next := m.Model.Restart()
	serial, drops := *m.serial, slices.Clone(*m.drops)
	return &Model{
		Model: next, nodes: maps.Clone(m.nodes), drops: &drops, losses: maps.Clone(m.losses), lastLog: maps.Clone(m.lastLog), lastJob: maps.Clone(m.lastJob), serial: &serial,
		logs: maps.Clone(m.logs), jobs: maps.Clone(m.jobs), batches: maps.Clone(m.batches), collections: maps.Clone(m.collections),
	}
}

// change makes one change of a node that may fail: decide must not change
// anything.
func (m *Model) change(decide func() (func(), error)) error { return m.steps(decide) }

// steps makes a change of a node.
func (m *Model) steps(steps ...ledgertest.Step) error {
	return m.Atomically(append([]ledgertest.Step{m.fence}, steps...)...)
}

// fence is the step that checks the claim.
func (m *Model) fence() (func(), error) {
	if m.claim.Token == 0 || m.nodes[m.claim.Node].Token != m.claim.Token {
		return nil, leader.ErrFenced
	}
	return func() {}, nil
}

// BeginLog implements [leader.Store].
func (m *Model) BeginLog(_ context.Context, task dap.TaskID, node string) (log leader.Log, err error) {
	err = m.change(func() (func(), error) {
		log = leader.Log{Task: task, Number: m.lastLog[task] + 1, Node: node, State: leader.LogOpen}
		return func() {
			m.lastLog[task]++
			m.logs[logKey{task, log.Number}] = log
		}, nil
	})
	return log, err
}

// Logs implements [leader.Store].
func (m *Model) Logs(_ context.Context, node string) (all []leader.Log, err error) {
	err = m.Read(func() error {
		for _, l := range m.logs {
			if l.Node != node {
				continue
			}
			for _, j := range m.jobs {
				if j.Task == l.Task && j.Log == l.Number {
					l.Jobs++
				}
			}
			all = append(all, l)
		}
		return nil
	})
	slices.SortFunc(all, func(a, b leader.Log) int {
		return cmp.Or(bytes.Compare(a.Task[:], b.Task[:]), cmp.Compare(a.Number, b.Number))
	})
	return all, err
}

// Log implements [leader.Store].
func (m *Model) Log(ctx context.Context, task dap.TaskID, number uint64) (log leader.Log, found bool, err error) {
	var node string
	err = m.Read(func() error {
		for _, l := range m.logs {
			if l.Task == task && l.Number == number {
				node = l.Node
			}
		}
		return nil
	})
	if err != nil || node == "" {
		return leader.Log{}, false, err
	}
	all, err := m.Logs(ctx, node)
	for _, l := range all {
		if l.Task == task && l.Number == number {
			return l, true, err
		}
	}
	return leader.Log{}, false, err
}

// LastLog implements [leader.Store].
func (m *Model) LastLog(_ context.Context, task dap.TaskID, upto uint64) (last uint64, undone int, err error) {
	err = m.Read(func() error {
		last, undone = m.lastLog[task], m.undone(task, upto)
		return nil
	})
	return last, undone, err
}

func (m *Model) undone(task dap.TaskID, upto uint64) int {
	n := 0
	for _, l := range m.logs {
		if l.Task == task && l.Number <= upto && l.State != leader.LogDone {
			n++
		}
	}
	return n
}

// SealLog implements [leader.Store].
func (m *Model) SealLog(_ context.Context, log leader.Log) error {
	return m.change(func() (func(), error) {
		have, ok := m.logs[logKey{log.Task, log.Number}]
		if !ok || have.State != leader.LogOpen {
			return nil, leader.ErrConflict
		}
		have.State, have.Records = leader.LogSealed, log.Records
		return func() { m.logs[logKey{log.Task, log.Number}] = have }, nil
	})
}

// CreateJobs implements [leader.Store].
func (m *Model) CreateJobs(_ context.Context, creation leader.JobCreation) error {
	return m.change(func() (func(), error) {
		k := logKey{creation.Log.Task, creation.Log.Number}
		log, ok := m.logs[k]
		if !ok || log.State != leader.LogSealed {
			return nil, leader.ErrConflict
		}
		fresh := make(map[dap.BatchID]bool)
		for _, b := range creation.Batches {
			fresh[b.ID] = true
		}
		for i := range creation.Jobs {
			j := &creation.Jobs[i]
			b, known := m.batches[batchKey{j.Task, j.Batch}]
			if j.Batch != (dap.BatchID{}) && !fresh[j.Batch] && (!known || b.value.Taken) {
				return nil, leader.ErrConflict
			}
			if m.draining(func(c *leader.Collection) bool { return c.Task == j.Task && c.Overlaps(j) }) {
				return nil, leader.ErrBusy
			}
		}
		return func() {
			log.State = leader.LogDone
			m.logs[k] = log
			for _, b := range creation.Batches {
				*m.serial++
				m.batches[batchKey{b.Task, b.ID}] = numbered[leader.Batch]{*m.serial, b}
			}
			m.addJobs(creation.Jobs)
			m.addLosses(creation.Log.Task, creation.Lost)
		}, nil
	})
}

func (m *Model) draining(match func(*leader.Collection) bool) bool {
	for _, c := range m.collections {
		if c.value.State == leader.Draining && match(&c.value) {
			return true
		}
	}
	return false
}

func (m *Model) addJobs(jobs []leader.Job) {
	for _, j := range jobs {
		m.lastJob[j.Task]++
		j.Number = m.lastJob[j.Task]
		j.Skip = bytes.Clone(j.Skip)
		m.jobs[jobKey{j.Task, j.Number}] = j
		m.count(j.Task, j.Batch, uint64(j.Reports), 0, 0)
	}
}

func (m *Model) addLosses(task dap.TaskID, all []leader.Loss) {
	for _, l := range all {
		m.losses[lossKey{task, l.Unit}] += l.Reports
	}
}

// Losses implements [leader.Store].
func (m *Model) Losses(_ context.Context, task dap.TaskID, i dap.Interval) (n uint64, err error) {
	err = m.Read(func() error {
		for k, reports := range m.losses {
			if k.task == task && k.unit >= i.Start && uint64(k.unit-i.Start) < uint64(i.Duration) {
				n += reports
			}
		}
		return nil
	})
	return n, err
}

// ForgetLosses implements [leader.Store].
func (m *Model) ForgetLosses(_ context.Context, task dap.TaskID, before dap.Time) error {
	return m.change(func() (func(), error) {
		return func() {
			maps.DeleteFunc(m.losses, func(k lossKey, _ uint64) bool { return k.task == task && k.unit < before })
		}, nil
	})
}

// count changes the counts of a batch, if there is one.
func (m *Model) count(task dap.TaskID, id dap.BatchID, assigned, ended, counted uint64) {
	k := batchKey{task, id}
	if b, ok := m.batches[k]; ok {
		b.value.Assigned += assigned - ended
		b.value.Count += counted
		m.batches[k] = b
	}
}

// DropLog implements [leader.Store].
func (m *Model) DropLog(_ context.Context, task dap.TaskID, number uint64) error {
	return m.change(func() (func(), error) {
		k := logKey{task, number}
		log, ok := m.logs[k]
		if ok && log.State != leader.LogDone {
			return nil, leader.ErrConflict
		}
		for _, j := range m.jobs {
			if j.Task == task && j.Log == number {
				return nil, leader.ErrBusy
			}
		}
		return func() { delete(m.logs, k) }, nil
	})
}

// Lease implements [leader.Store].
func (m *Model) Lease(_ context.Context, node string, now, until time.Time, limit int) (leased []leader.Job, err error) {
	err = m.change(func() (func(), error) {
		leased = nil
		for _, j := range m.jobs {
			if j.Node == node && !j.Due.After(now) && !j.Lease.After(now) {
				leased = append(leased, j)
			}
		}
		slices.SortFunc(leased, func(a, b leader.Job) int {
			return cmp.Or(a.Due.Compare(b.Due), bytes.Compare(a.Task[:], b.Task[:]), cmp.Compare(a.Number, b.Number))
		})
		leased = leased[:min(len(leased), max(0, limit))]
		for i := range leased {
			leased[i].Lease = until
			leased[i].Attempts++
		}
		return func() {
			for _, j := range leased {
				m.jobs[jobKey{j.Task, j.Number}] = j
			}
		}, nil
	})
	if err != nil {
		return nil, err
	}
	return leased, nil
}

// Release implements [leader.Store].
func (m *Model) Release(_ context.Context, node string) error {
	return m.change(func() (func(), error) {
		return func() {
			for k, j := range m.jobs {
				if j.Node == node {
					j.Lease = time.Time{}
					m.jobs[k] = j
				}
			}
		}, nil
	})
}

// NextDue implements [leader.Store].
func (m *Model) NextDue(_ context.Context, node string) (due time.Time, err error) {
	err = m.Read(func() error {
		for _, j := range m.jobs {
			if j.Node != node {
				continue
			}
			at := j.Due
			if j.Lease.After(at) {
				at = j.Lease
			}
			if due.IsZero() || at.Before(due) {
				due = at
			}
		}
		return nil
	})
	return due, err
}

// Jobs implements [leader.Store].
func (m *Model) Jobs(_ context.Context, task dap.TaskID) (jobs int, reports uint64, err error) {
	err = m.Read(func() error {
		for _, j := range m.jobs {
			if j.Task == task {
				jobs++
				reports += uint64(j.Reports)
			}
		}
		return nil
	})
	return jobs, reports, err
}

// Work implements [leader.Store].
func (m *Model) Work(context.Context) (all map[dap.TaskID]leader.Work, err error) {
	all = make(map[dap.TaskID]leader.Work)
	err = m.Read(func() error {
		for _, j := range m.jobs {
			w := all[j.Task]
			w.Jobs++
			w.Reports += uint64(j.Reports)
			if !j.Since.IsZero() {
				w.Unanswered.Jobs++
				w.Unanswered.Reports += uint64(j.Reports)
				if w.Unanswered.Since.IsZero() || j.Since.Before(w.Unanswered.Since) {
					w.Unanswered.Since = j.Since
				}
			}
			all[j.Task] = w
		}
		return nil
	})
	return all, err
}

// UpdateJob implements [leader.Store].
func (m *Model) UpdateJob(_ context.Context, job leader.Job, held time.Time) error {
	return m.change(func() (func(), error) {
		k := jobKey{job.Task, job.Number}
		have, ok := m.jobs[k]
		if !ok || !have.Lease.Equal(held) {
			return nil, leader.ErrConflict
		}
		have.Digest, have.Location, have.Attempts, have.Since = job.Digest, job.Location, job.Attempts, job.Since
		have.Due, have.Lease = job.Due, job.Lease
		return func() { m.jobs[k] = have }, nil
	})
}

// EndJob implements [leader.Store].
func (m *Model) EndJob(_ context.Context, end leader.End, change *ledger.Change) error {
	steps := []ledgertest.Step{func() (func(), error) {
		k := jobKey{end.Job.Task, end.Job.Number}
		have, ok := m.jobs[k]
		if !ok || !have.Lease.Equal(end.Job.Lease) {
			return nil, leader.ErrConflict
		}
		return func() {
			delete(m.jobs, k)
			m.count(have.Task, have.Batch, 0, uint64(have.Reports), end.Counted)
			m.addJobs(end.Next)
			m.addLosses(have.Task, end.Lost)
		}, nil
	}}
	if change != nil {
		steps = append(steps, m.StepCommit(*change))
	}
	return m.steps(steps...)
}
