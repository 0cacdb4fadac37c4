package shuffler

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/engine/local"
	"github.com/shoal-project/shoal/internal/esa"
)

// BenchmarkStage measures threshold and permutation without public-key work:
// reports whose outer layer is already open, of crowds
// whose sizes follow Zipf's law, with next layers of 166 bytes as a task of the smallest size class has. The engine
// may use 512 MiB.
//
//	go test -run '^$' -bench Stage -benchtime 1x ./internal/esa/shuffler
func BenchmarkStage(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000, 10_000_000, 20_000_000} {
		b.Run(fmt.Sprintf("reports=%d", n), func(b *testing.B) {
			if testing.Short() && n > 100_000 {
				b.Skip("takes long")
			}
			benchmarkStage(b, n)
		})
	}
}

// BenchmarkStageInput makes the input of BenchmarkStage and drops it: what of its
// time is not the stage's.
func BenchmarkStageInput(b *testing.B) {
	const n = 10_000_000
	for b.Loop() {
		for _, err := range zipfian(n) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "reports/s")
}

const benchNext = 166

func benchmarkStage(b *testing.B, n int) {
	threshold, err := dp.NewNoisyDrop(20, 12, 2000)
	if err != nil {
		b.Fatal(err)
	}
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // forget the peak
	for b.Loop() {
		e, err := local.New(b.TempDir(), local.Options{MemoryBytes: 512 << 20})
		if err != nil {
			b.Fatal(err)
		}
		s := &stage{
			engine: e, name: "bench", workers: 2, nextSize: benchNext, minBatch: 1000, threshold: threshold,
			open: func(report []byte) (esa.Layer, esa.Cause) {
				return esa.Layer{Crowd: esa.CrowdTag(report[:16]), Next: report[16:]}, 0
			},
		}
		made, err := s.run(context.Background(), zipfian(n))
		if err != nil {
			b.Fatal(err)
		}
		if counts := made.counts; counts.Received != uint64(n) || counts.Released == 0 || counts.Duplicate != 0 {
			b.Fatalf("%+v", counts)
		}
		var bytes int
		err = s.each(context.Background(), made, func(next []byte) error { bytes += len(next); return nil })
		if err != nil || bytes != int(made.counts.Released)*(crowdWidth+benchNext) {
			b.Fatal(bytes, err)
		}
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "reports/s")
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib float64
	_, _ = fmt.Sscan(rest, &kib)
	b.ReportMetric(kib/1024, "MiB-peak")
}

// zipfian yields n reports: the tag of a crowd, and a next layer that differs from
// all others. Each has memory of its own, as opened reports do.
func zipfian(n int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 4, 99_999)
		tags := make([][32]byte, 100_000)
		for i := range tags {
			tags[i] = sha256.Sum256(binary.BigEndian.AppendUint32(nil, uint32(i)))
		}
		for i := range n {
			r := make([]byte, 16+benchNext)
			copy(r, tags[zipf.Uint64()][:16])
			binary.BigEndian.PutUint64(r[16:], uint64(i))
			if !yield(r, nil) {
				return
			}
		}
	}
}
