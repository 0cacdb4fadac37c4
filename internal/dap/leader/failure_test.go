package leader_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/vdaf"
)

// tickAlong ticks n times, with a pause after each, and returns the errors, which
// are the failures that the test makes, as they are logged.
func (w *world) tickAlong(t testing.TB, n int, pause time.Duration) string {
	t.Helper()
	var log strings.Builder
	for range n {
		if err := w.leader.Tick(t.Context()); err != nil {
			fmt.Fprintln(&log, err)
		}
		w.clock.Advance(pause)
	}
	return log.String()
}

// uploadAndCollect uploads a report to each of the first n buckets, begins a
// collection, and moves the clock to when it is due.
func (w *world) uploadAndCollect(t testing.TB, n int) (at string, q dap.Query) {
	t.Helper()
	q = w.unit(t, 1)
	for i := range n {
		w.upload(t, w.report(t, i, 0))
	}
	at = w.collect(t, q)
	w.clock.Advance(precision + 10*time.Minute)
	return at, q
}

func ones(n int) []uint64 { return histogram(slices.Repeat([]uint64{1}, n)...) }

// When answers are lost, also over restarts, the same bytes are sent again.
func TestLostAnswers(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	w.helper.lose = 3
	at, q := w.uploadAndCollect(t, 4)
	for range 6 {
		w.tickAlong(t, 1, time.Minute)
		w.restart(t)
	}
	if got := w.result(t, at, q); !slices.Equal(got, ones(4)) {
		t.Fatalf("result %v", got)
	}
	if n := len(w.helper.bodies); n != 1 {
		t.Errorf("%d different requests were sent for one job", n)
	}
	if w.seen.jobs[leader.JobPostponed] != 3 {
		t.Errorf("jobs: %v", w.seen.jobs)
	}
}

// A helper that is away for hours costs time and nothing else.
func TestHelperAway(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	at, q := w.uploadAndCollect(t, 4)
	w.helper.refuse = func(*http.Request) *http.Response {
		resp := respond(503, "", nil)
		resp.Header.Set("Retry-After", "120")
		return resp
	}
	w.tickAlong(t, 30, 10*time.Second)
	if n := len(w.helper.requests); n < 2 || n > 4 {
		t.Errorf("%d requests in 5 minutes, want one every 2", n)
	}
	w.tickAlong(t, 24, 10*time.Minute)
	w.helper.refuse = nil
	w.tickAlong(t, 4, 10*time.Minute)
	if got := w.result(t, at, q); !slices.Equal(got, ones(4)) {
		t.Fatalf("result %v", got)
	}
}

// A helper that asks for years is asked again after an hour.
func TestHelperAsksForYears(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	at, q := w.uploadAndCollect(t, 4)
	w.helper.refuse = func(*http.Request) *http.Response {
		resp := respond(429, "", nil)
		resp.Header.Set("Retry-After", "2147483647")
		return resp
	}
	w.tickAlong(t, 1, time.Hour)
	w.helper.refuse = nil
	w.tickAlong(t, 2, time.Minute)
	if got := w.result(t, at, q); !slices.Equal(got, ones(4)) {
		t.Fatalf("result %v", got)
	}
}

// What the helper has counted is counted here, too, although it has expired before
// the answer came.
func TestExpiredWhileInJob(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	w.expiryGrace = 48 * time.Hour
	w.restart(t)
	must(t, w.registry.Update(t.Context(), w.task.ID(), func(e *tasks.Entry) error {
		e.Expiry = 24 * time.Hour
		return nil
	}))
	w.helper.lose = 1
	at, q := w.uploadAndCollect(t, 4)
	w.tickAlong(t, 1, 25*time.Hour)
	if n := w.seen.rejected[dap.ReportDropped]; n != 0 {
		t.Fatalf("%d reports were dropped too soon", n)
	}
	w.upload(t, w.report(t, 6, 23))
	w.clock.Advance(3 * time.Hour)
	w.tickAlong(t, 3, time.Minute)
	if got := w.result(t, at, q); !slices.Equal(got, ones(4)) {
		t.Fatalf("result %v", got)
	}
	if n := w.seen.rejected[dap.ReportDropped]; n != 1 {
		t.Errorf("%d reports were dropped, want the one that expired before it was in a job", n)
	}
}

// A batch with reports that have expired, which the helper may have forgotten, is
// not asked for; what is left of it can be.
func TestExpiredPart(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	w.expiryGrace = 48 * time.Hour
	w.restart(t)
	must(t, w.registry.Update(t.Context(), w.task.ID(), func(e *tasks.Entry) error {
		e.Expiry = 24 * time.Hour
		return nil
	}))
	all := w.unit(t, 4)
	w.upload(t, w.report(t, 0, 0))
	w.clock.Advance(3 * precision)
	rest := w.unit(t, 1)
	for i := range 3 {
		w.upload(t, w.report(t, i, 0))
	}
	w.clock.Advance(precision + 10*time.Minute)
	w.tick(t)
	w.clock.Advance(21 * time.Hour)
	if abort := problemOf(t, w.ask(t, dap.CollectionJobReq{Query: all}, dap.CollectionJobID{})); abort.Type != dap.ProblemBatchInvalid {
		t.Errorf("the whole: %v", abort)
	}
	at := w.collect(t, rest)
	w.tickAlong(t, 1, time.Minute)
	if got := w.result(t, at, rest); !slices.Equal(got, ones(3)) {
		t.Errorf("the rest: %v", got)
	}
}

