package leader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/segment"
)

// createJobs puts the reports of sealed logs into jobs, and reports whether it did.
func (l *Leader) createJobs(ctx context.Context) (bool, error) {
	var errs []error
	worked := false
	for _, o := range l.sealedLogs() {
		err := l.createJobsOf(ctx, o)
		switch {
		case err == nil:
			worked = true
		case errors.Is(err, ErrBusy): // until a collection has ended, which rings
		default:
			errs = append(errs, fmt.Errorf("log %d of task %v: %w", o.info.Number, o.info.Task, err))
		}
	}
	if worked {
		l.wake.jobs.set()
		l.wake.collections.set()
		l.wake.gc.set()
	}
	return worked, errors.Join(errs...)
}

// sealedLogs returns the logs of this node that wait for their jobs, the oldest
// of each task first.
func (l *Leader) sealedLogs() []*openLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*openLog
	for _, k := range slices.SortedFunc(maps.Keys(l.logs), compareKeys) {
		if o := l.logs[k]; o.info.State == LogSealed {
			all = append(all, o)
		}
	}
	return all
}

// createJobsOf puts the reports of one log into jobs.
func (l *Leader) createJobsOf(ctx context.Context, o *openLog) error {
	s, err := l.servingOf(ctx, o.info.Task)
	if errors.Is(err, errDisabled) {
		return ErrBusy // as long as it is
	}
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
			return errors.Join(err, l.reloadLogs(ctx))
		}
		return fmt.Errorf("making jobs: %w", err)
	}
	l.mu.Lock()
	o.info = creation.Log
	l.mu.Unlock()
	if n := len(expired); n > 0 {
		l.countLost(LostExpired, n)
		l.config.Failed(fmt.Errorf("log %d of task %v: %d accepted reports are not counted: %v", creation.Log.Number, creation.Log.Task, n, LostExpired))
	}
	return nil
}

// candidates returns the reports of a log and the records that hold them.
func (l *Leader) candidates(s *tasks.Serving, o *openLog) ([]dap.Candidate, []int64, error) {
	var all []dap.Candidate
	var at []int64
	n := int64(0)
	codec := s.Task.Codec()
	for record, err := range o.log.Records() {
		if d, damaged := errors.AsType[segment.Damage](err); damaged {
			l.lostPart(logKey{o.info.Task, o.info.Number}, d)
			n += max(0, d.Records)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		var r dap.Report
		if err := codec.Decode(&r, record); err != nil {
			l.lostRecords(logKey{o.info.Task, o.info.Number}, n, 1) // it is not one that was appended
			n++
			continue
		}
		// A new batch of the leader-selected mode is never collected.
		m := &r.Metadata
		all = append(all, dap.Candidate{ID: m.ID, Time: m.Time, Bucket: s.Task.Bucket(m.Time, dap.BatchID{})})
		at = append(at, n)
		n++
	}
	return all, at, nil
}

func (l *Leader) planner(ctx context.Context, s *tasks.Serving, o *openLog) (*planner, error) {
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

// reloadLogs makes the picture in memory that of the store.
func (l *Leader) reloadLogs(ctx context.Context) error {
	logs, err := l.config.Store.Logs(ctx, l.config.Node)
	if err != nil {
		return fmt.Errorf("reading logs: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, info := range logs {
		if o := l.logs[logKey{info.Task, info.Number}]; o != nil {
			o.info = info
		}
	}
	return nil
}
