package problem_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/shoal-project/shoal/internal/problem"
)

// TestRead: what one side writes is what the other one reads.
func TestRead(t *testing.T) {
	p := problem.Problem{Status: 429, Type: problem.Shoal("busy"), Title: "Later.", Retry: 7 * time.Second}.Because("<none> left")
	p.Task, p.Unsupported = "task", []uint16{3, 0xffff}
	for _, size := range []int{0, 1000} {
		w := httptest.NewRecorder()
		p.Write(w, size)
		if got := problem.Read(w.Result(), time.Now()); !reflect.DeepEqual(got, p) {
			t.Errorf("%+v, want %+v", got, p)
		}
	}
	if name, ok := p.Name(); name != "busy" || !ok {
		t.Errorf("name %q, %v", name, ok)
	}
	for _, kind := range []string{"", "about:blank", "urn:shoal:problem:", "urn:ietf:params:ppm:dap:error:batchOverlap"} {
		if name, ok := (problem.Problem{Type: kind}).Name(); ok {
			t.Errorf("%q has the name %q", kind, name)
		}
	}
}

// TestReadOthers: answers that are not problem documents leave status and Retry-After.
func TestReadOthers(t *testing.T) {
	document := `{"type":"urn:shoal:problem:busy"}`
	for name, test := range map[string]struct {
		kind string
		body io.Reader
		want string
	}{
		"a page":        {"text/html", strings.NewReader("<h1>welcome</h1>"), ""},
		"plain JSON":    {"application/json", strings.NewReader(document), ""},
		"no media type": {"", strings.NewReader(document), ""},
		"no JSON":       {problem.MediaType, strings.NewReader("no"), ""},
		"no object":     {problem.MediaType, strings.NewReader("[]"), ""},
		"more after it": {problem.MediaType, strings.NewReader(document + "x"), ""},
		"no end":        {problem.MediaType, io.MultiReader(strings.NewReader(`{"type":"urn:shoal:problem:busy","x":"`), endless{}), ""},
		"broken off":    {problem.MediaType, io.MultiReader(strings.NewReader(document), iotest.ErrReader(errors.New("reset"))), ""},
		"no URI":        {problem.MediaType, strings.NewReader(`{"type":"urn:shoal:problem:a\nb"}`), ""},
		"a long URI":    {problem.MediaType, strings.NewReader(`{"type":"urn:` + strings.Repeat("x", 300) + `"}`), ""},
		"parameters":    {"Application/Problem+JSON ; charset=utf-8", strings.NewReader(document), "urn:shoal:problem:busy"},
	} {
		got := problem.Read(&http.Response{
			StatusCode: 503, Header: http.Header{"Content-Type": {test.kind}, "Retry-After": {"9"}}, Body: io.NopCloser(test.body),
		}, time.Now())
		if got.Type != test.want || got.Status != 503 || got.Retry != 9*time.Second {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// FuzzParse: members of a peer's document are short, of one line and valid UTF-8.
func FuzzParse(f *testing.F) {
	f.Add(problem.MediaType, []byte(`{"type":"urn:ietf:params:ppm:dap:error:batchOverlap","title":"x","status":400,"detail":"a\nb","taskid":"t","unsupported_extensions":[1]}`))
	f.Add("application/problem+json; charset=utf-8", []byte(`{"detail":"`+strings.Repeat("é", 300)+`"}`))
	f.Add(problem.MediaType, []byte(`{"type":"urn:\u0000","title":"\ud800"}`))
	f.Add("text/html", []byte("<p>"))
	f.Fuzz(func(t *testing.T, mediaType string, body []byte) {
		p, ok := problem.Parse(mediaType, body)
		if !ok && !reflect.DeepEqual(p, problem.Problem{}) {
			t.Fatalf("%+v of no document", p)
		}
		for _, s := range []string{p.Type, p.Title, p.Detail, p.Task} {
			if len(s) > 300 || strings.ToValidUTF8(s, "") != s || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Fatalf("%q", s)
			}
		}
	})
}
