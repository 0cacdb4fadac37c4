package enginetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/internal/engine"
)

var columns = []engine.Column{{Name: "id", Width: 3}, {Name: "crowd", Width: 2}, {Name: "rest", Width: 4}}

func table(rows ...string) Table {
	t := Table{Columns: columns}
	for _, r := range rows {
		t.Rows = append(t.Rows, []byte(r))
	}
	return t
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantAbsent(t testing.TB, e engine.Engine, name string) {
	t.Helper()
	if r, err := e.Open(t.Context(), name); !errors.Is(err, engine.ErrNotFound) {
		if err == nil {
			err = r.Close()
		}
		t.Errorf("dataset %q exists, or %v", name, err)
	}
}

func testDatasets(t *testing.T, e engine.Engine) {
	want := table("001aarest", "002bbrest", "003ccrest")
	must(t, Put(t.Context(), e, "a", want))
	for range 2 { // as often as one likes
		got, err := Get(t.Context(), e, "a")
		must(t, err)
		if d := difference(got, want); d != "" {
			t.Error(d)
		}
	}
	if err := Put(t.Context(), e, "a", want); !errors.Is(err, engine.ErrExists) {
		t.Errorf("creating it again: %v", err)
	}
	if err := e.SortBy(t.Context(), "a", nil, "a"); !errors.Is(err, engine.ErrExists) {
		t.Errorf("sorting onto itself: %v", err)
	}
	must(t, e.Remove(t.Context(), "a", "never"))
	wantAbsent(t, e, "a")
	must(t, Put(t.Context(), e, "a", want))
}

func testNames(t *testing.T, e engine.Engine) {
	for _, name := range []string{"", ".", "..", ".a", "a/b", `a\b`, "a b", "a\x00", "ä", strings.Repeat("x", engine.MaxNameLen+1)} {
		if w, err := e.Create(t.Context(), name, columns); err == nil {
			w.Abort()
			t.Errorf("name %q accepted", name)
		}
	}
	for _, name := range []string{"A", "a", "a.b", "-", "_1", strings.Repeat("x", engine.MaxNameLen)} {
		must(t, Put(t.Context(), e, name, table(fmt.Sprintf("001aa%04.4s", name))))
	}
	for name, cs := range map[string][]engine.Column{
		"none":     nil,
		"twice":    {{Name: "a", Width: 1}, {Name: "a", Width: 1}},
		"empty":    {{Name: "a", Width: 0}},
		"negative": {{Name: "a", Width: -1}},
		"wide":     {{Name: "a", Width: engine.MaxRowWidth}, {Name: "b", Width: 1}},
		"name":     {{Name: "a b", Width: 1}},
	} {
		if w, err := e.Create(t.Context(), "columns", cs); err == nil {
			w.Abort()
			t.Errorf("columns %q accepted", name)
		}
	}
}

func testAbort(t *testing.T, e engine.Engine) {
	w, err := e.Create(t.Context(), "a", columns)
	must(t, err)
	must(t, w.Write([]byte("001aarest")))
	wantAbsent(t, e, "a")
	if _, err := e.Create(t.Context(), "a", columns); !errors.Is(err, engine.ErrExists) {
		t.Errorf("creating what is being written: %v", err)
	}
	w.Abort()
	w.Abort()
	if w.Close() == nil {
		t.Error("Close after Abort succeeded")
	}
	wantAbsent(t, e, "a")

	w, err = e.Create(t.Context(), "a", columns)
	must(t, err)
	if w.Write([]byte("half a row")) == nil {
		t.Error("half a row accepted")
	}
	if w.Close() == nil {
		t.Error("Close after an error succeeded")
	}
	wantAbsent(t, e, "a")

	w, err = e.Create(t.Context(), "a", columns)
	must(t, err)
	must(t, w.Write(nil))
	must(t, w.Write([]byte("001aarest002aarest")))
	must(t, w.Close())
	w.Abort()
	got, err := Get(t.Context(), e, "a")
	must(t, err)
	if len(got.Rows) != 2 {
		t.Errorf("%d rows after Close and Abort", len(got.Rows))
	}
}

func testExample(t *testing.T, e engine.Engine) {
	in := table("003bbrest", "001aazzzz", "002bbrest", "001aaaaaa", "001ccrest", "001aaaaaa")
	keys := Table{
		Columns: []engine.Column{{Name: "k", Width: 2}, {Name: "more", Width: 1}},
		Rows:    [][]byte{[]byte("aa1"), []byte("zz2"), []byte("aa3")},
	}
	check(t, e, in, "crowd", keys, []string{"crowd", "id"})
	check(t, e, in, "crowd", keys, []string{"rest"})
	check(t, e, in, "crowd", keys, nil)
	check(t, e, in, "crowd", keys, []string{"crowd", "crowd", "rest", "id"})
}

func testEmpty(t *testing.T, e engine.Engine) {
	keys := Table{Columns: []engine.Column{{Name: "k", Width: 2}}}
	check(t, e, table(), "crowd", keys, []string{"crowd"})
	check(t, e, table("001aarest"), "crowd", keys, []string{"crowd"})
	keys.Rows = [][]byte{[]byte("aa")}
	check(t, e, table(), "crowd", keys, nil)
}

func testWrongUse(t *testing.T, e engine.Engine) {
	ctx := t.Context()
	must(t, Put(ctx, e, "in", table("001aarest")))
	tests := []struct {
		name string
		err  error
		want error // or any
	}{
		{"counting nothing", e.CountByKey(ctx, "none", "crowd", "out"), engine.ErrNotFound},
		{"counting by no column", e.CountByKey(ctx, "in", "none", "out"), engine.ErrNotFound},
		{"joining nothing", e.SemiJoin(ctx, "none", "crowd", "in", "out"), engine.ErrNotFound},
		{"joining with nothing", e.SemiJoin(ctx, "in", "crowd", "none", "out"), engine.ErrNotFound},
		{"joining by no column", e.SemiJoin(ctx, "in", "none", "in", "out"), engine.ErrNotFound},
		{"joining different widths", e.SemiJoin(ctx, "in", "crowd", "in", "out"), nil},
		{"sorting nothing", e.SortBy(ctx, "none", nil, "out"), engine.ErrNotFound},
		{"sorting by no column", e.SortBy(ctx, "in", []string{"crowd", "none"}, "out"), engine.ErrNotFound},
		{"a bad name", e.SortBy(ctx, "in", nil, "../out"), nil},
		{"writing sorted by no column", PutSorted(ctx, e, "out", table(), []string{"none"}), engine.ErrNotFound},
		{"writing sorted under a bad name", PutSorted(ctx, e, "../out", table(), nil), nil},
		{"writing sorted half a row", PutSorted(ctx, e, "out", Table{columns, [][]byte{{1}}}, nil), nil},
		{"writing sorted under an existing name", PutSorted(ctx, e, "in", table(), nil), engine.ErrExists},
		{"an existing name", e.CountByKey(ctx, "in", "id", "in"), engine.ErrExists},
	}
	for _, tt := range tests {
		if tt.err == nil || tt.want != nil && !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: %v", tt.name, tt.err)
		}
	}
	wantAbsent(t, e, "out")
}

