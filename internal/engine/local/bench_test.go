package local_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/engine/local"
)

// A report as the shuffler has it: a crowd, a random sort key, the rest.
var reportColumns = []engine.Column{{Name: "crowd", Width: 16}, {Name: "key", Width: 16}, {Name: "rest", Width: 168}}

// fill writes n rows of 200 bytes, whose crowds are drawn from n/20 values,
// half of the rows from a hundredth of them.
func fill(t testing.TB, e engine.Engine, name string, n int) {
	t.Helper()
	w, err := e.Create(t.Context(), name, reportColumns)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	r := rand.New(rand.NewPCG(1, 1))
	crowds := max(100, n/20)
	row := make([]byte, 200)
	for range n {
		crowd := uint64(r.IntN(crowds))
		if r.IntN(2) == 0 {
			crowd %= uint64(crowds / 100)
		}
		// Spread like a hash.
		binary.BigEndian.PutUint64(row, (crowd+1)*0x9e3779b97f4a7c15)
		binary.BigEndian.PutUint64(row[8:], crowd*0xd1342543de82ef95)
		for i := 16; i < 64; i += 8 {
			binary.BigEndian.PutUint64(row[i:], r.Uint64())
		}
		if err := w.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// keep writes every second crowd of counts as the list of those that go on.
func keep(t testing.TB, e engine.Engine, counts, name string) {
	t.Helper()
	in, err := e.Open(t.Context(), counts)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	w, err := e.Create(t.Context(), name, reportColumns[:1])
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for i := range in.Rows() {
		row, err := in.Next()
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if err := w.Write(row[:16]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// steps are those of a batch: count, keep half of the crowds, sort by crowd and
// by the random key, and, as a worst case, all rows by the random key.
func steps(t testing.TB, e engine.Engine) []struct {
	name string
	run  func() error
} {
	ctx := t.Context()
	return []struct {
		name string
		run  func() error
	}{
		{"CountByKey", func() error { return e.CountByKey(ctx, "in", "crowd", "counts") }},
		{"SemiJoin", func() error {
			keep(t, e, "counts", "kept") //nolint:contextcheck // it is that of the test
			return e.SemiJoin(ctx, "in", "crowd", "kept", "joined")
		}},
		{"SortByCrowd", func() error { return e.SortBy(ctx, "joined", []string{"crowd", "key"}, "sorted") }},
		{"SortByKey", func() error { return e.SortBy(ctx, "in", []string{"key"}, "permuted") }},
	}
}

// BenchmarkSteps reports the seconds of each step and the highest heap, in
// 512 MiB of memory.
func BenchmarkSteps(b *testing.B) {
	for _, n := range []int{1_000_000, 10_000_000} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			if n > 1_000_000 && testing.Short() {
				b.Skip("needs 10 GB of disk")
			}
			e := newEngine(b, b.TempDir()+"/engine", local.Options{MemoryBytes: 512 << 20})
			fill(b, e, "in", n)
			heap := watchHeap(b)
			for b.Loop() {
				for _, s := range steps(b, e) {
					start := time.Now()
					if err := s.run(); err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(time.Since(start).Seconds(), s.name+"-s")
				}
				if err := e.Remove(b.Context(), "counts", "kept", "joined", "sorted", "permuted"); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(heap())/(1<<20), "heap-MiB")
		})
	}
}

// watchHeap samples the heap and returns a function that returns the highest sample.
func watchHeap(t testing.TB) func() uint64 {
	runtime.GC()
	var highest atomic.Uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			highest.Store(max(highest.Load(), m.HeapAlloc))
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
	return highest.Load
}

// TestMemory measures that the steps stay within the memory they are given, on
// input many times as large.
func TestMemory(t *testing.T) {
	const memory, other = 4 << 20, 3 << 20
	e := newEngine(t, t.TempDir()+"/engine", local.Options{MemoryBytes: memory})
	fill(t, e, "in", 150_000) // 30 MB
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	heap := watchHeap(t)
	for _, s := range steps(t, e) {
		if err := s.run(); err != nil {
			t.Fatal(err)
		}
	}
	used := int64(heap()) - int64(m.HeapAlloc)
	t.Logf("%d bytes used of %d", used, memory)
	if used > memory+other {
		t.Errorf("the steps used %d bytes, allowed are %d and %d for the rest of the program", used, memory, other)
	}
}

// TestAllocations checks that nothing is allocated for each row.
func TestAllocations(t *testing.T) {
	e := newEngine(t, t.TempDir()+"/engine", local.Options{MemoryBytes: 1 << 20})
	const rows = 20_000
	fill(t, e, "in", rows)
	n := testing.AllocsPerRun(1, func() {
		for _, s := range steps(t, e) {
			if err := s.run(); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Remove(t.Context(), "counts", "kept", "joined", "sorted", "permuted"); err != nil {
			t.Fatal(err)
		}
	})
	if n > rows/20 {
		t.Errorf("the steps allocate %v times for %d rows", n, rows)
	}
}
