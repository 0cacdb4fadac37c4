package leader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

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
	loop := func(work func() error, wake signal, due func(context.Context) time.Time) func() error {
		return func() error {
			for {
				var err error
				if l.fenced() == nil { // else there is nothing that it may do
					err = work()
				}
				report(err)
				at := due(ctx)
				if err != nil { // what failed may be due still
					at = later(at, l.config.Clock.Now().Add(l.config.FirstPause))
				}
				l.sleep(ctx, wake, at)
				if err := ctx.Err(); err != nil {
					return err
				}
			}
		}
	}
	var g errgroup.Group
	never := make(signal)
	g.Go(loop(func() error { return l.keepClaim(ctx) }, never, func(context.Context) time.Time { return later(l.renewDue(), l.now().Add(l.config.FirstPause)) }))
	g.Go(loop(func() error { _, err := l.createDueJobs(ctx); return err }, l.wake.intake, l.intakeDue))
	g.Go(loop(func() error { return l.drive(ctx, report) }, l.wake.jobs, l.jobsDue))
	g.Go(loop(func() error { _, err := l.driveCollections(ctx); return err }, l.wake.collections, l.collectionsDue))
	g.Go(loop(func() error { return l.collectGarbage(ctx) }, l.wake.gc, func(context.Context) time.Time { return l.now().Add(cleanEvery) }))
	return g.Wait()
}

// sleep waits until it is time, or wake is set.
func (l *Leader) sleep(ctx context.Context, wake signal, until time.Time) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-wake:
		case <-ctx.Done():
		}
		cancel()
	}()
	l.config.Clock.Until(ctx, until) // due, woken or done: the caller looks
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
		cut, err := l.createDueJobs(ctx)
		errs = append(errs, err, l.drive(ctx, func(err error) { errs = append(errs, err) }))
		moved, err := l.driveCollections(ctx)
		errs = append(errs, err)
		if !cut && !moved {
			break
		}
	}
	errs = append(errs, l.collectGarbage(ctx))
	return errors.Join(append(errs, ctx.Err())...)
}

// createDueJobs closes the logs that are due and puts their reports into jobs.
func (l *Leader) createDueJobs(ctx context.Context) (bool, error) {
	l.creating.Lock()
	defer l.creating.Unlock()
	rotated := errors.Join(l.adoptLogs(ctx), l.rotate(ctx, l.now()))
	cut, err := l.createJobs(ctx)
	return cut, errors.Join(rotated, err)
}

// intakeDue returns when the next log must be closed.
func (l *Leader) intakeDue(context.Context) time.Time {
	now := l.now()
	due := now.Add(maxSleep)
	for _, o := range l.openLogs() {
		at := o.due(&l.config)
		if o.log.Len() == 0 { // its first report may be on the way, and wakes nothing
			at = later(at, now.Add(l.config.LogAge))
		}
		due = earlier(due, at)
	}
	if len(l.sealedLogs()) > 0 { // they wait for a collection, which may end at another node
		due = earlier(due, now.Add(lookEvery))
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

// collectionsDue returns when the next collection job is due.
func (l *Leader) collectionsDue(ctx context.Context) time.Time {
	now := l.now()
	due := now.Add(maxSleep)
	pending, err := l.config.Store.Collections(ctx)
	if err != nil {
		return now.Add(l.config.FirstPause)
	}
	for _, c := range pending {
		if c.Due.After(now) {
			due = earlier(due, c.Due)
			continue
		}
		s, err := l.config.Registry.Lookup(ctx, c.Task)
		if err != nil {
			continue
		}
		if at, err := collectableAt(s, c.Interval); err == nil && at.After(now) {
			due = earlier(due, at)
			continue
		}
		l.mu.Lock()
		p := l.progress[collectionKey{c.Task, c.ID}]
		l.mu.Unlock()
		if again := p.looked.Add(lookEvery); again.After(now) {
			due = earlier(due, again)
		}
	}
	return due
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
	logs, err := l.config.Store.Logs(ctx, l.config.Node)
	if err != nil {
		return fmt.Errorf("reading logs: %w", err)
	}
	var errs []error
	for _, info := range logs {
		if info.State != LogDone || info.Jobs > 0 {
			continue
		}
		if err := l.drop(ctx, info); err != nil {
			errs = append(errs, fmt.Errorf("removing log %d of task %v: %w", info.Number, info.Task, err))
		}
	}
	if now, sure := l.guard.Now(); sure && !now.Before(l.expired.Add(cleanEvery)) {
		l.expired = now
		errs = append(errs, l.expire(ctx, now))
	}
	return errors.Join(errs...)
}

// drop removes a log that no job refers to.
func (l *Leader) drop(ctx context.Context, info Log) error {
	k := logKey{info.Task, info.Number}
	if err := l.closeLog(k); err != nil {
		return err
	}
	if err := segment.Remove(l.config.FS, l.dir(k)); err != nil {
		return err
	}
	err := l.config.Store.DropLog(ctx, info.Task, info.Number)
	if errors.Is(err, ErrBusy) {
		return nil // not reached: a log that was cut gets no jobs but those that follow others
	}
	return err
}

func (l *Leader) closeLog(k logKey) error {
	in := l.intake(k.task)
	l.mu.Lock()
	o := l.logs[k]
	delete(l.logs, k)
	l.mu.Unlock()
	if o == nil {
		return nil
	}
	in.stored.Add(-o.size.Load())
	o.reading.Lock()
	defer o.reading.Unlock()
	o.cursor.close()
	return o.log.Close()
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
			errs = append(errs, taskLedger.Expire(ctx))
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
