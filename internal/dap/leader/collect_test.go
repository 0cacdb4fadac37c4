package leader_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// Requests of collectors that are refused, in the draft's order.
func TestCollectionProblems(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	unit := w.unit(t, 1)
	interval, err := unit.Interval()
	must(t, err)
	unknown, out := dap.Extension{Type: 7}, []dap.Extension{{Type: 7}, {Type: 3}}
	for what, c := range map[string]struct {
		job  dap.CollectionJobReq
		want dap.ProblemType
	}{
		"the other mode":            {dap.CollectionJobReq{Query: dap.NextBatchQuery(), AggParam: []byte{1}}, dap.ProblemInvalidMessage},
		"an unknown mode":           {dap.CollectionJobReq{Query: dap.Query{Mode: 9}}, dap.ProblemInvalidMessage},
		"a malformed query":         {dap.CollectionJobReq{Query: dap.Query{Mode: dap.TimeIntervalMode, Config: []byte{1}}}, dap.ProblemInvalidMessage},
		"an aggregation parameter":  {dap.CollectionJobReq{Query: dap.IntervalQuery(dap.Interval{}), AggParam: []byte{1}}, dap.ProblemInvalidAggregationParameter},
		"an empty interval":         {dap.CollectionJobReq{Query: dap.IntervalQuery(dap.Interval{Start: 5}), Extensions: []dap.Extension{unknown}}, dap.ProblemBatchInvalid},
		"an endless interval":       {dap.CollectionJobReq{Query: dap.IntervalQuery(dap.Interval{Start: 5, Duration: 1<<64 - 1})}, dap.ProblemBatchInvalid},
		"an interval after history": {dap.CollectionJobReq{Query: dap.IntervalQuery(dap.Interval{Start: 5, Duration: 1 << 40})}, dap.ProblemBatchInvalid},
		"an unknown extension":      {dap.CollectionJobReq{Query: unit, Extensions: []dap.Extension{unknown}}, dap.ProblemUnsupportedExtension},
		"extensions out of order":   {dap.CollectionJobReq{Query: unit, Extensions: out}, dap.ProblemInvalidExtension},
	} {
		if abort := problemOf(t, w.ask(t, c.job, dap.CollectionJobID{1})); abort.Type != c.want {
			t.Errorf("%s: %v, want %s", what, abort, c.want)
		}
	}
	at, q := w.uploadAndCollect(t, 4)
	w.tick(t)
	if w.result(t, at, q) == nil {
		t.Fatal("no result")
	}
	overlap := dap.CollectionJobReq{Query: dap.IntervalQuery(dap.Interval{Start: interval.Start, Duration: 2}), Extensions: []dap.Extension{unknown}}
	if abort := problemOf(t, w.ask(t, overlap, dap.CollectionJobID{2})); abort.Type != dap.ProblemBatchOverlap {
		t.Errorf("an overlapping query with an unknown extension: %v", abort)
	}
}

// Only the task's collector has access to collection jobs.
func TestCollectorTokens(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	at, _ := w.uploadAndCollect(t, 4)
	w.tick(t)
	_, create := w.task.Variant().CreateCollectionJob(w.task.ID(), dap.CollectionJobID{})
	other := w.newToken(t)
	for _, token := range []auth.Token{{}, other, w.helperToken(t)} {
		for method, path := range map[string]string{"POST": create, "GET": at, "DELETE": at} {
			if rec := w.do(method, path, dap.TypeCollectionJobReq.MediaType(), []byte{1}, token); rec.Code != 401 {
				t.Errorf("%s with another token: %d", method, rec.Code)
			}
		}
	}
	if rec := w.do("GET", at, "", nil, w.token); rec.Code != 200 || rec.Body.Len() == 0 {
		t.Errorf("with the right token: %d", rec.Code)
	}
	if rec := w.do("GET", at+"x", "", nil, w.token); rec.Code != 404 {
		t.Errorf("a job that is not there: %d", rec.Code)
	}
}

func (w *world) helperToken(t testing.TB) auth.Token {
	t.Helper()
	s, err := w.registry.Lookup(t.Context(), w.task.ID())
	must(t, err)
	return s.Entry.Outbound
}

