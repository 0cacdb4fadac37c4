package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/exchange"
)

// missingHeader is a header that a Shoal leader sets while a collection job waits
// for reports: how many are missing, rounded up to quarters of the minimum. DAP
// has no word for it, and other leaders leave it out.
const missingHeader = "Shoal-Missing-Reports"

// lostHeader is a header that a Shoal leader sets with a result: how many reports of
// its interval were accepted and expired before they were counted.
const lostHeader = "Shoal-Lost-Reports"

// lost describes the reports that a leader reports as lost, "" for nothing or no
// number.
func lost(header string) string {
	n, err := strconv.ParseUint(header, 10, 64)
	if err != nil || n == 0 {
		return ""
	}
	return fmt.Sprintf("%d accepted reports have expired and are not in the result", n)
}

// missing describes the reports that a leader reports as missing, "" for what is no
// number that can be true.
func (q *Question) missing(header string) string {
	least := q.Task.Config().MinBatchSize
	n, err := strconv.ParseUint(header, 10, 64)
	if err != nil || n == 0 || n > least {
		return ""
	}
	return fmt.Sprintf("up to %d of %d reports", n, least)
}

// ask sends the request of an ask, or asks for its result. It returns the ask as
// it is then, and how long to wait before the next time.
func (c *Collector) ask(ctx context.Context, q *Question, a Ask) (Ask, time.Duration, error) {
	resp, err := c.client.Do(ctx, c.request(q, a))
	if p, refused := errors.AsType[exchange.Problem](err); refused {
		return c.refused(ctx, q, a, p)
	}
	if err != nil {
		c.config.Metrics.Request("failed")
		return a, 0, errors.Join(err, c.abandonLate(ctx, &a, "the leader could not be reached"))
	}
	next := a
	switch {
	case resp.Location != "":
		next.Location = resp.Location
	case a.Location == "" && q.Task.Variant().ClientChoosesIDs():
		// The job is where it was put: Janus names no location.
		next.Location = dap.Resolve(q.Task.Config().Leader, dap.CollectionJobPath(q.Task.ID(), a.ID))
	}
	if len(resp.Body) > 0 {
		c.config.Metrics.Request("answered")
		again, err := c.seen(ctx, q, a, resp.Body)
		if err != nil || again {
			if err == nil {
				err = c.forget(ctx, q, next.Location)
			}
			next.Location = ""
			next, _, stored := c.store(ctx, a, next, 0)
			return next, c.config.Poll, errors.Join(err, stored)
		}
		next.State, next.Response, next.Missing = Received, resp.Body, lost(resp.Header.Get(lostHeader))
		return c.store(ctx, a, next, 0)
	}
	c.config.Metrics.Request("waiting")
	next.Missing = q.missing(resp.Header.Get(missingHeader))
	pause := resp.Retry
	if pause <= 0 {
		pause = c.config.Poll
	}
	if next.Location != a.Location || next.Missing != a.Missing {
		if next, _, err = c.store(ctx, a, next, 0); err != nil {
			return next, pause, err
		}
	}
	return next, pause, c.abandonLate(ctx, &next, "not enough reports arrived")
}

// seen reports whether an answer is that of an ask before. In the leader-selected
// mode all requests are alike, and a leader answers with the job that it has until
// that is deleted.
func (c *Collector) seen(ctx context.Context, q *Question, a Ask, answer []byte) (bool, error) {
	if q.Task.Config().BatchMode != dap.LeaderSelectedMode {
		return false, nil
	}
	answered, err := c.config.Store.Answered(ctx, a.Task, answerDigest(answer))
	if err != nil || answered {
		return answered, err
	}
	waiting, err := c.config.Store.Open(ctx)
	return slices.ContainsFunc(waiting, func(o Ask) bool {
		return o.Task == a.Task && o.ID != a.ID && bytes.Equal(o.Response, answer)
	}), err
}

// forget deletes a collection job at the leader.
func (c *Collector) forget(ctx context.Context, q *Question, location string) error {
	if location == "" {
		return nil
	}
	_, err := c.client.Do(ctx, exchange.Request{Method: http.MethodDelete, URL: location, Token: q.Leader})
	return err
}

