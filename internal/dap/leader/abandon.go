package leader

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// again returns the job for those reports that were rejected as too early, when
// they no longer are, or how many such reports are given up.
func (l *Leader) again(s *tasks.Serving, j *Job, b *begun, rejected []dap.ReportUploadStatus) ([]Job, int) {
	var parts []jobPart
	for _, r := range rejected {
		if p, ok := b.reports[r.ID]; ok && r.Error.Retryable() {
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 || j.Round+1 >= l.config.Rounds {
		return nil, len(parts)
	}
	next, ok := successor(j, parts, l.now())
	if !ok {
		return nil, len(parts)
	}
	times := make([]dap.Time, len(parts))
	for i, p := range parts {
		times[i] = p.time
	}
	due, ok := latest(s.Task.Config().TimePrecision, times...)
	if !ok {
		return nil, len(parts)
	}
	// If it was not the report that is early, it is the helper that is late.
	next.Turned = !j.Turned // the helper has an answer to the same request
	next.Due = l.now().Add(clock.Backoff(next.Round, tooEarlyPause, l.config.LongPause))
	if due.After(next.Due) {
		next.Due = due
	}
	next.Created = next.Due
	return []Job{next}, 0
}

// abandon ends a job that the helper has refused, or whose request cannot be made
// again, and puts those reports that may still be counted into another job (section
// "Aggregation Job Abandonment and Deletion"): into two, if the helper answers that
// the one was too large, and into none, if it has refused one with these reports
// before. After a refusal the request is another, as far as that can be: a helper
// may keep its answers. Only after the job has ended here is it deleted there, for
// a job whose answer is deleted cannot be found again.
func (l *Leader) abandon(ctx context.Context, s *tasks.Serving, w *lot, cause error) error {
	ctx = context.WithoutCancel(ctx)
	l.started.take(jobKey{w.job.Task, w.job.Number})
	left, expired, err := l.countable(ctx, s, w)
	if err != nil {
		return l.postpone(ctx, w.job, err, 0)
	}
	next := l.renew(s, &w.job, left, cause)
	ended, err := l.endWithout(ctx, w.job, lossesOf(expired), next...)
	if !ended {
		return err
	}
	if len(next) == 0 || errors.Is(cause, dap.ErrAbandon) {
		l.forget(ctx, s, w)
	}
	refused := 0
	if len(next) == 0 {
		refused = len(left)
	}
	return errors.Join(l.lost(&w.job, LostRefused, refused), l.lost(&w.job, LostExpired, len(expired)))
}

// countable returns the reports of a job that may still be counted, and those that
// have expired.
func (l *Leader) countable(ctx context.Context, s *tasks.Serving, w *lot) (left, expired []jobPart, err error) {
	j := &w.job
	if w.records == nil {
		if w.records, err = l.readReports(*j); err != nil {
			return nil, nil, err
		}
	}
	var candidates []dap.Candidate
	var parts []jobPart
	for _, p := range l.decode(s.Task.Codec(), j, w.records) {
		m := &p.report.Metadata
		candidates = append(candidates, dap.Candidate{ID: m.ID, Time: m.Time, Bucket: s.Task.Bucket(m.Time, j.Batch)})
		parts = append(parts, jobPart{p.at, m.Time})
	}
	taskLedger, err := l.ledger(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	verdicts, err := taskLedger.Check(ctx, candidates)
	if err != nil {
		return nil, nil, err
	}
	for i, e := range verdicts {
		switch e {
		case 0:
			left = append(left, parts[i])
		case dap.ReportDropped:
			expired = append(expired, parts[i])
		default: // counted in another job, or too late for their batch
			l.config.Metrics.Rejected(e)
		}
	}
	return left, expired, nil
}

// renew returns the jobs for the reports of one that is abandoned.
func (l *Leader) renew(s *tasks.Serving, j *Job, left []jobPart, cause error) []Job {
	split := tooLarge(cause) && j.Reports > 1 // it ends some time
	refused := !split && !errors.Is(cause, errChanged)
	if refused && j.Refused > 0 {
		return nil
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
		if split {
			next.Round = j.Round
		}
		if refused { // what is wrong may need people
			next.Refused++
			next.Turned = !j.Turned
			next.Due = l.now().Add(l.config.LongPause)
		}
		all = append(all, next)
	}
	return all
}

// successor returns a job for some of another's reports, false for none.
func successor(j *Job, parts []jobPart, now time.Time) (Job, bool) {
	if len(parts) == 0 {
		return Job{}, false
	}
	next := Job{Task: j.Task, Node: j.Node, Log: j.Log, Batch: j.Batch, Key: j.Key, Created: now, Due: now, Round: j.Round + 1, Turned: j.Turned, Refused: j.Refused}
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

// forget lets the helper clean up, once and without insisting.
func (l *Leader) forget(ctx context.Context, s *tasks.Serving, w *lot) {
	at := cmp.Or(w.job.Location, w.at)
	if at == "" && s.Task.Variant().ClientChoosesIDs() && w.job.Digest != [32]byte{} {
		at = dap.Resolve(s.Task.Config().Helper, dap.AggregationJobPath(w.job.Task, dap.AggregationJobID(w.job.Digest[:16])))
	}
	if at, _, _ = strings.Cut(at, "?"); at == "" { // where it is, without the step
		return
	}
	// A job that stays there does no harm.
	_, _ = l.send(ctx, s, exchange.Request{Method: http.MethodDelete, URL: at})
}
