package leader

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/internal/exchange"
	"github.com/shoal-project/shoal/dap/ledger"
	"github.com/shoal-project/shoal/dap/roster"
)

// A JobOutcome says what became of an attempt at a job.
type JobOutcome uint8

// The outcomes.
const (
	JobEnded     JobOutcome = 1 // its reports are counted or rejected
	JobPending   JobOutcome = 2 // the helper works on it
	JobPostponed JobOutcome = 3 // it failed and is tried again
	JobAbandoned JobOutcome = 4 // its reports go into another job, or are lost
)

// String returns the outcome's name, fit for a metric label.
func (o JobOutcome) String() string {
	switch o {
	case JobEnded:
		return "ended"
	case JobPending:
		return "pending"
	case JobPostponed:
		return "postponed"
	case JobAbandoned:
		return "abandoned"
	}
	return fmt.Sprintf("job outcome %d", uint8(o))
}

// A jobKey names a job.
type jobKey struct {
	task   dap.TaskID
	number uint64
}

// begun is a job whose request was made.
type begun struct {
	job     *dap.LeaderJob
	request []byte
	empty   bool                     // no report is left
	reports map[dap.ReportID]jobPart // of the whole job
}

// A jobPart is where a report of a job stands.
type jobPart struct {
	at   int64 // the record in the log
	time dap.Time
}

// tooEarlyPause is how long a report waits that was too early for the helper but
// not for the leader, doubled each time.
const tooEarlyPause = time.Minute

var (
	errChanged  = errors.New("the request cannot be made again as it was: keys or reports are gone")
	errDisabled = errors.New("the task is disabled")
)

// work takes a job as far as it goes. Its error is for the log; what is to be
// done about it is stored.
func (l *Leader) work(ctx context.Context, w lot) error {
	ctx, cancel := context.WithTimeout(ctx, l.config.LeaseTime-l.config.LeaseTime/10)
	defer cancel()
	s, err := l.servingOf(ctx, w.job.Task)
	if err != nil {
		if errors.Is(err, errDisabled) {
			w.job.Attempts-- // it is nobody's failure
		}
		return l.postpone(ctx, w.job, err, l.config.LongPause)
	}
	err = l.advance(ctx, s, &w)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrConflict): // another worker has it: the lease has ended
		l.started.take(jobKey{w.job.Task, w.job.Number})
		return nil
	case l.hopeless(err) || w.job.Attempts >= l.config.Attempts && ctx.Err() == nil:
		return errors.Join(l.failure(&w.job, err), l.abandon(ctx, s, &w, err))
	}
	p, _ := errors.AsType[exchange.Problem](err)
	return l.postpone(ctx, w.job, err, p.Retry)
}

// hopeless reports whether trying the same again is of no use. A helper that
// does not know the task or the token may yet learn them.
func (l *Leader) hopeless(err error) bool {
	if errors.Is(err, dap.ErrAbandon) || errors.Is(err, errChanged) {
		return true
	}
	p, refused := errors.AsType[exchange.Problem](err)
	if !refused || p.Passing() || p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden {
		return false
	}
	return p.Abort == nil || p.Abort.Type != dap.ProblemUnrecognizedTask
}

func (l *Leader) failure(j *Job, err error) error {
	return fmt.Errorf("job %d of task %v: %w", j.Number, j.Task, err)
}

// servingOf returns a task that is served.
func (l *Leader) servingOf(ctx context.Context, task dap.TaskID) (*roster.Serving, error) {
	s, err := l.config.Roster.Lookup(ctx, task)
	if err != nil {
		return nil, err
	}
	if s.Entry.Disabled {
		return nil, errDisabled
	}
	return s, nil
}

// postpone gives a job back, to be tried again after a pause, or when the helper
// has asked for it.
func (l *Leader) postpone(ctx context.Context, j Job, cause error, asked time.Duration) error {
	held := j.Lease
	j.Due, j.Lease = l.dueAfter(j.Attempts, asked), time.Time{}
	l.config.Metrics.Job(JobPostponed)
	err := l.config.Store.UpdateJob(context.WithoutCancel(ctx), j, held)
	if errors.Is(err, ErrConflict) {
		err = nil
	}
	return errors.Join(l.failure(&j, cause), err)
}

