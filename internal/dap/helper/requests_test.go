package helper_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/ledger"
)

// jobPath is the path of the job that an answer has created.
func jobPath(t testing.TB, location string) string {
	t.Helper()
	path, ok := strings.CutPrefix(location, "/dap/") // of the helper's endpoint
	if !ok {
		t.Fatalf("location %q", location)
	}
	return path
}

// A repeated request gets the same bytes and changes nothing; another one under
// the same ID is refused.
func TestRepeatedRequests(t *testing.T) {
	for _, v := range variants() {
		w := newWorld(t, v, dap.TimeIntervalMode)
		spoiled := w.report(1)
		spoiled.HelperShare.Payload[0] ^= 1
		job, body := w.init(dap.BatchID{}, w.report(1), spoiled, w.report(2))
		a := w.createJob(1, body)
		before := w.checksum(selectorOf(unit))
		for range 3 {
			b := w.createJob(1, body)
			if b.Code != 200 || !bytes.Equal(a.Body.Bytes(), b.Body.Bytes()) || a.Header().Get("Location") != b.Header().Get("Location") {
				t.Fatalf("%v: %d %v, first %v", v, b.Code, b.Header(), a.Header())
			}
		}
		if w.checksum(selectorOf(unit)) != before {
			t.Fatalf("%v: a repeated request has changed the batch", v)
		}
		otherJob, otherBody := w.init(dap.BatchID{}, w.report(3))
		b := w.createJob(1, otherBody)
		if v.ClientChoosesIDs() {
			wantProblem(t, "another job under the ID", b, http.StatusConflict, "forbiddenMutation")
		} else if b.Header().Get("Location") == a.Header().Get("Location") {
			t.Fatalf("%v: two jobs have one ID", v)
		}
		results := []*dap.LeaderResult{w.finish(job, w.createJob(1, body))}
		if !v.ClientChoosesIDs() { // the other job counts too
			results = append(results, w.finish(otherJob, b))
		}
		query, selector := hour(unit)
		req, mine := w.shareReq(query, selector, results...)
		shareBody := w.encode(req)
		first := w.createShare(1, shareBody)
		want := w.unshard(first, req, mine)
		for range 2 {
			again := w.createShare(1, shareBody)
			if !bytes.Equal(first.Body.Bytes(), again.Body.Bytes()) || !slices.Equal(w.unshard(again, req, mine), want) {
				t.Fatalf("%v: the share is sealed again", v)
			}
		}
		req.ReportCount++
		if v.ClientChoosesIDs() {
			wantProblem(t, "another share under the ID", w.createShare(1, w.encode(req)), http.StatusConflict, "forbiddenMutation")
		}
		wantProblem(t, "another share of the batch", w.createShare(2, w.encode(req)), 400, "batchOverlap")
	}
}

func selectorOf(t dap.Time) dap.BatchSelector { _, s := hour(t); return s }

