package collector

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/internal/exchange"
)

// MissingHeader is a header that a leader may set while a collection job waits
// for reports: coarsely, how many are missing. DAP has no word for it; who does
// not know it leaves it out. The values are those of [Missing].
const MissingHeader = "Shoal-Reports-Missing"

// Missing says coarsely how many of the reports that a batch needs are missing:
// in quarters of the minimum, so that one client's report is not seen to arrive.
func Missing(have, want uint64) string {
	switch {
	case have >= want:
		return "none"
	case have >= want-want/4:
		return "less than a quarter"
	case have >= want/2:
		return "less than half"
	case have >= want/4:
		return "more than half"
	}
	return "more than three quarters"
}

// knownMissing are the values of [MissingHeader] that are shown to people; others
// are not.
var knownMissing = map[string]bool{
	"none": true, "less than a quarter": true, "less than half": true, "more than half": true, "more than three quarters": true,
}

// ask sends the request of an ask, or asks for its result. It returns the ask as
// it is then, and how long to wait before the next time.
func (c *Collector) ask(ctx context.Context, q *Question, a Ask) (Ask, time.Duration, error) {
	resp, err := c.client.Do(ctx, c.request(q, a))
	if p, refused := errors.AsType[exchange.Problem](err); refused {
		return c.refused(ctx, a, p)
	}
	if err != nil {
		c.config.Metrics.Request("failed")
		return a, 0, errors.Join(err, c.patience(ctx, &a, "the leader could not be reached"))
	}
	next := a
	if resp.Location != "" {
		next.Location = resp.Location
	}
	if len(resp.Body) > 0 {
		c.config.Metrics.Request("answered")
		next.State, next.Response, next.Missing = Received, resp.Body, ""
		return c.store(ctx, a, next, 0)
	}
	c.config.Metrics.Request("waiting")
	next.Missing = ""
	if m := resp.Header.Get(MissingHeader); knownMissing[m] {
		next.Missing = m
	}
	pause := resp.Retry
	if pause <= 0 {
		pause = c.config.Poll
	}
	if next.Location != a.Location || next.Missing != a.Missing {
		if next, _, err = c.store(ctx, a, next, 0); err != nil {
			return next, pause, err
		}
	}
	return next, pause, c.patience(ctx, &next, "not enough reports arrived")
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
func (c *Collector) refused(ctx context.Context, a Ask, p exchange.Problem) (Ask, time.Duration, error) {
	name := p.Name
	if p.Abort != nil {
		name = string(p.Abort.Type)
	}
	if name == "" {
		name = http.StatusText(p.Status)
	}
	c.config.Metrics.Request(name)
	pause := max(p.Retry, c.config.Poll)
	switch {
	case p.Abort != nil && p.Abort.Type == dap.ProblemInvalidBatchSize:
		// Reports may still be on their way through the aggregators.
		next := a
		next.Location = "" // the job has failed; the next request makes another
		if a.Location != "" {
			var err error
			if a, _, err = c.store(ctx, a, next, 0); err != nil {
				return a, pause, err
			}
		}
		return a, pause, c.patience(ctx, &a, "not enough reports arrived")
	case p.Abort != nil && final(p.Abort.Type):
		next := a
		next.State, next.Reason = Abandoned, "the leader refuses: "+p.Abort.Error()
		return c.store(ctx, a, next, 0)
	case p.Status == http.StatusNotFound && a.Location != "" || p.Status == http.StatusGone:
		next := a
		next.Location = "" // the leader has forgotten the job: make it anew
		if a.Location == "" {
			next.State, next.Reason = Abandoned, "the leader no longer has the result"
		}
		return c.store(ctx, a, next, pause)
	}
	return a, pause, errors.Join(p, c.patience(ctx, &a, "the leader refuses: "+p.Error()))
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

// patience abandons an ask that has waited too long.
func (c *Collector) patience(ctx context.Context, a *Ask, reason string) error {
	if c.config.Clock.Now().Before(time.Unix(a.Created, 0).Add(c.config.Patience)) {
		return nil
	}
	next := *a
	next.State, next.Reason = Abandoned, reason
	stored, _, err := c.store(ctx, *a, next, 0)
	*a = stored
	return err
}
