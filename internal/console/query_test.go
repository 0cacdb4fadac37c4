package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/console"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/store/duckdb"
)

// A querier answers from memory and remembers what it was asked.
type querier struct {
	notReady error
	result   *duckdb.Result
	err      error
	asked    *[]string
}

func (q querier) Ready() error { return q.notReady }

func (q querier) Tables(context.Context) ([]duckdb.Table, error) {
	columns := []analyzer.Column{{Name: "program", Field: "program"}, {Name: hostile, Field: "x"}, {Name: "count"}}
	return []duckdb.Table{
		{Metric: "api.use", Schema: "api_use", Name: "counts", Columns: columns, Rows: 87},
		{Metric: "api.use", Schema: "api_use", Name: "batches", Rows: 2},
		{Metric: hostile, Schema: hostile, Name: "records", Rows: 1},
	}, nil
}

func (q querier) Query(_ context.Context, text string, rows int) (*duckdb.Result, error) {
	*q.asked = append(*q.asked, text)
	return q.result, q.err
}

func queryHandler(t *testing.T, q querier) (http.Handler, *[]string) {
	t.Helper()
	q.asked = new([]string)
	h, err := console.New(fullFixture(), console.Options{Clock: clock.NewVirtual(now), Query: q})
	if err != nil {
		t.Fatal(err)
	}
	return h, q.asked
}

func queryResult() *duckdb.Result {
	return &duckdb.Result{
		Columns: []duckdb.Column{{Name: hostile, Type: duckdb.Varchar}, {Name: "n", Type: duckdb.Integer}, {Name: "epoch", Type: duckdb.Timestamp}, {Name: "list", Type: duckdb.Nested}},
		Rows:    [][]any{{hostile, int64(4711), now, json.RawMessage(`["x"]`)}, {nil, nil, nil, nil}},
	}
}

func asking(text string) string { return "?sql=" + url.QueryEscape(text) }

// TestQueryPages checks what must hold of the query page in all its states: the
// only form is the one that leads back, and hostile text stays text.
func TestQueryPages(t *testing.T) {
	for name, q := range map[string]querier{
		"answered": {result: queryResult()},
		"empty":    {result: &duckdb.Result{Columns: []duckdb.Column{{Name: "a"}}}},
		"wrong":    {err: &duckdb.Error{Text: "Parser Error: " + hostile}},
		"missing":  {notReady: errors.New("install " + hostile)},
		"failed":   {err: errors.New("disk " + hostile)},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := queryHandler(t, q)
			for _, path := range []string{"/query", "/query" + asking("SELECT '"+hostile+"'"), "/query" + asking("</textarea>"+hostile)} {
				r := get(t, h, path)
				text := body(t, r)
				policy := r.Header.Get("Content-Security-Policy")
				if !strings.Contains(policy, "form-action 'self'") {
					t.Errorf("policy %q lets no query be asked", policy)
				}
				checkHeaders(t, r)
				const form = `<form class="card query" action="/query" method="get">`
				if strings.Count(text, "<form") != strings.Count(text, form) {
					t.Error("there is another form")
				}
				text = strings.NewReplacer(form, "<div>", "</form>", "</div>").Replace(text)
				checkTree(t, text)
				if strings.Contains(text, "<script") || strings.Contains(text, "<img") {
					t.Error("hostile text became markup")
				}
			}
		})
	}
}

func TestQueryAnswers(t *testing.T) {
	for _, test := range []struct {
		q      querier
		status int
		want   []string
	}{
		{querier{result: queryResult()}, 200, []string{"2 rows", "4711", "2026-11-23 09:30:00", "NULL", `/query/result.csv?sql=SELECT&#43;1`, "api_use.counts"}},
		{querier{result: &duckdb.Result{Truncated: true}}, 200, []string{"The first 0 rows"}},
		{querier{err: &duckdb.Error{Text: "LINE 1: SELEC"}}, 422, []string{"LINE 1: SELEC", `role="alert"`, "SELECT 1</textarea>"}},
		{querier{err: errors.New("disk")}, 503, []string{"could not be run"}},
	} {
		h, asked := queryHandler(t, test.q)
		r := get(t, h, "/query"+asking("SELECT 1"))
		text := body(t, r)
		if r.StatusCode != test.status || len(*asked) != 1 || (*asked)[0] != "SELECT 1" {
			t.Errorf("status %d, want %d; asked %q", r.StatusCode, test.status, *asked)
		}
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("the page does not say %q:\n%s", want, text)
			}
		}
	}
}