// What was asked for synchronously is not kept: a leader that lost the answer
// sends the request again.
func TestGetAndDelete(t *testing.T) {
	for _, v := range variants() {
		w := newWorld(t, v, dap.TimeIntervalMode)
		_, body := w.init(dap.BatchID{}, w.report(1), w.report(2))
		a := w.createJob(1, body)
		path := jobPath(t, a.Header().Get("Location"))
		wantProblem(t, "a GET", w.do("GET", path+"?step=0", "", nil), http.StatusGone, "noLongerKept")
		wantProblem(t, "a GET without step", w.do("GET", path, "", nil), 400, "invalidMessage")
		wantProblem(t, "a GET with two steps", w.do("GET", path+"?step=0&step=0", "", nil), 400, "invalidMessage")
		wantProblem(t, "a GET of step 1", w.do("GET", path+"?step=1", "", nil), 400, "stepMismatch")

		none := dap.AggregationJobPath(w.task.ID(), dap.AggregationJobID{9})
		for _, method := range []string{"GET", "DELETE"} {
			wantProblem(t, method+" of none", w.do(method, none+"?step=0", "", nil), 404, "unrecognizedAggregationJob")
			wantProblem(t, method+" of what is no ID", w.do(method, none+"x?step=0", "", nil), 404, "unrecognizedAggregationJob")
		}
		if a := w.do("DELETE", path, "", nil); a.Code != 204 || a.Body.Len() > 0 {
			t.Errorf("DELETE: %d %s", a.Code, a.Body)
		}
		wantProblem(t, "a GET of what is deleted", w.do("GET", path+"?step=0", "", nil), http.StatusGone, "deleted")
		wantProblem(t, "creating what is deleted", w.createJob(1, body), http.StatusGone, "deleted")
		// Its reports stay counted.
		if total := w.total(selectorOf(unit)); total.Count != 2 {
			t.Errorf("%d reports after the job was deleted, want 2", total.Count)
		}

		w.collectAll(2)
		a = w.createShare(9, w.shareBody(2)) // the same request again
		path = jobPath(t, a.Header().Get("Location"))
		if b := w.do("GET", path, "", nil); b.Code != 200 || !bytes.Equal(a.Body.Bytes(), b.Body.Bytes()) {
			t.Errorf("%v: GET of a share: %d %s", v, b.Code, b.Body)
		}
		none = dap.AggregateSharePath(w.task.ID(), dap.AggregateShareID{7})
		for _, method := range []string{"GET", "DELETE"} {
			wantProblem(t, method+" of no share", w.do(method, none, "", nil), 404, "notFound")
			wantProblem(t, method+" of what is no ID", w.do(method, none+"x", "", nil), 404, "notFound")
		}
		if a := w.do("DELETE", path, "", nil); a.Code != 204 {
			t.Errorf("DELETE: %d %s", a.Code, a.Body)
		}
		wantProblem(t, "a GET of a share that is deleted", w.do("GET", path, "", nil), http.StatusGone, "deleted")
		wantProblem(t, "creating a share that is deleted", w.createShare(9, w.shareBody(2)), http.StatusGone, "deleted")
		_, body = w.init(dap.BatchID{}, w.report(1))
		wantFates(t, w.fates(w.createJob(5, body)), dap.BatchCollected)
	}
}

// Prio3 has no step but the first.
func TestContinue(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	r := w.report(1)
	_, body := w.init(dap.BatchID{}, r)
	path := jobPath(t, w.createJob(1, body).Header().Get("Location"))
	send := func(path string, step uint16, n int) []byte {
		req := dap.AggregationJobContinueReq{Step: step}
		for range n {
			req.VerifyContinues = append(req.VerifyContinues, dap.VerifyContinue{ID: r.Metadata.ID, Payload: []byte{1}})
		}
		return w.encode(&req)
	}
	for _, tt := range []struct {
		what   string
		path   string
		kind   dap.MessageType
		body   []byte
		status int
		want   string
	}{
		{"of a report", path, dap.TypeAggregationJobContinueReq, send(path, 1, 1), 400, "invalidMessage"},
		{"of no report", path, dap.TypeAggregationJobContinueReq, send(path, 1, 0), 400, "stepMismatch"},
		{"to step 2", path, dap.TypeAggregationJobContinueReq, send(path, 2, 0), 400, "stepMismatch"},
		{"to step 0", path, dap.TypeAggregationJobContinueReq, send(path, 0, 0), 400, "invalidMessage"},
		{"malformed", path, dap.TypeAggregationJobContinueReq, []byte{0}, 400, "invalidMessage"},
		{"cut", path, dap.TypeAggregationJobContinueReq, []byte{0, 1, 5}, 400, "invalidMessage"},
		{"of another type", path, dap.TypeAggregateShareReq, send(path, 1, 0), 415, "unsupportedMediaType"},
		{"of no job", dap.AggregationJobPath(w.task.ID(), dap.AggregationJobID{1}), dap.TypeAggregationJobContinueReq, send(path, 1, 0), 404, "unrecognizedAggregationJob"},
	} {
		wantProblem(t, "continuing "+tt.what, w.do("POST", tt.path, tt.kind, tt.body), tt.status, tt.want)
	}
}

