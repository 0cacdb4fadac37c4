package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/store/duckdb"
)

// A Querier answers SQL over released tables; [duckdb.Database] is one. What it
// is asked is hostile by assumption, so it must be safe by itself.
type Querier interface {
	// Ready returns why no query can be answered, in words for the page.
	Ready() error
	Tables(ctx context.Context) ([]duckdb.Table, error)
	Query(ctx context.Context, text string, rows int) (*duckdb.Result, error)
}

// The limits of the query page.
const (
	shownRows  = 200     // in the page; downloads hold all that the Querier lets out
	longestURL = 8 << 10 // of a query's text, in bytes: it travels in the address
)

// queryPolicy is securityPolicy with a form that leads back here.
var queryPolicy = strings.Replace(securityPolicy, "form-action 'none'", "form-action 'self'", 1)

// A queryPage is what query.html shows.
type queryPage struct {
	Text    string
	Missing string // why no query can be answered here
	Foreign bool   // the query came from elsewhere and was not run
	Wrong   string // what is wrong with the query
	Result  *duckdb.Result
	Schemas []schema
}

// A schema is the tables of one metric.
type schema struct {
	Metric string
	Tables []queryTable
}

type queryTable struct {
	duckdb.Table
	Example string
}

// query shows the form, and the answer to what was asked in it.
func (c *console) query(w http.ResponseWriter, r *http.Request) {
	p := queryPage{Text: strings.TrimSpace(r.URL.Query().Get("sql"))}
	tables, err := c.o.Query.Tables(r.Context())
	if err != nil {
		c.sourceFailed(w, r, err)
		return
	}
	p.Schemas = schemas(tables)
	status := http.StatusOK
	missing := c.o.Query.Ready()
	switch {
	case missing != nil:
		p.Missing = missing.Error()
	case p.Text == "":
	case foreign(r):
		p.Foreign = true
	default:
		p.Result, err = c.run(r, p.Text, shownRows)
		if err != nil {
			status, p.Wrong = c.wrong(r, err)
		}
	}
	w.Header().Set("Content-Security-Policy", queryPolicy)
	c.render(w, status, "query", "SQL", p)
}

// foreign reports whether another site made the browser ask: it could not read
// the answer, but it could keep this machine busy. Browsers state where a request
// comes from; other programs do not.
func foreign(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site != "" && site != "same-origin" && site != "none"
}

func (c *console) run(r *http.Request, text string, rows int) (*duckdb.Result, error) {
	if len(text) > longestURL {
		return nil, &duckdb.Error{Text: fmt.Sprintf("the query has %d bytes; here at most %d are read, \"shoal query -\" takes more", len(text), longestURL)}
	}
	return c.o.Query.Query(r.Context(), text, rows)
}

// wrong returns the status and the text for the author of a query.
func (c *console) wrong(r *http.Request, err error) (int, string) {
	if e, ok := errors.AsType[*duckdb.Error](err); ok {
		return http.StatusUnprocessableEntity, e.Text
	}
	if r.Context().Err() == nil {
		c.o.Failed(fmt.Errorf("querying: %w", err))
	}
	return http.StatusServiceUnavailable, "The query could not be run. It may need more memory than it may have; the server's log says more."
}

// queryFile answers with the whole result as a file, or not at all.
func (c *console) queryFile(w http.ResponseWriter, r *http.Request) {
	format := Format(strings.TrimPrefix(r.PathValue("file"), "result."))
	media, known := mediaTypes[format]
	text := strings.TrimSpace(r.URL.Query().Get("sql"))
	if !known || r.PathValue("file") != "result."+string(format) || text == "" {
		c.missing(w, r)
		return
	}
	if foreign(r) {
		c.fail(w, http.StatusForbidden, "This query came from elsewhere", "Open the SQL page, read the query, and run it there.")
		return
	}
	result, err := c.run(r, text, 0)
	if err != nil {
		status, wrong := c.wrong(r, err)
		c.fail(w, status, "The query was not answered", wrong)
		return
	}
	if result.Truncated {
		c.fail(w, http.StatusUnprocessableEntity, "The result is too large for a download here",
			"\"shoal query\" on the command line writes larger ones; or choose with WHERE, LIMIT or GROUP BY.")
		return
	}
	out := &download{w: w, media: media, name: "shoal-query." + string(format)}
	if err := result.Write(out, duckdb.Format(format)); err != nil {
		c.o.Failed(fmt.Errorf("writing a query's result: %w", err))
		panic(http.ErrAbortHandler) // a cut connection, rather than a file that looks whole
	}
}

// schemas groups tables and gives each an example.
func schemas(tables []duckdb.Table) []schema {
	var all []schema
	for _, t := range tables {
		if len(all) == 0 || all[len(all)-1].Metric != t.Metric {
			all = append(all, schema{Metric: t.Metric})
		}
		last := &all[len(all)-1]
		last.Tables = append(last.Tables, queryTable{t, example(t)})
	}
	return all
}

// example is a query that shows what a table is good for.
func example(t duckdb.Table) string {
	has := func(name string) bool {
		return slices.ContainsFunc(t.Columns, func(c analyzer.Column) bool { return c.Name == name && c.Field == "" })
	}
	switch {
	case t.Name == analyzer.CountsTable && has("count"):
		return "SELECT * FROM " + t.Ref() + "\nORDER BY count DESC\nLIMIT 20"
	case t.Name == analyzer.ValuesTable && has("field") && has("value") && has("estimate"):
		return "SELECT field, value, sum(reports) AS reports, round(sum(estimate), 1) AS estimate,\n" +
			"  round(1.96 * sqrt(sum(stddev * stddev)), 1) AS error_95\nFROM " + t.Ref() + "\nGROUP BY field, value\nORDER BY estimate DESC"
	case t.Name == duckdb.BatchesTable && has("released") && has("reports_low"):
		return "SELECT epoch, reports, reports_low, reports_high, released,\n  round(100.0 * released / reports, 1) AS percent_released\nFROM " +
			t.Ref() + "\nORDER BY epoch DESC"
	}
	if t.Name == duckdb.BatchesTable && has("noise_stddev") {
		return "SELECT epoch, reports, noise, noise_stddev\nFROM " + t.Ref() + "\nORDER BY epoch DESC"
	}
	return "SUMMARIZE " + t.Ref()
}

// Link leads to the page with a query.
func (queryPage) Link(text string) string { return "/query?sql=" + url.QueryEscape(text) }

// File leads to a download of the result.
func (p queryPage) File(format string) string {
	return "/query/result." + format + "?sql=" + url.QueryEscape(p.Text)
}

// Cell writes a value for the page.
func (queryPage) Cell(v any) string { return duckdb.Show(v, 300) }

// Null reports whether a value is absent.
func (queryPage) Null(v any) bool { return v == nil }

// Plan is what EXPLAIN has drawn, or empty.
func (p queryPage) Plan() string {
	if p.Result == nil {
		return ""
	}
	plan, _ := p.Result.Plan()
	return plan
}

// Lines is how tall the form is.
func (p queryPage) Lines() int { return min(max(5, strings.Count(p.Text, "\n")+2), 20) }