// TestQueryFromElsewhere: another site must not make this machine work by
// sending a browser here; it could not read the answer, but it could ask for a
// costly one.
func TestQueryFromElsewhere(t *testing.T) {
	for site, runs := range map[string]bool{"": true, "same-origin": true, "none": true, "same-site": false, "cross-site": false, "new": false} {
		for _, path := range []string{"/query", "/query/result.csv"} {
			h, asked := queryHandler(t, querier{result: queryResult()})
			r := httptest.NewRequest(http.MethodGet, path+asking("SELECT 1"), nil)
			r.Host = "localhost"
			if site != "" {
				r.Header.Set("Sec-Fetch-Site", site)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if (len(*asked) == 1) != runs {
				t.Errorf("%s from %q: ran %t, want %t", path, site, len(*asked) == 1, runs)
			}
			if !runs && path == "/query" && !strings.Contains(w.Body.String(), "press Run") {
				t.Errorf("%s from %q does not say why it was not run", path, site)
			}
		}
	}
}

func TestQueryTooLong(t *testing.T) {
	h, asked := queryHandler(t, querier{result: queryResult()})
	if r := get(t, h, "/query"+asking("SELECT '"+strings.Repeat("x", 9000)+"'")); r.StatusCode != 422 || len(*asked) > 0 {
		t.Errorf("status %d, asked %d times; want it refused", r.StatusCode, len(*asked))
	}
}

func TestQueryDownloads(t *testing.T) {
	h, _ := queryHandler(t, querier{result: queryResult()})
	for file, media := range map[string]string{
		"result.csv": "text/csv; charset=utf-8", "result.json": "application/json", "result.parquet": "application/vnd.apache.parquet",
	} {
		r := get(t, h, "/query/"+file+asking("SELECT 1"))
		if r.StatusCode != 200 || r.Header.Get("Content-Type") != media || r.Header.Get("Content-Disposition") != `attachment; filename="shoal-query.`+file[7:]+`"` {
			t.Errorf("%s: status %d, headers %v", file, r.StatusCode, r.Header)
		}
	}
	for _, path := range []string{"/query/result.exe" + asking("SELECT 1"), "/query/result.csv", "/query/csv" + asking("SELECT 1")} {
		if r := get(t, h, path); r.StatusCode != 404 {
			t.Errorf("%s: status %d, want 404", path, r.StatusCode)
		}
	}
	cut := queryResult()
	cut.Truncated = true
	h, _ = queryHandler(t, querier{result: cut})
	if r := get(t, h, "/query/result.csv"+asking("SELECT 1")); r.StatusCode != 422 || !strings.Contains(body(t, r), "too large") {
		t.Errorf("status %d for a result that is cut: a file must be whole", r.StatusCode)
	}
}

func TestNoQueryPage(t *testing.T) {
	h := handler(t, fullFixture())
	if r := get(t, h, "/query"); r.StatusCode != 404 {
		t.Errorf("status %d, want 404", r.StatusCode)
	}
	if strings.Contains(body(t, get(t, h, "/")), "/query") {
		t.Error("the list leads to a page that is not there")
	}
	with, _ := queryHandler(t, querier{})
	if !strings.Contains(body(t, get(t, with, "/")), `href="/query"`) {
		t.Error("the list does not lead to the query page")
	}
	lacking, asked := queryHandler(t, querier{notReady: errors.New("install a toolchain")})
	text := body(t, get(t, lacking, "/query"+asking("SELECT 1")))
	if !strings.Contains(text, "install a toolchain") || !strings.Contains(text, "api_use.counts") || len(*asked) > 0 {
		t.Errorf("the page does not say what to install:\n%s", text)
	}
}