// Equal requests are one job, also when they come at once; after its deletion an
// equal request is a new one.
func TestCollectionIsIdempotent(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	q := w.unit(t, 1)
	var mu sync.Mutex
	places := map[string]int{}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			rec := w.ask(t, dap.CollectionJobReq{Query: q}, dap.CollectionJobID{})
			mu.Lock()
			defer mu.Unlock()
			places[w.at(rec)]++
		})
	}
	group.Wait()
	if len(places) != 1 {
		t.Fatalf("equal requests made %d jobs", len(places))
	}
	at := w.collect(t, q)
	if rec := w.do("DELETE", at, "", nil, w.token); rec.Code != 204 {
		t.Fatalf("deletion answered %d", rec.Code)
	}
	if rec := w.do("DELETE", at, "", nil, w.token); rec.Code != 204 {
		t.Fatalf("the second deletion answered %d", rec.Code)
	}
	if rec := w.do("GET", at, "", nil, w.token); rec.Code != http.StatusGone {
		t.Fatalf("a deleted job answered %d", rec.Code)
	}
	if again := w.collect(t, q); again == at {
		t.Fatal("a deleted job came back")
	}
}

// A job that waits is found by its request also when the one before it, which was
// deleted, has been forgotten.
func TestCollectionOutlivesItsPredecessor(t *testing.T) {
	w := newWorld(t, dap.DAP18(), leaderSelected, func(c *leader.Config) { c.Results = 48 * time.Hour })
	q := dap.NextBatchQuery()
	first := w.collect(t, q)
	if rec := w.do("DELETE", first, "", nil, w.token); rec.Code != 204 {
		t.Fatalf("deletion answered %d", rec.Code)
	}
	w.clock.Advance(40 * time.Hour)
	w.tick(t)
	second := w.collect(t, q)
	w.clock.Advance(20 * time.Hour)
	w.tick(t)
	if rec := w.do("GET", first, "", nil, w.token); rec.Code != 404 {
		t.Fatalf("the first is not forgotten: %d", rec.Code)
	}
	if again := w.collect(t, q); again != second || second == first {
		t.Fatalf("an equal request made %s, not %s", again, second)
	}
}

// In the variant janus the collector chooses the ID, once.
func TestCollectionByPut(t *testing.T) {
	w := newWorld(t, dap.Janus(), nil, nil)
	id := dap.CollectionJobID{5}
	for range 2 {
		if rec := w.ask(t, dap.CollectionJobReq{Query: w.unit(t, 1)}, id); rec.Code != 201 {
			t.Fatalf("creation answered %d", rec.Code)
		}
	}
	if rec := w.ask(t, dap.CollectionJobReq{Query: w.unit(t, 2)}, id); rec.Code != http.StatusConflict {
		t.Fatalf("another request under the same ID answered %d", rec.Code)
	}
	_, path := dap.DAP18().CreateCollectionJob(w.task.ID(), id)
	if rec := w.do("POST", path, dap.TypeCollectionJobReq.MediaType(), []byte{1}, w.token); rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "PUT" {
		t.Fatalf("POST answered %d, Allow %q", rec.Code, rec.Header().Get("Allow"))
	}
	if rec := w.do("PUT", dap.ReportsPath(w.task.ID()), dap.TypeUploadRequest.MediaType(), nil, w.token); rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "OPTIONS, POST" {
		t.Fatalf("PUT of reports answered %d, Allow %q", rec.Code, rec.Header().Get("Allow"))
	}
}

// While reports are missing, the collector learns roughly how many, and the result
// comes with the last of them.
func TestMissingReports(t *testing.T) {
	w := newWorld(t, dap.DAP18(), func(c *dap.TaskConfiguration) { c.MinBatchSize = 20 }, nil)
	at, q := w.uploadAndCollect(t, 7)
	missing := func() string {
		w.clock.Advance(time.Minute)
		w.tick(t)
		rec := w.do("GET", at, "", nil, w.token)
		if rec.Code != 200 || rec.Body.Len() > 0 || rec.Header().Get("Retry-After") == "" {
			t.Fatalf("answer %d with %d bytes, %v", rec.Code, rec.Body.Len(), rec.Header())
		}
		return rec.Header().Get(leader.MissingHeader)
	}
	if m := missing(); m != "15" { // 13, in steps of 5
		t.Errorf("%s are missing", m)
	}
	late := func(n int) {
		for range n {
			w.upload(t, w.report(t, 9, 1))
		}
	}
	late(12)
	if m := missing(); m != "5" {
		t.Errorf("%s are missing", m)
	}
	if n := len(w.helper.shares); n > 0 {
		t.Fatal("the helper was asked for its share of too small a batch")
	}
	late(1)
	w.clock.Advance(time.Minute)
	w.tick(t)
	if got := w.result(t, at, q); total(got) != 20 {
		t.Fatalf("result %v", got)
	}
}