// request is the creation of a collection job, or, once that has a place, the
// question for its result.
func (c *Collector) request(q *Question, a Ask) exchange.Request {
	r := exchange.Request{
		Token: q.Leader, Want: dap.TypeCollectionJobResp, Limit: maxResponse(q.Task),
	}
	v, endpoint := q.Task.Variant(), q.Task.Config().Leader
	switch {
	case a.Location != "":
		r.Method, r.URL = http.MethodGet, a.Location
	default:
		method, path := v.CreateCollectionJob(q.Task.ID(), a.ID)
		r.Method, r.URL = method, dap.Resolve(endpoint, path)
		r.Body, r.Type = a.Request, dap.TypeCollectionJobReq
		return r
	}
	return r
}

// maxResponse bounds an answer: two sealed shares.
func maxResponse(t *dap.Task) int64 {
	return 2*int64(t.Instance().Sizes().AggregateShare) + 1<<16
}

// refused deals with a problem document.
func (c *Collector) refused(ctx context.Context, q *Question, a Ask, p exchange.Problem) (Ask, time.Duration, error) {
	outcome := "refused" // other names are the leader's to choose
	if p.Abort != nil {
		outcome = string(p.Abort.Type)
	}
	c.config.Metrics.Request(outcome)
	pause := max(p.Retry, c.config.Poll)
	switch {
	case p.Abort != nil && q.early(p):
		// Reports may still be on their way through the aggregators.
		next := a
		next.Location = "" // the job has failed; the next request makes another
		if a.Location != "" {
			var err error
			if a, _, err = c.store(ctx, a, next, 0); err != nil {
				return a, pause, err
			}
		}
		return a, pause, c.abandonLate(ctx, &a, "not enough reports arrived")
	case p.Abort != nil && final(p.Abort.Type):
		next := a
		next.State, next.Reason = Abandoned, "the leader refuses: "+p.Abort.Error()
		return c.store(ctx, a, next, 0)
	case p.Status == http.StatusNotFound && a.Location != "" || p.Status == http.StatusGone:
		next := a
		next.Location = "" // the leader has forgotten the job: create it again
		if a.Location == "" {
			next.State, next.Reason = Abandoned, "the leader no longer has the result"
		}
		return c.store(ctx, a, next, pause)
	}
	return a, pause, errors.Join(p, c.abandonLate(ctx, &a, "the leader refuses: "+p.Error()))
}

// early reports whether a problem means that there is no batch yet. Where the leader
// chooses, some answer that the batch is invalid until one is full; where the
// collector does, that is final, unless the leader gives a time to ask again.
func (q *Question) early(p exchange.Problem) bool {
	switch p.Abort.Type {
	case dap.ProblemInvalidBatchSize:
		return true
	case dap.ProblemBatchInvalid:
		return q.Task.Config().BatchMode == dap.LeaderSelectedMode || p.Retry > 0
	}
	return false
}

// final reports whether asking again is of no use.
func final(t dap.ProblemType) bool {
	switch t {
	case dap.ProblemBatchOverlap, dap.ProblemBatchInvalid, dap.ProblemBatchMismatch,
		dap.ProblemInvalidAggregationParameter, dap.ProblemUnsupportedExtension, dap.ProblemInvalidExtension:
		return true
	}
	return false
}

// store records what has become of an ask.
func (c *Collector) store(ctx context.Context, a, next Ask, pause time.Duration) (Ask, time.Duration, error) {
	if err := c.config.Store.Advance(ctx, a.State, next); err != nil {
		return a, pause, err
	}
	if next.State != a.State {
		c.config.Metrics.Ask(next.State)
	}
	return next, pause, nil
}

// abandonLate abandons an ask that has waited too long.
func (c *Collector) abandonLate(ctx context.Context, a *Ask, reason string) error {
	if c.config.Clock.Now().Before(time.Unix(a.Created, 0).Add(c.config.CollectionTimeout)) {
		return nil
	}
	next := *a
	next.State, next.Reason = Abandoned, reason
	stored, _, err := c.store(ctx, *a, next, 0)
	*a = stored
	return err
}