// What is wrong with a job as a whole.
func TestBadJobs(t *testing.T) {
	for _, v := range variants() {
		w := newWorld(t, v, dap.LeaderSelectedMode)
		_, good, err := w.leader.LeaderInit(4, dap.BatchID{1}, []dap.Report{w.report(1)}, w.clock.Now(), w.leaderRing)
		w.must(err)
		body := w.encode(good)
		wantProblem(t, "an empty body", w.createJob(1, []byte{}), 400, "invalidMessage")
		for n := range body {
			// In the drafts the reports end with the body: what is cut before the first
			// has none, and its answer would be empty, which means not ready.
			wantProblem(t, fmt.Sprintf("%v: %d of %d bytes", v, n, len(body)), w.createJob(1, body[:n]), 400, "invalidMessage")
		}
		wantProblem(t, "more bytes", w.createJob(2, append(bytes.Clone(body), 1)), 400, "invalidMessage")
		bad := *good
		bad.AggParam = []byte{1}
		wantProblem(t, "an aggregation parameter", w.createJob(3, w.encode(&bad)), 400, "invalidAggregationParameter")
		if v.String() != "janus" {
			bad = *good
			bad.Extensions = append(slices.Clone(good.Extensions), dap.Extension{Type: 0xff00})
			a := w.createJob(4, w.encode(&bad))
			wantProblem(t, "an extension", a, 400, "unsupportedExtension")
			if !strings.Contains(a.Body.String(), `"unsupported_extensions":[65280]`) {
				t.Errorf("%s", a.Body)
			}
			bad.Extensions = nil
			wantProblem(t, "no batch", w.createJob(5, w.encode(&bad)), 400, "invalidMessage")
		}
		method, path := v.CreateAggregationJob(w.task.ID(), dap.AggregationJobID{6})
		wantProblem(t, "another type", w.do(method, path, dap.TypeAggregationJobResp, body), 415, "unsupportedMediaType")
		wantProblem(t, "no type", w.do(method, path, "", body), 415, "unsupportedMediaType")
		other := map[string]string{"POST": "PUT", "PUT": "POST"}[method]
		path = strings.TrimSuffix(path, "/"+dap.AggregationJobID{6}.String())
		if other == "PUT" {
			path += "/" + dap.AggregationJobID{6}.String()
		}
		if a := w.do(other, path, dap.TypeAggregationJobInitReq, body); a.Code != 405 || a.Header().Get("Allow") == "" {
			t.Errorf("%v: %s %s: %d %s", v, other, path, a.Code, a.Body)
		}
		wantFates(t, w.fates(w.createJob(7, body)), 0)
	}
}

// A job with more reports than the helper takes ends where that shows.
func TestTooManyReports(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, func(_ *world, _ *dap.TaskConfiguration, c *helperConfig) { c.MaxReports = 2 })
	_, body := w.init(dap.BatchID{}, w.report(1), w.report(1), w.report(1))
	wantProblem(t, "three reports", w.createJob(1, body), 413, "invalidMessage")
	_, body = w.init(dap.BatchID{}, w.report(1), w.report(1))
	wantFates(t, w.fates(w.createJob(1, body)), 0, 0)
	// The same by memory: the share of a report takes 160 bytes.
	w.config.MaxReports, w.config.MaxMemory = 0, 319
	w.restart()
	_, body = w.init(dap.BatchID{}, w.report(1), w.report(1))
	wantProblem(t, "two reports", w.createJob(1, body), 413, "invalidMessage")
	_, body = w.init(dap.BatchID{}, w.report(1))
	wantFates(t, w.fates(w.createJob(1, body)), 0)
	if len(w.errs) > 0 {
		t.Error(w.errs)
	}
}