// A collector that prefers to wait gets the result as soon as it is there.
func TestPreferWait(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	at, q := w.uploadAndCollect(t, 4)
	answer := make(chan []uint64)
	go func() {
		r, _ := http.NewRequest("GET", "/"+at, nil)
		r.Header.Set("Prefer", "respond-async, wait=20")
		w.token.SetBearer(r.Header)
		resp, err := inProcess{w.leader.Handler()}.RoundTrip(r)
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("answer %v, error %v", resp, err)
		}
		body := make([]byte, 1<<16)
		n, _ := resp.Body.Read(body)
		answer <- w.open(t, body[:n], q)
	}()
	w.tick(t)
	if got := <-answer; !slices.Equal(got, ones(4)) {
		t.Fatalf("result %v", got)
	}
	// Nothing to wait for: it returns when the time is over.
	other := w.collect(t, w.unit(t, 1))
	done := make(chan int)
	go func() {
		r, _ := http.NewRequest("GET", "/"+other, nil)
		r.Header.Set("Prefer", "wait=5")
		w.token.SetBearer(r.Header)
		resp, _ := inProcess{w.leader.Handler()}.RoundTrip(r)
		done <- resp.StatusCode
	}()
	for {
		select {
		case code := <-done:
			if code != 200 {
				t.Fatalf("answer %d", code)
			}
			return
		default:
			w.clock.Advance(time.Second)
		}
	}
}

// The helper's share is asked for with the same bytes until it is there, over
// lost answers and restarts, and one draw of noise leaves the leader.
func TestShareIsAskedForAgain(t *testing.T) {
	w := newWorld(t, dap.DAP18(), func(c *dap.TaskConfiguration) {
		noise, err := dap.NoiseExtension(dp.Noise{Mechanism: dp.Laplace, Num: 1, Den: 1, Sensitivity: 2})
		must(t, err)
		c.Extensions = []dap.Extension{noise}
	}, nil)
	w.helper.async = true
	at, _ := w.uploadAndCollect(t, 4)
	for i := range 30 {
		if i%3 == 1 {
			w.helper.lose = 1
		}
		w.tickAlong(t, 1, 20*time.Second)
		w.restart(t)
	}
	if n := len(w.helper.shares); n != 1 {
		t.Fatalf("%d different requests for shares", n)
	}
	first := w.do("GET", at, "", nil, w.token)
	if first.Code != 200 || first.Body.Len() == 0 {
		t.Fatalf("answer %d", first.Code)
	}
	w.restart(t)
	if again := w.do("GET", at, "", nil, w.token); again.Body.String() != first.Body.String() {
		t.Fatal("the second answer is another one")
	}
}

// A helper that refuses its share fails the collection with its error.
func TestHelperRefusesShare(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	at, q := w.uploadAndCollect(t, 4)
	w.helper.refuse = func(r *http.Request) *http.Response {
		if !strings.Contains(r.URL.Path, "aggregate_shares") {
			return nil
		}
		return problem(400, &dap.Abort{Type: dap.ProblemInvalidBatchSize, Detail: "not enough here"})
	}
	w.tick(t)
	if abort := problemOf(t, w.do("GET", at, "", nil, w.token)); abort.Type != dap.ProblemInvalidBatchSize {
		t.Fatalf("answer %v", abort)
	}
	// Nothing was collected: the collector may try again, by the same request.
	w.helper.refuse = nil
	again := w.collect(t, q)
	w.tick(t)
	if got := w.result(t, again, q); !slices.Equal(got, ones(4)) {
		t.Fatalf("result %v", got)
	}
}

// A helper that never gives its share fails the collection in the end, by a
// problem that is not the draft's, and the collector may try again.
func TestHelperNeverGivesShare(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, func(c *leader.Config) { c.Attempts, c.CollectionTimeout = 4, time.Hour })
	at, q := w.uploadAndCollect(t, 4)
	w.helper.refuse = func(r *http.Request) *http.Response {
		if strings.Contains(r.URL.Path, "aggregate_shares") {
			return respond(500, "", nil)
		}
		return nil
	}
	w.tickAlong(t, 8, 10*time.Minute)
	rec := w.do("GET", at, "", nil, w.token)
	if rec.Code != 424 || !strings.Contains(rec.Body.String(), "urn:shoal:problem:helperFailed") {
		t.Fatalf("answer %d: %s", rec.Code, rec.Body)
	}
	w.helper.refuse = nil
	again := w.collect(t, q)
	w.tick(t)
	if got := w.result(t, again, q); !slices.Equal(got, ones(4)) {
		t.Fatalf("result %v", got)
	}
}

