package simulation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
)

// Stores makes the stores of a run. All nodes of a role share one.
type Stores interface {
	Leader() leader.Store
	Helper() helper.Store
}

// What a store that fails answers with.
var (
	errCrashed = errors.New("process crashed")
	errStore   = errors.New("store: the server closed the connection unexpectedly")
	errTimeout = fmt.Errorf("store: no answer in time: %w", context.DeadlineExceeded)
)

// A link is the way of one process to its store. It fails before a change takes
// effect or after that, with the process alive or dead, and it is slow.
type link struct {
	world   *world
	peers   func() // lets the other nodes of the role work
	dead    bool   // the process has crashed
	crashAt int    // changes until the process crashes; 0: it does not
	late    bool   // the crash comes after the change
}

// failure returns the error of a store that cannot be reached.
func (l *link) failure(when string) error {
	w := l.world
	w.stats.StoreErrors++
	w.disturbed++
	w.note("  store fails %s", when)
	if w.random.IntN(2) == 0 {
		return errTimeout
	}
	return errStore
}

// read makes a call that changes nothing.
func read[T any](l *link, call func() (T, error)) (T, error) {
	w := l.world
	var none T
	switch {
	case l.dead:
		return none, errCrashed
	case w.calm():
	case w.chance(w.setting.StoreError):
		return none, l.failure("to read")
	}
	return call()
}

// change makes a call that changes something.
func change[T any](l *link, call func() (T, error)) (T, error) {
	w := l.world
	var none T
	if l.dead {
		return none, errCrashed
	}
	if l.crashAt > 0 {
		if l.crashAt--; l.crashAt == 0 {
			l.dead = true
			w.disturbed++
			if l.late {
				_, _ = call()
			}
			return none, errCrashed
		}
	}
	switch {
	case w.calm():
		return call()
	case w.chance(w.setting.StoreSlow):
		w.slow(l.peers)
	}
	switch {
	case w.chance(w.setting.StoreError):
		return none, l.failure("before a change")
	case w.chance(w.setting.StoreError):
		v, err := call()
		if err != nil {
			return v, err
		}
		return none, l.failure("after a change")
	}
	return call()
}

// alter is change for calls that return an error only.
func alter(l *link, call func() error) error {
	_, err := change(l, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// A ledgerLink is a ledger's store behind a link.
type ledgerLink struct {
	*link
	ledger ledger.Store
}

func (s ledgerLink) Begin(ctx context.Context, task dap.TaskID, l ledger.Layout) (ledger.Layout, error) {
	return change(s.link, func() (ledger.Layout, error) { return s.ledger.Begin(ctx, task, l) })
}

func (s ledgerLink) Head(ctx context.Context, task dap.TaskID, since uint64) (ledger.Head, error) {
	return read(s.link, func() (ledger.Head, error) { return s.ledger.Head(ctx, task, since) })
}

func (s ledgerLink) Blocks(ctx context.Context, task dap.TaskID, page ledger.Page, after uint32) ([]ledger.Block, error) {
	return read(s.link, func() ([]ledger.Block, error) { return s.ledger.Blocks(ctx, task, page, after) })
}

func (s ledgerLink) Block(ctx context.Context, task dap.TaskID, page ledger.Page, seq uint32) (ledger.Block, error) {
	return read(s.link, func() (ledger.Block, error) { return s.ledger.Block(ctx, task, page, seq) })
}

func (s ledgerLink) Last(ctx context.Context, task dap.TaskID, page ledger.Page) (uint32, error) {
	return read(s.link, func() (uint32, error) { return s.ledger.Last(ctx, task, page) })
}

func (s ledgerLink) Sums(ctx context.Context, task dap.TaskID, b dap.BatchSelector) ([]ledger.Sum, error) {
	return read(s.link, func() ([]ledger.Sum, error) { return s.ledger.Sums(ctx, task, b) })
}

func (s ledgerLink) Commit(ctx context.Context, c ledger.Change) error {
	return alter(s.link, func() error { return s.ledger.Commit(ctx, c) })
}

func (s ledgerLink) Collect(ctx context.Context, c ledger.Collection) error {
	return alter(s.link, func() error { return s.ledger.Collect(ctx, c) })
}

func (s ledgerLink) Evict(ctx context.Context, task dap.TaskID, generation uint64, watermark dap.Time) error {
	return alter(s.link, func() error { return s.ledger.Evict(ctx, task, generation, watermark) })
}

func (s ledgerLink) Compact(ctx context.Context, task dap.TaskID, c ledger.Compaction) error {
	return alter(s.link, func() error { return s.ledger.Compact(ctx, task, c) })
}

// A helperLink is a helper's store behind a link.
type helperLink struct {
	ledgerLink
	helperStore
}

// helperStore has the methods that a helperLink does not define, without faults.
type helperStore struct{ helper.Store }

var _ helper.Store = helperLink{}

func (s helperLink) Job(ctx context.Context, task dap.TaskID, id dap.AggregationJobID) (*helper.Job, error) {
	return read(s.link, func() (*helper.Job, error) { return s.Store.Job(ctx, task, id) })
}

func (s helperLink) BeginJob(ctx context.Context, j *helper.Job) error {
	return alter(s.link, func() error { return s.Store.BeginJob(ctx, j) })
}

func (s helperLink) CommitJob(ctx context.Context, c ledger.Change, j *helper.Job) error {
	return alter(s.link, func() error { return s.Store.CommitJob(ctx, c, j) })
}

func (s helperLink) FailJob(ctx context.Context, j *helper.Job) error {
	return alter(s.link, func() error { return s.Store.FailJob(ctx, j) })
}

func (s helperLink) DeleteJob(ctx context.Context, k helper.JobKey, now time.Time) error {
	return alter(s.link, func() error { return s.Store.DeleteJob(ctx, k, now) })
}

func (s helperLink) WaitingJobs(ctx context.Context, before time.Time, limit int) ([]helper.JobKey, error) {
	return read(s.link, func() ([]helper.JobKey, error) { return s.Store.WaitingJobs(ctx, before, limit) })
}

func (s helperLink) Share(ctx context.Context, task dap.TaskID, id dap.AggregateShareID) (*helper.Share, error) {
	return read(s.link, func() (*helper.Share, error) { return s.Store.Share(ctx, task, id) })
}

func (s helperLink) CollectShare(ctx context.Context, c ledger.Collection, share *helper.Share) error {
	return alter(s.link, func() error { return s.Store.CollectShare(ctx, c, share) })
}

func (s helperLink) DeleteShare(ctx context.Context, task dap.TaskID, id dap.AggregateShareID, now time.Time) error {
	return alter(s.link, func() error { return s.Store.DeleteShare(ctx, task, id, now) })
}

func (s helperLink) Sweep(ctx context.Context, responses, records time.Time, limit int) (int, error) {
	return change(s.link, func() (int, error) { return s.Store.Sweep(ctx, responses, records, limit) })
}