func testCancel(t *testing.T, e engine.Engine) {
	must(t, Put(t.Context(), e, "in", random(rand.New(rand.NewPCG(1, 1)), 500, 50)))
	ctx, cancel := context.WithCancel(t.Context())
	w, err := e.Create(ctx, "written", columns)
	must(t, err)
	defer w.Abort()
	cancel()
	for name, err := range map[string]error{
		"CountByKey":   e.CountByKey(ctx, "in", "crowd", "out"),
		"SemiJoin":     e.SemiJoin(ctx, "in", "id", "in", "out"),
		"SortBy":       e.SortBy(ctx, "in", nil, "out"),
		"Create":       Put(ctx, e, "out", table()),
		"CreateSorted": PutSorted(ctx, e, "out", table(), nil),
		"Close":        w.Close(),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantAbsent(t, e, "out")
	wantAbsent(t, e, "written")
	testCancelSorted(t, e)
	must(t, e.SortBy(t.Context(), "in", nil, "out"))
}

// testCancelSorted ends the context of a Writer that sorts, and aborts another: both
// leave no dataset, and the engine goes on.
func testCancelSorted(t *testing.T, e engine.Engine) {
	for _, end := range []func(w engine.Writer, cancel func()) error{
		func(w engine.Writer, cancel func()) error { cancel(); return w.Close() },
		func(w engine.Writer, _ func()) error { w.Abort(); w.Abort(); return w.Close() },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		w, err := e.CreateSorted(ctx, "written", columns, []string{"rest"})
		must(t, err)
		must(t, w.Write(bytes.Join(random(rand.New(rand.NewPCG(1, 1)), 20_000, 50).Rows, nil)))
		if end(w, cancel) == nil {
			t.Error("a Writer that was ended closed without an error")
		}
		cancel()
		wantAbsent(t, e, "written")
	}
}

func testConcurrent(t *testing.T, e engine.Engine) {
	in := random(rand.New(rand.NewPCG(2, 2)), 300, 20)
	must(t, Put(t.Context(), e, "in", in))
	want := modelSort(in, []string{"crowd"})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprintf("out%d", i)
			if err := e.SortBy(t.Context(), "in", []string{"crowd"}, name); err != nil {
				t.Error(err)
				return
			}
			got, err := Get(t.Context(), e, name)
			if err != nil {
				t.Error(err)
				return
			}
			if d := difference(got, want); d != "" {
				t.Error(d)
			}
		})
	}
	wg.Wait()
}

