package leader

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// MissingHeader is the response header in which the leader reports to the
// collector, while a collection job waits for more reports, how many are missing,
// rounded up to quarters of the task's minimum batch size.
const MissingHeader = "Shoal-Missing-Reports"

// LostHeader is the response header in which the leader reports to the collector,
// with a result, how many reports of its interval were accepted from clients and
// expired before they were counted.
const LostHeader = "Shoal-Lost-Reports"

// maxCollectionRequest bounds the body of a collection job's request, in bytes.
const maxCollectionRequest = 1 << 18

// longestWait bounds how long an answer waits for a result that a client prefers
// to wait for (RFC 7240).
const longestWait = 30 * time.Second

// retryAfter is the Retry-After for a collector that has to ask again.
const retryAfter = 5 * time.Second

// errHelperFailed means that a collection failed because of the helper, and not by
// a problem of the draft.
var errHelperFailed = exchange.Problem{Status: http.StatusFailedDependency, Name: "helperFailed", Title: "The helper did not give its share."}

// postCollection creates a collection job (section "Collection Job
// Initialization"). A request that equals that of a job which is there returns
// that job. When the job was deleted, or failed for lack of reports or of the
// helper's share, the same request makes a new one.
func (l *Leader) postCollection(w http.ResponseWriter, r *http.Request, s *tasks.Serving) error {
	if s.Task.Variant().ClientChoosesIDs() {
		w.Header().Set("Allow", "PUT")
		return exchange.ErrMethod
	}
	body, err := readCollection(w, r)
	if err != nil {
		return err
	}
	// One that waits may have a number whose predecessors have been forgotten.
	pending, err := l.config.Store.Collections(r.Context())
	if err != nil {
		return err
	}
	for _, c := range pending {
		if c.Task == s.Task.ID() && bytes.Equal(c.Request, body) {
			return l.created(w, s, c)
		}
	}
	key := l.config.Registry.ResourceKey()
	named := body
	for serial := uint64(1); ; serial++ {
		c, fresh, err := l.createCollection(r.Context(), s, key.CollectionJob(s.Task.ID(), named), body)
		if err != nil {
			return err
		}
		again := c.State == Deleted || c.State == Failed && (c.Problem == dap.ProblemInvalidBatchSize || c.Problem == "")
		if fresh || !again {
			return l.created(w, s, c)
		}
		named = binary.BigEndian.AppendUint64(bytes.Clone(body), serial)
	}
}

// created answers a request that has created a collection job, or named one.
func (l *Leader) created(w http.ResponseWriter, s *tasks.Serving, c Collection) error {
	w.Header().Set("Location", dap.Resolve(s.Task.Config().Leader, dap.CollectionJobPath(s.Task.ID(), c.ID)))
	return l.answer(w, s, c, http.StatusCreated)
}

// putCollection is the same where the collector chooses the ID.
func (l *Leader) putCollection(w http.ResponseWriter, r *http.Request, s *tasks.Serving) error {
	if !s.Task.Variant().ClientChoosesIDs() {
		w.Header().Set("Allow", "GET, DELETE")
		return exchange.ErrMethod
	}
	id, err := dap.ParseCollectionJobID(r.PathValue("job"))
	if err != nil {
		return exchange.ErrNotFound
	}
	body, err := readCollection(w, r)
	if err != nil {
		return err
	}
	c, _, err := l.createCollection(r.Context(), s, id, body)
	if err != nil {
		return err
	}
	switch {
	case c.State == Deleted:
		return exchange.ErrDeleted
	case !bytes.Equal(c.Request, body):
		return exchange.ErrMutation
	}
	return l.answer(w, s, c, http.StatusCreated)
}

func readCollection(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if err := exchange.CheckType(r, dap.TypeCollectionJobReq); err != nil {
		return nil, err
	}
	return exchange.ReadBody(w, r, maxCollectionRequest)
}

// createCollection returns the collection job of an ID. It creates a missing one if
// the request can be answered.
func (l *Leader) createCollection(ctx context.Context, s *tasks.Serving, id dap.CollectionJobID, body []byte) (Collection, bool, error) {
	c, err := l.config.Store.Collection(ctx, s.Task.ID(), id)
	if !errors.Is(err, ErrUnknown) {
		return c, false, err
	}
	if s.Entry.Disabled {
		return Collection{}, false, &dap.Abort{Type: dap.ProblemUnrecognizedTask, Detail: "the task is disabled"}
	}
	c = Collection{Task: s.Task.ID(), ID: id, State: Waiting, Created: l.now(), Request: body}
	c.Due = c.Created
	if c.Interval, err = l.checkCollection(ctx, s, body); err != nil {
		return Collection{}, false, err
	}
	c, fresh, err := l.config.Store.CreateCollection(context.WithoutCancel(ctx), c)
	if err == nil && fresh {
		l.config.Metrics.Collection(Waiting)
		l.stir(c.Task)
		l.wake.collections.Set()
	}
	return c, fresh, err
}

