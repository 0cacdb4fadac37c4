package oblivious

import (
	"fmt"
	"runtime"
	"testing"
)

// BenchmarkShuffle is the time of a row of 192 bytes, by one worker and by all.
func BenchmarkShuffle(b *testing.B) {
	for _, n := range []int{1 << 14, 1 << 17, 1 << 20} {
		for _, workers := range []int{1, runtime.GOMAXPROCS(0)} {
			b.Run(fmt.Sprintf("rows=%d/workers=%d", n, workers), func(b *testing.B) {
				table := numbered(b, n, 192)
				for b.Loop() {
					if err := table.Shuffle([SeedSize]byte{1}, workers); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/row")
			})
		}
	}
}

// BenchmarkExchange is the time of one exchange of rows of 192 bytes, and the bytes
// that it moves, where two blocks are in the second-level cache.
func BenchmarkExchange(b *testing.B) {
	const rows, width = 1 << 10, 24
	first, second := make([]uint64, rows*width), make([]uint64, rows*width)
	forms := map[string]func(t tracer, a, b int, first, second []uint64, width int, from, flip uint64){"vector": exchange, "generic": exchangeGeneric}
	for name, f := range forms {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(2 * rows * width * wordSize)
			for b.Loop() {
				f(tracer{}, 0, 0, first, second, width, rows/2, 0)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/exchange")
		})
	}
	b.Run("copy", func(b *testing.B) {
		b.SetBytes(2 * rows * width * wordSize)
		for b.Loop() {
			copy(first, second)
			copy(second, first)
		}
	})
}

// BenchmarkThreshold is the time of a row of 200 bytes, crowds of a hundred.
func BenchmarkThreshold(b *testing.B) {
	const n = 1 << 18
	workers := runtime.GOMAXPROCS(0)
	table, err := NewTable(n, 200)
	if err != nil {
		b.Fatal(err)
	}
	row := make([]byte, 200)
	for b.Loop() {
		for i := range n {
			copy(row, crowdRow(i, i%(n/100)))
			if err := table.Set(i, row); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := table.Threshold([SeedSize]byte{1}, Rules{Keep: keepOf(20)}, workers); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/row")
}