// To those without the leader's token a task looks as if it did not exist.
func TestTokens(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	other, err := auth.NewToken(rand.Reader)
	w.must(err)
	_, body := w.init(dap.BatchID{}, w.report(1))
	unknown := dap.TaskID{1}
	answer := func(token auth.Token, id dap.TaskID) string {
		var out strings.Builder
		for _, r := range [][2]string{
			{"POST", "aggregation_jobs"},
			{"PUT", "aggregation_jobs/" + dap.AggregationJobID{}.String()},
			{"POST", "aggregation_jobs/" + dap.AggregationJobID{}.String()},
			{"GET", "aggregation_jobs/" + dap.AggregationJobID{}.String()},
			{"DELETE", "aggregation_jobs/" + dap.AggregationJobID{}.String()},
			{"POST", "aggregate_shares"},
			{"PUT", "aggregate_shares/" + dap.AggregateShareID{}.String()},
			{"GET", "aggregate_shares/" + dap.AggregateShareID{}.String()},
			{"DELETE", "aggregate_shares/" + dap.AggregateShareID{}.String()},
		} {
			a := w.as(token, r[0], "tasks/"+id.String()+"/"+r[1], dap.TypeAggregationJobInitReq, body)
			wantProblem(t, r[0]+" "+r[1], a, 404, "unrecognizedTask")
			out.WriteString(strings.ReplaceAll(a.Body.String(), id.String(), "ID"))
		}
		return out.String()
	}
	want := answer(w.token, unknown)
	if answer(other, w.task.ID()) != want || answer(auth.Token{}, w.task.ID()) != want || answer(other, unknown) != want {
		t.Error("answers to those without a token tell that there is a task")
	}
	wantProblem(t, "no task ID", w.do("POST", "tasks/abc/aggregation_jobs", dap.TypeAggregationJobInitReq, body), 404, "unrecognizedTask")

	// The other header that leaders send.
	r := httptest.NewRequest("GET", "/"+dap.AggregateSharePath(w.task.ID(), dap.AggregateShareID{}), nil)
	w.token.SetDAP(r.Header)
	a := httptest.NewRecorder()
	w.handler.ServeHTTP(a, r)
	wantProblem(t, "with DAP-Auth-Token", a, 404, "notFound")

	// Rotation: both tokens are good for a while.
	w.update(func(e *entry) { e.Inbound = append(e.Inbound, other.Hash()) })
	method, path := w.task.Variant().CreateAggregationJob(w.task.ID(), dap.AggregationJobID{})
	if a := w.as(other, method, path, dap.TypeAggregationJobInitReq, body); a.Code != 201 {
		t.Errorf("the new token: %d %s", a.Code, a.Body)
	}
	w.update(func(e *entry) { e.Disabled = true })
	if answer(w.token, w.task.ID()) != want {
		t.Error("a disabled task is served")
	}
}

func TestHpkeConfig(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	a := w.as(auth.Token{}, "GET", "hpke_config", "", nil)
	var list dap.HpkeConfigList
	w.must(w.task.Codec().Decode(&list, a.Body.Bytes()))
	want := w.registry.Keyring().Configs(w.clock.Now())
	if a.Code != 200 || len(list) != 1 || list[0].ID != want[0].ID || !bytes.Equal(list[0].PublicKey, want[0].PublicKey) {
		t.Errorf("%d %+v", a.Code, list)
	}
	for name, value := range map[string]string{
		"Content-Type": dap.TypeHpkeConfigList.MediaType(), "Cache-Control": "max-age=43200", "Access-Control-Allow-Origin": "*",
	} {
		if got := a.Header().Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if a := w.as(auth.Token{}, "OPTIONS", "hpke_config", "", nil); a.Code != 204 || a.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("OPTIONS: %d %v", a.Code, a.Header())
	}
	wantProblem(t, "another path", w.do("GET", "elsewhere", "", nil), 404, "notFound")
	a = w.do("PATCH", "tasks/"+w.task.ID().String()+"/aggregation_jobs", "", nil)
	wantProblem(t, "another method", a, 405, "methodNotAllowed")
	if got := a.Header().Get("Allow"); got != "POST" {
		t.Errorf("Allow: %q, want POST", got)
	}
}

