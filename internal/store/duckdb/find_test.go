package duckdb

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/internal/release"
)

// A selector counts the batches that it returns, of metrics with some each.
type selector struct {
	metrics []string
	each    int
	read    int
	stamp   map[string]string
}

func (s *selector) Stamps(context.Context) (map[string]string, error) { return s.stamp, nil }

func (s *selector) Metrics(context.Context) ([]string, error) { return s.metrics, nil }

func (s *selector) Of(_ context.Context, q release.Query) ([]release.Batch, error) {
	s.read += s.each
	return slices.Repeat([]release.Batch{{Metric: q.Metric}}, s.each), nil
}

func (s *selector) Released(ctx context.Context) ([]release.Batch, error) {
	var all []release.Batch
	for _, m := range s.metrics {
		some, err := s.Of(ctx, release.Query{Metric: m})
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// TestOthersAreNotRead: a query reads the batches of the metrics that it mentions, under
// the names that they have among all. On 0caf301 each query read all batches.
func TestOthersAreNotRead(t *testing.T) {
	s := &selector{metrics: []string{"a.b", "a_b", "fruit", "vegetable"}, each: 100}
	d, err := New(s, Options{Worker: []string{"none"}})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]struct {
		read   int
		tables string
	}{
		"SELECT * FROM fruit.batches":                    {100, "[fruit.batches]"},
		"SELECT * FROM FRUIT.batches, vegetable.batches": {200, "[fruit.batches vegetable.batches]"},
		"SELECT * FROM a_b_2.batches":                    {200, "[a_b.batches a_b_2.batches]"}, // a_b occurs in it
		"SELECT 1":                                       {400, "[a_b.batches a_b_2.batches fruit.batches vegetable.batches]"},
	} {
		s.read = 0
		tables, err := d.find(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, table := range tables {
			names = append(names, table.Ref())
		}
		if s.read != want.read || fmt.Sprint(names) != want.tables {
			t.Errorf("%s: %d batches were read for %v, want %d for %s", text, s.read, names, want.read, want.tables)
		}
	}
}

// TestListReadsWhatChanged: the list of tables reads the batches of a metric again when
// something of it was released, and names it as a query does.
func TestListReadsWhatChanged(t *testing.T) {
	s := &selector{metrics: []string{"a.b", "a_b"}, each: 100, stamp: map[string]string{"a.b": "1", "a_b": "1"}}
	d, err := New(s, Options{Worker: []string{"none"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		change     func()
		read, rows int
	}{
		{func() {}, 200, 100},
		{func() {}, 0, 100},
		{func() { s.each, s.stamp["a_b"] = 101, "2" }, 101, 101},
		{func() {}, 0, 101},
	} {
		step.change()
		s.read = 0
		tables, err := d.Tables(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(tables) != 2 || tables[0].Ref() != "a_b.batches" || tables[1].Ref() != "a_b_2.batches" || tables[1].Rows != int64(step.rows) {
			t.Errorf("%d tables: %+v", len(tables), tables)
		}
		if s.read != step.read {
			t.Errorf("%d batches were read, want %d", s.read, step.read)
		}
	}
	asked, err := d.find(t.Context(), "select * from a_b_2.batches")
	if err != nil || len(asked) != 2 || asked[1].Ref() != "a_b_2.batches" {
		t.Errorf("a query finds %+v, %v", asked, err)
	}
}
