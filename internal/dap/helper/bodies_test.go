package helper_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/helper"
)

// A sender is a request for a job that arrives as the test directs.
type sender struct {
	out    *io.PipeWriter
	answer *httptest.ResponseRecorder
}

// begin sends the first bytes of a request and returns when it waits for the
// next, or has been answered. The length is announced unless it is negative.
func (w *world) begin(body []byte, length int) *sender {
	in, out := io.Pipe()
	s := &sender{out: out, answer: httptest.NewRecorder()}
	method, path := w.task.Variant().CreateAggregationJob(w.task.ID(), dap.AggregationJobID{})
	r := httptest.NewRequest(method, "/"+path, in)
	r.ContentLength = int64(length)
	r.Header.Set("Content-Type", dap.TypeAggregationJobInitReq.MediaType())
	w.token.SetBearer(r.Header)
	go func() {
		w.handler.ServeHTTP(s.answer, r)
		in.Close()
	}()
	_, _ = out.Write(body) // fails if it is answered before
	synctest.Wait()
	return s
}

// end sends the rest and waits for the answer.
func (s *sender) end(rest []byte) *httptest.ResponseRecorder {
	_, _ = s.out.Write(rest)
	s.out.Close()
	synctest.Wait()
	return s.answer
}

// A held store keeps callers that look for a job waiting.
type held struct {
	helper.Store
	until chan struct{}
}

func (s *held) Job(ctx context.Context, t dap.TaskID, id dap.AggregationJobID) (*helper.Job, error) {
	<-s.until
	return s.Store.Job(ctx, t, id)
}

// While all workers are busy the newest request waits and others are sent away.
func TestBusy(t *testing.T) {
	var seen counts
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, withMetrics(&seen), func(_ *world, _ *dap.TaskConfiguration, c *helperConfig) {
		c.Workers, c.Depth = 1, -1
	})
	_, body := w.init(dap.BatchID{}, w.report(1))
	synctest.Test(t, func(t *testing.T) {
		s := &held{Store: w.store, until: make(chan struct{})}
		w.boot(s)
		first := w.begin(body, len(body)) // has the worker once it is read
		first.out.Close()
		synctest.Wait()
		a := w.createJob(1, body)
		wantProblem(t, "no worker", a, http.StatusTooManyRequests, "busy")
		if a.Header().Get("Retry-After") != "1" || seen.last() != "queue_full true" {
			t.Errorf("%v, %v", a.Header(), seen.seen)
		}
		if s := w.helper.Status(); s.Running != 1 || s.Queued != 0 {
			t.Errorf("status %+v", s)
		}
		close(s.until)
		synctest.Wait()
		wantFates(t, w.fates(first.answer), 0)
		wantProblem(t, "a body that ends early", w.begin(body[:10], len(body)).end(nil), http.StatusBadRequest, "invalidMessage")
	})
}

// Threat: a leader sends requests that arrive slowly, so that those of others
// find no worker. They hold none, the leader has so many at once, and what it
// announces counts.
func TestSlowBodies(t *testing.T) {
	var seen counts
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, withMetrics(&seen), func(_ *world, _ *dap.TaskConfiguration, c *helperConfig) {
		c.Workers, c.Depth, c.PeerBodies = 1, -1, 2
	})
	_, body := w.init(dap.BatchID{}, w.report(1))
	synctest.Test(t, func(t *testing.T) {
		slow := w.begin(body[:10], len(body))
		if s := w.helper.Status(); s.Running != 0 {
			t.Errorf("a body that is read has a worker: %+v", s)
		}
		wantFates(t, w.fates(w.createJob(1, body)), 0)
		other := w.begin(body[:10], -1)
		a := w.createJob(2, body)
		wantProblem(t, "one body too many", a, http.StatusTooManyRequests, "busy")
		if a.Header().Get("Retry-After") != "1" || seen.last() != "peer_limit true" {
			t.Errorf("%v, %v", a.Header(), seen.seen)
		}
		other.out.CloseWithError(io.ErrUnexpectedEOF)
		synctest.Wait()
		wantProblem(t, "a body that is cut", other.answer, http.StatusRequestTimeout, "cut")
		if a := slow.end(body[10:]); a.Code/100 != 2 {
			t.Errorf("the slow one in the end: %d %s", a.Code, a.Body)
		}
	})
}

// A length that is announced counts before the bytes have come.
func TestAnnouncedLength(t *testing.T) {
	var seen counts
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, withMetrics(&seen), func(_ *world, _ *dap.TaskConfiguration, c *helperConfig) { c.MaxBodies = 3000 })
	_, body := w.init(dap.BatchID{}, w.report(1))
	synctest.Test(t, func(t *testing.T) {
		slow := w.begin(body[:10], 2900) // alone: more than half is let in
		wantProblem(t, "no memory for this leader", w.createJob(1, body), http.StatusTooManyRequests, "busy")
		if seen.last() != "peer_limit true" {
			t.Errorf("metrics %v", seen.seen)
		}
		slow.end(nil)
		wantFates(t, w.fates(w.createJob(1, body)), 0)
	})
}
