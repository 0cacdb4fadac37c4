package simulation

import (
	"context"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/leader"
	"github.com/shoal-project/shoal/dap/ledger"
)

// A leaderLink is a leader's store behind a link.
type leaderLink struct {
	ledgerLink
	store leader.Store
}

var _ leader.Store = leaderLink{}

func (s leaderLink) BeginLog(ctx context.Context, task dap.TaskID, node string) (leader.Log, error) {
	return change(s.link, func() (leader.Log, error) { return s.store.BeginLog(ctx, task, node) })
}

func (s leaderLink) Logs(ctx context.Context, node string) ([]leader.Log, error) {
	return read(s.link, func() ([]leader.Log, error) { return s.store.Logs(ctx, node) })
}

func (s leaderLink) LastLog(ctx context.Context, task dap.TaskID, upto uint64) (last uint64, uncut int, err error) {
	_, err = read(s.link, func() (struct{}, error) {
		last, uncut, err = s.store.LastLog(ctx, task, upto)
		return struct{}{}, err
	})
	return last, uncut, err
}

func (s leaderLink) SealLog(ctx context.Context, log leader.Log) error {
	return alter(s.link, func() error { return s.store.SealLog(ctx, log) })
}

func (s leaderLink) Cut(ctx context.Context, cut leader.Cut) error {
	return alter(s.link, func() error { return s.store.Cut(ctx, cut) })
}

func (s leaderLink) DropLog(ctx context.Context, task dap.TaskID, number uint64) error {
	return alter(s.link, func() error { return s.store.DropLog(ctx, task, number) })
}

func (s leaderLink) Lease(ctx context.Context, node string, now, until time.Time, limit int) ([]leader.Job, error) {
	return change(s.link, func() ([]leader.Job, error) { return s.store.Lease(ctx, node, now, until, limit) })
}

func (s leaderLink) Release(ctx context.Context, node string) error {
	return alter(s.link, func() error { return s.store.Release(ctx, node) })
}

func (s leaderLink) NextDue(ctx context.Context, node string) (time.Time, error) {
	return read(s.link, func() (time.Time, error) { return s.store.NextDue(ctx, node) })
}

func (s leaderLink) Jobs(ctx context.Context, task dap.TaskID) (jobs int, reports uint64, err error) {
	_, err = read(s.link, func() (struct{}, error) {
		jobs, reports, err = s.store.Jobs(ctx, task)
		return struct{}{}, err
	})
	return jobs, reports, err
}

func (s leaderLink) UpdateJob(ctx context.Context, job leader.Job, held time.Time) error {
	return alter(s.link, func() error { return s.store.UpdateJob(ctx, job, held) })
}

func (s leaderLink) EndJob(ctx context.Context, end leader.End, c *ledger.Change) error {
	return alter(s.link, func() error { return s.store.EndJob(ctx, end, c) })
}

func (s leaderLink) Batches(ctx context.Context, task dap.TaskID) ([]leader.Batch, error) {
	return read(s.link, func() ([]leader.Batch, error) { return s.store.Batches(ctx, task) })
}

func (s leaderLink) ForgetBatches(ctx context.Context, task dap.TaskID, before dap.Time) error {
	return alter(s.link, func() error { return s.store.ForgetBatches(ctx, task, before) })
}

func (s leaderLink) CreateCollection(ctx context.Context, c leader.Collection) (have leader.Collection, fresh bool, err error) {
	err = alter(s.link, func() error {
		have, fresh, err = s.store.CreateCollection(ctx, c)
		return err
	})
	return have, fresh, err
}

func (s leaderLink) Collection(ctx context.Context, task dap.TaskID, id dap.CollectionJobID) (leader.Collection, error) {
	return read(s.link, func() (leader.Collection, error) { return s.store.Collection(ctx, task, id) })
}

func (s leaderLink) Collections(ctx context.Context) ([]leader.Collection, error) {
	return read(s.link, func() ([]leader.Collection, error) { return s.store.Collections(ctx) })
}

func (s leaderLink) UpdateCollection(ctx context.Context, c leader.Collection) error {
	return alter(s.link, func() error { return s.store.UpdateCollection(ctx, c) })
}

func (s leaderLink) Drain(ctx context.Context, c leader.Collection) error {
	return alter(s.link, func() error { return s.store.Drain(ctx, c) })
}

func (s leaderLink) EndCollection(ctx context.Context, c leader.Collection, mark ledger.Collection) error {
	return alter(s.link, func() error { return s.store.EndCollection(ctx, c, mark) })
}

func (s leaderLink) ForgetCollections(ctx context.Context, task dap.TaskID, before time.Time) error {
	return alter(s.link, func() error { return s.store.ForgetCollections(ctx, task, before) })
}
