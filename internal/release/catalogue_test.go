package release_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// memory is a catalogue of batches that were written to a disk in memory.
type memory []release.Batch

func (m memory) Released(context.Context) ([]release.Batch, error) { return m, nil }

// write releases one table of a metric.
func write(fsys durable.FS, dir, metric string, epoch task.Epoch, columns []release.Column, rows ...release.Row) (release.Batch, error) {
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return release.Batch{}, err
	}
	table, err := release.Write(fsys, dir, "results", columns, func(w *release.Writer) error {
		for _, row := range rows {
			if err := w.Write(row); err != nil {
				return err
			}
		}
		return nil
	})
	return release.Batch{
		Metric: metric, Epoch: epoch, Kept: true, Tables: []release.Table{table},
		Open: func(string) (durable.File, error) {
			return fsys.OpenFile(filepath.Join(dir, table.File), os.O_RDONLY, 0)
		},
	}, err
}

func Example() {
	columns := []release.Column{{Name: "epoch", Type: release.Timestamp}, {Name: "people", Type: release.Integer}}
	batch, err := write(durable.Mem(), "tables", "visits", 7, columns, release.Row{time.Unix(0, 0).UnixMilli(), int64(1200)})
	if err != nil {
		panic(err)
	}
	query := release.Query{Metric: "visits", Table: "results"}
	if err := release.Export(context.Background(), release.Join(memory{batch}), os.Stdout, release.CSV, query); err != nil {
		panic(err)
	}
	// Output:
	// epoch,people,task,version
	// 1970-01-01T00:00:00Z,1200,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA,1
}

// TestExport: two catalogues give one file, in their order; other metrics and
// what has expired are not in it; tables that differ are not mixed.
func TestExport(t *testing.T) {
	fsys := durable.Mem()
	columns := []release.Column{{Name: "item", Type: release.Text}, {Name: "value", Type: release.Real}}
	one := must(write(fsys, "one", "m", 1, columns, release.Row{"a", 0.5}))
	two := must(write(fsys, "two", "m", 2, columns, release.Row{"b,c", nil}))
	gone := must(write(fsys, "three", "m", 3, columns, release.Row{"gone", 1.0}))
	gone.Kept = false
	other := must(write(fsys, "four", "other", 4, columns[:1], release.Row{"other"}))
	all := release.Join(memory{one, gone}, nil, memory{two, other})

	var out bytes.Buffer
	if err := release.Export(t.Context(), all, &out, release.CSV, release.Query{Metric: "m"}); err != nil {
		t.Fatal(err)
	}
	id := task.ID{}.String()
	if want := "item,value,task,version\na,0.5," + id + ",1\n\"b,c\",," + id + ",1\n"; out.String() != want {
		t.Errorf("exported %q, want %q", out.String(), want)
	}
	two.Metric, other.Metric = "other", "other"
	for want, q := range map[string]release.Query{
		"nothing has been released": {Metric: "none"},
		"different columns":         {Metric: "other"},
		"want results":              {Metric: "m", Table: "records"},
	} {
		err := release.Export(t.Context(), release.Join(memory{one, two, other}), io.Discard, release.CSV, q)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("export of %+v: error %v, want %q in it", q, err, want)
		}
	}
}

// TestSeries: two versions of a question were one series in an export.
func TestSeries(t *testing.T) {
	fsys := durable.Mem()
	columns := []release.Column{{Name: "task", Type: release.Text}}
	at := time.Unix(0, 0)
	var all memory
	for i, id := range []task.ID{{9}, {9}, {1}} { // the version of a metric is by time, not by task
		b := must(write(fsys, fmt.Sprint("series", i), "m", task.Epoch(i), columns, release.Row{fmt.Sprint("row ", i)}))
		b.Task, b.Start = id, at.AddDate(0, 0, i)
		all = append(all, b)
	}
	other := all[2]
	other.Metric, other.Task = "other", task.ID{5}
	var out bytes.Buffer
	if err := release.Export(t.Context(), append(memory{other}, all...), &out, release.CSV, release.Query{Metric: "m"}); err != nil {
		t.Fatal(err)
	}
	nine, one := task.ID{9}.String(), task.ID{1}.String()
	want := "task,task_2,version\nrow 0," + nine + ",1\nrow 1," + nine + ",1\nrow 2," + one + ",2\n"
	if out.String() != want {
		t.Errorf("exported %q, want %q", out.String(), want)
	}
}

// TestWriteWhole: a table whose rows end in an error leaves no file.
func TestWriteWhole(t *testing.T) {
	fsys := durable.Mem()
	_, err := write(fsys, "dir", "m", 1, []release.Column{{Name: "n", Type: release.Integer}}, release.Row{int64(1)}, release.Row{int64(1), "too many"})
	if err == nil {
		t.Fatal("a row with too many values was written")
	}
	entries, err := fsys.ReadDir("dir")
	if err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func must(b release.Batch, err error) release.Batch {
	if err != nil {
		panic(fmt.Sprint("writing a batch: ", err))
	}
	return b
}
