package leader

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/internal/exchange"
	"github.com/shoal-project/shoal/dap/roster"
)

// again returns the job for those reports that were rejected as too early, when
// they no longer are.
func (l *Leader) again(s *roster.Serving, j *Job, b *begun, rejected []dap.ReportUploadStatus) []Job {
	var parts []jobPart
	for _, r := range rejected {
		if p, ok := b.reports[r.ID]; ok && r.Error.Retryable() {
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 || j.Round+1 >= l.config.Rounds {
		return nil
	}
	next, ok := successor(j, parts, l.now())
	if !ok {
		return nil
	}
	times := make([]dap.Time, len(parts))
	for i, p := range parts {
		times[i] = p.time
	}
	due, ok := latest(s.Task.Config().TimePrecision, times...)
	if !ok {
		return nil
	}
	// If it was not the report that is early, it is the helper that is late.
	next.Turned = !j.Turned // the helper has an answer to the same request
	next.Due = l.now().Add(pause(next.Round, tooEarlyPause, l.config.LongPause))
	if due.After(next.Due) {
		next.Due = due
	}
	next.Created = next.Due
	return []Job{next}
}

// abandon ends a job without counting its reports, tells the helper, and puts
// those reports that may still be counted into another job (section "Aggregation
// Job Abandonment and Deletion"). If that has the same reports, its request is
// the same: a helper that did the work and could not be heard gives the answer
// that was lost. If its answer was none, the job is deleted there, and the request
// must be another.
func (l *Leader) abandon(ctx context.Context, s *roster.Serving, w *lot, cause error) error {
	ctx = context.WithoutCancel(ctx)
	l.started.take(jobKey{w.job.Task, w.job.Number})
	next, err := l.renew(ctx, s, w, cause)
	if err != nil {
		return errors.Join(err, l.postpone(ctx, w.job, err, 0))
	}
	gone := lostJob(cause)
	if len(next) == 0 || errors.Is(cause, dap.ErrAbandon) && next[0].Reports > 1 {
		gone = l.forget(ctx, s, &w.job) || gone
	}
	if len(next) > 0 && gone {
		next[0].Turned = !w.job.Turned
	}
	err = l.config.Store.EndJob(ctx, End{Job: w.job, Next: next}, nil)
	if errors.Is(err, ErrConflict) {
		return nil
	}
	if err == nil {
		l.config.Metrics.Job(JobAbandoned)
		l.jobEnded()
		l.wake.jobs.set()
	}
	return err
}

// renew returns the jobs that take up the reports of one that is abandoned: none
// after too many rounds, two if the one was too large, one otherwise.
func (l *Leader) renew(ctx context.Context, s *roster.Serving, w *lot, cause error) ([]Job, error) {
	j := &w.job
	split := tooLarge(cause) && j.Reports > 1 // it ends some time
	if !split && j.Round+1 >= l.config.Rounds {
		return nil, nil
	}
	if w.records == nil {
		var err error
		if w.records, err = l.readReports(*j); err != nil {
			return nil, err
		}
	}
	var candidates []dap.Candidate
	var parts []jobPart
	for _, p := range l.decode(s.Task.Codec(), j, w.records) {
		m := &p.report.Metadata
		candidates = append(candidates, dap.Candidate{ID: m.ID, Time: m.Time, Bucket: s.Task.Bucket(m.Time, j.Batch)})
		parts = append(parts, jobPart{p.at, m.Time})
	}
	book, err := l.book(ctx, s)
	if err != nil {
		return nil, err
	}
	verdicts, err := book.Check(ctx, candidates)
	if err != nil {
		return nil, err
	}
	var left []jobPart
	for i, e := range verdicts {
		if e == 0 {
			left = append(left, parts[i])
		}
	}
	groups := [][]jobPart{left}
	if split {
		groups = [][]jobPart{left[:len(left)/2], left[len(left)/2:]}
	}
	var all []Job
	for _, group := range groups {
		next, ok := successor(j, group, l.now())
		if !ok {
			continue
		}
		next.Key = s.Entry.VerifyWith
		switch {
		case split:
			next.Round = j.Round
		case !errors.Is(cause, errChanged): // what was wrong may take people to mend
			next.Due = l.now().Add(pause(next.Round, l.config.LongPause, 6*l.config.LongPause))
		}
		all = append(all, next)
	}
	return all, nil
}

// successor returns a job for some of another's reports, false for none.
func successor(j *Job, parts []jobPart, now time.Time) (Job, bool) {
	if len(parts) == 0 {
		return Job{}, false
	}
	next := Job{Task: j.Task, Node: j.Node, Log: j.Log, Batch: j.Batch, Key: j.Key, Created: now, Due: now, Round: j.Round + 1, Turned: j.Turned}
	in := make(map[int64]bool, len(parts))
	for _, p := range parts {
		in[p.at] = true
		span, err := next.Span.Extend(p.time)
		if err != nil {
			return Job{}, false
		}
		next.Span = span
	}
	var at []int64
	for i := j.From; i < j.To; i++ {
		if in[i] {
			at = append(at, i)
		}
	}
	next.take(at)
	return next, true
}

// forget lets the helper clean up, once and without insisting. It reports whether
// the helper was told.
func (l *Leader) forget(ctx context.Context, s *roster.Serving, j *Job) bool {
	at := j.Location
	if at == "" && s.Task.Variant().ClientChoosesIDs() && j.Digest != [32]byte{} {
		at = dap.Resolve(s.Task.Config().Helper, dap.AggregationJobPath(j.Task, dap.AggregationJobID(j.Digest[:16])))
	}
	if at, _, _ = strings.Cut(at, "?"); at == "" { // where it is, without the step
		return false
	}
	// A job that stays there harms nobody.
	_, _ = l.client.Do(ctx, exchange.Request{Method: http.MethodDelete, URL: at, Token: s.Entry.Outbound, Header: s.Entry.OutboundHeader})
	return true
}
