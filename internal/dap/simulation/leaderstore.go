package simulation

import (
	"context"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
)

// A leaderLink is a leader's store behind a link.
type leaderLink struct {
	ledgerLink
	leaderStore
}

// leaderStore has the methods that a leaderLink does not define, without faults.
type leaderStore struct{ leader.Store }

var _ leader.Store = leaderLink{}

// As returns the store of a holder of a claim behind the same link.
func (s leaderLink) As(c leader.Claim) leader.Store {
	inner := s.Store.As(c)
	return leaderLink{ledgerLink{s.link, inner}, leaderStore{inner}}
}

func (s leaderLink) Claim(ctx context.Context, c leader.Claim, now time.Time) (leader.Claim, error) {
	return change(s.link, func() (leader.Claim, error) { return s.Store.Claim(ctx, c, now) })
}

func (s leaderLink) Renew(ctx context.Context, c leader.Claim) error {
	return alter(s.link, func() error { return s.Store.Renew(ctx, c) })
}

func (s leaderLink) Nodes(ctx context.Context) ([]leader.Claim, error) {
	return read(s.link, func() ([]leader.Claim, error) { return s.Store.Nodes(ctx) })
}

func (s leaderLink) Drops(ctx context.Context) ([]leader.Dropped, error) {
	return read(s.link, func() ([]leader.Dropped, error) { return s.Store.Drops(ctx) })
}

func (s leaderLink) Holders(ctx context.Context, c leader.Collection) ([]leader.Holder, error) {
	return read(s.link, func() ([]leader.Holder, error) { return s.Store.Holders(ctx, c) })
}

func (s leaderLink) BeginLog(ctx context.Context, task dap.TaskID, node string) (leader.Log, error) {
	return change(s.link, func() (leader.Log, error) { return s.Store.BeginLog(ctx, task, node) })
}

func (s leaderLink) Logs(ctx context.Context, node string) ([]leader.Log, error) {
	return read(s.link, func() ([]leader.Log, error) { return s.Store.Logs(ctx, node) })
}

func (s leaderLink) Log(ctx context.Context, task dap.TaskID, number uint64) (log leader.Log, found bool, err error) {
	_, err = read(s.link, func() (struct{}, error) {
		log, found, err = s.Store.Log(ctx, task, number)
		return struct{}{}, err
	})
	return log, found, err
}

func (s leaderLink) LastLog(ctx context.Context, task dap.TaskID, upto uint64) (last uint64, undone int, err error) {
	_, err = read(s.link, func() (struct{}, error) {
		last, undone, err = s.Store.LastLog(ctx, task, upto)
		return struct{}{}, err
	})
	return last, undone, err
}

func (s leaderLink) SealLog(ctx context.Context, log leader.Log) error {
	return alter(s.link, func() error { return s.Store.SealLog(ctx, log) })
}

func (s leaderLink) CreateJobs(ctx context.Context, creation leader.JobCreation) error {
	return alter(s.link, func() error { return s.Store.CreateJobs(ctx, creation) })
}

func (s leaderLink) DropLog(ctx context.Context, task dap.TaskID, number uint64) error {
	return alter(s.link, func() error { return s.Store.DropLog(ctx, task, number) })
}

func (s leaderLink) Lease(ctx context.Context, node string, now, until time.Time, limit int) ([]leader.Job, error) {
	return change(s.link, func() ([]leader.Job, error) { return s.Store.Lease(ctx, node, now, until, limit) })
}

func (s leaderLink) Release(ctx context.Context, node string) error {
	return alter(s.link, func() error { return s.Store.Release(ctx, node) })
}

func (s leaderLink) NextDue(ctx context.Context, node string) (time.Time, error) {
	return read(s.link, func() (time.Time, error) { return s.Store.NextDue(ctx, node) })
}

func (s leaderLink) Jobs(ctx context.Context, task dap.TaskID) (jobs int, reports uint64, err error) {
	_, err = read(s.link, func() (struct{}, error) {
		jobs, reports, err = s.Store.Jobs(ctx, task)
		return struct{}{}, err
	})
	return jobs, reports, err
}

func (s leaderLink) Work(ctx context.Context) (map[dap.TaskID]leader.Work, error) {
	return read(s.link, func() (map[dap.TaskID]leader.Work, error) { return s.Store.Work(ctx) })
}

func (s leaderLink) UpdateJob(ctx context.Context, job leader.Job, held time.Time) error {
	return alter(s.link, func() error { return s.Store.UpdateJob(ctx, job, held) })
}

func (s leaderLink) EndJob(ctx context.Context, end leader.End, c *ledger.Change) error {
	return alter(s.link, func() error { return s.Store.EndJob(ctx, end, c) })
}

func (s leaderLink) Batches(ctx context.Context, task dap.TaskID) ([]leader.Batch, error) {
	return read(s.link, func() ([]leader.Batch, error) { return s.Store.Batches(ctx, task) })
}

func (s leaderLink) ForgetBatches(ctx context.Context, task dap.TaskID, before dap.Time) error {
	return alter(s.link, func() error { return s.Store.ForgetBatches(ctx, task, before) })
}

func (s leaderLink) ForgetLosses(ctx context.Context, task dap.TaskID, before dap.Time) error {
	return alter(s.link, func() error { return s.Store.ForgetLosses(ctx, task, before) })
}

func (s leaderLink) CreateCollection(ctx context.Context, c leader.Collection) (have leader.Collection, fresh bool, err error) {
	err = alter(s.link, func() error {
		have, fresh, err = s.Store.CreateCollection(ctx, c)
		return err
	})
	return have, fresh, err
}

func (s leaderLink) Collection(ctx context.Context, task dap.TaskID, id dap.CollectionJobID) (leader.Collection, error) {
	return read(s.link, func() (leader.Collection, error) { return s.Store.Collection(ctx, task, id) })
}

func (s leaderLink) Collections(ctx context.Context) ([]leader.Collection, error) {
	return read(s.link, func() ([]leader.Collection, error) { return s.Store.Collections(ctx) })
}

func (s leaderLink) UpdateCollection(ctx context.Context, c leader.Collection) error {
	return alter(s.link, func() error { return s.Store.UpdateCollection(ctx, c) })
}

func (s leaderLink) Drain(ctx context.Context, c leader.Collection) error {
	return alter(s.link, func() error { return s.Store.Drain(ctx, c) })
}

func (s leaderLink) EndCollection(ctx context.Context, c leader.Collection, mark ledger.Collection) error {
	return alter(s.link, func() error { return s.Store.EndCollection(ctx, c, mark) })
}

func (s leaderLink) ForgetCollections(ctx context.Context, task dap.TaskID, before time.Time) error {
	return alter(s.link, func() error { return s.Store.ForgetCollections(ctx, task, before) })
}
