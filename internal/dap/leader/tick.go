package leader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/segment"
)

const (
	maxSleep   = time.Minute // loops look at least so often, to notice what other nodes did and jumps of the clock
	cleanEvery = time.Hour
)

// Run does what is due, whenever it is due, until ctx is done, and returns ctx's
// error. Failures do not end it; they are passed to failed, if that is not nil.
// Logs, jobs and collections are worked on side by side.
func (l *Leader) Run(ctx context.Context, failed func(error)) error {
	report := func(err error) {
		_ = l.lose(err)
		if err != nil && failed != nil && ctx.Err() == nil {
			failed(err)
		}
	}
	loop := func(work func(context.Context) error, wake clock.Signal, due func(context.Context) time.Time) func() error {
		return func() error {
			unlessFenced := func(ctx context.Context) error {
				if l.fenced() != nil { // there is nothing that it may do
					return nil
				}
				return work(ctx)
			}
			next := func(err error) time.Time {
				if err != nil { // what failed may be due still
					return later(due(ctx), l.config.Clock.Now().Add(l.config.FirstPause))
				}
				return due(ctx)
			}
			return clock.Loop(ctx, l.config.Clock, wake, unlessFenced, next, report)
		}
	}
	var g errgroup.Group
	g.Go(loop(l.keepClaim, nil, func(context.Context) time.Time { return later(l.renewDue(), l.now().Add(l.config.FirstPause)) }))
	g.Go(loop(func(ctx context.Context) error { _, err := l.createDueJobs(ctx, false); return err }, l.wake.intake, l.intakeDue))
	g.Go(loop(func(ctx context.Context) error { return l.drive(ctx, report) }, l.wake.jobs, l.jobsDue))
	g.Go(loop(func(ctx context.Context) error { _, err := l.driveCollections(ctx, false); return err }, l.wake.collections, l.collectionsDue))
	g.Go(loop(l.collectGarbage, l.wake.gc, func(context.Context) time.Time { return l.now().Add(cleanEvery) }))
	return g.Wait()
}

// Tick does everything that is due now. Each log, job and collection goes as far
// as it can; the errors of those that could not go on are joined.
func (l *Leader) Tick(ctx context.Context) error {
	if err := errors.Join(l.keepClaim(ctx), l.fenced()); err != nil {
		return err
	}
	return l.lose(l.tick(ctx))
}

func (l *Leader) tick(ctx context.Context) error {
	var errs []error
	for ctx.Err() == nil {
		cut, err := l.createDueJobs(ctx, true)
		errs = append(errs, err, l.drive(ctx, func(err error) { errs = append(errs, err) }))
		moved, err := l.driveCollections(ctx, true)
		errs = append(errs, err)
		if !cut && !moved {
			break
		}
	}
	errs = append(errs, l.collectGarbage(ctx))
	return errors.Join(append(errs, ctx.Err())...)
}

// createDueJobs closes the shared log if it is due and puts the reports of sealed logs into
// jobs. It looks at what may have changed at other nodes if it is time, or look says
// so.
func (l *Leader) createDueJobs(ctx context.Context, look bool) (bool, error) {
	l.creating.Lock()
	defer l.creating.Unlock()
	errs := []error{l.adoptLogs(ctx), l.rotate(ctx, l.now(), look), l.settle(ctx)}
	cut, err := l.createJobs(ctx, look)
	return cut, errors.Join(append(errs, err)...)
}

// intakeDue returns when logs are due next.
func (l *Leader) intakeDue(context.Context) time.Time {
	now := l.now()
	due := now.Add(maxSleep)
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.sharing.active; s != nil {
		at := s.due(&l.config)
		if s.reports.Load() == 0 { // its first report may be on the way, and wakes nothing
			at = later(at, now.Add(l.config.LogAge))
		}
		if l.crowded() {
			at = later(at, now.Add(l.config.FirstPause))
		}
		due = earlier(due, at)
	}
	if len(l.blocked.logs) > 0 {
		due = earlier(due, l.blocked.due)
	}
	return due
}

