package leader

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// driveCollections takes collection jobs as far as they go, and reports whether one moved:
// those of tasks of which something has changed here, those that are due, or all.
func (l *Leader) driveCollections(ctx context.Context, all bool) (bool, error) {
	l.collecting.Lock()
	defer l.collecting.Unlock()
	pending, err := l.config.Store.Collections(ctx)
	if err != nil {
		return false, fmt.Errorf("reading collection jobs: %w", err)
	}
	pending = l.movable(ctx, pending, all)
	moved := make([]bool, len(pending))
	errs := make([]error, len(pending))
	l.selectInOrder(ctx, pending, moved, errs)
	var g errgroup.Group // helpers may be slow
	g.SetLimit(l.config.Workers)
	for i, c := range pending {
		g.Go(func() error {
			if errs[i] == nil {
				var went bool
				went, errs[i] = l.advanceCollection(ctx, c)
				moved[i] = moved[i] || went
			}
			if errs[i] != nil {
				l.stir(c.Task)
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	return slices.Contains(moved, true), errors.Join(append(errs, ctx.Err())...)
}

// stir notes that something has changed that collections of a task may wait for. The
// caller wakes the driver.
func (l *Leader) stir(task dap.TaskID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stirred[task] = true
}

// movable returns those of the pending collection jobs that may go on, and notes that they
// are looked at. Those of a task go together, so that the oldest is first.
func (l *Leader) movable(ctx context.Context, pending []Collection, all bool) []Collection {
	now := l.now()
	look := make(map[dap.TaskID]bool)
	for _, c := range pending {
		if all || !l.nextLook(ctx, &c, now).After(now) {
			look[c.Task] = true
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for task := range l.stirred {
		look[task] = true
	}
	clear(l.stirred)
	known := make(map[collectionKey]bool, len(pending))
	for _, c := range pending {
		known[collectionKey{c.Task, c.ID}] = true
	}
	maps.DeleteFunc(l.progress, func(k collectionKey, _ progress) bool { return !known[k] }) // others have ended them
	pending = slices.DeleteFunc(pending, func(c Collection) bool { return !look[c.Task] })
	for _, c := range pending {
		k := collectionKey{c.Task, c.ID}
		p := l.progress[k]
		p.driven, p.again = now, false
		l.progress[k] = p
	}
	return pending
}

// nextLook returns when a collection job may go on although nothing was noted that it
// waits for: at its time, and every [maxSleep], for what other nodes do.
func (l *Leader) nextLook(ctx context.Context, c *Collection, now time.Time) time.Time {
	if c.Due.After(now) {
		return c.Due
	}
	l.mu.Lock()
	p := l.progress[collectionKey{c.Task, c.ID}]
	l.mu.Unlock()
	next := p.driven.Add(maxSleep)
	if c.Due.After(p.driven) {
		next = c.Due
	}
	if p.again {
		next = earlier(next, p.looked.Add(lookEvery))
	}
	s, err := l.config.Registry.Lookup(ctx, c.Task)
	if err != nil {
		return next
	}
	at, err := collectableAt(s, c.Interval)
	if err != nil || c.State != Waiting {
		return next
	}
	if at.After(p.driven) {
		return at
	}
	return next
}

// collectionsDue returns when the next collection job may go on.
func (l *Leader) collectionsDue(ctx context.Context) time.Time {
	now := l.now()
	pending, err := l.config.Store.Collections(ctx)
	if err != nil {
		return now.Add(l.config.FirstPause)
	}
	due := now.Add(maxSleep)
	for _, c := range pending {
		due = earlier(due, l.nextLook(ctx, &c, now))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.stirred) > 0 {
		return now
	}
	return due
}

// selectInOrder takes the collection jobs that wait for a batch of the leader's
// choice one step further, the oldest first: the others go side by side. What they
// have become is in pending.
func (l *Leader) selectInOrder(ctx context.Context, pending []Collection, moved []bool, errs []error) {
	for i, c := range pending {
		if c.State != Waiting || c.Interval.Duration > 0 || ctx.Err() != nil {
			continue
		}
		next, err := l.step(ctx, c)
		if err != nil {
			errs[i] = collectionError(&c, err)
			continue
		}
		moved[i], pending[i] = next.Rev != c.Rev, next
	}
}

func collectionError(c *Collection, err error) error {
	return fmt.Errorf("collection job %v of task %v, %v: %w", c.ID, c.Task, c.State, err)
}

// advanceCollection takes a collection job as far as it goes, and reports whether
// it moved.
func (l *Leader) advanceCollection(ctx context.Context, c Collection) (moved bool, err error) {
	for ctx.Err() == nil && !c.ended() {
		next, err := l.step(ctx, c)
		if err != nil {
			return moved, collectionError(&c, err)
		}
		if next.Rev == c.Rev {
			break
		}
		moved, c = true, next
	}
	return moved, nil
}

// step takes a collection job one step further, if that can be, and returns what
// it has become.
func (l *Leader) step(ctx context.Context, c Collection) (Collection, error) {
	s, err := l.servingOf(ctx, c.Task)
	if errors.Is(err, tasks.ErrUnknown) || errors.Is(err, errDisabled) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	if c.Due.After(l.now()) {
		return c, nil
	}
	if c.State == Draining {
		next, err := l.fetchShare(ctx, s, c)
		if err != nil && !errors.Is(err, ErrConflict) {
			return l.shareFailed(ctx, next, err)
		}
		return next, ignoreConflict(err)
	}
	next, err := l.prepare(ctx, s, c)
	if errors.Is(err, ErrBusy) {
		return c, nil // what it waits for signals
	}
	return next, ignoreConflict(err)
}

// ignoreConflict drops the error that means that another node was first.
func ignoreConflict(err error) error {
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

// prepare waits for the grace, for the logs that may hold reports of the batch,
// and for enough reports, and then freezes the batch.
func (l *Leader) prepare(ctx context.Context, s *tasks.Serving, c Collection) (Collection, error) {
	at, err := collectableAt(s, c.Interval)
	if err != nil {
		return l.fail(ctx, c, &dap.Abort{Type: dap.ProblemBatchInvalid, Detail: err.Error()})
	}
	if now, sure := l.guard.Now(); !sure || now.Before(at) {
		return c, nil
	}
	if c.Interval.Duration == 0 {
		return l.selectBatch(ctx, s, c)
	}
	taskLedger, err := l.ledger(ctx, s)
	if err != nil {
		return c, err
	}
	if ready, next, err := l.jobsCreated(ctx, c); err != nil || next.Rev != c.Rev {
		return next, err
	} else if !ready {
		return l.waitForNodes(ctx, c, dap.BatchID{}, at)
	}
	if wait, err := l.looksAgain(ctx, c); wait || err != nil {
		return c, err
	}
	total, collected, err := taskLedger.Batch(ctx, c.selector())
	if err != nil {
		return c, err
	}
	err = s.Task.CheckBatch(total, collected)
	if abort := dap.AbortOf(err); abort != nil {
		if abort.Type != dap.ProblemInvalidBatchSize {
			return l.fail(ctx, c, abort)
		}
		if next, err := l.failExpired(ctx, taskLedger, c); err != nil || next.Rev != c.Rev {
			return next, err
		}
		return l.wait(ctx, s, c, total.Count, at)
	}
	if c.Interval.Start < taskLedger.Kept() { // it was whole when it was asked for
		return l.failExpired(ctx, taskLedger, c)
	}
	next, err := l.drain(ctx, c)
	if errors.Is(err, ErrBusy) {
		return l.waitForNodes(ctx, c, dap.BatchID{}, at)
	}
	return next, err
}

// failExpired fails a collection whose batch cannot be whole any more because
// reports have expired. As long as jobs run that may add to it, nothing is decided.
func (l *Leader) failExpired(ctx context.Context, taskLedger *ledger.Ledger, c Collection) (Collection, error) {
	if c.Interval.Start >= taskLedger.Oldest() {
		return c, nil
	}
	holders, err := l.config.Store.Holders(ctx, c)
	if err != nil || len(holders) > 0 {
		return c, err
	}
	err = l.checkExpired(ctx, taskLedger, c.Task, c.Interval)
	if abort := dap.AbortOf(err); abort != nil {
		l.config.Failed(fmt.Errorf("collection job %v of task %v fails: %s", c.ID, c.Task, abort.Detail))
		return l.fail(ctx, c, abort)
	}
	return c, err
}

// dueSince returns since when a collection waits for nothing but other work: it
// could be collected from a time on, and was asked for.
func dueSince(c *Collection, at time.Time) time.Time { return later(at, c.Created) }

// waitForNodes notes for which nodes a collection waits, because of a batch that it
// may take, if it is not zero, and gives up when they have not done their work
// before the collection timeout.
func (l *Leader) waitForNodes(ctx context.Context, c Collection, batch dap.BatchID, at time.Time) (Collection, error) {
	k := collectionKey{c.Task, c.ID}
	since, now := dueSince(&c, at), l.config.Clock.Now()
	late := !now.Before(since.Add(l.config.CollectionTimeout))
	l.mu.Lock()
	p := l.progress[k]
	l.mu.Unlock()
	if !late && now.Before(p.asked.Add(lookEvery)) {
		return c, nil
	}
	of := c
	of.Batch = batch
	holders, err := l.config.Store.Holders(ctx, of)
	if err != nil {
		return c, err
	}
	if !late {
		l.mu.Lock()
		p.holders, p.asked, p.since = holders, now, since
		l.progress[k] = p
		l.mu.Unlock()
		return c, nil
	}
	for _, h := range holders {
		l.config.Failed(fmt.Errorf("collection job %v of task %v fails: since %s it has waited for node %q, which has %d logs and %d jobs with reports that may belong to its batch; start the node, or give these reports up: shoal leader drop-node %s",
			c.ID, c.Task, since.UTC().Format(time.RFC3339), h.Node, h.Logs, h.Jobs, h.Node))
	}
	return l.fail(ctx, c, &dap.Abort{
		Type:   dap.ProblemInvalidBatchSize,
		Detail: fmt.Sprintf("%d servers of the leader have not aggregated their reports since %s", len(holders), since.UTC().Format(time.RFC3339)),
	})
}

// jobsCreated reports whether the logs that were there when the collection was due
// are cut into jobs. The first time it asks for it.
func (l *Leader) jobsCreated(ctx context.Context, c Collection) (bool, Collection, error) {
	last, undone, err := l.config.Store.LastLog(ctx, c.Task, c.Upto)
	if err != nil {
		return false, c, err
	}
	if c.Upto == 0 && last > 0 {
		c.Upto = last
		if err := l.config.Store.UpdateCollection(ctx, c); err != nil {
			return false, c, err
		}
		c.Rev++
		l.want(c.Task, c.Upto)
		return false, c, nil
	}
	return undone == 0, c, nil
}

// lookEvery is how often a batch that jobs may still add to is looked at: to read
// it costs more than to note that a job has ended.
const lookEvery = time.Second

// looksAgain reports whether the batch of a collection was looked at a moment ago,
// and jobs still run.
func (l *Leader) looksAgain(ctx context.Context, c Collection) (bool, error) {
	l.mu.Lock()
	p := l.progress[collectionKey{c.Task, c.ID}]
	l.mu.Unlock()
	now := l.config.Clock.Now()
	if p.looked.IsZero() || !now.Before(p.looked.Add(lookEvery)) {
		return false, nil
	}
	jobs, _, err := l.config.Store.Jobs(ctx, c.Task)
	if jobs > 0 {
		l.mu.Lock()
		p.again = true
		l.progress[collectionKey{c.Task, c.ID}] = p
		l.mu.Unlock()
	}
	return jobs > 0, err
}

// wait notes how many reports are missing, and gives up when none can be
// expected to come any more.
func (l *Leader) wait(ctx context.Context, s *tasks.Serving, c Collection, have uint64, since time.Time) (Collection, error) {
	least := s.Task.Config().MinBatchSize
	missing := least - min(have, least)
	since = dueSince(&c, since)
	if l.now().Before(since.Add(l.config.CollectionTimeout)) {
		l.mu.Lock()
		k := collectionKey{c.Task, c.ID}
		l.progress[k] = progress{missing: missing, looked: l.config.Clock.Now(), driven: l.progress[k].driven}
		l.mu.Unlock()
		return c, nil
	}
	return l.fail(ctx, c, &dap.Abort{
		Type:   dap.ProblemInvalidBatchSize,
		Detail: fmt.Sprintf("about %d reports are missing from the task's minimum of %d", coarse(missing, least), least),
	})
}

// selectBatch takes the oldest batch that has enough reports.
func (l *Leader) selectBatch(ctx context.Context, s *tasks.Serving, c Collection) (Collection, error) {
	batches, err := l.config.Store.Batches(ctx, c.Task)
	if err != nil {
		return c, err
	}
	var most uint64
	var blocked dap.BatchID // has reports enough, but not all of them are aggregated
	for _, b := range batches {
		if blocked == (dap.BatchID{}) && b.Assigned > 0 && b.Count+b.Assigned >= s.Task.Config().MinBatchSize {
			blocked = b.ID
		}
		if b.Count >= s.Task.Config().MinBatchSize && b.Assigned == 0 {
			c.Batch = b.ID
			return l.drain(ctx, c)
		}
		most = max(most, b.Count)
	}
	// Reports that wait in logs may fill one.
	ready, next, err := l.jobsCreated(ctx, c)
	if err != nil || next.Rev != c.Rev {
		return next, err
	}
	if !ready || blocked != (dap.BatchID{}) {
		return l.waitForNodes(ctx, c, blocked, c.Created)
	}
	return l.wait(ctx, s, c, most, c.Created)
}

// drain freezes the batch, and records what the helper will be sent.
func (l *Leader) drain(ctx context.Context, c Collection) (Collection, error) {
	c.State, c.Attempts, c.Due = Draining, 0, l.now()
	if err := l.config.Store.Drain(ctx, c); err != nil {
		return c, err
	}
	c.Rev++
	l.config.Metrics.Collection(Draining)
	return c, nil
}

// fail ends a collection job with a problem.
func (l *Leader) fail(ctx context.Context, c Collection, abort *dap.Abort) (Collection, error) {
	c.State, c.Problem, c.Detail, c.Due = Failed, abort.Type, abort.Detail, l.now()
	if err := l.config.Store.UpdateCollection(ctx, c); err != nil {
		return c, err
	}
	c.Rev++
	l.config.Metrics.Collection(Failed)
	l.collectionChanged(c)
	return c, nil
}

// fetchShare asks the helper for its share of a frozen batch (section "Obtaining
// Aggregate Shares"), and then ends the collection.
func (l *Leader) fetchShare(ctx context.Context, s *tasks.Serving, c Collection) (Collection, error) {
	taskLedger, err := l.ledger(ctx, s)
	if err != nil {
		return c, err
	}
	total, collected, err := taskLedger.Batch(ctx, c.selector())
	if err != nil {
		return c, err
	}
	if err := s.Task.CheckBatch(total, collected); err != nil {
		return c, err
	}
	if c.Count == 0 {
		c.Count, c.Checksum = total.Count, total.Checksum
		if err := l.config.Store.UpdateCollection(ctx, c); err != nil {
			return c, err
		}
		c.Rev++
	}
	var job dap.CollectionJobReq
	if err := s.Task.Codec().Decode(&job, c.Request); err != nil {
		return c, err
	}
	answer, err := l.askShare(ctx, s, &c, &job)
	if err != nil {
		return c, err
	}
	if answer.Body == nil {
		return l.awaitShare(ctx, c, answer)
	}
	var share dap.AggregateShare
	if err := s.Task.Codec().Decode(&share, answer.Body); err != nil {
		return c, fmt.Errorf("%w: %w", exchange.ErrAnswer, err)
	}
	return l.end(ctx, s, taskLedger, c, &job, share.Encrypted)
}

// askShare sends the request to the helper, or asks for the result of one that
// the helper works on.
func (l *Leader) askShare(ctx context.Context, s *tasks.Serving, c *Collection, job *dap.CollectionJobReq) (*exchange.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, l.config.LeaseTime)
	defer cancel()
	codec := s.Task.Codec()
	body, err := codec.Encode(&dap.AggregateShareReq{Job: *job, Selector: c.selector(), ReportCount: c.Count, Checksum: c.Checksum})
	if err != nil {
		return nil, err
	}
	id := shareID(body)
	method, path := s.Task.Variant().CreateAggregateShare(c.Task, id)
	r := exchange.Request{
		Method: method, URL: dap.Resolve(s.Task.Config().Helper, path),
		Body: body, Type: dap.TypeAggregateShareReq, Want: dap.TypeAggregateShare, Limit: codec.Limits().Body,
	}
	if c.Location != "" {
		r.Method, r.URL, r.Body = http.MethodGet, c.Location, nil
	}
	answer, err := l.send(ctx, s, r)
	if err != nil && c.Location != "" && lostJob(err) {
		c.Location = "" // the request finds it again
		return l.askShare(ctx, s, c, job)
	}
	if err == nil && answer.Body == nil && answer.Location == "" && s.Task.Variant().ClientChoosesIDs() {
		answer.Location = dap.Resolve(s.Task.Config().Helper, dap.AggregateSharePath(c.Task, id))
	}
	return answer, err
}

// shareID names the aggregate share of a request where the leader chooses the
// name. It is not the collection job's: after that has been forgotten, its ID may
// come again, for another batch.
func shareID(request []byte) dap.AggregateShareID {
	digest := sha256.Sum256(request)
	return dap.AggregateShareID(digest[:16])
}

// awaitShare notes where the helper works on its share.
func (l *Leader) awaitShare(ctx context.Context, c Collection, answer *exchange.Response) (Collection, error) {
	if answer.Location != "" {
		c.Location = answer.Location
	}
	if c.Location == "" {
		return c, fmt.Errorf("%w: the helper works on its share and does not say where", exchange.ErrAnswer)
	}
	c.Due = l.now().Add(min(max(answer.Retry, time.Second), l.config.LongPause))
	if err := l.config.Store.UpdateCollection(ctx, c); err != nil {
		return c, err
	}
	c.Rev++
	return c, nil
}

// shareFailed postpones a frozen collection, or ends it with the error that
// caused the failure. It is patient: the helper may have given its share already,
// and then a batch that is given up is lost.
func (l *Leader) shareFailed(ctx context.Context, c Collection, cause error) (Collection, error) {
	if ctx.Err() != nil {
		return c, cause
	}
	if abort, ok := errors.AsType[*dap.Abort](cause); ok && abort.Type != dap.ProblemUnrecognizedTask {
		next, err := l.fail(ctx, c, abort)
		return next, errors.Join(ignoreConflict(err))
	}
	c.Attempts++
	if c.Attempts >= l.config.Attempts && l.now().After(c.Created.Add(l.config.CollectionTimeout)) {
		next, err := l.fail(ctx, c, &dap.Abort{Detail: "the helper did not give its share"})
		return next, errors.Join(cause, ignoreConflict(err))
	}
	p, _ := errors.AsType[exchange.Problem](cause)
	c.Due = l.dueAfter(c.Attempts, p.Retry)
	l.mu.Lock()
	k := collectionKey{c.Task, c.ID}
	l.progress[k] = progress{err: cause, driven: l.progress[k].driven}
	l.mu.Unlock()
	err := l.config.Store.UpdateCollection(ctx, c)
	if err == nil {
		c.Rev++
	}
	return c, errors.Join(cause, ignoreConflict(err))
}

// end adds the leader's noise, seals its share, and stores the result in one
// step with the mark that the batch is collected. Only then can the share leave.
func (l *Leader) end(ctx context.Context, s *tasks.Serving, taskLedger *ledger.Ledger, c Collection, job *dap.CollectionJobReq, helper dap.HpkeCiphertext) (Collection, error) {
	done := c
	var lost uint64
	if c.Interval.Duration > 0 {
		var err error
		if lost, err = l.config.Store.Losses(ctx, c.Task, c.Interval); err != nil {
			return c, err
		}
	}
	err := taskLedger.Collect(ctx, c.selector(), func(ctx context.Context, total *dap.Total, mark ledger.Collection) error {
		if c.Interval.Duration > 0 && c.Interval.Start < taskLedger.Kept() {
			return l.expiredBatch(ctx, c.Task, c.Interval, "reports of a part of the interval have expired and were deleted")
		}
		if total.Count != c.Count || total.Checksum != c.Checksum {
			return &dap.Abort{Type: dap.ProblemBatchMismatch, Detail: "the batch has changed while the helper was asked for its share"}
		}
		// An attempt that the store refuses leaves nothing: its noise is lost with it.
		if err := s.Task.AddNoise(total.Share, l.config.Rand); err != nil {
			return err
		}
		leader, err := s.Task.SealAggregateShare(s.Entry.Collector, dap.Leader, job, total.Share.Bytes())
		if err != nil {
			return err
		}
		resp := &dap.CollectionJobResp{ReportCount: total.Count, Interval: total.Interval, LeaderShare: leader, HelperShare: helper}
		done = c
		done.State, done.Location, done.Due, done.Lost = Done, "", l.now(), lost
		if done.Response, err = s.Task.Codec().Encode(resp); err != nil {
			return err
		}
		return l.config.Store.EndCollection(ctx, done, mark)
	})
	if err != nil {
		return c, err
	}
	done.Rev++
	if lost > 0 {
		l.config.Failed(fmt.Errorf("collection job %v of task %v: the result lacks %d accepted reports that have expired uncounted", c.ID, c.Task, lost))
	}
	l.config.Metrics.Collection(Done)
	l.collectionChanged(done)
	return done, nil
}
