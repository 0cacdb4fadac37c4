package turboshake

import (
	"fmt"
	"testing"
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
				b.ReportAllocs()
				for b.Loop() {
					l.Sum128(&out, &msgs)
				}
			})
		}
	}
}
