package turboshake

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// BenchmarkLanes is the throughput of eight equal streams by level, a long
// squeeze and a long absorption.
func BenchmarkLanes(b *testing.B) {
	for _, lv := range []level{scalar, four, eight} {
		if lv > supported() {
			continue
		}
		for _, squeeze := range []bool{true, false} {
			b.Run(fmt.Sprintf("level=%d/squeeze=%t", lv, squeeze), func(b *testing.B) {
				var out, msgs [Width][]byte
				for i := range out {
					if squeeze {
						out[i], msgs[i] = make([]byte, 16800), make([]byte, 100)
					} else {
						out[i], msgs[i] = make([]byte, 32), make([]byte, 16800)
					}
				}
				l := &Lanes{level: lv, domain: 1}
				b.SetBytes(8 * 16800)
				least := time.Duration(math.MaxInt64)
				for b.Loop() {
					start := time.Now()
					l.Sum128(&out, &msgs)
					least = min(least, time.Since(start))
				}
				b.ReportMetric(8*16800/float64(least.Nanoseconds()), "best-GB/s")
			})
		}
	}
}
