package leader_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/leader"
)

func (w *world) encode(t testing.TB, reports ...dap.Report) []byte {
	t.Helper()
	body, err := w.task.Codec().Encode(&dap.UploadRequest{Reports: reports})
	must(t, err)
	return body
}

func (w *world) sendBody(body []byte) *httptest.ResponseRecorder {
	return w.do("POST", dap.ReportsPath(w.task.ID()), dap.TypeUploadRequest.MediaType(), body, auth.Token{})
}

// waiting returns how many reports are stored and in no job yet.
func (w *world) waiting(t testing.TB) int64 {
	t.Helper()
	st, err := w.leader.Status(t.Context())
	must(t, err)
	return st.Tasks[0].Waiting
}

// Each way in which a report can be wrong on upload costs that report alone.
func TestUploadErrors(t *testing.T) {
	for _, v := range variants() {
		t.Run(v.String(), func(t *testing.T) {
			w := newWorld(t, v, func(c *dap.TaskConfiguration) {
				c.Extensions = []dap.Extension{dap.IntervalExtension(dap.Interval{Start: 480_000, Duration: 20})}
			}, nil)
			type spoiled struct {
				what  string
				want  dap.ReportError
				spoil func(*dap.Report)
			}
			unknown, err := dap.NewExtensions(dap.Extension{Type: 99})
			must(t, err)
			unknownError := dap.InvalidMessage
			if v.String() == "dap-19" {
				unknownError = dap.UnsupportedExtension
			}
			for _, s := range []spoiled{
				{"the future", dap.ReportTooEarly, func(r *dap.Report) { r.Metadata.Time++ }},
				{"before the task", v.UploadIntervalError(dap.Interval{Start: 10, Duration: 1}, 9), func(r *dap.Report) { r.Metadata.Time = 479_999 }},
				{"an unknown key", v.UploadConfigError(), func(r *dap.Report) { r.LeaderShare.ConfigID += 100 }},
				{"a public share of the wrong length", dap.InvalidMessage, func(r *dap.Report) { r.PublicShare = r.PublicShare[1:] }},
				{"an unknown extension", unknownError, func(r *dap.Report) { r.Metadata.PublicExtensions = unknown }},
				{"extensions that are none", dap.InvalidMessage, func(r *dap.Report) { r.Metadata.PublicExtensions = dap.Extensions{1, 2, 3} }},
			} {
				bad := w.report(t, 1, 0)
				s.spoil(&bad)
				before := w.waiting(t)
				refused := w.upload(t, w.report(t, 1, 0), bad, w.report(t, 1, 0), bad)
				if len(refused) != 2 || refused[0] != refused[1] || refused[0].ID != bad.Metadata.ID || refused[0].Error != s.want {
					t.Errorf("%s: %v, want %v", s.what, refused, s.want)
				}
				if n := w.waiting(t) - before; n != 2 {
					t.Errorf("%s: %d reports were stored, want 2", s.what, n)
				}
			}
			w.clock.Advance(10 * precision)
			late := w.report(t, 1, 0)
			if refused := w.upload(t, late); len(refused) != 1 || refused[0].Error != v.UploadIntervalError(dap.Interval{Start: 0, Duration: 1}, 9) {
				t.Errorf("after the task: %v", refused)
			}
		})
	}
}

// The refused reports are in the order of the request.
func TestUploadErrorsInOrder(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	var all []dap.Report
	var want []dap.ReportUploadStatus
	for i := range 9 {
		r := w.report(t, 1, 0)
		switch i % 3 {
		case 0:
			r.Metadata.Time += 5
			want = append(want, dap.ReportUploadStatus{ID: r.Metadata.ID, Error: dap.ReportTooEarly})
		case 1:
			r.PublicShare = nil
			want = append(want, dap.ReportUploadStatus{ID: r.Metadata.ID, Error: dap.InvalidMessage})
		}
		all = append(all, r)
	}
	if refused := w.upload(t, all...); !slices.Equal(refused, want) {
		t.Errorf("refused %v, want %v", refused, want)
	}
}