// A helper that refuses a job permanently makes the leader abandon it, and put its
// reports into another.
func TestRefusedJob(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	at, q := w.uploadAndCollect(t, 4)
	refusals := 1
	w.helper.refuse = func(*http.Request) *http.Response {
		if refusals--; refusals < 0 {
			return nil
		}
		return problem(400, &dap.Abort{Type: dap.ProblemInvalidMessage, Detail: "not today"})
	}
	w.tickAlong(t, 5, 5*time.Minute)
	if got := w.result(t, at, q); !slices.Equal(got, ones(4)) {
		t.Fatalf("result %v", got)
	}
	if w.seen.jobs[leader.JobAbandoned] != 1 || w.seen.jobs[leader.JobEnded] != 1 {
		t.Errorf("jobs: %v", w.seen.jobs)
	}
}

// Reports that the helper refuses in two jobs are given up: that is counted and
// logged, and the leader is left with nothing to do.
func TestHelperRefusesTwice(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, func(c *leader.Config) { c.CollectionTimeout = 48 * time.Hour })
	at, _ := w.uploadAndCollect(t, 4)
	w.helper.refuse = func(*http.Request) *http.Response {
		return problem(400, &dap.Abort{Type: dap.ProblemInvalidMessage, Detail: "never"})
	}
	log := w.tickAlong(t, 10, time.Hour)
	if w.seen.jobs[leader.JobAbandoned] != 2 || len(w.helper.requests) != 2 {
		t.Errorf("jobs: %v, requests %v", w.seen.jobs, w.helper.requests)
	}
	if w.seen.lost[leader.LostRefused] != 4 || len(w.seen.lost) != 1 || !strings.Contains(log, "4 accepted reports are not counted: refused") {
		t.Errorf("lost %v, log:\n%s", w.seen.lost, log)
	}
	st, err := w.leader.Status(t.Context())
	must(t, err)
	if st.Lost[leader.LostRefused] != 4 {
		t.Errorf("status: %v lost", st.Lost)
	}
	if st.Tasks[0].Jobs != 0 || st.Tasks[0].Stored != 0 {
		t.Errorf("left over: %+v", st.Tasks[0])
	}
	rec := w.do("GET", at, "", nil, w.token)
	if rec.Code != 200 || rec.Header().Get(leader.MissingHeader) != "3" {
		t.Errorf("answer %d, %v", rec.Code, rec.Header())
	}
	w.tickAlong(t, 5, 10*time.Hour)
	if abort := problemOf(t, w.do("GET", at, "", nil, w.token)); abort.Type != dap.ProblemInvalidBatchSize {
		t.Errorf("after the collection timeout: %v", abort)
	}
}

// A job that is too large for the helper is cut in pieces.
func TestJobTooLarge(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, func(c *leader.Config) { c.JobReports = 8 })
	at, q := w.uploadAndCollect(t, 8)
	w.helper.refuse = func(r *http.Request) *http.Response {
		if r.ContentLength > 2000 && strings.HasSuffix(r.URL.Path, "aggregation_jobs") {
			return problem(413, &dap.Abort{Type: dap.ProblemInvalidMessage, Detail: "too large"})
		}
		return nil
	}
	w.tickAlong(t, 1, time.Minute)
	if got := w.result(t, at, q); !slices.Equal(got, ones(8)) {
		t.Fatalf("result %v, jobs %v", got, w.seen.jobs)
	}
	if w.seen.jobs[leader.JobAbandoned] == 0 {
		t.Error("no job was too large")
	}
}

// A server before the helper that knows no DAP is not believed.
func TestProxyRefuses(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	at, q := w.uploadAndCollect(t, 4)
	for _, status := range []int{301, 400, 404, 405, 421, 502} {
		w.helper.refuse = func(*http.Request) *http.Response { return respond(status, "", []byte("<html>")) }
		w.tickAlong(t, 2, 10*time.Minute)
	}
	w.helper.refuse = nil
	w.tickAlong(t, 4, 10*time.Minute)
	if got := w.result(t, at, q); !slices.Equal(got, ones(4)) || w.seen.jobs[leader.JobAbandoned] != 0 {
		t.Fatalf("result %v, jobs %v", got, w.seen.jobs)
	}
}

// When the helper has counted reports that the leader could not, the two do not
// agree, and that is reported rather than hidden.
func TestDisagreement(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	at, _ := w.uploadAndCollect(t, 8) // two jobs
	w.helper.alter = func(r *dap.AggregationJobResp) {
		slices.Reverse(r.VerifyResps)
		w.helper.alter = nil
	}
	w.tickAlong(t, 6, 10*time.Minute)
	abort := problemOf(t, w.do("GET", at, "", nil, w.token))
	if abort.Type != dap.ProblemBatchMismatch {
		t.Errorf("answer %v", abort)
	}
}