// Two collections of the same reports: one is answered, the other refused because
// it overlaps. While a batch is frozen, late reports wait and are then refused.
func TestClash(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	q := w.unit(t, 1)
	i, err := q.Interval()
	must(t, err)
	i.Duration = 2
	wide := dap.IntervalQuery(i)
	for k := range 4 {
		w.upload(t, w.report(t, k, 0))
	}
	first, second := w.collect(t, q), w.collect(t, wide)
	w.helper.refuse = func(r *http.Request) *http.Response {
		if strings.Contains(r.URL.Path, "aggregate_shares") {
			return respond(503, "", nil)
		}
		return nil
	}
	w.clock.Advance(2*precision + 10*time.Minute)
	w.tickAlong(t, 1, time.Minute)
	w.upload(t, w.report(t, 9, 2))
	w.tickAlong(t, 1, time.Minute)
	if n := w.waiting(t); n != 1 {
		t.Fatalf("%d reports wait while their batch is frozen, want 1", n)
	}
	w.helper.refuse = nil
	w.tickAlong(t, 3, time.Minute)
	if got := w.result(t, first, q); !slices.Equal(got, ones(4)) {
		t.Fatalf("result %v", got)
	}
	if abort := problemOf(t, w.do("GET", second, "", nil, w.token)); abort.Type != dap.ProblemBatchOverlap {
		t.Fatalf("the other: %v", abort)
	}
	if w.seen.rejected[dap.BatchCollected] != 1 || w.waiting(t) != 0 {
		t.Errorf("rejected %v", w.seen.rejected)
	}
}

// What has expired is forgotten, but not that it was collected.
func TestExpiry(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, func(c *leader.Config) { c.Results = 48 * time.Hour })
	at, q := w.uploadAndCollect(t, 4)
	w.tick(t)
	w.clock.Advance(47 * time.Hour)
	w.tick(t)
	if w.result(t, at, q) == nil {
		t.Fatal("the result is gone too soon")
	}
	w.clock.Advance(3 * time.Hour)
	w.tick(t)
	if rec := w.do("GET", at, "", nil, w.token); rec.Code != 404 {
		t.Fatalf("an expired result answered %d", rec.Code)
	}
	if abort := problemOf(t, w.ask(t, dap.CollectionJobReq{Query: q}, dap.CollectionJobID{})); abort.Type != dap.ProblemBatchOverlap {
		t.Fatalf("collecting again: %v", abort)
	}
}

// Reports that are older than the task's expiry are refused, and those that were
// stored in time but not aggregated are not counted.
func TestReportsExpire(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	must(t, w.registry.Update(t.Context(), w.task.ID(), func(e *tasks.Entry) error {
		e.Expiry = 24 * time.Hour
		return nil
	}))
	w.upload(t, w.report(t, 1, 0), w.report(t, 2, 20))
	w.clock.Advance(12 * time.Hour)
	w.tick(t)
	if w.seen.aggregated != 1 || w.seen.rejected[dap.ReportDropped] != 1 {
		t.Errorf("%d aggregated, rejected %v", w.seen.aggregated, w.seen.rejected)
	}
	if refused := w.upload(t, w.report(t, 3, 25)); len(refused) != 1 || refused[0].Error != dap.ReportDropped {
		t.Errorf("an old report: %v", refused)
	}
	q := w.unit(t, 1)
	w.upload(t, w.report(t, 4, 0), w.report(t, 5, 0), w.report(t, 6, 0))
	at := w.collect(t, q)
	w.clock.Advance(precision + 10*time.Minute)
	w.tick(t)
	if w.result(t, at, q) == nil {
		t.Fatal("no result")
	}
	w.clock.Advance(30 * time.Hour)
	w.tick(t)
	if rec := w.do("GET", at, "", nil, w.token); rec.Code != 404 {
		t.Errorf("an expired result answered %d", rec.Code)
	}
}

