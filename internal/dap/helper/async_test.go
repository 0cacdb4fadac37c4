package helper_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/helper/storetest"
)

func async(_ *world, _ *dap.TaskConfiguration, c *helperConfig) { c.Async = true }

// A job is taken at once and answered later; the request that created it and the
// one for its result get the same answer at each time.
func TestAsync(t *testing.T) {
	for _, v := range variants() {
		w := newWorld(t, v, dap.TimeIntervalMode, async)
		bad := w.report(1)
		bad.HelperShare.Payload[0] ^= 1
		job, body := w.init(dap.BatchID{}, w.report(1), bad, w.report(1))
		a := w.createJob(1, body)
		location := a.Header().Get("Location")
		path := jobPath(t, location)
		for i := range 3 {
			if a.Code > 299 || a.Body.Len() > 0 || a.Header().Get("Retry-After") != "2" || a.Header().Get("Location") != location || !hasSuffix(location, "?step=0") {
				t.Fatalf("%v: answer %d is %d %v %s", v, i, a.Code, a.Header(), a.Body)
			}
			if i == 0 {
				a = w.createJob(1, body)
				continue
			}
			a = w.do("GET", path, "", nil)
		}
		if total := w.total(selectorOf(unit)); total.Count != 0 {
			t.Fatal("a job that waits has been committed")
		}
		w.must(w.helper.Finish(t.Context()))
		done := w.do("GET", path, "", nil)
		wantFates(t, w.fates(done), 0, dap.DecryptError, 0)
		w.finish(job, done)
		again := w.createJob(1, body)
		if !bytes.Equal(done.Body.Bytes(), again.Body.Bytes()) || hasSuffix(again.Header().Get("Location"), "?step=0") {
			t.Errorf("%v: created again: %d %v", v, again.Code, again.Header())
		}
		w.must(w.helper.Finish(t.Context()))
		if total := w.total(selectorOf(unit)); total.Count != 2 {
			t.Errorf("%v: %d reports", v, total.Count)
		}
		// The answer is dropped one day later, and can still be made again.
		w.clock.Advance(25 * time.Hour)
		w.must(w.helper.Tick(t.Context()))
		wantProblem(t, "an old answer", w.do("GET", path, "", nil), http.StatusGone, "noLongerKept")
		if again = w.createJob(1, body); !bytes.Equal(done.Body.Bytes(), again.Body.Bytes()) {
			t.Errorf("%v: created again after a day: %d %s", v, again.Code, again.Body)
		}
		// In the end the job is forgotten, and its reports are not.
		w.clock.Advance(28 * 24 * time.Hour)
		w.must(w.helper.Tick(t.Context()))
		wantProblem(t, "a forgotten job", w.do("GET", path, "", nil), 404, "unrecognizedAggregationJob")
		if total := w.total(selectorOf(unit)); total.Count != 2 {
			t.Errorf("%v: %d reports after the job is forgotten", v, total.Count)
		}
	}
}

func hasSuffix(s, suffix string) bool { return bytes.HasSuffix([]byte(s), []byte(suffix)) }

// What fails a job as a whole is reported at once if it shows in the request, and
// later if it takes a key to see it.
func TestAsyncFailure(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, async)
	_, req, err := w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{w.report(1)}, w.clock.Now(), w.leaderRing)
	w.must(err)
	bad := *req
	bad.AggParam = []byte{1}
	wantProblem(t, "at once", w.createJob(1, w.encode(&bad)), 400, "invalidAggregationParameter")
	bad = *req
	bad.VerificationKey = 9
	body := w.encode(&bad)
	path := jobPath(t, w.createJob(2, body).Header().Get("Location"))
	w.must(w.helper.Finish(t.Context()))
	wantProblem(t, "later", w.do("GET", path, "", nil), 400, "invalidMessage")
	wantProblem(t, "created again", w.createJob(2, body), 400, "invalidMessage")
	if total := w.total(selectorOf(unit)); total.Count != 0 {
		t.Error("a job that failed was committed")
	}
}

// A job that is deleted while it waits is not handled.
func TestAsyncDelete(t *testing.T) {
	w := newWorld(t, dap.DAP19(), dap.TimeIntervalMode, async)
	_, body := w.init(dap.BatchID{}, w.report(1))
	path := jobPath(t, w.createJob(1, body).Header().Get("Location"))
	if a := w.do("DELETE", path, "", nil); a.Code != 204 {
		t.Fatal(a.Code)
	}
	w.must(w.helper.Finish(t.Context()))
	wantProblem(t, "its result", w.do("GET", path, "", nil), http.StatusGone, "deleted")
	if total := w.total(selectorOf(unit)); total.Count != 0 {
		t.Error("a deleted job was handled")
	}
}

