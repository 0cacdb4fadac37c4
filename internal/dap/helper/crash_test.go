package helper_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/helper/storetest"
)

// A story is what a leader does in the crash tests: two jobs that share a report,
// and the collection. It sends each request until it is answered.
func (w *world) story(send func(do func() int)) (result []uint64) {
	w.t.Helper()
	shared := w.report(5)
	first, firstBody := w.init(dap.BatchID{}, w.report(0), shared)
	second, secondBody := w.init(dap.BatchID{}, w.report(1), shared)
	var results []*dap.LeaderResult
	for i, body := range [][]byte{firstBody, secondBody} {
		job := []*dap.LeaderJob{first, second}[i]
		var last []byte
		send(func() int {
			a := w.createJob(byte(i), body)
			last = a.Body.Bytes()
			return a.Code
		})
		a := w.createJob(byte(i), body)
		if !bytes.Equal(last, a.Body.Bytes()) {
			w.t.Fatal("another answer to the same request")
		}
		results = append(results, w.finish(job, a))
	}
	query, selector := hour(unit)
	req, mine := w.shareReq(query, selector, results...)
	var share []byte
	send(func() int {
		a := w.createShare(1, w.encode(req))
		share = a.Body.Bytes()
		return a.Code
	})
	a := w.createShare(1, w.encode(req))
	if !bytes.Equal(share, a.Body.Bytes()) {
		w.t.Fatal("another share for the same request")
	}
	return w.unshard(a, req, mine)
}

var storyResult = []uint64{1, 1, 0, 0, 0, 1, 0, 0, 0, 0}

// The helper dies at each change of its store, before or after it took effect,
// and starts again: every report counts once, and both sides agree.
func TestCrashAtEveryChange(t *testing.T) {
	for _, v := range variants() {
		for _, after := range []bool{false, true} {
			for n := 1; ; n++ {
				w := newWorld(t, v, dap.TimeIntervalMode)
				m := w.store.(*storetest.Model)
				m.CrashAt(n, after)
				crashed := false
				got := w.story(func(do func() int) {
					for range 3 {
						if code := do(); code < 300 {
							return
						}
						if m.Crashed() && !crashed {
							crashed = true
							w.restart()
						}
					}
					t.Fatalf("%v: crash at change %d (after: %v): no answer: %v", v, n, after, w.errs)
				})
				if !slices.Equal(got, storyResult) {
					t.Fatalf("%v: crash at change %d (after: %v): result %v", v, n, after, got)
				}
				if !crashed && !m.Crashed() {
					if n < 4 {
						t.Fatalf("the story makes %d changes only", n-1)
					}
					break
				}
			}
		}
	}
}

// The store fails at each change without that the process dies: what the helper
// has in memory must not part from what is stored.
func TestStoreFailsAtEveryChange(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; n < 8; n++ {
			w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
			m := w.store.(*storetest.Model)
			m.Flaky = true
			m.CrashAt(n, after)
			got := w.story(func(do func() int) {
				for range 3 {
					if do() < 300 {
						return
					}
				}
				t.Fatalf("failure at change %d (after: %v): no answer: %v", n, after, w.errs)
			})
			if !slices.Equal(got, storyResult) {
				t.Fatalf("failure at change %d (after: %v): result %v", n, after, got)
			}
		}
	}
}

// Many jobs at once over overlapping reports, and each job sent twice at once: of
// each report one instance counts, and each job has one answer.
func TestConcurrentJobs(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, func(_ *world, _ *dap.TaskConfiguration, c *helperConfig) {
		c.Workers, c.Depth = 4, 100
	})
	var reports []dap.Report
	for i := range 12 {
		reports = append(reports, w.report(i%10))
	}
	var bodies [][]byte
	for i := range 6 {
		_, body := w.init(dap.BatchID{}, reports[i], reports[i+3], reports[i+6])
		bodies = append(bodies, body)
	}
	type answer struct {
		job  int
		body []byte
	}
	answers := make(chan answer, 2*len(bodies))
	var wg sync.WaitGroup
	for i, body := range bodies {
		for range 2 {
			wg.Go(func() {
				a := w.createJob(byte(i), body)
				if a.Code > 201 {
					t.Errorf("job %d: %d %s", i, a.Code, a.Body)
				}
				answers <- answer{i, a.Body.Bytes()}
			})
		}
	}
	wg.Wait()
	close(answers)
	first := make(map[int][]byte)
	counted := make(map[dap.ReportID]int)
	for a := range answers {
		if have, ok := first[a.job]; ok {
			if !bytes.Equal(have, a.body) {
				t.Errorf("job %d has two answers", a.job)
			}
			continue
		}
		first[a.job] = a.body
		var resp dap.AggregationJobResp
		w.must(w.task.Codec().Decode(&resp, a.body))
		for _, r := range resp.VerifyResps {
			if r.Type == dap.RespContinue {
				counted[r.ID]++
			} else if r.Error != dap.ReportReplayed {
				t.Errorf("report %v: %v", r.ID, r.Error)
			}
		}
	}
	for id, n := range counted {
		if n != 1 {
			t.Errorf("report %v counts %d times", id, n)
		}
	}
	if total := w.total(selectorOf(unit)); len(counted) != 12 || total.Count != 12 {
		t.Errorf("%d of 12 reports count, the batch has %d", len(counted), total.Count)
	}
}

