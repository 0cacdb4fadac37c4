package duckdb

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/metric/task"
)

func refs(tables []Table) []string {
	var all []string
	for _, t := range tables {
		all = append(all, t.Ref())
	}
	return all
}

func TestCatalogue(t *testing.T) {
	f := newFixture(t)
	f.release("words_seen", 0, map[string]data{analyzer.CountsTable: {countsOf("word"), nil}}) // collides with words.seen
	f.release("main", 0, map[string]data{analyzer.CountsTable: {countsOf("word"), nil}})       // is DuckDB's own
	f.release("order", 0, nil)                                                                 // is a keyword
	want := []string{
		"api_use.counts", "api_use.records", "api_use.batches", "main_2.counts", "main_2.batches", `"order".batches`,
		"words_seen.counts", "words_seen.batches", "words_seen_2.counts", "words_seen_2.batches",
	}
	if got := refs(f.tables()); !slices.Equal(got, want) {
		t.Errorf("tables %v, want %v", got, want)
	}
	if counts := f.tables()[0]; counts.Rows != 4 || counts.Columns[1].Name != "program" {
		t.Errorf("api_use.counts has %d rows and columns %v", counts.Rows, counts.Columns)
	}
}

// TestTasksThatDiffer: a new task of a metric may have other fields. Columns
// meet by name; where the types differ the column is text.
func TestTasksThatDiffer(t *testing.T) {
	f := newFixture(t)
	columns := []analyzer.Column{epochColumn, {Name: "program", Type: analyzer.Integer}, {Name: "extra", Type: analyzer.Boolean}}
	f.release("api_use", 5, map[string]data{analyzer.CountsTable: {columns, []analyzer.Row{{epochStart(task.Epoch(5)), int64(7), true}}}})
	got := f.tables()[0].Columns
	if len(got) != 8 || got[1].Type != analyzer.Text || got[5].Name != "extra" || got[6].Name != "task" || got[7].Name != "version" {
		t.Errorf("columns %v", got)
	}
	if !Built {
		return
	}
	r, err := f.open(Limits{}).Query(t.Context(), "SELECT program, extra, version FROM api_use.counts ORDER BY epoch DESC LIMIT 1", 0)
	if err != nil || r.Rows[0][0] != "7" || r.Rows[0][1] != true {
		t.Errorf("rows %v, error %v", r, err)
	}
	r, err = f.open(Limits{}).Query(t.Context(), "SELECT version, count(*) AS n, count(DISTINCT task) AS tasks, count(extra) AS extra FROM api_use.counts JOIN api_use.batches USING (task, version, epoch) GROUP BY version ORDER BY version", 0)
	if err != nil || fmt.Sprint(r.Rows) != "[[1 2 1 0] [2 2 1 0] [3 1 1 1]]" {
		t.Errorf("rows by version %v, error %v", r, err)
	}
}

func TestMentioned(t *testing.T) {
	all := newFixture(t).tables()
	for text, want := range map[string][]string{
		"select * from api_use.counts":                         {"api_use.counts"},
		"SELECT * FROM API_USE.COUNTS":                         {"api_use.counts"},
		"select * from api_use.counts join words_seen.batches": {"api_use.counts", "api_use.batches", "words_seen.counts", "words_seen.batches"},
		"describe api_use":                                     {"api_use.counts", "api_use.records", "api_use.batches"},
		"show all tables":                                      refs(all),
		"from query('api' || '_use.counts')":                   refs(all),
	} {
		if got := refs(mentioned(all, text)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestQuoting(t *testing.T) {
	for in, want := range map[string]string{"program": "program", "2fa": `"2fa"`, "group": `"group"`, `a"b`: `"a""b"`, "": `""`, "Upper": `"Upper"`} {
		if got := identifier(in); got != want {
			t.Errorf("identifier(%q) = %s, want %s", in, got, want)
		}
	}
	if got := literal("it's"); got != "'it''s'" {
		t.Errorf("literal: %s", got)
	}
	if got := escapeGlob("/a[b]*?"); got != "/a[[]b][*][?]" {
		t.Errorf("glob: %s", got)
	}
}

// TestDamagedFile: a file that is not what was released is left out of the tables, by
// name; a table without files is empty, not unknown.
func TestDamagedFile(t *testing.T) {
	f := newFixture(t)
	d := f.open(Limits{})
	names, err := filepath.Glob(filepath.Join(f.dir, "tables", "*-1", "counts.parquet"))
	f.must(err)
	if len(names) != 2 {
		t.Fatalf("files %v", names)
	}
	for _, name := range names {
		f.must(os.Truncate(name, 20))
	}
	tables := f.tables()
	damaged := d.leaveOut(tables)
	if len(damaged) != 2 || damaged[0].Epoch != 1 || damaged[0].Table != "counts" {
		t.Errorf("damaged: %v", damaged)
	}
	load, err := d.plan(tables)
	f.must(err)
	text := strings.Join(load.Load, "\n")
	for _, name := range names {
		if strings.Contains(text, name) {
			t.Errorf("%s is read", name)
		}
	}
	if !strings.Contains(text, `CREATE TABLE words_seen.counts (epoch TIMESTAMP`) {
		t.Errorf("the table without files is not there:\n%s", text)
	}
	if !Built {
		return
	}
	r, err := d.Query(t.Context(), `SELECT count(DISTINCT epoch) FROM api_use.counts`, 0)
	f.must(err)
	if r.Rows[0][0] != int64(1) || len(r.Damaged) != 1 {
		t.Errorf("epochs %v, left out %v", r.Rows, r.Damaged)
	}
}
