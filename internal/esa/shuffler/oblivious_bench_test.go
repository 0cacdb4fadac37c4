package shuffler

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/engine/local"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
)

// BenchmarkObliviousStage measures opening, oblivious threshold and oblivious shuffle of
// reports of 284 bytes, which make rows of 199, in crowds whose sizes follow Zipf's
// law: "sealed" opens reports, "opened" has them open. In memory 8 GiB may be used, in
// storage a third of what the rows take, besides that for keys.
//
//	go test -run '^$' -bench 'ObliviousStage/sealed/memory/reports=10000000$' -benchtime 1x -timeout 1h ./internal/esa/shuffler
func BenchmarkObliviousStage(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000, 10_000_000} {
		for _, input := range []string{"opened", "sealed"} {
			for _, place := range []string{"memory", "storage"} {
				b.Run(fmt.Sprintf("%s/%s/reports=%d", input, place, n), func(b *testing.B) {
					if testing.Short() && n > 100_000 {
						b.Skip("takes long")
					}
					memory := int64(8 << 30)
					if place == "storage" {
						memory = int64(n)*(72+75) + 16<<20
					}
					benchmarkOblivious(b, n, memory, input == "sealed")
				})
			}
		}
	}
}

func benchmarkOblivious(b *testing.B, n int, memory int64, sealed bool) {
	b.Helper()
	threshold, err := dp.NewNoisyDrop(20, 12, 2000)
	if err != nil {
		b.Fatal(err)
	}
	e, err := local.New(b.TempDir(), local.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	st := stage{
		engine: e, name: "bench", workers: 2, nextSize: benchNext, minBatch: 1000, threshold: threshold,
		open: func(report []byte) (esa.Layer, esa.Cause) {
			return esa.Layer{Crowd: esa.CrowdTag(report[:16]), Next: report[16:]}, 0
		},
	}
	reports := zipfian(n)
	if sealed {
		reports, st.openMany = sealedZipfian(b, n)
	}
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // forget the peak
	used := processorSeconds()
	for b.Loop() {
		ob := &obliviousStage{stage: st, most: n, memory: memory, rand: hoptest.Random(1)}
		made, err := ob.run(context.Background(), reports)
		if err != nil {
			b.Fatal(err)
		}
		if counts := made.counts; counts.Received != uint64(n) || counts.Released < uint64(n)/2 || invalid(counts) > 0 {
			b.Fatalf("%+v", counts)
		}
		var bytes int
		err = ob.each(context.Background(), made, func(next []byte) error { bytes += len(next); return nil })
		if err != nil || bytes != int(made.counts.Released)*(crowdWidth+benchNext) {
			b.Fatal(bytes, err)
		}
		if err := ob.end(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	reportBatch(b, n, used)
}

// reportBatch reports what a batch of n reports took: of the processors, since they had
// been used for so many seconds, and of memory.
func reportBatch(b *testing.B, n int, used float64) {
	b.Helper()
	b.ReportMetric((processorSeconds()-used)/float64(b.N), "cpu-s")
	b.ReportMetric((processorSeconds()-used)/float64(b.N*n)*1e6, "cpu-µs/report")
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib float64
	_, _ = fmt.Sscan(rest, &kib)
	b.ReportMetric(kib/1024, "MiB-peak")
}

// processorSeconds returns the time of this process on all processors, or 0 where the
// system does not tell.
func processorSeconds() float64 {
	stat, _ := os.ReadFile("/proc/self/stat")
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	var user, system float64 // in hundredths of a second
	_, _ = fmt.Sscan(fields[11], &user)
	_, _ = fmt.Sscan(fields[12], &system)
	return (user + system) / 100
}

// sealedZipfian yields n reports and what opens them. They are some that are sealed,
// again and again; once open, each is made a report of its own, in a crowd of its own.
func sealedZipfian(b *testing.B, n int) (iter.Seq2[[]byte, error], hop.Many) {
	b.Helper()
	w := hoptest.New(b, 1, nil)
	opener, err := esa.NewOpener(w.Task, w.ID, 0, w.Parties[0].Keys.Private...)
	if err != nil {
		b.Fatal(err)
	}
	if size := opener.NextSize(); size != benchNext {
		b.Fatalf("next layers of %d bytes, want %d", size, benchNext)
	}
	pool := make([][]byte, 4096)
	for i := range pool {
		pool[i] = w.Report(b, w.Epoch(0), fmt.Sprint("word", i), int64(i))
	}
	crowds := make([]esa.CrowdTag, 1<<20)
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 4, 99_999)
	for i := range crowds {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, zipf.Uint64()))
		crowds[i] = esa.CrowdTag(sum[:])
	}
	var opened atomic.Uint64
	many := hop.OpenMany(opener, w.Task, w.Epoch(0))
	reports := func(yield func([]byte, error) bool) {
		for i := range n {
			if !yield(pool[i%len(pool)], nil) {
				return
			}
		}
	}
	return reports, func(layers [][]byte) []esa.Opened {
		results := many(layers)
		for i := range results {
			number := opened.Add(1)
			results[i].Crowd = crowds[number%uint64(len(crowds))]
			results[i].Report = slices.Clone(results[i].Report)
			binary.BigEndian.PutUint64(results[i].Report, number)
		}
		return results
	}
}