// Jobs and the collection of their batch at once: what the share holds is what was
// acknowledged as aggregated before, and nothing is added after it.
func TestCollectWhileAggregating(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, func(_ *world, _ *dap.TaskConfiguration, c *helperConfig) { c.Depth = 100 })
	one := w.aggregate(1, dap.BatchID{}, w.report(1), w.report(1))
	query, selector := hour(unit)
	req, mine := w.shareReq(query, selector, one)
	shareBody := w.encode(req)
	var bodies [][]byte
	for range 8 {
		_, body := w.init(dap.BatchID{}, w.report(2))
		bodies = append(bodies, body)
	}
	codes := make([]string, len(bodies))
	var wg sync.WaitGroup
	for i, body := range bodies {
		wg.Go(func() { codes[i] = fmt.Sprint(w.fates(w.createJob(byte(i), body))) })
	}
	share := w.createShare(1, shareBody)
	wg.Wait()
	if share.Code == 201 {
		if got := w.unshard(share, req, mine); got[1] != 2 || got[2] != 0 {
			t.Errorf("result %v", got)
		}
	} else {
		wantProblem(t, "a batch that has grown", share, 400, "batchMismatch")
	}
	_, body := w.init(dap.BatchID{}, w.report(2))
	fate := w.fates(w.createJob(99, body))[0]
	if (fate == dap.BatchCollected) != (share.Code == 201) {
		t.Errorf("share %d, then a report ends as %v; before %v", share.Code, fate, codes)
	}
}

// The same request for a share many times at once: one draw of noise, one share.
func TestConcurrentShares(t *testing.T) {
	w := newWorld(t, dap.DAP19(), dap.TimeIntervalMode)
	w.aggregate(1, dap.BatchID{}, w.report(1), w.report(2))
	body := w.shareBody(2)
	answers := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			a := w.createShare(1, body)
			if a.Code > 201 {
				t.Errorf("%d %s", a.Code, a.Body)
			}
			answers[i] = a.Body.Bytes()
		})
	}
	wg.Wait()
	for _, a := range answers {
		if !bytes.Equal(a, answers[0]) {
			t.Error("two shares of one batch have left")
		}
	}
}

// Two processes share a store: jobs that overlap, and each job at both at once.
func TestTwoProcesses(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	first := w.handler
	w.boot(w.store) // another process, with ledgers of its own
	handlers := []http.Handler{first, w.handler}
	w.handler = http.HandlerFunc(func(a http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.Header.Get("X-Process"))
		handlers[n].ServeHTTP(a, r)
	})
	shared := w.report(5)
	type job struct {
		leader *dap.LeaderJob
		body   []byte
		answer [2][]byte
	}
	jobs := make([]job, 10)
	for i := range jobs {
		jobs[i].leader, jobs[i].body = w.init(dap.BatchID{}, w.report(1), shared)
	}
	method, path := w.task.Variant().CreateAggregationJob(w.task.ID(), dap.AggregationJobID{})
	var wg sync.WaitGroup
	for n := range handlers {
		wg.Go(func() {
			for i := range jobs {
				k := (i + n*len(jobs)/2) % len(jobs)
				r := httptest.NewRequest(method, "/"+path, bytes.NewReader(jobs[k].body))
				r.Header.Set("Content-Type", dap.TypeAggregationJobInitReq.MediaType())
				r.Header.Set("X-Process", strconv.Itoa(n))
				w.token.SetBearer(r.Header)
				a := httptest.NewRecorder()
				w.handler.ServeHTTP(a, r)
				if a.Code > 201 {
					t.Errorf("process %d, job %d: %d %s", n, k, a.Code, a.Body)
				}
				jobs[k].answer[n] = a.Body.Bytes()
			}
		})
	}
	wg.Wait()
	counted := 0
	var results []*dap.LeaderResult
	for i := range jobs {
		if !bytes.Equal(jobs[i].answer[0], jobs[i].answer[1]) {
			t.Fatalf("job %d has two answers", i)
		}
		result := w.finish(jobs[i].leader, w.createJob(0, jobs[i].body))
		for _, c := range result.Candidates() {
			if c.ID == shared.Metadata.ID {
				counted++
			}
		}
		results = append(results, result)
	}
	if counted != 1 {
		t.Errorf("the shared report counts %d times", counted)
	}
	query, selector := hour(unit)
	req, mine := w.shareReq(query, selector, results...)
	if got := w.unshard(w.createShare(1, w.encode(req)), req, mine); got[1] != 10 || got[5] != 1 {
		t.Errorf("result %v", got)
	}
}
