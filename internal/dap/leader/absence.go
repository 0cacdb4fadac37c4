package leader

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// A LossCause is the reason why reports that were accepted from clients are not
// counted.
type LossCause uint8

// The causes.
const (
	LostRefused LossCause = 1 // the helper has refused two jobs with them
	LostExpired LossCause = 2 // they expired, or the collection timeout passed, while the helper did not answer
	LostEarly   LossCause = 3 // the helper found them too early in [Config.Rounds] jobs
)

// String returns the cause's name, fit for a metric label.
func (c LossCause) String() string {
	switch c {
	case LostRefused:
		return "refused"
	case LostExpired:
		return "expired"
	case LostEarly:
		return "too_early"
	}
	return fmt.Sprintf("loss cause %d", uint8(c))
}

// An absence is a failure to get the helper's answer to a request, for whatever
// reason. What the helper has done with the request is not known.
type absence struct{ error }

func (a absence) Unwrap() error { return a.error }

// isAbsence reports whether an error means that the helper did not answer, and not
// that it has refused the job or that the leader's own store fails.
func isAbsence(err error) bool {
	_, ok := errors.AsType[absence](err)
	return ok && !refusal(err)
}

// refusal reports whether an error is the helper's answer about this very job, or
// an answer that cannot be used. Everything else may pass: a helper that does not
// know the task or the token may yet learn them, and an answer that is no problem
// document of DAP may come from a server in front of the helper.
func refusal(err error) bool {
	if errors.Is(err, dap.ErrAbandon) {
		return true
	}
	p, ok := errors.AsType[exchange.Problem](err)
	if !ok || p.Passing() {
		return false
	}
	switch p.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return false
	case http.StatusRequestEntityTooLarge:
		return true
	case http.StatusConflict, http.StatusGone:
		return p.Abort != nil || p.Name != ""
	}
	return p.Abort != nil && p.Abort.Type != dap.ProblemUnrecognizedTask
}

// confirmed is what Attempts is set to before a refused request is sent once more,
// so that it is 0 when the answer comes, and 1 in the first attempt of other jobs.
const confirmed = -1

// final reports whether a refusal ends a job. An answer that cannot be used may have
// been damaged on the way, and an earlier attempt without an answer may have reached
// the helper: then it has counted the reports, and the request must stay as it is
// until the helper refuses it twice in a row.
func final(j *Job, err error) bool {
	if errors.Is(err, dap.ErrAbandon) {
		return j.Attempts <= confirmed+1
	}
	return j.Attempts <= 1
}

// confirm sends a refused request once more after a pause.
func (l *Leader) confirm(ctx context.Context, j Job, cause error) error {
	l.started.take(jobKey{j.Task, j.Number})
	j.Attempts, j.Location, j.Since = confirmed, "", time.Time{}
	j.Due = l.now().Add(l.config.LongPause)
	return l.giveBack(ctx, j, cause)
}

// over reports whether the helper need not be asked any more for a job: all its
// reports have expired or, in a task without expiry, the collection timeout has
// passed since they were due. A clock that has jumped is not believed.
func (l *Leader) over(ctx context.Context, s *tasks.Serving, j *Job) (bool, error) {
	now, sure := l.guard.Now()
	if !sure {
		return false, nil
	}
	end, err := j.Span.End()
	if err != nil {
		return false, err
	}
	if s.Entry.Expiry > 0 {
		taskLedger, err := l.ledger(ctx, s)
		if err != nil {
			return false, err
		}
		return end <= taskLedger.Oldest(), nil
	}
	since := j.Created
	if at, err := s.Task.Config().TimePrecision.Start(end); err == nil {
		since = later(since, at)
	}
	return !now.Before(since.Add(l.config.CollectionTimeout)), nil
}

// giveUp ends a job whose reports are of no use any more.
func (l *Leader) giveUp(ctx context.Context, s *tasks.Serving, w *lot) error {
	ctx = context.WithoutCancel(ctx)
	l.started.take(jobKey{w.job.Task, w.job.Number})
	left, expired, err := l.countable(ctx, s, w)
	if err != nil {
		return l.postpone(ctx, w.job, err, 0)
	}
	gone := slices.Concat(left, expired)
	ended, err := l.endWithout(ctx, w.job, lossesOf(gone))
	if !ended {
		return err
	}
	return l.lost(&w.job, LostExpired, len(gone))
}

// endWithout ends a job without counting its reports, puts next in its place, and
// reports whether that was done by this worker.
func (l *Leader) endWithout(ctx context.Context, j Job, lost []Loss, next ...Job) (bool, error) {
	err := l.endJob(ctx, End{Job: j, Next: next, Lost: lost}, nil)
	if errors.Is(err, ErrConflict) {
		return false, nil
	}
	if err != nil {
		// The store may have done it and then returned an error: then the job is
		// gone.
		back := j
		back.Due, back.Lease = l.dueAfter(j.Attempts, 0), time.Time{}
		if gone := l.config.Store.UpdateJob(ctx, back, j.Lease); !errors.Is(gone, ErrConflict) {
			return false, errors.Join(l.failure(&j, err), gone)
		}
	}
	l.config.Metrics.Job(JobAbandoned)
	l.jobEnded(&j, len(next))
	l.wake.jobs.Set()
	return true, nil
}

// lost counts reports that were acknowledged and are given up, and returns what is
// to be logged about them; nil if there are none.
func (l *Leader) lost(j *Job, cause LossCause, reports int) error {
	if reports == 0 {
		return nil
	}
	l.countLost(cause, reports)
	waited := ""
	if !j.Since.IsZero() {
		waited = fmt.Sprintf(", the helper has not answered since %s", j.Since.UTC().Format(time.RFC3339))
	}
	return fmt.Errorf("job %d of task %v: %d accepted reports are not counted: %v%s", j.Number, j.Task, reports, cause, waited)
}

func (l *Leader) countLost(cause LossCause, reports int) {
	l.losses[cause].Add(int64(reports))
	l.config.Metrics.Lost(cause, reports)
}

// lossesOf counts reports by the unit of their time.
func lossesOf(parts []jobPart) []Loss {
	if len(parts) == 0 {
		return nil
	}
	units := make(map[dap.Time]uint64)
	for _, p := range parts {
		units[p.time]++
	}
	all := make([]Loss, 0, len(units))
	for _, unit := range slices.Sorted(maps.Keys(units)) {
		all = append(all, Loss{unit, units[unit]})
	}
	return all
}

// missed notes that the helper did not answer.
func (l *Leader) missed(j *Job, cause error) {
	if j.Since.IsZero() {
		j.Since = l.now()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missing[j.Task] = cause
}