// random returns n rows with up to distinct crowds.
func random(r *rand.Rand, n, distinct int) Table {
	t := Table{Columns: columns}
	for range n {
		row := make([]byte, 9)
		binary.BigEndian.PutUint64(row[1:], r.Uint64())
		row[0] = byte(r.Uint32())
		binary.BigEndian.PutUint16(row[3:], uint16(r.IntN(distinct)*7))
		t.Rows = append(t.Rows, row)
	}
	return t
}

// testRandom compares with the model on drawn shapes and contents.
func testRandom(t *testing.T, e engine.Engine) {
	rapid.Check(t, func(rt *rapid.T) {
		widths := rapid.SliceOfN(rapid.IntRange(1, 20), 1, 4).Draw(rt, "widths")
		in := Table{}
		var by []string
		for i, w := range widths {
			name := fmt.Sprintf("c%d", i)
			in.Columns = append(in.Columns, engine.Column{Name: name, Width: w})
			if rapid.Bool().Draw(rt, "by") {
				by = append([]string{name}, by...)
			}
		}
		key := rapid.IntRange(0, len(widths)-1).Draw(rt, "key")
		keys := Table{Columns: []engine.Column{{Name: "k", Width: widths[key]}}}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		values := rapid.SampledFrom([]int{1, 2, 3, 256}).Draw(rt, "values")
		rows := func(n, width int) [][]byte {
			list := make([][]byte, n)
			for i := range list {
				list[i] = make([]byte, width)
				for j := range list[i] {
					list[i][j] = byte(r.IntN(values) * (256 / values))
				}
			}
			return list
		}
		in.Rows = rows(rapid.IntRange(0, 1500).Draw(rt, "rows"), engine.RowWidth(in.Columns))
		keys.Rows = rows(rapid.IntRange(0, 300).Draw(rt, "keys"), widths[key])
		check(tb{t, rt}, e, in, fmt.Sprintf("c%d", key), keys, by)
	})
}

// tb gives rapid's reports to the functions that want a testing.TB.
type tb struct {
	testing.TB
	rt *rapid.T
}

func (t tb) Helper()                           {}
func (t tb) Fatal(args ...any)                 { t.rt.Fatal(args...) }
func (t tb) Fatalf(format string, args ...any) { t.rt.Fatalf(format, args...) }

// testSkewed gives keys that are hostile to partitioning: all equal, all
// distinct, one huge among many small, sorted, and sorted backwards.
func testSkewed(t *testing.T, e engine.Engine) {
	const n = 20000
	shape := []engine.Column{{Name: "key", Width: 8}, {Name: "rest", Width: 30}}
	r := rand.New(rand.NewPCG(3, 3))
	for name, key := range map[string]func(i int) uint64{
		"equal":     func(int) uint64 { return 7 },
		"distinct":  func(int) uint64 { return r.Uint64() },
		"ascending": func(i int) uint64 { return uint64(i) },
		"backwards": func(i int) uint64 { return uint64(n - i) },
		"one huge":  func(i int) uint64 { return uint64(max(0, i-n/2)) },
	} {
		t.Run(name, func(t *testing.T) {
			in := Table{Columns: shape}
			keys := Table{Columns: shape[:1]}
			for i := range n {
				row := make([]byte, 38)
				binary.BigEndian.PutUint64(row, key(i))
				binary.BigEndian.PutUint32(row[34:], r.Uint32N(1000))
				in.Rows = append(in.Rows, row)
				if i%3 == 0 {
					keys.Rows = append(keys.Rows, row[:8])
				}
			}
			check(t, e, in, "key", keys, []string{"key"})
			check(t, e, in, "key", keys, []string{"rest"})
		})
	}
}
