package segment

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
)

// BenchmarkAppend measures durable appends of 500 bytes by 512 goroutines that
// each wait for the disk.
func BenchmarkAppend(b *testing.B) {
	l, _, err := Open(b.TempDir(), Options{FS: durable.OS()})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	const appenders = 512
	record := make([]byte, 500)
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range appenders {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if err := l.Append(b.Context(), record); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkAppendAlone measures one goroutine, which pays for each sync.
func BenchmarkAppendAlone(b *testing.B) {
	l, _, err := Open(b.TempDir(), Options{FS: durable.OS()})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	record := make([]byte, 500)
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Append(b.Context(), record); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkRecords measures reading back, one operation a record.
func BenchmarkRecords(b *testing.B) {
	l, _, err := Open("log", Options{FS: durable.Mem()})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	group := make([][]byte, 1000)
	for i := range group {
		group[i] = make([]byte, 500)
	}
	for range 100 {
		if err := l.AppendAll(b.Context(), group); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(500)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		for _, err := range l.Records() {
			if err != nil {
				b.Fatal(err)
			}
			if n++; n == b.N {
				break
			}
		}
	}
}