// checkCollection validates a request in the draft's order, and returns its
// interval in the time-interval mode.
func (l *Leader) checkCollection(ctx context.Context, s *tasks.Serving, body []byte) (dap.Interval, error) {
	var req dap.CollectionJobReq
	if err := s.Task.Codec().Decode(&req, body); err != nil {
		return dap.Interval{}, err
	}
	invalid := s.Task.CheckCollection(&req)
	if abort := dap.AbortOf(invalid); abort != nil && abort.Type != dap.ProblemUnsupportedExtension && abort.Type != dap.ProblemInvalidExtension {
		return dap.Interval{}, invalid
	}
	// What is overlapped comes before the extensions.
	if req.Query.Mode == dap.LeaderSelectedMode {
		return dap.Interval{}, invalid
	}
	i, err := req.Query.Interval()
	if err != nil {
		return dap.Interval{}, err
	}
	if _, err := collectableAt(s, i); err != nil {
		return dap.Interval{}, &dap.Abort{Type: dap.ProblemBatchInvalid, Detail: err.Error()}
	}
	taskLedger, err := l.ledger(ctx, s)
	if err != nil {
		return dap.Interval{}, err
	}
	_, collected, err := taskLedger.Batch(ctx, dap.IntervalSelector(i))
	if err != nil {
		return dap.Interval{}, err
	}
	if collected {
		return dap.Interval{}, &dap.Abort{Type: dap.ProblemBatchOverlap, Detail: "a part of the batch was collected before"}
	}
	if err := l.checkExpired(ctx, taskLedger, s.Task.ID(), i); err != nil {
		return dap.Interval{}, err
	}
	return i, invalid
}

// checkExpired fails if reports of an interval that were counted have expired: the
// helper may have forgotten them, or this leader, and the rest is not the whole.
func (l *Leader) checkExpired(ctx context.Context, taskLedger *ledger.Ledger, task dap.TaskID, i dap.Interval) error {
	end, err := i.End()
	if err != nil {
		return err
	}
	if end <= taskLedger.Oldest() {
		return l.expiredBatch(ctx, task, i, "the reports of the whole interval have expired")
	}
	if i.Start < taskLedger.Kept() {
		return l.expiredBatch(ctx, task, i, "reports of a part of the interval may have been deleted, they have expired: ask for a later one")
	}
	gone, err := hasExpired(ctx, taskLedger, i)
	if err == nil && gone {
		err = l.expiredBatch(ctx, task, i, "reports of a part of the interval have expired: ask for a later one")
	}
	return err
}

// expiredBatch is the problem that reports of an interval have expired. It states
// how many of them were never counted.
func (l *Leader) expiredBatch(ctx context.Context, task dap.TaskID, i dap.Interval, detail string) error {
	lost, err := l.config.Store.Losses(ctx, task, i)
	if err != nil {
		return err
	}
	if lost > 0 {
		detail += fmt.Sprintf("; %d accepted reports were not counted before that", lost)
	}
	return &dap.Abort{Type: dap.ProblemBatchInvalid, Detail: detail}
}

// hasExpired reports whether a batch has reports that have expired. They are
// still here, see [ledger.Config], and the helper may have forgotten them.
func hasExpired(ctx context.Context, taskLedger *ledger.Ledger, i dap.Interval) (bool, error) {
	oldest := taskLedger.Oldest()
	if i.Start >= oldest {
		return false, nil
	}
	old := dap.Interval{Start: i.Start, Duration: min(i.Duration, dap.Duration(oldest-i.Start))}
	total, _, err := taskLedger.Batch(ctx, dap.IntervalSelector(old))
	return err == nil && total.Count > 0, err
}

// collectableAt returns when the batch of an interval may be frozen: after its
// end and the task's grace. It fails with [dap.ErrTime].
func collectableAt(s *tasks.Serving, i dap.Interval) (time.Time, error) {
	if i.Duration == 0 {
		return time.Time{}, nil
	}
	end, err := i.End()
	if err != nil {
		return time.Time{}, err
	}
	at, err := s.Task.Config().TimePrecision.Start(end)
	if err != nil {
		return time.Time{}, err
	}
	return at.Add(s.Entry.Grace), nil
}

// getCollection serves the state of a collection job, and its result once there
// is one.
func (l *Leader) getCollection(w http.ResponseWriter, r *http.Request, s *tasks.Serving) error {
	id, err := dap.ParseCollectionJobID(r.PathValue("job"))
	if err != nil {
		return exchange.ErrNotFound
	}
	c, err := l.awaitCollection(r.Context(), s.Task.ID(), id, preferredWait(r))
	if errors.Is(err, ErrUnknown) {
		return exchange.ErrNotFound
	}
	if err != nil {
		return err
	}
	return l.answer(w, s, c, http.StatusOK)
}