// advance makes a job's request, sends it, or asks for the result, and commits
// the answer.
func (l *Leader) advance(ctx context.Context, s *roster.Serving, w *lot) error {
	b := l.started.take(jobKey{w.job.Task, w.job.Number})
	if b == nil {
		var err error
		if b, err = l.begin(ctx, s, w); err != nil {
			return err
		}
	}
	if b.empty {
		return l.finish(ctx, s, w, b, &dap.AggregationJobResp{})
	}
	answer, err := l.ask(ctx, s, &w.job, b)
	if err != nil {
		// What was made is of use again, unless the job is given up.
		if !l.hopeless(err) {
			l.started.put(jobKey{w.job.Task, w.job.Number}, b)
		}
		return err
	}
	if answer.Body == nil {
		return l.await(ctx, w, b, answer)
	}
	if w.job.Location == "" {
		w.job.Location = answer.Location // where it can be deleted
	}
	resp := new(dap.AggregationJobResp)
	if err := s.Task.Codec().Decode(resp, answer.Body); err != nil {
		return fmt.Errorf("%w: %w", dap.ErrAbandon, err)
	}
	return l.finish(ctx, s, w, b, resp)
}

// begin makes the request of a job from its reports. The first time its digest
// is stored, before anybody sees the request; later it must be the same.
func (l *Leader) begin(ctx context.Context, s *roster.Serving, w *lot) (*begun, error) {
	j := &w.job
	if w.records == nil {
		var err error
		if w.records, err = l.readReports(*j); err != nil {
			return nil, err
		}
	}
	codec := s.Task.Codec()
	reports := make([]dap.Report, 0, len(w.records))
	b := &begun{reports: make(map[dap.ReportID]jobPart, len(w.records))}
	at := j.From
	for _, record := range w.records {
		for j.Skip.Has(at - j.From) {
			at++
		}
		var r dap.Report
		if err := codec.Decode(&r, record); err != nil {
			return nil, fmt.Errorf("record %d of log %d: %w", at, j.Log, err)
		}
		reports = append(reports, r)
		b.reports[r.Metadata.ID] = jobPart{at, r.Metadata.Time}
		at++
	}
	// By ID: the helper need not know the order in which they arrived.
	slices.SortFunc(reports, func(a, b dap.Report) int {
		order := bytes.Compare(a.Metadata.ID[:], b.Metadata.ID[:])
		if j.Turned {
			return -order
		}
		return order
	})
	var req *dap.AggregationJobInitReq
	var err error
	if b.job, req, err = s.Aggregator.LeaderInit(j.Key, j.Batch, reports, j.Created, l.config.Roster.Keyring()); err != nil {
		return nil, err
	}
	b.empty = len(req.VerifyInits) == 0
	if b.request, err = codec.Encode(req); err != nil {
		return nil, err
	}
	digest := sha256.Sum256(b.request)
	if j.Digest == digest {
		return b, nil
	}
	if j.Digest != [32]byte{} {
		return nil, errChanged
	}
	j.Digest = digest
	return b, l.config.Store.UpdateJob(ctx, *j, j.Lease)
}

// ask sends the request, or asks for the result of a job that the helper works
// on. Both may be done again and again.
func (l *Leader) ask(ctx context.Context, s *roster.Serving, j *Job, b *begun) (*exchange.Response, error) {
	v := s.Task.Variant()
	method, path := v.CreateAggregationJob(j.Task, dap.AggregationJobID(j.Digest[:16]))
	r := exchange.Request{
		Method: method, URL: dap.Resolve(s.Task.Config().Helper, path), Token: s.Entry.Outbound, Header: s.Entry.OutboundHeader,
		Body: b.request, Type: dap.TypeAggregationJobInitReq, Want: dap.TypeAggregationJobResp, Limit: s.Task.Codec().Limits().Body,
	}
	if j.Location != "" {
		r.Method, r.URL, r.Body = http.MethodGet, j.Location, nil
	}
	answer, err := l.client.Do(ctx, r)
	if err != nil && j.Location != "" && lostJob(err) {
		// The helper has forgotten where the job is, or has moved: the request
		// creates it again, or finds it.
		j.Location = ""
		return l.ask(ctx, s, j, b)
	}
	return answer, err
}

// lostJob reports whether a helper says that a job is not there.
func lostJob(err error) bool {
	p, ok := errors.AsType[exchange.Problem](err)
	return ok && (p.Status == http.StatusNotFound || p.Status == http.StatusGone)
}

