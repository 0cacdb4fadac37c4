//go:build unix

package p256

import (
	"syscall"
	"testing"
)

// reportCPU adds the processor time of the whole process to what a benchmark
// reports, and returns the function to call at the end.
func reportCPU(b *testing.B) func() {
	start := cpuTime(b)
	return func() { b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op") }
}

func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func BenchmarkField(b *testing.B) {
	x, y := elements()[50], elements()[51]
	b.Run("mul", func(b *testing.B) {
		defer reportCPU(b)()
		for b.Loop() {
			x.mul(&x, &y)
		}
	})
	b.Run("generic", func(b *testing.B) {
		defer reportCPU(b)()
		for b.Loop() {
			mulGeneric(&x, &x, &y)
		}
	})
	b.Run("sqr100", func(b *testing.B) {
		defer reportCPU(b)()
		for b.Loop() {
			x.sqr(&x, 100)
		}
	})
	b.Run("invert", func(b *testing.B) {
		defer reportCPU(b)()
		for b.Loop() {
			x.invert(&x)
		}
	})
	b.Run("add", func(b *testing.B) {
		defer reportCPU(b)()
		for b.Loop() {
			x.add(&x, &y)
		}
	})
	var p Point
	p.Set(Generator())
	var q Point
	q.Double(&p, 1)
	a := *Generator()
	b.Run("double100", func(b *testing.B) {
		defer reportCPU(b)()
		for b.Loop() {
			p.Double(&p, 100)
		}
	})
	b.Run("addAffine", func(b *testing.B) {
		defer reportCPU(b)()
		for b.Loop() {
			p.AddAffine(&p, &a)
		}
	})
	b.Run("addPoint", func(b *testing.B) {
		defer reportCPU(b)()
		for b.Loop() {
			p.Add(&p, &q)
		}
	})
}
