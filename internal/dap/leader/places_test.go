package leader_test

import (
	"io"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
)

// A sender is an upload that arrives as the test directs.
type sender struct {
	out    *io.PipeWriter
	answer *httptest.ResponseRecorder
}

// begin begins an upload and returns when it waits for its next byte, or has
// been answered.
func (w *world) begin(body []byte) *sender {
	in, out := io.Pipe()
	s := &sender{out: out, answer: httptest.NewRecorder()}
	r := httptest.NewRequest("POST", "/"+dap.ReportsPath(w.task.ID()), in)
	r.Header.Set("Content-Type", dap.TypeUploadRequest.MediaType())
	go func() {
		w.leader.Handler().ServeHTTP(s.answer, r)
		in.Close()
	}()
	_, _ = out.Write(body) // fails if it is answered before
	synctest.Wait()
	return s
}

// end sends the rest and waits for the answer.
func (s *sender) end(rest []byte) int {
	_, _ = s.out.Write(rest)
	s.out.Close()
	synctest.Wait()
	return s.answer.Code
}

// Threat: anybody holds all places of a task with uploads that arrive slowly.
// Honest uploads get in, at the cost of the slowest; among themselves those that
// are not slow are not cut.
func TestSlowUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dap.DAP18(), nil, func(c *leader.Config) { c.MaxRequests = 3 })
		body := w.encode(t, w.report(t, 1, 0))
		slowest := w.begin(body[:10])
		w.clock.Advance(100 * time.Millisecond)
		slow, third := w.begin(body[:10]), w.begin(body[:10])
		if code := w.begin(body[:10]).end(nil); code != 429 {
			t.Fatalf("with all places taken by uploads that have just begun: %d, want 429", code)
		}
		w.clock.Advance(time.Second)
		if code := w.sendBody(body).Code; code != 200 { // takes the first's place, and leaves
			t.Fatalf("an honest upload: %d", code)
		}
		synctest.Wait()
		if slowest.answer.Code != 408 {
			t.Fatalf("the slowest was answered %d, want 408", slowest.answer.Code)
		}
		honest := []*sender{w.begin(body[:20]), w.begin(body[:20]), w.begin(body[:20])}
		if slow.end(nil) != 408 || third.end(nil) != 408 {
			t.Errorf("the slow were answered %d and %d, want 408", slow.answer.Code, third.answer.Code)
		}
		for i, s := range honest {
			if code := s.end(body[20:]); code != 200 {
				t.Errorf("honest upload %d: %d", i, code)
			}
		}
		// All places are free again.
		for _, s := range []*sender{w.begin(body[:20]), w.begin(body[:20]), w.begin(body[:20])} {
			if code := s.end(body[20:]); code != 200 {
				t.Errorf("in the end: %d", code)
			}
		}
	})
}
