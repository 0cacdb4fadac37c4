package leader

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// A JobOutcome is the outcome of an attempt at a job.
type JobOutcome uint8

// The outcomes.
const (
	JobEnded     JobOutcome = 1 // its reports are counted or rejected
	JobPending   JobOutcome = 2 // the helper works on it
	JobPostponed JobOutcome = 3 // it failed and is tried again
	JobAbandoned JobOutcome = 4 // its reports go into another job, or are given up
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

// A jobPart is the place of a report of a job.
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
			w.job.Attempts-- // it is not a failure
		}
		w.job.Due = l.now().Add(l.config.LongPause)
		return l.giveBack(ctx, w.job, err)
	}
	err = l.advance(ctx, s, &w)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrConflict): // another worker has it: the lease has ended
		l.started.take(jobKey{w.job.Task, w.job.Number})
		return nil
	case errors.Is(err, errChanged) || refusal(err) && final(&w.job, err):
		return errors.Join(l.failure(&w.job, err), l.abandon(ctx, s, &w, err))
	case refusal(err):
		return l.confirm(ctx, w.job, err)
	case isAbsence(err) && ctx.Err() == nil:
		over, ledgerErr := l.over(ctx, s, &w.job)
		if over {
			return errors.Join(l.failure(&w.job, err), l.giveUp(ctx, s, &w))
		}
		err = errors.Join(err, ledgerErr)
	}
	p, _ := errors.AsType[exchange.Problem](err)
	return l.postpone(ctx, w.job, err, p.Retry)
}

// tooLarge reports whether a helper answers that a job has too many reports.
func tooLarge(err error) bool {
	p, ok := errors.AsType[exchange.Problem](err)
	return ok && p.Status == http.StatusRequestEntityTooLarge
}

func (l *Leader) failure(j *Job, err error) error {
	return fmt.Errorf("job %d of task %v: %w", j.Number, j.Task, err)
}

// servingOf returns a task that is served.
func (l *Leader) servingOf(ctx context.Context, task dap.TaskID) (*tasks.Serving, error) {
	s, err := l.config.Registry.Lookup(ctx, task)
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
	j.Due = l.dueAfter(j.Attempts, asked)
	j.Attempts = max(1, j.Attempts) // the helper may have heard this one
	if isAbsence(cause) && !errors.Is(cause, context.Canceled) {
		l.missed(&j, cause)
	}
	return l.giveBack(ctx, j, cause)
}

// giveBack ends the lease of a job that goes on when it is due.
func (l *Leader) giveBack(ctx context.Context, j Job, cause error) error {
	held := j.Lease
	j.Lease = time.Time{}
	l.config.Metrics.Job(JobPostponed)
	err := l.config.Store.UpdateJob(context.WithoutCancel(ctx), j, held)
	if errors.Is(err, ErrConflict) {
		err = nil
	}
	return errors.Join(l.failure(&j, cause), err)
}

// advance makes a job's request, sends it, or asks for the result, and commits
// the answer.
func (l *Leader) advance(ctx context.Context, s *tasks.Serving, w *lot) error {
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
		if !refusal(err) {
			l.started.put(jobKey{w.job.Task, w.job.Number}, b)
		}
		return err
	}
	if answer.Body == nil {
		return l.await(ctx, s, w, b, answer)
	}
	w.at = answer.Location
	resp := new(dap.AggregationJobResp)
	if err := s.Task.Codec().Decode(resp, answer.Body); err != nil {
		return fmt.Errorf("%w: %w", dap.ErrAbandon, err)
	}
	return l.finish(ctx, s, w, b, resp)
}

