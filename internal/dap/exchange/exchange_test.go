package exchange_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/problem"
)

var start = time.Unix(1_700_000_000, 0)

// A jumpy clock is at any time that it is asked to wait for, and notes for how
// long it was.
type jumpy struct {
	*clock.Virtual
	waits []time.Duration
}

func (j *jumpy) Until(ctx context.Context, t time.Time) error {
	j.waits = append(j.waits, t.Sub(j.Now()))
	j.Virtual.Set(t)
	return ctx.Err()
}

func newJumpy() *jumpy { return &jumpy{Virtual: clock.NewVirtual(start)} }

// serve starts a server whose n-th answer, from 1, is that of handle.
func serve(t *testing.T, handle func(n int, w http.ResponseWriter, r *http.Request)) (string, *int) {
	t.Helper()
	n := new(int)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*n++
		handle(*n, w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, n
}

func client(j *jumpy) *exchange.Client {
	return &exchange.Client{Clock: j, Attempts: 4, First: time.Second, Most: 10 * time.Second, Jitter: func() float64 { return 0.5 }}
}

func shareRequest(url string) exchange.Request {
	return exchange.Request{Method: "POST", URL: url, Body: []byte("request"), Type: dap.TypeAggregateShareReq, Want: dap.TypeAggregateShare, Limit: 100}
}

func TestAnswer(t *testing.T) {
	token, err := auth.NewToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	url, n := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "request" || !auth.Allowed(r.Header, []auth.Hash{token.Hash()}) {
			t.Errorf("request %q, %v", body, r.Header)
		}
		if err := exchange.CheckType(r, dap.TypeAggregateShareReq); err != nil {
			t.Error(err)
		}
		if r.Header.Get("User-Agent") != "" {
			t.Error("the client names itself")
		}
		w.Header().Set("Location", "/there?step=0")
		exchange.Send(w, http.StatusCreated, dap.TypeAggregateShare, []byte("answer"))
	})
	r := shareRequest(url + "/tasks/x")
	r.Token = token
	got, err := client(newJumpy()).Do(t.Context(), r)
	if err != nil || string(got.Body) != "answer" || got.Location != url+"/there?step=0" || got.Status != 201 || *n != 1 {
		t.Errorf("answer %+v, %v after %d requests", got, err, *n)
	}
}

func TestDeferredAnswer(t *testing.T) {
	url, _ := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { exchange.Later(w, 200, 1500*time.Millisecond) })
	got, err := client(newJumpy()).Do(t.Context(), shareRequest(url))
	if err != nil || got.Body != nil || got.Retry != 2*time.Second {
		t.Errorf("answer %+v, %v", got, err)
	}
}

// What passes is tried again, with growing pauses or the server's; what does not
// pass is not.
func TestRetries(t *testing.T) {
	j := newJumpy()
	url, n := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		switch n {
		case 1:
			exchange.Refuse(w, nil, errors.New("a broken disk"))
		case 2:
			exchange.Refuse(w, nil, exchange.ErrBusy.After(7*time.Second))
		case 3:
			w.Header().Set("Retry-After", j.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			exchange.Send(w, 200, dap.TypeAggregateShare, []byte("at last"))
		}
	})
	got, err := client(j).Do(t.Context(), shareRequest(url))
	if err != nil || string(got.Body) != "at last" || *n != 4 {
		t.Fatalf("%v, %v after %d", got, err, *n)
	}
	if want := []time.Duration{750 * time.Millisecond, 7 * time.Second, 10 * time.Second}; len(j.waits) != 3 || j.waits[0] != want[0] || j.waits[1] != want[1] || j.waits[2] != want[2] {
		t.Errorf("pauses %v, want %v", j.waits, want)
	}
	c := client(newJumpy())
	c.Attempts = 2
	url, n = serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { exchange.Refuse(w, nil, exchange.ErrBusy) })
	if _, err := c.Do(t.Context(), shareRequest(url)); !errors.Is(err, exchange.ErrBusy) || *n != 2 {
		t.Errorf("%v after %d", err, *n)
	}
	url, n = serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		exchange.Refuse(w, &dap.TaskID{1}, &dap.Abort{Type: dap.ProblemBatchOverlap, Detail: "twice"})
	})
	_, err = client(newJumpy()).Do(t.Context(), shareRequest(url+"/secret?also=secret"))
	abort := dap.AbortOf(err)
	if *n != 1 || abort == nil || abort.Type != dap.ProblemBatchOverlap || abort.Detail != "twice" {
		t.Errorf("%v after %d", err, *n)
	}
	if strings.Contains(err.Error(), "also") {
		t.Errorf("the error tells the query: %v", err)
	}
}