// A helper that moves, or forgets where a job was, is sent the request again.
func TestLocationLost(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	w.helper.async = true
	at, q := w.uploadAndCollect(t, 4)
	must(t, w.leader.Tick(t.Context()))
	for _, a := range w.helper.jobs {
		a.path += "-moved"
	}
	w.tickAlong(t, 10, time.Minute)
	if got := w.result(t, at, q); !slices.Equal(got, ones(4)) {
		t.Fatalf("result %v", got)
	}
	if len(w.helper.bodies) != 1 {
		t.Errorf("%d jobs were made at the helper", len(w.helper.bodies))
	}
}

// Answers that do not fit the request make the leader abandon the job, if they come
// twice: the first may have been damaged on the way.
func TestNonsenseAnswers(t *testing.T) {
	for name, alter := range map[string]func(*dap.AggregationJobResp){
		"order":     func(r *dap.AggregationJobResp) { slices.Reverse(r.VerifyResps) },
		"missing":   func(r *dap.AggregationJobResp) { r.VerifyResps = r.VerifyResps[1:] },
		"other IDs": func(r *dap.AggregationJobResp) { r.VerifyResps[0].ID = dap.ReportID{9} },
		"type":      func(r *dap.AggregationJobResp) { r.VerifyResps[0].Type = dap.RespFinish },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, dap.DAP18(), nil, nil)
			w.helper.alter = alter
			w.uploadAndCollect(t, 4)
			w.tickAlong(t, 1, 10*time.Minute)
			if w.seen.jobs[leader.JobAbandoned] != 0 || len(w.helper.deleted) != 0 {
				t.Errorf("after one such answer: jobs %v, deleted %v", w.seen.jobs, w.helper.deleted)
			}
			w.tickAlong(t, 1, time.Minute)
			if w.seen.jobs[leader.JobAbandoned] != 1 || w.seen.aggregated != 0 || len(w.helper.bodies) != 1 {
				t.Errorf("jobs %v, %d reports aggregated, %d requests", w.seen.jobs, w.seen.aggregated, len(w.helper.bodies))
			}
		})
	}
}

// Reports that are too early for the helper's clock are tried again later.
func TestTooEarlyAtHelper(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	q := w.unit(t, 1)
	for i := range 4 {
		w.upload(t, w.report(t, i, 0))
	}
	w.clock.Advance(time.Minute)
	w.helper.late = true
	w.tickAlong(t, 1, 2*time.Minute)
	if w.seen.rejected[dap.ReportTooEarly] != 4 {
		t.Fatalf("rejected: %v", w.seen.rejected)
	}
	w.helper.late = false
	at := w.collect(t, q)
	w.clock.Advance(precision + 10*time.Minute)
	w.tickAlong(t, 3, time.Minute)
	if got := w.result(t, at, q); !slices.Equal(got, ones(4)) {
		t.Fatalf("result %v", got)
	}
}

// A request that cannot be made again as it was is not sent in another form: its
// job is abandoned.
func TestChangedRequest(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	at, q := w.uploadAndCollect(t, 4)
	w.helper.refuse = func(*http.Request) *http.Response { return respond(503, "", nil) }
	w.tickAlong(t, 1, time.Minute)
	w.restart(t)
	other, err := dap.DeriveVerifyKey(bytes.Repeat([]byte{8}, 32), w.task.ID())
	must(t, err)
	for _, r := range []*tasks.Registry{w.registry, w.theirs} {
		must(t, r.Update(t.Context(), w.task.ID(), func(e *tasks.Entry) error {
			e.VerifyKeys = map[dap.VerificationKeyID]vdaf.VerifyKey{4: *other}
			return nil
		}))
	}
	s, err := w.theirs.Lookup(t.Context(), w.task.ID())
	must(t, err)
	w.helper.serving, w.helper.refuse = s, nil
	w.tickAlong(t, 5, time.Minute)
	if w.seen.jobs[leader.JobAbandoned] != 1 {
		t.Errorf("jobs: %v", w.seen.jobs)
	}
	if got := w.result(t, at, q); !slices.Equal(got, ones(4)) {
		t.Fatalf("result %v", got)
	}
}

// The jobs of a task that is disabled wait, and are not given up.
func TestDisabledTaskWaits(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, func(c *leader.Config) { c.Attempts = 3 })
	q := w.unit(t, 1)
	for i := range 4 {
		w.upload(t, w.report(t, i, 0))
	}
	must(t, w.registry.Disable(t.Context(), w.task.ID()))
	w.clock.Advance(time.Minute)
	w.tickAlong(t, 10, time.Hour)
	must(t, w.registry.Update(t.Context(), w.task.ID(), func(e *tasks.Entry) error { e.Disabled = false; return nil }))
	at := w.collect(t, q)
	w.tickAlong(t, 3, time.Hour)
	if got := w.result(t, at, q); !slices.Equal(got, ones(4)) {
		t.Fatalf("result %v", got)
	}
}