// Requests that are wrong as a whole.
func TestUploadProblems(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, func(c *leader.Config) { c.MaxBacklog = 1 << 20 })
	good := w.encode(t, w.report(t, 1, 0))
	path, kind := dap.ReportsPath(w.task.ID()), dap.TypeUploadRequest.MediaType()

	rec := w.do("POST", dap.ReportsPath(dap.TaskID{1}), kind, good, auth.Token{})
	if abort := problemOf(t, rec); abort.Type != dap.ProblemUnrecognizedTask {
		t.Errorf("an unknown task: %v", abort)
	}
	rec = w.do("POST", "tasks/short/reports", kind, good, auth.Token{})
	if abort := problemOf(t, rec); abort.Type != dap.ProblemUnrecognizedTask {
		t.Errorf("a malformed task ID: %v", abort)
	}
	if rec = w.do("POST", path, "application/ppm-dap;message=collection-job-req", good, auth.Token{}); rec.Code != 415 {
		t.Errorf("another media type: %d", rec.Code)
	}
	for cut := 1; cut < len(good); cut += 7 {
		rec = w.sendBody(good[:cut])
		if abort := problemOf(t, rec); abort.Type != dap.ProblemInvalidMessage || rec.Code != 400 {
			t.Fatalf("%d of %d bytes: %d, %v", cut, len(good), rec.Code, abort)
		}
		if !strings.Contains(rec.Body.String(), w.task.ID().String()) {
			t.Fatal("the problem does not name the task")
		}
	}
	if w.waiting(t) != 0 {
		t.Error("something of a malformed request was stored")
	}
	if rec = w.sendBody(good); rec.Code != 200 || rec.Body.Len() > 0 {
		t.Errorf("a good request: %d with %d bytes", rec.Code, rec.Body.Len())
	}
	huge := bytes.Repeat(good, int(w.task.Codec().Limits().Body)/len(good)+2)
	if rec = w.sendBody(huge); rec.Code != 413 {
		t.Errorf("a body beyond the limit: %d", rec.Code)
	}
	must(t, w.registry.Disable(t.Context(), w.task.ID()))
	if abort := problemOf(t, w.sendBody(good)); abort.Type != dap.ProblemUnrecognizedTask {
		t.Errorf("a disabled task: %v", abort)
	}
	if len(w.seen.errs) > 0 {
		t.Errorf("blamed on ourselves: %v", w.seen.errs)
	}
}

// Of a request that turns out to be malformed after its first chunk, the reports
// of that chunk are kept, and are recognised when they come again.
func TestMalformedTail(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	var all []dap.Report
	for range 700 {
		r := w.report(t, 1, 0)
		if len(all) > 0 { // sealing is slow, and the leader does not look
			r = all[0]
			w.reports++
			r.Metadata.ID = dap.ReportID{1, byte(w.reports >> 8), byte(w.reports)}
		}
		all = append(all, r)
	}
	body := w.encode(t, all...)
	if abort := problemOf(t, w.sendBody(body[:len(body)-1])); abort.Type != dap.ProblemInvalidMessage {
		t.Fatalf("a cut body: %v", abort)
	}
	if n := w.waiting(t); n != 512 {
		t.Fatalf("%d reports of the first chunk are stored, want 512", n)
	}
	if rec := w.sendBody(body); rec.Code != 200 {
		t.Fatalf("the whole body: %d", rec.Code)
	}
	if n := w.waiting(t); n != 700 {
		t.Fatalf("%d reports are stored, want 700", n)
	}
}

// A report that is uploaded again counts once: at once, after the leader has
// forgotten that it has seen it, after a restart and after it was aggregated.
func TestReplays(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, func(c *leader.Config) { c.RecentIDs = 1 })
	q := w.unit(t, 1)
	var sent []dap.Report
	for i := range 4 {
		sent = append(sent, w.report(t, i, 0))
	}
	w.upload(t, sent[0], sent[0], sent[1])
	w.upload(t, sent[2], sent[3], sent[0]) // forgotten: one log has it twice
	w.clock.Advance(time.Minute)
	w.tick(t)
	w.upload(t, sent...) // aggregated
	w.restart(t)
	w.upload(t, sent[1]) // within one log of another process
	w.upload(t, sent...)
	at := w.collect(t, q)
	w.clock.Advance(precision + 10*time.Minute)
	w.tick(t)
	if got := w.result(t, at, q); !slices.Equal(got, histogram(1, 1, 1, 1)) {
		t.Fatalf("result %v", got)
	}
	if w.seen.rejected[dap.ReportReplayed] == 0 {
		t.Error("no replay came as far as the ledger")
	}
}

