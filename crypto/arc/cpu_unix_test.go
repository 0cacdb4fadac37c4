//go:build unix

package arc

import (
	"syscall"
	"testing"
)

// reportCPU adds the processor time of the whole process to what a benchmark
// reports: on a busy machine the clock measures the other programs. It returns
// the function to call at the end.
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
