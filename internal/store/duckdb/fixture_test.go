package duckdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/analyzer/storetest"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// asWorker makes this test program the worker of its own queries.
const asWorker = "--worker"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asWorker {
		if err := Work(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == asTraitor {
		misbehave(os.Args[2])
	}
	os.Exit(m.Run())
}

// asTraitor makes this test program a worker that something has taken over, or
// that has died.
const asTraitor = "--traitor"

func misbehave(how string) {
	const opening = `{"columns":[{"name":"a","type":"integer"}]}` + "\n"
	switch how {
	case "dies":
		fmt.Fprint(os.Stdout, opening+"[1]\n")
		fmt.Fprintln(os.Stderr, "fatal error: out of memory")
		os.Exit(2)
	case "floods":
		fmt.Fprint(os.Stdout, opening)
		for {
			if _, err := fmt.Fprintln(os.Stdout, "[1,2,3", strings.Repeat(",1", 1000), "]"); err != nil {
				os.Exit(1)
			}
		}
	case "is silent":
		time.Sleep(time.Hour)
	default: // prints how
		fmt.Fprint(os.Stdout, opening+how+"\n")
	}
	os.Exit(0)
}

var day = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

func epochStart(e task.Epoch) int64 { return day.AddDate(0, 0, int(e)).UnixMilli() }

var (
	epochColumn = analyzer.Column{Name: "epoch", Type: analyzer.Timestamp}
	countsOf    = func(field string) []analyzer.Column {
		return []analyzer.Column{
			epochColumn,
			{Name: field, Type: analyzer.Text},
			{Name: "count", Type: analyzer.Integer},
			{Name: "estimate", Type: analyzer.Real},
			{Name: "stddev", Type: analyzer.Real},
		}
	}
	recordColumns = []analyzer.Column{
		epochColumn,
		{Name: "program", Type: analyzer.Text},
		{Name: "apis_file_io", Type: analyzer.Boolean},
		{Name: "langs", Type: analyzer.Text, List: true},
		{Name: "group", Type: analyzer.Integer},
	}
)

// A fixture is an analyzer's folder and catalogue with released batches.
type fixture struct {
	t     testing.TB
	dir   string
	store *storetest.Model
	n     byte
}

// newFixture has two epochs of api_use and one of words.seen.
func newFixture(t testing.TB) *fixture {
	f := &fixture{t: t, dir: t.TempDir(), store: storetest.NewModel()}
	for e := range task.Epoch(2) {
		at := epochStart(e)
		f.release("api_use", e, map[string]data{
			analyzer.CountsTable: {countsOf("program"), []analyzer.Row{
				{at, "vi", int64(100 + e), 112.5, 2.0}, {at, "it's; DROP", int64(30), 42.5, 2.0},
			}},
			analyzer.RecordsTable: {recordColumns, []analyzer.Row{
				{at, "vi", true, []any{"en", "de"}, int64(1)}, {at, "vi", nil, []any{}, int64(2)}, {at, "it's; DROP", false, []any{"fr"}, nil},
			}},
		})
	}
	f.release("words.seen", 1, map[string]data{
		analyzer.CountsTable: {countsOf("program"), []analyzer.Row{{epochStart(1), "vi", int64(7), 19.5, 2.0}, {epochStart(1), "ed", int64(9), 21.5, 2.0}}},
	})
	return f
}

type data struct {
	columns []analyzer.Column
	rows    []analyzer.Row
}

func ptr(n uint64) *uint64 { return &n }

// release writes tables as an analyzer does, and their catalogue entry.
func (f *fixture) release(metric string, e task.Epoch, tables map[string]data) {
	f.t.Helper()
	f.n++
	id := task.ID{f.n}
	dir := filepath.Join(f.dir, "tables", fmt.Sprintf("%x-%d", id[:8], e))
	f.must(os.MkdirAll(dir, 0o700))
	m := analyzer.Manifest{
		Version: 1, Metric: metric, Task: id.String(), Epoch: uint64(e), Start: time.UnixMilli(epochStart(e)).UTC(), End: time.UnixMilli(epochStart(e + 1)).UTC(),
		Parameters: analyzer.Parameters{Threshold: "T = 20, it's noisy"},
		Shuffler:   analyzer.ShufflerCounts{Reports: ptr(200), Within95: ptr(16)},
		Analyzer:   analyzer.Counts{Records: 130, Crowds: 2},
	}
	for name, d := range tables {
		path := filepath.Join(dir, name+".parquet")
		f.write(path, d)
		b, err := os.ReadFile(path)
		f.must(err)
		digest := sha256.Sum256(b)
		m.Tables = append(m.Tables, analyzer.Table{
			Name: name, File: name + ".parquet", Rows: int64(len(d.rows)), Columns: d.columns, Bytes: int64(len(b)), SHA256: hex.EncodeToString(digest[:]),
		})
	}
	text, err := json.Marshal(m)
	f.must(err)
	b := analyzer.Batch{ID: esa.BatchID{f.n}, Task: id, Epoch: e, State: analyzer.Received}
	_, err = f.store.Accept(f.t.Context(), b)
	f.must(err)
	b.State, b.Manifest = analyzer.Released, text
	f.must(f.store.Advance(f.t.Context(), analyzer.Received, b))
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// write makes a Parquet file as package analyzer does.
func (f *fixture) write(path string, d data) {
	f.t.Helper()
	file, err := os.Create(path)
	f.must(err)
	defer file.Close()
	w := release.NewWriter(file, "table", d.columns)
	for _, row := range d.rows {
		f.must(w.Write(row))
	}
	f.must(w.Close())
}

// open returns the database of the fixture, with this test program as worker.
func (f *fixture) open(l Limits) *Database {
	f.t.Helper()
	self, err := os.Executable()
	f.must(err)
	d, err := New(analyzer.NewTables(f.store, durable.OS(), f.dir), Options{Worker: []string{self, asWorker}, Limits: l})
	f.must(err)
	return d
}

func (f *fixture) tables() []Table {
	f.t.Helper()
	all, err := f.open(Limits{}).find(context.Background(), "")
	f.must(err)
	return all
}