// A leader that goes away is no fault of the helper's.
func TestLeaderGoes(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, func(_ *world, _ *dap.TaskConfiguration, c *helperConfig) { c.Workers = 1 })
	_, body := w.init(dap.BatchID{}, w.report(1))
	in, out := io.Pipe()
	method, path := w.task.Variant().CreateAggregationJob(w.task.ID(), dap.AggregationJobID{})
	request := func(ctx context.Context, body io.Reader) *http.Request {
		r := httptest.NewRequestWithContext(ctx, method, "/"+path, body)
		r.Header.Set("Content-Type", dap.TypeAggregationJobInitReq.MediaType())
		w.token.SetBearer(r.Header)
		return r
	}
	first := make(chan struct{})
	go func() { w.handler.ServeHTTP(httptest.NewRecorder(), request(t.Context(), in)); close(first) }()
	if _, err := out.Write(body[:10]); err != nil { // it has the worker
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.handler.ServeHTTP(httptest.NewRecorder(), request(ctx, bytes.NewReader(body)))
	out.CloseWithError(io.ErrUnexpectedEOF)
	<-first
	if s := w.helper.Status(); len(w.errs) > 0 || s.Err != nil || s.Queued != 0 || s.Running != 0 {
		t.Errorf("%v, status %+v", w.errs, s)
	}
}

// lateStore finds a job only after it was tried to store it, as when the same
// request comes twice at once, and hears whether a commit could be cancelled.
type lateStore struct {
	helper.Store
	looked    int
	cancelled bool
}

func (s *lateStore) Job(ctx context.Context, task dap.TaskID, id dap.AggregationJobID) (*helper.Job, error) {
	if s.looked++; s.looked == 1 {
		return nil, helper.ErrNone
	}
	return s.Store.Job(ctx, task, id)
}

func (s *lateStore) CommitJob(ctx context.Context, c ledger.Change, j *helper.Job) error {
	s.cancelled = s.cancelled || ctx.Done() != nil
	return s.Store.CommitJob(ctx, c, j)
}

// A job that another request has just stored is answered like one that was there.
func TestJobIsThereInTheMeantime(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	_, body := w.init(dap.BatchID{}, w.report(1), w.report(2))
	first := w.createJob(1, body)
	s := &lateStore{Store: w.store}
	w.boot(s)
	again := w.createJob(1, body)
	if again.Code/100 != 2 || !bytes.Equal(again.Body.Bytes(), first.Body.Bytes()) {
		t.Errorf("answer %d of %d bytes, want the %d bytes of the first", again.Code, again.Body.Len(), first.Body.Len())
	}
	if s.looked != 2 {
		t.Errorf("the job was looked up %d times, want twice", s.looked)
	}
}

// A leader that goes away cannot cancel a commit, whose outcome would be unknown.
func TestCommitIsNotCancelled(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	s := &lateStore{Store: w.store}
	w.boot(s)
	_, body := w.init(dap.BatchID{}, w.report(1))
	method, path := w.task.Variant().CreateAggregationJob(w.task.ID(), dap.AggregationJobID{1})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, method, "/"+path, bytes.NewReader(body))
	r.Header.Set("Content-Type", dap.TypeAggregationJobInitReq.MediaType())
	w.token.SetBearer(r.Header)
	a := httptest.NewRecorder()
	w.handler.ServeHTTP(a, r)
	if a.Code/100 != 2 || s.looked == 0 {
		t.Fatalf("answer %d %s", a.Code, a.Body)
	}
	if s.cancelled {
		t.Error("the context of a commit is that of the request")
	}
}