// The same report in two jobs at once, which are answered in either order, counts
// once on both sides.
func TestReplayAcrossJobs(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, func(c *leader.Config) { c.RecentIDs, c.JobReports = 1, 2 })
	q := w.unit(t, 1)
	a, b, c, d := w.report(t, 0, 0), w.report(t, 1, 0), w.report(t, 2, 0), w.report(t, 3, 0)
	w.helper.async = true
	w.upload(t, a, b)
	w.clock.Advance(time.Minute)
	must(t, w.leader.Tick(t.Context())) // the first job waits
	w.restart(t)
	w.upload(t, c, a)
	w.upload(t, d)
	w.clock.Advance(time.Minute)
	at := w.collect(t, q)
	for range 10 {
		must(t, w.leader.Tick(t.Context()))
		w.clock.Advance(10 * time.Minute)
	}
	if got := w.result(t, at, q); !slices.Equal(got, histogram(1, 1, 1, 1)) {
		t.Fatalf("result %v", got)
	}
}

// Clients whose shares are wrong inside harm only themselves.
func TestBadShares(t *testing.T) {
	for _, v := range variants() {
		t.Run(v.String(), func(t *testing.T) {
			w := newWorld(t, v, nil, nil)
			q := w.unit(t, 1)
			md := func() dap.ReportMetadata { return w.report(t, 0, 0).Metadata }
			flip := func(b []byte) { b[len(b)/2] ^= 1 }
			bad := []dap.Report{
				w.seal(t, md(), 7, func(l, _ *dap.PlaintextInputShare) { flip(l.Payload) }),
				w.seal(t, md(), 7, func(_, h *dap.PlaintextInputShare) { flip(h.Payload) }),
				w.seal(t, md(), 7, func(l, _ *dap.PlaintextInputShare) { l.Payload = l.Payload[1:] }),
				w.seal(t, md(), 7, func(_, h *dap.PlaintextInputShare) { h.Payload = append(h.Payload, 0) }),
				w.seal(t, md(), 7, func(l, _ *dap.PlaintextInputShare) { l.PrivateExtensions = dap.Extensions{0, 99, 0, 0} }),
				w.seal(t, md(), 7, func(_, h *dap.PlaintextInputShare) { h.PrivateExtensions = dap.Extensions{1} }),
				w.report(t, 7, 0), w.report(t, 7, 0), w.report(t, 7, 0),
			}
			flip(bad[6].LeaderShare.Payload)
			flip(bad[7].HelperShare.Payload)
			bad[8].HelperShare.ConfigID += 50
			good := []dap.Report{w.report(t, 1, 0), w.report(t, 2, 0), w.report(t, 3, 0)}
			for i, r := range bad {
				if refused := w.upload(t, r, good[i%3]); len(refused) > 0 {
					t.Fatalf("refused: %v", refused)
				}
			}
			at := w.collect(t, q)
			w.clock.Advance(precision + 10*time.Minute)
			w.tick(t)
			if got := w.result(t, at, q); !slices.Equal(got, histogram(0, 1, 1, 1)) {
				t.Fatalf("result %v", got)
			}
			rejected := 0
			for _, n := range w.seen.rejected {
				rejected += n
			}
			if rejected != len(bad) {
				t.Errorf("%d reports were rejected, want %d: %v", rejected, len(bad), w.seen.rejected)
			}
		})
	}
}

// A full disk or too much work is answered with a time to try again.
func TestOverload(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, func(c *leader.Config) { c.MaxBacklog = 2000 })
	codes := map[int]int{}
	for range 8 {
		rec := w.post(t, w.report(t, 1, 0))
		codes[rec.Code]++
		if rec.Code == 503 && rec.Header().Get("Retry-After") == "" {
			t.Fatal("503 without Retry-After")
		}
	}
	if codes[200] == 0 || codes[503] == 0 || codes[200]+codes[503] != 8 {
		t.Fatalf("answers %v", codes)
	}
	w.clock.Advance(time.Minute)
	w.tick(t) // aggregated: there is room again
	if rec := w.post(t, w.report(t, 1, 0)); rec.Code != 200 {
		t.Fatalf("after the work was done: %d", rec.Code)
	}
}

