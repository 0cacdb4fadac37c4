package leader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// blocked are sealed logs that wait for something: for a batch to be collected, or
// for their task.
type blocked struct {
	logs map[dap.TaskID][]*taskLog
	due  time.Time // when they are tried again, at the latest; collections may end at another node
}

// block lets a log wait for a time. The caller holds Leader.mu.
func (b *blocked) block(o *taskLog, until time.Time) {
	if len(b.logs) == 0 || until.Before(b.due) {
		b.due = until
	}
	b.logs[o.key.task] = append(b.logs[o.key.task], o)
}

// unblock lets the logs of a task be tried again. The caller holds Leader.mu.
func (l *Leader) unblock(task dap.TaskID) {
	l.sealed = append(l.blocked.logs[task], l.sealed...)
	delete(l.blocked.logs, task)
}

// createJobs puts the reports of sealed logs into jobs, and reports whether it did.
// Those that wait for something are tried if it is time, or all says so.
func (l *Leader) createJobs(ctx context.Context, all bool) (bool, error) {
	var errs []error
	worked := false
	for _, o := range l.sealedLogs(all) {
		err := l.createJobsOf(ctx, o)
		var again time.Time
		switch {
		case err == nil:
			worked = true
			l.stir(o.key.task)
			continue
		case errors.Is(err, errDisabled):
			again = l.now().Add(maxSleep)
		case errors.Is(err, ErrBusy): // until a collection has ended, which signals
			again = l.now().Add(lookEvery)
		default:
			errs = append(errs, fmt.Errorf("log %d of task %v: %w", o.key.number, o.key.task, err))
		}
		l.mu.Lock()
		if again.IsZero() {
			l.sealed = append(l.sealed, o)
		} else {
			l.blocked.block(o, again)
		}
		l.mu.Unlock()
	}
	if worked {
		l.wake.jobs.Set()
		l.wake.collections.Set()
	}
	return worked, errors.Join(errs...)
}

// sealedLogs returns the logs of this node that wait for their jobs, the oldest of
// each task first, and forgets them.
func (l *Leader) sealedLogs(all bool) []*taskLog {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.blocked.logs) > 0 && (all || !now.Before(l.blocked.due)) {
		for task := range l.blocked.logs {
			l.unblock(task)
		}
	}
	logs := l.sealed
	l.sealed = nil
	slices.SortStableFunc(logs, func(a, b *taskLog) int { return compareKeys(a.key, b.key) })
	return logs
}

// createJobsOf puts the reports of one log into jobs.
func (l *Leader) createJobsOf(ctx context.Context, o *taskLog) error {
	s, err := l.servingOf(ctx, o.key.task)
	if err != nil {
		return err
	}
	candidates, at, err := l.candidates(s, o)
	if err != nil {
		return err
	}
	taskLedger, err := l.ledger(ctx, s)
	if err != nil {
		return err
	}
	verdicts, err := taskLedger.Check(ctx, candidates)
	if err != nil {
		return fmt.Errorf("admitting reports: %w", err)
	}
	p, err := l.planner(ctx, s, o)
	if err != nil {
		return err
	}
	var expired []jobPart
	for i, c := range candidates {
		e := verdicts[i]
		if e == 0 { // not too old for a new job, although those that run may count it
			e = taskLedger.Late(c.Bucket, c.Time)
		}
		if e != 0 {
			l.config.Metrics.Rejected(e)
			if e == dap.ReportDropped {
				expired = append(expired, jobPart{at[i], c.Time})
			}
			continue
		}
		if err := p.add(at[i], c.Time); err != nil {
			return err
		}
	}
	creation := p.creation()
	creation.Lost = lossesOf(expired)
	if err := l.config.Store.CreateJobs(ctx, creation); err != nil {
		if errors.Is(err, ErrConflict) {
			return l.reload(ctx, o)
		}
		return fmt.Errorf("making jobs: %w", err)
	}
	l.mu.Lock()
	o.info = creation.Log
	o.jobs += len(creation.Jobs) // some may have ended
	l.removable(o)
	l.mu.Unlock()
	l.intake(o.key.task).waiting.Add(-o.durable.Load())
	if n := len(expired); n > 0 {
		l.countLost(LostExpired, n)
		l.config.Failed(fmt.Errorf("log %d of task %v: %d accepted reports are not counted: %v", creation.Log.Number, creation.Log.Task, n, LostExpired))
	}
	return nil
}

// candidates returns the reports of a log and the records that hold them.
func (l *Leader) candidates(s *tasks.Serving, o *taskLog) ([]dap.Candidate, []int64, error) {
	var all []dap.Candidate
	var at []int64
	n := int64(0)
	codec := s.Task.Codec()
	if there, err := l.hasFiles(o.key); err != nil || !there && o.info.Records == 0 {
		return nil, nil, err
	}
	r, err := l.readers.open(o.key)
	if err != nil {
		return nil, nil, err
	}
	defer l.readers.done(r)
	for b, err := range r.log.Records() {
		if d, damaged := asDamage(err); damaged {
			l.lostPart(o.key, d)
			n += max(0, d.Records)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		rec, ok := r.record(b)
		if ok && rec.intent() {
			n++
			continue
		}
		var report dap.Report
		if !ok || codec.Decode(&report, rec.report) != nil {
			l.lostRecords(o.key, n, 1) // it is not one that was appended
			n++
			continue
		}
		// A new batch of the leader-selected mode is never collected.
		m := &report.Metadata
		all = append(all, dap.Candidate{ID: m.ID, Time: m.Time, Bucket: s.Task.Bucket(m.Time, dap.BatchID{})})
		at = append(at, n)
		n++
	}
	return all, at, nil
}

func (l *Leader) planner(ctx context.Context, s *tasks.Serving, o *taskLog) (*planner, error) {
	config := s.Task.Config()
	p := &planner{
		log: o.info, key: s.Entry.VerifyWith, now: l.now(), precision: config.TimePrecision,
		size: jobSize(s.Task.Instance(), l.config.JobReports, l.config.JobBytes),
	}
	if config.BatchMode != dap.LeaderSelectedMode {
		return p, nil
	}
	batches, err := l.config.Store.Batches(ctx, s.Task.ID())
	if err != nil {
		return nil, fmt.Errorf("reading batches: %w", err)
	}
	p.selected, p.fill, p.batches = true, config.MinBatchSize, batches
	if p.window, err = config.TimePrecision.Duration(l.config.BatchWindow); err != nil {
		return nil, err
	}
	p.newBatch = func() (id dap.BatchID, err error) {
		_, err = io.ReadFull(l.config.Rand, id[:])
		return id, err
	}
	return p, nil
}

// reload makes what is known of a sealed log that of the store.
func (l *Leader) reload(ctx context.Context, o *taskLog) error {
	info, found, err := l.config.Store.Log(ctx, o.key.task, o.key.number)
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	if !found {
		return fmt.Errorf("the store does not know it any more: %w", ErrConflict)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	o.info, o.jobs = info, info.Jobs
	if info.State != LogDone {
		return ErrConflict
	}
	if in := l.intakes[o.key.task]; in != nil {
		in.waiting.Add(-o.durable.Load())
	}
	l.recount.Store(true) // jobs may have ended just now
	l.removable(o)
	return nil
}
