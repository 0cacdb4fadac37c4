package blind

import "testing"

// BenchmarkHashToCurve is what a client computes for a crowd.
func BenchmarkHashToCurve(b *testing.B) {
	for b.Loop() {
		HashToCurve(domain, []byte("a crowd of twenty b."))
	}
}

// BenchmarkBlind is what a client computes for a report.
func BenchmarkBlind(b *testing.B) {
	f, point := NewFactor(draw(seeded(1))), crowdPoint(0)
	for b.Loop() {
		if _, err := f.Blind(point); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUnblind is what shuffler 2 computes, in batches of 256; ns/report.
func BenchmarkUnblind(b *testing.B) {
	benchmarkReports(b, func(factors []Factor, points [][Size]byte) {
		if _, err := Unblind(factors, points); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkInverses is the part of [BenchmarkUnblind] before the ladder.
func BenchmarkInverses(b *testing.B) {
	benchmarkReports(b, func(factors []Factor, _ [][Size]byte) { inverses(factors) })
}

func benchmarkReports(b *testing.B, run func([]Factor, [][Size]byte)) {
	const n = 256
	r := seeded(1)
	factors, points := make([]Factor, n), make([][Size]byte, n)
	for i := range n {
		factors[i], points[i] = NewFactor(draw(r)), draw(r)
	}
	b.ReportAllocs()
	for b.Loop() {
		run(factors, points)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/report")
}