// A task takes so many uploads at once, and refuses more as busy.
func TestBusy(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, func(c *leader.Config) { c.MaxRequests = 1 })
	body := w.encode(t, w.report(t, 1, 0))
	half, more := io.Pipe()
	r := httptest.NewRequest("POST", "/"+dap.ReportsPath(w.task.ID()), half)
	r.Header.Set("Content-Type", dap.TypeUploadRequest.MediaType())
	first := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.leader.Handler().ServeHTTP(first, r)
	}()
	if _, err := more.Write(body[:10]); err != nil { // it is being read
		t.Fatal(err)
	}
	if rec := w.post(t, w.report(t, 1, 0)); rec.Code != 429 || rec.Header().Get("Retry-After") == "" {
		t.Fatalf("answer %d, %v", rec.Code, rec.Header())
	}
	_, err := more.Write(body[10:])
	must(t, err)
	more.Close()
	<-done
	if first.Code != 200 {
		t.Fatalf("the first was answered %d", first.Code)
	}
	if rec := w.post(t, w.report(t, 1, 0)); rec.Code != 200 {
		t.Fatalf("the next was answered %d", rec.Code)
	}
}

func TestBrowsers(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	rec := w.do("OPTIONS", dap.ReportsPath(w.task.ID()), "", nil, auth.Token{})
	if rec.Code != 204 || rec.Header().Get("Access-Control-Allow-Origin") != "*" || rec.Header().Get("Access-Control-Allow-Methods") != "POST" {
		t.Errorf("preflight: %d, %v", rec.Code, rec.Header())
	}
	for _, r := range []*httptest.ResponseRecorder{w.post(t, w.report(t, 1, 0)), w.sendBody([]byte{1}), w.do("GET", dap.HpkeConfigPath, "", nil, auth.Token{})} {
		if r.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("answer %d is not for browsers", r.Code)
		}
	}
	rec = w.do("GET", dap.HpkeConfigPath, "", nil, auth.Token{})
	var list dap.HpkeConfigList
	must(t, dap.NewCodec(dap.DAP18()).Decode(&list, rec.Body.Bytes()))
	if len(list) == 0 || rec.Header().Get("Cache-Control") != "max-age=43200" {
		t.Errorf("%d configurations, %v", len(list), rec.Header())
	}
}

// Nothing that the leader stores or outputs holds an address or a header.
func TestStoresNothingOfTheClient(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	r := httptest.NewRequest("POST", "/"+dap.ReportsPath(w.task.ID()), bytes.NewReader(w.encode(t, w.report(t, 1, 0))))
	r.Header.Set("Content-Type", dap.TypeUploadRequest.MediaType())
	r.Header.Set("User-Agent", "marked-agent")
	r.Header.Set("X-Forwarded-For", "203.0.113.77")
	r.RemoteAddr = "203.0.113.78:999"
	rec := httptest.NewRecorder()
	w.leader.Handler().ServeHTTP(rec, r)
	if rec.Code != 200 {
		t.Fatalf("answer %d", rec.Code)
	}
	w.clock.Advance(time.Minute)
	w.tick(t)
	held := fmt.Sprintf("%+v", w.store)
	for _, body := range w.helper.bodies {
		held += string(body)
	}
	for _, mark := range []string{"marked-agent", "203.0.113.77", "203.0.113.78"} {
		if strings.Contains(held, mark) {
			t.Errorf("%q is stored or sent", mark)
		}
	}
}

// Any body of an upload or a collection is answered, and never blamed on
// ourselves.
func FuzzUpload(f *testing.F) {
	w := newWorld(f, dap.DAP18(), nil, nil)
	good := w.encode(f, w.report(f, 1, 0))
	f.Add(good)
	f.Add(append(good, good...))
	f.Add(good[:len(good)-3])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		rec := w.sendBody(body)
		if rec.Code >= 500 {
			t.Fatalf("answer %d: %s", rec.Code, rec.Body)
		}
		if rec.Code != 200 {
			problemOf(t, rec)
		}
	})
}

func FuzzCollection(f *testing.F) {
	w := newWorld(f, dap.DAP18(), nil, nil)
	for _, q := range []dap.Query{dap.NextBatchQuery(), w.unit(f, 1), {Mode: 9}} {
		body, err := w.task.Codec().Encode(&dap.CollectionJobReq{Query: q})
		must(f, err)
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		_, path := w.task.Variant().CreateCollectionJob(w.task.ID(), dap.CollectionJobID{})
		rec := w.do("POST", path, dap.TypeCollectionJobReq.MediaType(), body, w.token)
		if rec.Code >= 500 {
			t.Fatalf("answer %d: %s", rec.Code, rec.Body)
		}
		if rec.Code >= 400 {
			problemOf(t, rec)
		}
	})
}