// begin makes the request of a job from its reports. The first time its digest
// is stored, before anybody sees the request; later it must be the same.
func (l *Leader) begin(ctx context.Context, s *tasks.Serving, w *lot) (*begun, error) {
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
	for _, p := range l.decode(codec, j, w.records) {
		reports = append(reports, p.report)
		b.reports[p.report.Metadata.ID] = jobPart{p.at, p.report.Metadata.Time}
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
	if b.job, req, err = s.Aggregator.LeaderInit(j.Key, j.Batch, reports, j.Created, l.config.Registry.Keyring()); err != nil {
		return nil, err
	}
	if err := l.reserve(ctx, s, b.job, req); err != nil {
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

// reserve spends what the reports of a job show on these reports, before the helper sees
// them, and takes those out of the job whose tag is another report's. It is the same when
// the request is made again: a tag stays that of its report, also if the helper refuses
// the report.
func (l *Leader) reserve(ctx context.Context, s *tasks.Serving, job *dap.LeaderJob, req *dap.AggregationJobInitReq) error {
	spent, err := l.spent(ctx, s)
	if err != nil || spent == nil {
		return err
	}
	verdicts, err := spent.Reserve(ctx, s.Task.Config().TimePrecision, job.Candidates())
	if err != nil {
		return err
	}
	return job.Refuse(req, verdicts)
}

// ask sends the request, or asks for the result of a job that the helper works
// on. Both may be done again and again. A helper that refuses to give the result
// may have moved or forgotten the job: only its answer to the request counts.
func (l *Leader) ask(ctx context.Context, s *tasks.Serving, j *Job, b *begun) (*exchange.Response, error) {
	method, path := s.Task.Variant().CreateAggregationJob(j.Task, dap.AggregationJobID(j.Digest[:16]))
	r := exchange.Request{
		Method: method, URL: dap.Resolve(s.Task.Config().Helper, path),
		Body: b.request, Type: dap.TypeAggregationJobInitReq, Want: dap.TypeAggregationJobResp, Limit: s.Task.Codec().Limits().Body,
	}
	if j.Location != "" {
		poll := r
		poll.Method, poll.URL, poll.Body = http.MethodGet, pollURL(j.Location), nil
		answer, err := l.send(ctx, s, poll)
		switch {
		case err == nil:
			return answer, nil
		case !lostJob(err) && !refusal(err):
			if j.Attempts >= pollsBeforeRequest {
				j.Location = ""
			}
			return nil, absence{err}
		}
		j.Location = ""
	}
	answer, err := l.send(ctx, s, r)
	if err != nil {
		return nil, absence{err}
	}
	return answer, nil
}

// pollsBeforeRequest is how many attempts in a row to get a job's result may fail
// before the request is sent again.
const pollsBeforeRequest = 5

// pollURL is where the result of a job is asked for. The leader of Prio3 is at step
// 0, and has to send that (section "Helper Continuation"), whether the helper has
// put it into the job's location or not.
func pollURL(location string) string {
	u, err := url.Parse(location)
	if err != nil || u.Query().Has("step") {
		return location
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "step=0"
	return u.String()
}

// lostJob reports whether a helper answers that a job is not there.
func lostJob(err error) bool {
	p, ok := errors.AsType[exchange.Problem](err)
	return ok && (p.Status == http.StatusNotFound || p.Status == http.StatusGone)
}

// await gives a job back until the helper is ready.
func (l *Leader) await(ctx context.Context, s *tasks.Serving, w *lot, b *begun, answer *exchange.Response) error {
	j := w.job
	held := j.Lease
	if answer.Location != "" {
		j.Location = answer.Location
	}
	if j.Location == "" && s.Task.Variant().ClientChoosesIDs() {
		j.Location = dap.Resolve(s.Task.Config().Helper, dap.AggregationJobPath(j.Task, dap.AggregationJobID(j.Digest[:16])))
	} // else, if the helper gives no location, the request finds it again
	wait := max(answer.Retry, time.Second)
	j.Due, j.Lease = l.now().Add(min(wait, l.config.LongPause)), time.Time{}
	j.Attempts, j.Since = 1, time.Time{} // the helper is there
	l.started.put(jobKey{j.Task, j.Number}, b)
	l.config.Metrics.Job(JobPending)
	return l.config.Store.UpdateJob(ctx, j, held)
}

// finish commits the answer and ends the job, in one step.
func (l *Leader) finish(ctx context.Context, s *tasks.Serving, w *lot, b *begun, resp *dap.AggregationJobResp) error {
	result, err := s.Aggregator.LeaderFinish(b.job, resp)
	if err != nil {
		return err
	}
	taskLedger, err := l.ledger(ctx, s)
	if err != nil {
		return err
	}
	rejected := slices.Concat(b.job.Rejected(), result.Rejected)
	next, early := l.again(s, &w.job, b, rejected)
	expired := b.expired(rejected)
	var counted int
	var gone []jobPart
	candidates := result.Candidates()
	verdicts, err := taskLedger.Commit(ctx, &result.Outcome, func(ctx context.Context, c ledger.Change, verdicts []dap.ReportError) error {
		counted, gone = 0, slices.Clone(expired)
		for i, e := range verdicts {
			switch e {
			case 0:
				counted++
			case dap.ReportDropped: // it expired here while the helper counted it
				gone = append(gone, jobPart{time: candidates[i].Time})
			}
		}
		return l.endJob(ctx, End{Job: w.job, Counted: uint64(counted), Next: next, Lost: lossesOf(gone)}, &c)
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
	l.jobEnded(&w.job, len(next))
	return errors.Join(l.lost(&w.job, LostEarly, early), l.lost(&w.job, LostExpired, len(gone)))
}

// expired returns the reports of a job that were rejected because they have expired.
func (b *begun) expired(rejected []dap.ReportUploadStatus) []jobPart {
	var parts []jobPart
	for _, r := range rejected {
		if p, ok := b.reports[r.ID]; ok && r.Error == dap.ReportDropped {
			parts = append(parts, p)
		}
	}
	return parts
}

// endJob ends a job in the store.
func (l *Leader) endJob(ctx context.Context, e End, c *ledger.Change) error {
	err := l.config.Store.EndJob(ctx, e, c)
	if err != nil {
		l.recount.Store(true) // it may have done it
	}
	return err
}

// jobEnded notes that a job has ended and so many have followed it, and wakes what
// may have waited for that.
func (l *Leader) jobEnded(j *Job, next int) {
	l.mu.Lock()
	if o := l.logs[logKey{j.Task, j.Log}]; o != nil {
		o.jobs += next - 1
		l.removable(o)
	}
	l.mu.Unlock()
	if l.recount.Load() {
		l.wake.gc.Set()
	}
	l.stir(j.Task)
	l.wake.collections.Set()
}
