package voprf

import (
	"fmt"
	"testing"
)

// The benchmarks take a batch at a time and report the time of an element, too.
func BenchmarkEvaluate(b *testing.B) {
	key := newKey(b)
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			_, request := newRequest(b, n, n)
			for b.Loop() {
				evaluate(b, key, request)
			}
			perElement(b, n)
		})
	}
}

func BenchmarkNewRequest(b *testing.B) {
	for b.Loop() {
		newRequest(b, MaxBatch, MaxBatch)
	}
	perElement(b, MaxBatch)
}

func BenchmarkFinalize(b *testing.B) {
	key := newKey(b)
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			pending, request := newRequest(b, n, n)
			response := evaluate(b, key, request)
			for b.Loop() {
				if _, err := pending.Finalize(key.Public(), request, response); err != nil {
					b.Fatal(err)
				}
			}
			perElement(b, n)
		})
	}
}

func perElement(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/element")
}