// TestPassing: a client tries again on the statuses that are worth a retry, and on no
// others.
func TestPassing(t *testing.T) {
	for status := 400; status < 600; status++ {
		c := client(newJumpy())
		c.Attempts = 2
		url, n := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		_, err := c.Do(t.Context(), shareRequest(url))
		want := 1
		if problem.Temporary(status) {
			want = 2
		}
		if err == nil || *n != want {
			t.Errorf("HTTP %d: %v after %d attempts, want %d", status, err, *n, want)
		}
	}
	if dap.ProblemMediaType != problem.MediaType { // package dap does without net/http
		t.Errorf("problem documents have the media types %q and %q", dap.ProblemMediaType, problem.MediaType)
	}
}

func TestConnectionErrors(t *testing.T) {
	j := newJumpy()
	url, n := serve(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n < 3 {
			panic(http.ErrAbortHandler) // the connection ends
		}
		exchange.Send(w, 200, dap.TypeAggregateShare, []byte("x"))
	})
	// A transport repeats some requests by itself: count ours.
	if _, err := client(j).Do(t.Context(), shareRequest(url)); err != nil || *n < 3 {
		t.Errorf("%v after %d", err, *n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client(j).Do(ctx, shareRequest(url)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Threat: a server that sends what it should not.
func TestBadAnswers(t *testing.T) {
	tests := map[string]func(w http.ResponseWriter){
		"too long":      func(w http.ResponseWriter) { exchange.Send(w, 200, dap.TypeAggregateShare, make([]byte, 101)) },
		"another type":  func(w http.ResponseWriter) { exchange.Send(w, 200, dap.TypeCollectionJobResp, []byte("x")) },
		"no type":       func(w http.ResponseWriter) { _, _ = w.Write([]byte("x")) },
		"a redirect":    func(w http.ResponseWriter) { w.Header().Set("Location", "/x"); w.WriteHeader(307) },
		"another host":  func(w http.ResponseWriter) { w.Header().Set("Location", "http://evil.example/"); w.WriteHeader(200) },
		"another place": func(w http.ResponseWriter) { w.Header().Set("Location", "file:///x"); w.WriteHeader(200) },
		"no URL":        func(w http.ResponseWriter) { w.Header().Set("Location", "%zz"); w.WriteHeader(200) },
	}
	for name, answer := range tests {
		url, n := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { answer(w) })
		if _, err := client(newJumpy()).Do(t.Context(), shareRequest(url)); !errors.Is(err, exchange.ErrAnswer) || *n != 1 {
			t.Errorf("%s: %v after %d", name, err, *n)
		}
	}
	// A malformed problem document, or one that is not of the draft.
	for body, want := range map[string]string{
		"not json": "HTTP 400", `{"type":"https://example.com/odd","detail":"` + strings.Repeat(`long\n`, 100) + `"}`: "long long",
		`{"type":"urn:ietf:params:ppm:dap:error:invented"}`: "invented",
	} {
		url, _ := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
			w.WriteHeader(400)
			_, _ = io.WriteString(w, body)
		})
		_, err := client(newJumpy()).Do(t.Context(), shareRequest(url))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 400 {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestBody(t *testing.T) {
	read := func(body io.Reader, length int64) error {
		r := httptest.NewRequest("POST", "/", body)
		r.ContentLength = length
		_, err := exchange.ReadBody(httptest.NewRecorder(), r, 10)
		return err
	}
	if err := read(strings.NewReader("0123456789"), 10); err != nil {
		t.Error(err)
	}
	if err := read(strings.NewReader(""), 11); !errors.Is(err, exchange.ErrTooLarge) {
		t.Errorf("announced: %v", err)
	}
	p, ours := exchange.ProblemOf(read(strings.NewReader("0123456789a"), -1))
	if p.Status != 413 || ours {
		t.Errorf("not announced: %v", p)
	}
	if err := read(io.MultiReader(strings.NewReader("01"), brokenReader{}), -1); !errors.Is(err, exchange.ErrTruncated) {
		t.Errorf("cut: %v", err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestProblems(t *testing.T) {
	id := dap.TaskID{1}
	tests := []struct {
		err    error
		status int
		has    string
		ours   bool
	}{
		{&dap.Abort{Type: dap.ProblemUnrecognizedTask}, 404, `"type":"urn:ietf:params:ppm:dap:error:unrecognizedTask"`, false},
		{&dap.Abort{Type: dap.ProblemStepMismatch, Detail: "step 3"}, 400, `"detail":"step 3"`, false},
		{dap.NewCodec(dap.DAP18()).Decode(new(dap.AggregateShareReq), []byte{1}), 400, "error:invalidMessage", false},
		{exchange.ErrMutation, 409, `"type":"urn:shoal:problem:forbiddenMutation"`, false},
		{errors.New("password is 1234"), 500, "urn:shoal:problem:internal", true},
	}
	for _, tt := range tests {
		w := httptest.NewRecorder()
		ours := exchange.Refuse(w, &id, tt.err)
		body := w.Body.String()
		if w.Code != tt.status || ours != tt.ours || !strings.Contains(body, tt.has) || !strings.Contains(body, id.String()) || strings.Contains(body, "1234") {
			t.Errorf("%v: %d %s", tt.err, w.Code, body)
		}
		if w.Header().Get("Content-Type") != dap.ProblemMediaType || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%v: %v", tt.err, w.Header())
		}
	}
}

func TestCheckType(t *testing.T) {
	for header, ok := range map[string]bool{
		"application/ppm-dap;message=aggregate-share-req":               true,
		"application/ppm-dap; version=18 ; message=aggregate-share-req": true,
		"Application/PPM-DAP;message=\"aggregate-share-req\"":           true,
		"application/ppm-dap;message=aggregate-share":                   false,
		"application/json": false,
		"":                 false,
	} {
		r := httptest.NewRequest("POST", "/", bytes.NewReader(nil))
		r.Header.Set("Content-Type", header)
		if err := exchange.CheckType(r, dap.TypeAggregateShareReq); (err == nil) != ok {
			t.Errorf("%q: %v", header, err)
		}
	}
}

func TestPreflight(t *testing.T) {
	w := httptest.NewRecorder()
	exchange.Preflight(w, "GET")
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Header().Get("Access-Control-Allow-Methods") != "GET" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// FuzzClient: whatever a server answers, the client returns an answer of the
// wanted type within the limit, or an error of one line.
func FuzzClient(f *testing.F) {
	f.Add(200, "application/ppm-dap;message=aggregate-share", "/x", "3", []byte("body"))
	f.Add(400, "application/problem+json", "", "", []byte(`{"type":"urn:ietf:params:ppm:dap:error:batchOverlap","detail":"x"}`))
	f.Add(503, "", "::", "Wed, 21 Oct 2015 07:28:00 GMT", []byte{0xff})
	f.Add(202, "", "", "2147483647", []byte{})
	f.Add(503, "", "", "Fri, 31 Dec 9999 23:59:59 GMT", []byte{})
	f.Fuzz(func(t *testing.T, status int, mediaType, location, retry string, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		c := &exchange.Client{Attempts: 1, Clock: clock.NewVirtual(start), HTTP: &http.Client{Transport: answering(func(r *http.Request) *http.Response {
			return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(body)), Request: r, Header: http.Header{
				"Content-Type": {mediaType}, "Location": {location}, "Retry-After": {retry},
			}}
		})}}
		got, err := c.Do(t.Context(), exchange.Request{Method: "GET", URL: "http://a.example/", Want: dap.TypeAggregateShare, Limit: 50})
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Fatalf("error of several lines: %q", err)
			}
			return
		}
		if len(got.Body) > 50 || got.Location != "" && !strings.HasPrefix(got.Location, "http://a.example") || got.Retry < 0 || got.Retry > time.Hour {
			t.Fatalf("%+v", got)
		}
	})
}

type answering func(*http.Request) *http.Response

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) { return a(r), nil }

// A path that is there under another method is answered 405 with the methods, and
// any other path 404.
func TestUnrouted(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tasks/{task}/reports", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("OPTIONS /tasks/{task}/reports", func(http.ResponseWriter, *http.Request) {})
	exchange.Unrouted(mux)
	for _, c := range []struct {
		method, path string
		status       int
		allow, kind  string
	}{
		{"PUT", "/tasks/x/reports", 405, "OPTIONS, POST", "methodNotAllowed"},
		{"GET", "/tasks/x/reports", 405, "OPTIONS, POST", "methodNotAllowed"},
		{"PUT", "/tasks/x", 404, "", "notFound"},
		{"POST", "/", 404, "", "notFound"},
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.status || w.Header().Get("Allow") != c.allow || !strings.Contains(w.Body.String(), c.kind) {
			t.Errorf("%s %s: %d, Allow %q, %s; want %d, %q, %s", c.method, c.path, w.Code, w.Header().Get("Allow"), w.Body, c.status, c.allow, c.kind)
		}
	}
}