// await gives a job back until the helper is ready.
func (l *Leader) await(ctx context.Context, w *lot, b *begun, answer *exchange.Response) error {
	j := w.job
	held := j.Lease
	if answer.Location != "" {
		j.Location = answer.Location
	}
	if j.Location == "" {
		return fmt.Errorf("%w: the helper works on the job and does not say where", dap.ErrAbandon)
	}
	wait := max(answer.Retry, time.Second)
	j.Due, j.Lease = l.now().Add(min(wait, l.config.LongPause)), time.Time{}
	j.Attempts = min(j.Attempts, 1) // the helper is there
	l.started.put(jobKey{j.Task, j.Number}, b)
	l.config.Metrics.Job(JobPending)
	return l.config.Store.UpdateJob(ctx, j, held)
}

// finish commits the answer and ends the job, in one step.
func (l *Leader) finish(ctx context.Context, s *roster.Serving, w *lot, b *begun, resp *dap.AggregationJobResp) error {
	result, err := s.Aggregator.LeaderFinish(b.job, resp)
	if err != nil {
		return err
	}
	book, err := l.book(ctx, s)
	if err != nil {
		return err
	}
	rejected := append(b.job.Rejected(), result.Rejected...)
	next := l.again(s, &w.job, b, rejected)
	var counted int
	verdicts, err := book.Commit(ctx, &result.Outcome, func(ctx context.Context, c ledger.Change, verdicts []dap.ReportError) error {
		counted = 0
		for _, e := range verdicts {
			if e == 0 {
				counted++
			}
		}
		return l.config.Store.EndJob(ctx, End{Job: w.job, Counted: uint64(counted), Next: next}, &c)
	})
	if err != nil {
		return err
	}
	l.config.Metrics.Job(JobEnded)
	l.config.Metrics.Aggregated(counted)
	for _, r := range rejected {
		l.config.Metrics.Rejected(r.Error)
	}
	// The helper counts these, and so does the leader, once: see dap.LeaderResult.
	for _, e := range verdicts {
		if e != 0 {
			l.config.Metrics.Rejected(e)
		}
	}
	l.jobEnded()
	return nil
}

// jobEnded wakes what may have waited for a job to end.
func (l *Leader) jobEnded() {
	l.wake.gather.set()
	l.wake.clean.set()
}

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
	var next []Job
	if w.job.Round+1 < l.config.Rounds {
		var err error
		if next, err = l.renew(ctx, s, w); err != nil {
			return errors.Join(err, l.postpone(ctx, w.job, err, 0))
		}
	}
	gone := lostJob(cause)
	if len(next) == 0 || errors.Is(cause, dap.ErrAbandon) && next[0].Reports > 1 {
		gone = l.forget(ctx, s, &w.job) || gone
	}
	if len(next) > 0 && gone {
		next[0].Turned = !w.job.Turned
	}
	err := l.config.Store.EndJob(ctx, End{Job: w.job, Next: next}, nil)
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

// renew returns the job that takes up the reports of one that is abandoned.
func (l *Leader) renew(ctx context.Context, s *roster.Serving, w *lot) ([]Job, error) {
	j := &w.job
	if w.records == nil {
		var err error
		if w.records, err = l.readReports(*j); err != nil {
			return nil, err
		}
	}
	var candidates []dap.Candidate
	var parts []jobPart
	at := j.From
	for _, record := range w.records {
		for j.Skip.Has(at - j.From) {
			at++
		}
		var r dap.Report
		if err := s.Task.Codec().Decode(&r, record); err != nil {
			return nil, fmt.Errorf("record %d of log %d: %w", at, j.Log, err)
		}
		m := &r.Metadata
		candidates = append(candidates, dap.Candidate{ID: m.ID, Time: m.Time, Bucket: s.Task.Bucket(m.Time, j.Batch)})
		parts = append(parts, jobPart{at, m.Time})
		at++
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
	next, ok := successor(j, left, l.now())
	if !ok {
		return nil, nil
	}
	next.Key = s.Entry.VerifyWith
	next.Due = l.dueAfter(j.Round+1, 0)
	return []Job{next}, nil
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
	if at == "" {
		return false
	}
	// A job that stays there harms nobody.
	_, _ = l.client.Do(ctx, exchange.Request{Method: http.MethodDelete, URL: bare(at), Token: s.Entry.Outbound, Header: s.Entry.OutboundHeader})
	return true
}

// bare returns a URL without its query.
func bare(url string) string {
	before, _, _ := bytes.Cut([]byte(url), []byte("?"))
	return string(before)
}
