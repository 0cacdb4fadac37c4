package duckdb

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/shoal-project/shoal/internal/release"
)

func sample() *Result {
	at := time.Date(2026, 11, 23, 7, 30, 0, 0, time.UTC)
	return &Result{
		Columns: []Column{
			{"program", Varchar}, {"count", Integer}, {"estimate", Real}, {"shell", Boolean}, {"epoch", Timestamp}, {"langs", Nested},
		},
		Rows: [][]any{
			{"vi", int64(1200), 1212.25, true, at, json.RawMessage(`["en"]`)},
			{"a \"quoted\", name\x1b[2J\u202e", int64(-3), 12345678.9, false, at.Truncate(24 * time.Hour), json.RawMessage(`{"a":1}`)},
			{nil, nil, nil, nil, nil, nil},
		},
	}
}

func TestWriteForms(t *testing.T) {
	for format, want := range map[Format]string{
		release.CSV: "program,count,estimate,shell,epoch,langs\n" +
			"vi,1200,1212.25,true,2026-11-23T07:30:00Z,\"[\"\"en\"\"]\"\n" +
			"\"a \"\"quoted\"\", name\\x1b[2J\\u202e\",-3,1.23456789e+07,false,2026-11-23T00:00:00Z,\"{\"\"a\"\":1}\"\n" +
			",,,,,\n",
		release.JSON: `[
{"program":"vi","count":1200,"estimate":1212.25,"shell":true,"epoch":"2026-11-23T07:30:00Z","langs":["en"]},
{"program":"a \"quoted\", name\u001b[2J\u202e","count":-3,"estimate":12345678.9,"shell":false,"epoch":"2026-11-23T00:00:00Z","langs":{"a":1}},
{"program":null,"count":null,"estimate":null,"shell":null,"epoch":null,"langs":null}
]
`,
	} {
		var b strings.Builder
		if err := sample().Write(&b, format); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", format, got, want)
		}
	}
	empty := &Result{Columns: []Column{{"a", Integer}}}
	for format, want := range map[Format]string{Text: "a\n-\n", release.CSV: "a\n", release.JSON: "[\n]\n"} {
		var b strings.Builder
		if err := empty.Write(&b, format); err != nil || b.String() != want {
			t.Errorf("%s: %q, %v; want %q", format, b.String(), err, want)
		}
	}
	if err := empty.Write(&strings.Builder{}, "xml"); err == nil {
		t.Error("an unknown format was written")
	}
}

// TestTextIsHarmless: values come from clients and must not drive a terminal.
func TestTextIsHarmless(t *testing.T) {
	var b strings.Builder
	if err := sample().Write(&b, Text); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\u202e") || !strings.Contains(b.String(), `\x1b[2J\u202e`) {
		t.Errorf("control characters are not escaped:\n%s", b.String())
	}
}

func TestPlan(t *testing.T) {
	r := &Result{Columns: []Column{{"explain_key", Varchar}, {"explain_value", Varchar}}, Rows: [][]any{{"physical_plan", "┌──┐\n│\x1b│\n"}}}
	var b strings.Builder
	if err := r.Write(&b, Text); err != nil || b.String() != "┌──┐\n│\\x1b│\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestParquet(t *testing.T) {
	var b bytes.Buffer
	if err := sample().Write(&b, release.Parquet); err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, field := range f.Schema().Fields() {
		names = append(names, field.Name())
	}
	if got := strings.Join(names, " "); got != "program count estimate shell epoch langs" {
		t.Errorf("columns %s", got)
	}
	rows := make([]parquet.Row, 3)
	if n, _ := f.RowGroups()[0].Rows().ReadRows(rows); n != 3 {
		t.Fatalf("%d rows, want 3", n)
	}
	if got := rows[0][1].Int64(); got != 1200 {
		t.Errorf("count %d, want 1200", got)
	}
	if !rows[2][0].IsNull() {
		t.Error("NULL was written as a value")
	}
}

func TestShow(t *testing.T) {
	for want, v := range map[string]any{
		"0.1428571": 1.0 / 7, "123456789": 123456789.4, "1e+20": 1e20, "NaN": math.NaN(), "": nil, "abc…": "abcdef", `a\nb`: "a\nb",
		"2026-11-23": time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC),
	} {
		most := 20
		if want == "abc…" {
			most = 4
		}
		if got := Show(v, most); got != want {
			t.Errorf("Show(%v) = %q, want %q", v, got, want)
		}
	}
}

// TestReals writes numbers that JSON does not have, and times between seconds.
func TestReals(t *testing.T) {
	r := &Result{
		Columns: []Column{{"x", Real}, {"at", Timestamp}},
		Rows:    [][]any{{math.NaN(), time.UnixMicro(1_500_001).UTC()}, {math.Inf(-1), nil}},
	}
	for format, want := range map[Format]string{
		release.CSV:  "x,at\nNaN,1970-01-01T00:00:01.500001Z\n-Inf,\n",
		release.JSON: "[\n{\"x\":\"NaN\",\"at\":\"1970-01-01T00:00:01.500001Z\"},\n{\"x\":\"-Inf\",\"at\":null}\n]\n",
	} {
		var b strings.Builder
		if err := r.Write(&b, format); err != nil || b.String() != want {
			t.Errorf("%s: %q, %v, want %q", format, b.String(), err, want)
		}
	}
	var b bytes.Buffer
	if err := r.Write(&b, release.Parquet); err != nil {
		t.Fatal(err)
	}
	columns := []release.Column{{Name: "x", Type: release.Real}, {Name: "at", Type: release.Instant}}
	for row, err := range release.Read(bytes.NewReader(b.Bytes()), int64(b.Len()), columns) {
		if err != nil || !math.IsNaN(row[0].(float64)) || row[1] != int64(1_500_001) {
			t.Errorf("%v, %v", row, err)
		}
		break
	}
}
