//go:build duckdb && cgo

package duckdb

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/release"
)

// text runs a query and returns its result as CSV.
func text(t *testing.T, d *Database, query string) string {
	t.Helper()
	r, err := d.Query(t.Context(), query, 0)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	var b bytes.Buffer
	if err := r.Write(&b, release.CSV); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestQueries(t *testing.T) {
	d := newFixture(t).open(Limits{})
	for _, test := range []struct{ name, query, want string }{
		{
			"all epochs together", "SELECT epoch, program, count FROM api_use.counts",
			"epoch,program,count\n2026-11-20T00:00:00Z,vi,100\n2026-11-20T00:00:00Z,it's; DROP,30\n2026-11-21T00:00:00Z,vi,101\n2026-11-21T00:00:00Z,it's; DROP,30\n",
		},
		{
			"a sum stays an integer", "select program, sum(count) as n from api_use.counts group by all order by n desc;",
			"program,n\nvi,201\nit's; DROP,60\n",
		},
		{
			"join across questions", `SELECT c.program, sum(c.count) AS uses, any_value(w.count) AS words
			FROM api_use.counts c JOIN words_seen.counts w USING (program) GROUP BY c.program`,
			"program,uses,words\nvi,201,7\n",
		},
		{
			"batches", "SELECT epoch, reports, reports_low, reports_high, released, threshold FROM api_use.batches ORDER BY epoch",
			"epoch,reports,reports_low,reports_high,released,threshold\n2026-11-20T00:00:00Z,200,184,216,130,\"T = 20, it's noisy\"\n2026-11-21T00:00:00Z,200,184,216,130,\"T = 20, it's noisy\"\n",
		},
		{
			"lists and keywords", `FROM api_use.records SELECT langs, len(langs) AS n, "group" LIMIT 2`,
			"langs,n,group\n\"[\"\"en\"\",\"\"de\"\"]\",2,1\n[],0,2\n",
		},
		{
			"types", "SELECT 1.50 AS d, 0.1::FLOAT AS f, 170141183460469231731687303715884105727 AS h, DATE '2026-11-23' AS day, {'a': [1, NULL]} AS s, NULL AS x, 'nan'::DOUBLE AS q, true AS b, '\\xAA'::BLOB AS z, INTERVAL 1 DAY AS i",
			"d,f,h,day,s,x,q,b,z,i\n1.5,0.1,170141183460469231731687303715884105727,2026-11-23,\"{\"\"a\"\":[1,null]}\",,NaN,true,\\xaa,0 months 1 days 0s\n",
		},
		{"names made unique", "SELECT 1 AS a, 2 AS a", "a,a_2\n1,2\n"},
		{
			"a window", "SELECT epoch, count - lag(count) OVER (ORDER BY epoch) AS more FROM api_use.counts WHERE program = 'vi' ORDER BY epoch",
			"epoch,more\n2026-11-20T00:00:00Z,\n2026-11-21T00:00:00Z,1\n",
		},
		{
			"what is there", "SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL",
			"table_schema,table_name\napi_use,batches\napi_use,counts\napi_use,records\nwords_seen,batches\nwords_seen,counts\n",
		},
		{"no rows", "SELECT program FROM api_use.counts WHERE false", "program\n"},
		{"the time zone is fixed", "SELECT current_setting('TimeZone') AS z", "z\nUTC\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := text(t, d, test.query); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	d := newFixture(t).open(Limits{})
	for query, want := range map[string]string{
		"DESCRIBE api_use.counts":              "estimate,DOUBLE",
		"SHOW ALL TABLES":                      "words_seen",
		"SUMMARIZE words_seen.counts":          "estimate",
		"EXPLAIN SELECT * FROM api_use.counts": "SCAN",
		"PIVOT api_use.counts ON program IN ('vi') USING sum(count) GROUP BY epoch": "vi",
	} {
		if got := text(t, d, query); !strings.Contains(got, want) {
			t.Errorf("%s: %q is not in %s", query, want, got)
		}
	}
}

func TestWrongQueries(t *testing.T) {
	d := newFixture(t).open(Limits{})
	for query, want := range map[string]string{
		"SELEC 1":                             "LINE 1: SELEC 1\n        ^",
		"SELECT programm FROM api_use.counts": `"program"`,
		"SELECT * FROM api_use.count":         "shoal query --tables",
		"":                                    "empty",
		" -- nothing":                         "empty",
		"SELECT 1; SELECT 2":                  "one statement",
		"SELECT ?":                            "parameters",
		"SELECT $who":                         "parameters",
		"SELECT " + strings.Repeat("1+", 20000) + "1": "at most",
		"SELECT 'abc":          "unterminated",
		"SELECT error('mine')": "mine",
		"SELECT \x00":          "",
	} {
		_, err := d.Query(t.Context(), query, 0)
		if _, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: error %v, want %q", query, err, want)
		}
	}
}

func TestTruncation(t *testing.T) {
	f := newFixture(t)
	for _, test := range []struct {
		limits    Limits
		query     string
		most      int
		rows      int
		truncated bool
	}{
		{Limits{}, "FROM range(100)", 10, 10, true},
		{Limits{}, "FROM range(10)", 10, 10, false},
		{Limits{Rows: 5}, "FROM range(10)", 10, 5, true},
		{Limits{Bytes: 1 << 10}, "SELECT repeat('x', 100) FROM range(100)", 0, 9, true},
		{Limits{Bytes: 1 << 10}, "SELECT repeat('x', 10000000)", 0, 0, true},
	} {
		r, err := f.open(test.limits).Query(t.Context(), test.query, test.most)
		if err != nil {
			t.Fatalf("%s: %v", test.query, err)
		}
		if len(r.Rows) != test.rows || r.Truncated != test.truncated {
			t.Errorf("%s: %d rows, truncated %t; want %d, %t", test.query, len(r.Rows), r.Truncated, test.rows, test.truncated)
		}
	}
}

func TestCancel(t *testing.T) {
	d := newFixture(t).open(Limits{})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := d.Query(ctx, "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range % 7 = 3", 0); err == nil {
		t.Error("a query without an end was answered")
	}
}
