package bhttp_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/ohttp/bhttp"
)

// TestRequestThroughHTTP sends a client's request to a handler by way of its
// encoding.
func TestRequestThroughHTTP(t *testing.T) {
	out, err := http.NewRequest(http.MethodPut, "https://a.example/p%20q/x?y=z&y=w", strings.NewReader("content"))
	if err != nil {
		t.Fatal(err)
	}
	out.Header.Set("Content-Type", "text/plain")
	out.Header["Accept"] = []string{"a", " b "}
	out.Header.Set("Date", "Mon, 27 Jul 2009 12:28:53 GMT")
	out.Header.Add("Cookie", "a=1")
	out.Header.Add("Cookie", "b=2")
	out.Trailer = http.Header{"Digest": {"d"}}
	m, err := bhttp.RequestFromHTTP(out, bhttp.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := m.Append(nil, bhttp.KnownLength)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(encoded, []byte("2009")) || bytes.Contains(encoded, []byte("date")) {
		t.Error("the encoding tells the client's clock")
	}
	m, err = bhttp.DecodeRequest(encoded, bhttp.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	in, err := m.HTTP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if in.Method != "PUT" || in.Host != "a.example" || in.URL.Path != "/p q/x" || in.URL.RawQuery != "y=z&y=w" || in.RemoteAddr != "" || in.ContentLength != 7 {
		t.Errorf("got %+v", in)
	}
	if !slices.Equal(in.Header["Accept"], []string{"a", "b"}) || in.Header.Get("Cookie") != "a=1; b=2" || in.Trailer.Get("Digest") != "d" || in.Header.Get("Host") != "" {
		t.Errorf("header %v, trailer %v", in.Header, in.Trailer)
	}
	if body, err := io.ReadAll(in.Body); err != nil || string(body) != "content" {
		t.Errorf("body %q, %v", body, err)
	}
}

func TestRequestOfExampleThroughHTTP(t *testing.T) {
	r, err := exampleRequest().HTTP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Host != "www.example.com" || r.Header.Get("Host") != "" || r.UserAgent() == "" || r.Body != http.NoBody {
		t.Errorf("got %+v", r)
	}
	m := exampleRequest()
	m.Header = nil
	if _, err := m.HTTP(t.Context()); !errors.Is(err, bhttp.ErrInvalid) {
		t.Errorf("a request without a host: %v", err)
	}
	m = exampleRequest()
	m.Path = "/%zz"
	if _, err := m.HTTP(t.Context()); !errors.Is(err, bhttp.ErrInvalid) {
		t.Errorf("a path that cannot be unescaped: %v", err)
	}
}

func TestRequestFromHTTPRefuses(t *testing.T) {
	limits := bhttp.DefaultLimits()
	limits.Size = 10
	limits.Fields = 2
	limits.FieldBytes = 60
	for name, change := range map[string]func(*http.Request){
		"expect":     func(r *http.Request) { r.Header.Set("Expect", "100-continue") },
		"upgrade":    func(r *http.Request) { r.Header.Set("Upgrade", "websocket") },
		"connection": func(r *http.Request) { r.Header.Set("Connection", "close") },
		"body":       func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("12345678901")) },
		"bad body":   func(r *http.Request) { r.Body = io.NopCloser(&failing{}) },
		"no host":    func(r *http.Request) { r.URL.Host = "" },
		"lines":      func(r *http.Request) { r.Header = http.Header{"A": {"1", "2", "3"}} },
		"bytes":      func(r *http.Request) { r.Header.Set("A", strings.Repeat("b", 60)) },
	} {
		r := httptest.NewRequest(http.MethodPost, "https://a.example/", nil)
		if _, err := bhttp.RequestFromHTTP(r, limits); err != nil {
			t.Fatalf("%s: without a change: %v", name, err)
		}
		r = httptest.NewRequest(http.MethodPost, "https://a.example/", nil)
		change(r)
		if _, err := bhttp.RequestFromHTTP(r, limits); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestResponseThroughHTTP(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("Connection", "close, X-Hop")
	w.Header().Set("X-Hop", "1")
	w.Header().Set("Keep-Alive", "1")
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Trailer", "Digest")
	w.WriteHeader(http.StatusCreated)
	if _, err := io.WriteString(w, "content"); err != nil {
		t.Fatal(err)
	}
	w.Header().Set("Digest", "d")
	m, err := bhttp.ResponseFromHTTP(w.Result(), bhttp.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := m.Append(nil, bhttp.IndeterminateLength)
	if err != nil {
		t.Fatal(err)
	}
	m, err = bhttp.DecodeResponse(encoded, bhttp.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.HTTP(nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != 201 || r.Status != "201 Created" || r.ContentLength != 7 || r.Trailer.Get("Digest") != "d" {
		t.Errorf("got %+v", r)
	}
	if len(r.Header) != 2 || r.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("header %v", r.Header)
	}
	if body, err := io.ReadAll(r.Body); err != nil || string(body) != "content" {
		t.Errorf("body %q, %v", body, err)
	}
}

// TestContentLengthWithoutContent: an answer to HEAD has the length of what is
// not there; any other answer that lacks its content is damaged.
func TestContentLengthWithoutContent(t *testing.T) {
	m := &bhttp.Response{Status: 200, Header: []bhttp.Field{{"content-length", "5"}}}
	if _, err := m.HTTP(&http.Request{Method: http.MethodHead}); err != nil {
		t.Errorf("HEAD: %v", err)
	}
	if _, err := m.HTTP(&http.Request{Method: http.MethodGet}); !errors.Is(err, bhttp.ErrInvalid) {
		t.Errorf("GET: %v", err)
	}
	m.Status = http.StatusNotModified
	if _, err := m.HTTP(&http.Request{Method: http.MethodGet}); err != nil {
		t.Errorf("304: %v", err)
	}
}