// A helper that dies at any change of its store while jobs wait handles each of
// them once after it has started again.
func TestAsyncRestart(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; n < 6; n++ {
			w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, async)
			m := w.store.(*storetest.Model)
			m.CrashAt(n, after)
			shared := w.report(3)
			var bodies [][]byte
			for i := range 2 {
				_, body := w.init(dap.BatchID{}, w.report(i), shared)
				bodies = append(bodies, body)
			}
			fate := make([][]dap.ReportError, len(bodies))
			for range 4 {
				open := false
				for i, body := range bodies {
					a := w.createJob(byte(i), body)
					switch {
					case a.Code < 300 && a.Body.Len() > 0:
						fate[i] = w.fates(a)
					default:
						open = true
					}
				}
				if err := w.helper.Finish(t.Context()); err != nil && !errors.Is(err, storetest.ErrCrashed) {
					t.Fatal(err)
				}
				if m.Crashed() {
					w.restart()
				}
				if !open {
					break
				}
			}
			for i, f := range fate {
				want := dap.ReportError(0)
				if i == 1 {
					want = dap.ReportReplayed
				}
				if len(f) != 2 || f[0] != 0 || f[1] != want && fate[0][1] != dap.ReportReplayed {
					t.Fatalf("crash at change %d (after: %v): job %d ends as %v", n, after, i, fate)
				}
			}
			if total := w.total(selectorOf(unit)); total.Count != 3 {
				t.Fatalf("crash at change %d (after: %v): %d reports, want 3", n, after, total.Count)
			}
		}
	}
}

// Run handles jobs as they come, and those of an earlier process first.
func TestRun(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, async)
	var paths []string
	send := func() {
		_, body := w.init(dap.BatchID{}, w.report(1))
		paths = append(paths, jobPath(t, w.createJob(byte(len(paths)), body).Header().Get("Location")))
	}
	send()
	send()
	w.restart()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.helper.Run(ctx) }()
	send()
	for _, path := range paths {
		for w.do("GET", path, "", nil).Body.Len() == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if s := w.helper.Status(); s.Pending != 0 || s.Err != nil {
		t.Errorf("status %+v", s)
	}
	if total := w.total(selectorOf(unit)); total.Count != 3 {
		t.Errorf("%d reports", total.Count)
	}
}

// No more jobs are taken than can be handled some time.
func TestAsyncFull(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, async, func(_ *world, _ *dap.TaskConfiguration, c *helperConfig) { c.MaxPending = 1 })
	_, first := w.init(dap.BatchID{}, w.report(1))
	_, second := w.init(dap.BatchID{}, w.report(2))
	if a := w.createJob(1, first); a.Code != 201 {
		t.Fatal(a.Code)
	}
	wantProblem(t, "a second job", w.createJob(2, second), http.StatusTooManyRequests, "busy")
	if a := w.createJob(1, first); a.Code != 200 {
		t.Errorf("the first one again: %d %s", a.Code, a.Body)
	}
	w.must(w.helper.Finish(t.Context()))
	if a := w.createJob(2, second); a.Code != 201 {
		t.Errorf("the second one later: %d %s", a.Code, a.Body)
	}
}

// A job whose task is removed before it is handled fails, and is not tried for
// ever.
func TestAsyncRemovedTask(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, async)
	_, body := w.init(dap.BatchID{}, w.report(1))
	path := jobPath(t, w.createJob(1, body).Header().Get("Location"))
	w.must(w.registry.Disable(t.Context(), w.task.ID()))
	w.must(w.registry.Remove(t.Context(), w.task.ID()))
	w.must(w.helper.Finish(t.Context()))
	id, err := dap.ParseAggregationJobID(path[len(path)-len("?step=0")-22 : len(path)-len("?step=0")])
	w.must(err)
	job, err := w.store.Job(t.Context(), w.task.ID(), id)
	if err != nil || job.State != helper.Failed {
		t.Errorf("%+v, %v", job, err)
	}
	wantProblem(t, "its result", w.do("GET", path, "", nil), 404, "unrecognizedTask")
}