// A clock that jumps forward collects nothing before its time, and lets nothing
// expire.
func TestClockJumps(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	running := time.Duration(0)
	w.leader.SetGuard(clock.GuardOf(func() (time.Time, time.Duration) { return w.clock.Now(), running }, 10*time.Minute))
	at, q := w.uploadAndCollect(t, 4) // the clock has jumped an hour
	w.tick(t)
	st, err := w.leader.Status(t.Context())
	must(t, err)
	if got := w.result(t, at, q); got != nil || !st.ClockUnsure {
		t.Fatalf("result %v, unsure: %v", got, st.ClockUnsure)
	}
	for range 10 {
		running += time.Minute
		w.clock.Advance(time.Minute)
		w.tick(t)
	}
	if got := w.result(t, at, q); !slices.Equal(got, ones(4)) {
		t.Fatalf("result %v", got)
	}
}

// Batches of the leader-selected mode hold reports of one time window.
func TestBatchWindows(t *testing.T) {
	w := newWorld(t, dap.DAP18(), leaderSelected, func(c *leader.Config) { c.BatchWindow = 2 * precision })
	q := dap.NextBatchQuery()
	for i := range 12 {
		w.upload(t, w.report(t, i%2, i%2*2)) // of two windows in turn
	}
	w.clock.Advance(time.Minute)
	w.tick(t)
	for n := range 4 {
		at := w.collect(t, q)
		w.tick(t)
		got := w.result(t, at, q)
		if !slices.Equal(got, histogram(3)) && !slices.Equal(got, histogram(0, 3)) {
			t.Fatalf("batch %d is %v", n, got)
		}
		w.do("DELETE", at, "", nil, w.token)
	}
	st, err := w.leader.Status(t.Context())
	must(t, err)
	if len(st.Tasks) != 1 || st.Tasks[0].InJobs != 0 {
		t.Errorf("status %+v", st)
	}
}

// A batch that loses reports to bad clients is filled up.
func TestBatchIsFilledUp(t *testing.T) {
	w := newWorld(t, dap.DAP18(), leaderSelected, nil)
	q := dap.NextBatchQuery()
	at := w.collect(t, q)
	for i := range 6 {
		r := w.report(t, i, 0)
		if i < 2 {
			r.LeaderShare.Payload[0] ^= 1
		}
		w.upload(t, r)
	}
	w.clock.Advance(time.Minute)
	w.tick(t)
	for i := range 2 {
		w.upload(t, w.report(t, 6+i, 0))
	}
	w.clock.Advance(time.Minute)
	w.tick(t)
	if got := w.result(t, at, q); total(got) != 3 {
		t.Fatalf("result %v, missing %s", got, strconv.Quote(w.do("GET", at, "", nil, w.token).Header().Get(leader.MissingHeader)))
	}
}

// A poll of a collection job that is not ready is answered 200 without a body, and
// with a time to ask again, and its creation 201: collectors of Janus take nothing
// else.
func TestAnswersOfUnfinishedCollection(t *testing.T) {
	for _, v := range []*dap.Variant{dap.DAP18(), dap.DAP19(), dap.Janus()} {
		t.Run(v.String(), func(t *testing.T) {
			w := newWorld(t, v, nil, nil)
			created := w.ask(t, dap.CollectionJobReq{Query: w.unit(t, 1)}, dap.CollectionJobID{7})
			polled := w.do("GET", w.at(created), "", nil, w.token)
			for rec, want := range map[*httptest.ResponseRecorder]int{created: 201, polled: 200} {
				if rec.Code != want || rec.Body.Len() > 0 || rec.Header().Get("Content-Type") != "" || rec.Header().Get("Retry-After") == "" {
					t.Errorf("answer %d with %d bytes, %v; want %d, no body, Retry-After", rec.Code, rec.Body.Len(), rec.Header(), want)
				}
			}
		})
	}
}

// A batch of the leader-selected mode that is not full is waited for, whether it
// lacks one report or more.
func TestBatchIsNotFull(t *testing.T) {
	w := newWorld(t, dap.DAP18(), leaderSelected, nil)
	q := dap.NextBatchQuery()
	at := w.collect(t, q)
	for i := range 3 {
		if got := w.result(t, at, q); got != nil {
			t.Fatalf("a result of %d reports of 3: %v", i, got)
		}
		w.upload(t, w.report(t, i, 0))
		w.tickAlong(t, 2, time.Minute)
	}
	if got := w.result(t, at, q); !slices.Equal(got, ones(3)) {
		t.Errorf("result %v", got)
	}
}
