package shuffler_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine/local"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/metric/task"
)

// BenchmarkBlinded measures the second shuffler, with blinded crowds and without, from the
// batch file on the disk to its own signed file. Crowds follow Zipf's law. 20,000 reports, or as many as SHOAL_BENCH_REPORTS says:
//
//	SHOAL_BENCH_REPORTS=1000000 go test -run '^$' -bench Blinded -benchtime 1x -timeout 1h ./internal/esa/shuffler
func BenchmarkBlinded(b *testing.B) {
	n := 20_000
	if s := os.Getenv("SHOAL_BENCH_REPORTS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	for _, blinds := range []bool{false, true} {
		b.Run(fmt.Sprintf("blinded=%v/reports=%d", blinds, n), func(b *testing.B) { benchmarkShuffler2(b, n, blinds) })
	}
}

func benchmarkShuffler2(b *testing.B, n int, blinds bool) {
	w := hoptest.New(b, 2, func(t *task.Task) {
		t.Threshold = task.Threshold{Kind: task.NoisyDrop, T: 20, D: 12, SigmaMilli: 2000}
		t.Protection.Blinded = blinds
	})
	rows := firstRows(b, w, n)
	w.Clock.Forward(w.Task.Closes(w.Epoch(0)))
	w.Net.Serve(w.Parties[2], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	c := &chain{World: w}
	for b.Loop() {
		b.StopTimer()
		engine, err := local.New(b.TempDir(), local.Options{MemoryBytes: 512 << 20})
		must(b, err)
		p, store := w.Parties[1], newModel()
		s, err := shuffler.New(b.Context(), shuffler.Config{
			Store: store, FS: durable.OS(), Dir: b.TempDir(), Engine: engine, Clock: w.Clock, Rand: hoptest.Random(9),
			Identity: p.ID, Keys: p.Keys, Tasks: []*task.Task{w.Task}, Client: w.Net.Client(),
		})
		must(b, err)
		w.Net.Serve(p, s.Handler())
		if status := putRows(b, c, 0, w.Epoch(0), p.URL, rows); status != 201 {
			b.Fatalf("answer %d", status)
		}
		runtime.GC()
		b.StartTimer()
		_ = s.Tick(b.Context()) // its error is that the analyzer is away
		b.StopTimer()
		batch, err := store.Batch(b.Context(), shuffler.Key{Task: w.ID, Epoch: w.Epoch(0)})
		must(b, err)
		if batch.State != shuffler.Processed || batch.Counts.Released < uint64(n)/2 {
			b.Fatalf("batch is %v: %+v", batch.State, batch.Counts)
		}
		must(b, s.Close())
		must(b, engine.Close())
		b.StartTimer()
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "reports/s")
}

// firstRows returns what the first shuffler makes of n reports, in no order that matters.
func firstRows(b *testing.B, w *hoptest.World, n int) [][]byte {
	b.Helper()
	opener, err := esa.NewOpener(w.Task, w.ID, 0, w.Parties[0].Keys.Private...)
	must(b, err)
	e := exponent(b, 1)
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 4, 999)
	crowds := make([]uint64, n)
	for i := range crowds {
		crowds[i] = zipf.Uint64()
	}
	rows := make([][]byte, n)
	var group sync.WaitGroup
	var next atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				l, err := opener.Open(w.Report(b, w.Epoch(0), fmt.Sprint("word", crowds[i]), int64(i)), w.Epoch(0))
				if err != nil {
					b.Error(err)
					return
				}
				rows[i] = l.Next
				if w.Task.Protection.Blinded {
					rows[i] = row(e, l)
				}
			}
		})
	}
	group.Wait()
	return rows
}