// jobsDue returns when the next job is due.
func (l *Leader) jobsDue(ctx context.Context) time.Time {
	now := l.now()
	due, err := l.config.Store.NextDue(ctx, l.config.Node)
	if err != nil {
		return now.Add(l.config.FirstPause) // Lease will return the error
	}
	if due.IsZero() {
		return now.Add(maxSleep)
	}
	return earlier(due, now.Add(maxSleep))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// collectGarbage forgets what is of no use any more: logs whose jobs have ended, and
// reports, batches and results that have expired.
func (l *Leader) collectGarbage(ctx context.Context) error {
	l.sweeping.Lock()
	defer l.sweeping.Unlock()
	now, sure := l.guard.Now()
	hour := !now.Before(l.expired.Add(cleanEvery))
	var errs []error
	if hour || l.recount.Swap(false) {
		errs = append(errs, l.countJobs(ctx))
	}
	l.mu.Lock()
	finished := l.finished
	l.finished = make(map[*taskLog]struct{})
	l.mu.Unlock()
	for o := range finished {
		if err := l.drop(ctx, o); err != nil {
			errs = append(errs, fmt.Errorf("removing log %d of task %v: %w", o.key.number, o.key.task, err))
			l.mu.Lock()
			l.finished[o] = struct{}{}
			l.mu.Unlock()
		}
	}
	if sure && hour {
		l.expired = now
		errs = append(errs, l.expire(ctx, now))
	}
	return errors.Join(errs...)
}

// removable lets a log be removed if no job refers to it and no shared log holds
// reports of it. The caller holds l.mu.
func (l *Leader) removable(o *taskLog) {
	if o.info.State == LogDone && o.jobs <= 0 && (o.home == nil || o.home.removed) {
		l.finished[o] = struct{}{}
		l.wake.gc.Set()
	}
}

// countJobs finds logs that no job refers to although this process does not know.
func (l *Leader) countJobs(ctx context.Context) error {
	all, err := l.config.Store.Logs(ctx, l.config.Node)
	if err != nil {
		l.recount.Store(true)
		return fmt.Errorf("reading logs: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, info := range all {
		o := l.logs[logKey{info.Task, info.Number}]
		if o == nil || info.State != LogDone || info.Jobs > 0 || o.info.State != LogDone {
			continue
		}
		o.jobs = 0
		l.removable(o)
	}
	return nil
}

// drop removes a log that no job refers to.
func (l *Leader) drop(ctx context.Context, o *taskLog) error {
	info, found, err := l.config.Store.Log(ctx, o.key.task, o.key.number)
	if err != nil {
		return err
	}
	if found && (info.State != LogDone || info.Jobs > 0) {
		l.recount.Store(true) // it was counted wrongly
		return nil
	}
	if err := l.readers.remove(o.key); err != nil {
		return err
	}
	if err := segment.Remove(l.config.FS, l.dir(o.key)); err != nil {
		return err
	}
	if err := l.config.Store.DropLog(ctx, o.key.task, o.key.number); err != nil {
		return err
	}
	l.mu.Lock()
	delete(l.logs, o.key)
	l.mu.Unlock()
	l.intake(o.key.task).stored.Add(-o.size.Load())
	return nil
}

// expire forgets what is older than the tasks' expiry.
func (l *Leader) expire(ctx context.Context, now time.Time) error {
	var errs []error
	for _, s := range l.config.Registry.List() {
		taskLedger, err := l.ledger(ctx, s)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		keep := l.config.Results
		if s.Entry.Expiry > 0 {
			keep = s.Entry.Expiry
			errs = append(errs, taskLedger.Expire(ctx), l.expireSpent(ctx, s))
		}
		before, err := s.Task.Config().TimePrecision.Time(now.Add(-keep))
		if err != nil {
			continue // before 1970
		}
		errs = append(errs,
			l.config.Store.ForgetBatches(ctx, s.Task.ID(), before),
			l.config.Store.ForgetCollections(ctx, s.Task.ID(), now.Add(-keep)))
		// Collections of what has expired report its losses for as long as results are kept.
		if before, err = s.Task.Config().TimePrecision.Time(now.Add(-keep - l.config.Results)); err == nil {
			errs = append(errs, l.config.Store.ForgetLosses(ctx, s.Task.ID(), before))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("forgetting what has expired: %w", err)
	}
	return nil
}

// expireSpent forgets what reports of a task have spent that cannot be counted any more.
func (l *Leader) expireSpent(ctx context.Context, s *tasks.Serving) error {
	spent, err := l.spent(ctx, s)
	if err != nil || spent == nil {
		return err
	}
	return spent.Expire(ctx)
}
