package enginetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/internal/engine"
)

// The model computes in the plainest way what each step gives.

func modelCount(t Table, key string) Table {
	at, size, err := engine.Find(t.Columns, key)
	if err != nil {
		panic(err) // a mistake of the test
	}
	counts := map[string]uint64{}
	for _, r := range t.Rows {
		counts[string(r[at:at+size])]++
	}
	out := Table{Columns: []engine.Column{{Name: key, Width: size}, {Name: engine.CountColumn, Width: 8}}}
	for k, n := range counts {
		out.Rows = append(out.Rows, binary.BigEndian.AppendUint64([]byte(k), n))
	}
	slices.SortFunc(out.Rows, bytes.Compare)
	return out
}

func modelJoin(t Table, col string, keys Table) Table {
	at, size, err := engine.Find(t.Columns, col)
	if err != nil {
		panic(err) // a mistake of the test
	}
	set := map[string]bool{}
	for _, r := range keys.Rows {
		set[string(r[:size])] = true
	}
	out := Table{Columns: t.Columns}
	for _, r := range t.Rows {
		if set[string(r[at:at+size])] {
			out.Rows = append(out.Rows, r)
		}
	}
	return out
}

func modelSort(t Table, columns []string) Table {
	out := Table{Columns: t.Columns, Rows: slices.Clone(t.Rows)}
	slices.SortFunc(out.Rows, func(a, b []byte) int {
		for _, c := range columns {
			at, size, err := engine.Find(t.Columns, c)
			if err != nil {
				panic(err) // a mistake of the test
			}
			if order := bytes.Compare(a[at:at+size], b[at:at+size]); order != 0 {
				return order
			}
		}
		return bytes.Compare(a, b)
	})
	return out
}

// difference describes how two tables differ; "" if they do not.
func difference(got, want Table) string {
	if !slices.Equal(got.Columns, want.Columns) {
		return fmt.Sprintf("columns %v, want %v", got.Columns, want.Columns)
	}
	if len(got.Rows) != len(want.Rows) {
		return fmt.Sprintf("%d rows, want %d", len(got.Rows), len(want.Rows))
	}
	for i := range got.Rows {
		if !bytes.Equal(got.Rows[i], want.Rows[i]) {
			return fmt.Sprintf("row %d is %x, want %x", i, got.Rows[i], want.Rows[i])
		}
	}
	return ""
}

// unordered sorts the rows, to compare tables whose order is unspecified.
func unordered(t Table) Table { return modelSort(t, nil) }

// check runs all steps on two tables and compares with the model.
func check(t testing.TB, e engine.Engine, in Table, key string, keys Table, by []string) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	compare := func(step, name string, want Table, ordered bool) {
		t.Helper()
		got, err := Get(ctx, e, name)
		must(err)
		if !ordered {
			got, want = unordered(got), unordered(want)
		}
		if d := difference(got, want); d != "" {
			t.Fatalf("%s of %d rows: %s", step, len(in.Rows), d)
		}
	}
	must(Put(ctx, e, "in", in))
	must(Put(ctx, e, "keys", keys))
	must(e.CountByKey(ctx, "in", key, "counts"))
	compare("CountByKey", "counts", modelCount(in, key), true)
	must(e.SemiJoin(ctx, "in", key, "keys", "joined"))
	compare("SemiJoin", "joined", modelJoin(in, key, keys), false)
	must(e.SortBy(ctx, "in", by, "sorted"))
	compare("SortBy", "sorted", modelSort(in, by), true)
	must(PutSorted(ctx, e, "written", in, by))
	for range 2 {
		compare("CreateSorted", "written", modelSort(in, by), true)
	}
	must(e.CountByKey(ctx, "written", key, "counts2"))
	compare("CountByKey of a sorted dataset", "counts2", modelCount(in, key), true)
	must(e.SemiJoin(ctx, "written", key, "keys", "joined2"))
	compare("SemiJoin of a sorted dataset", "joined2", modelJoin(in, key, keys), false)
	must(e.SortBy(ctx, "written", nil, "sorted2"))
	compare("SortBy of a sorted dataset", "sorted2", modelSort(in, nil), true)
	compare("input", "in", in, true)
	must(e.Remove(ctx, "in", "keys", "counts", "joined", "sorted", "written", "counts2", "joined2", "sorted2"))
}