// preferredWait returns how long a client prefers to wait for a result: the
// header "Prefer: wait=SECONDS".
func preferredWait(r *http.Request) time.Duration {
	for _, field := range r.Header.Values("Prefer") {
		for p := range strings.SplitSeq(field, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
			n, err := strconv.ParseUint(value, 10, 16)
			if strings.EqualFold(name, "wait") && err == nil {
				return min(time.Duration(n)*time.Second, longestWait)
			}
		}
	}
	return 0
}

// awaitCollection returns a collection job, as soon as it has ended, or after a
// while.
func (l *Leader) awaitCollection(ctx context.Context, task dap.TaskID, id dap.CollectionJobID, wait time.Duration) (Collection, error) {
	until := l.config.Clock.Now().Add(wait)
	for {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		c, err := l.config.Store.Collection(ctx, task, id)
		if err != nil || c.ended() || !l.config.Clock.Now().Before(until) {
			return c, err
		}
		waiting, cancel := context.WithCancel(ctx)
		go func() {
			select {
			case <-changed:
			case <-waiting.Done():
			}
			cancel()
		}()
		l.config.Clock.Until(waiting, until) // changed, over or given up: look again
		cancel()
		if err := ctx.Err(); err != nil {
			return Collection{}, fmt.Errorf("waiting for a collection job: %w", err)
		}
	}
}

// answer writes the state of a collection job.
func (l *Leader) answer(w http.ResponseWriter, s *tasks.Serving, c Collection, status int) error {
	switch c.State {
	case Done:
		w.Header().Set("Cache-Control", "no-store")
		if c.Lost > 0 {
			w.Header().Set(LostHeader, strconv.FormatUint(c.Lost, 10))
		}
		exchange.Send(w, status, dap.TypeCollectionJobResp, c.Response)
		return nil
	case Failed:
		if c.Problem == "" {
			return errHelperFailed.Because("%s", c.Detail)
		}
		return &dap.Abort{Type: c.Problem, Detail: c.Detail}
	case Deleted:
		return exchange.ErrDeleted
	}
	// An empty body means that it is not ready. The status is that of a job which is
	// there, in all variants: other collectors take a 202 for a failure.
	l.mu.Lock()
	p, known := l.progress[collectionKey{c.Task, c.ID}]
	l.mu.Unlock()
	if known && p.missing > 0 {
		w.Header().Set(MissingHeader, strconv.FormatUint(coarse(p.missing, s.Task.Config().MinBatchSize), 10))
	}
	retry := retryAfter
	if at, err := collectableAt(s, c.Interval); err == nil {
		retry = min(max(retry, at.Sub(l.now())), time.Hour)
	}
	exchange.Later(w, status, retry)
	return nil
}

// coarse rounds a number of missing reports up to quarters of the minimum.
func coarse(missing, minimum uint64) uint64 {
	step := max(1, minimum/4)
	return min((missing+step-1)/step*step, minimum)
}

// deleteCollection gives up a collection job (section "Collection Job Deletion").
// What was collected stays collected. A batch that the leader had selected for a
// job that was not ready is not selected again.
func (l *Leader) deleteCollection(w http.ResponseWriter, r *http.Request, s *tasks.Serving) error {
	id, err := dap.ParseCollectionJobID(r.PathValue("job"))
	if err != nil {
		return exchange.ErrNotFound
	}
	for range 8 { // the gatherer may be at it
		c, err := l.config.Store.Collection(r.Context(), s.Task.ID(), id)
		if errors.Is(err, ErrUnknown) {
			return exchange.ErrNotFound
		}
		if err != nil {
			return err
		}
		if c.State == Deleted {
			break
		}
		c.State, c.Response, c.Due = Deleted, nil, l.now()
		err = l.config.Store.UpdateCollection(context.WithoutCancel(r.Context()), c)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		l.config.Metrics.Collection(Deleted)
		l.collectionChanged(c)
		break
	}
	exchange.Done(w)
	return nil
}

// selector returns the batch that a collection is for.
func (c *Collection) selector() dap.BatchSelector {
	if c.Interval.Duration > 0 {
		return dap.IntervalSelector(c.Interval)
	}
	return dap.BatchIDSelector(c.Batch)
}

// A collectionKey names a collection job.
type collectionKey struct {
	task dap.TaskID
	id   dap.CollectionJobID
}

// progress is what is known of a collection job that waits. It lives in memory
// only.
type progress struct {
	missing uint64 // reports, at the last look
	looked  time.Time
	holders []Holder // nodes that are waited for, at the last look
	asked   time.Time
	since   time.Time // since when they are waited for
	err     error     // the last failure
	driven  time.Time // when the driver took it last
	again   bool      // it was taken too early after looked
}

// collectionChanged wakes the requests that wait for a collection job, and what the
// job has held up.
func (l *Leader) collectionChanged(c Collection) {
	if c.ended() {
		l.mu.Lock()
		delete(l.progress, collectionKey{c.Task, c.ID})
		l.unblock(c.Task)
		l.mu.Unlock()
	}
	l.announce()
	l.stir(c.Task)
	l.wake.intake.Set()
	l.wake.collections.Set()
}
