package outbox_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/outbox"
)

// BenchmarkAdd records from many goroutines, on the disk and in memory.
func BenchmarkAdd(b *testing.B) {
	for _, at := range []struct {
		name string
		fs   durable.FS
	}{{"disk", nil}, {"memory", durable.Mem()}} {
		for _, goroutines := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%d", at.name, goroutines), func(b *testing.B) {
				box, _, err := outbox.Open(b.TempDir(), outbox.Options{FS: at.fs, MaxEntries: 1 << 30, MaxBytes: 1 << 40})
				if err != nil {
					b.Fatal(err)
				}
				defer box.Close()
				var n atomic.Int64
				b.SetParallelism(goroutines / 2)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						c := contribution(epoch0, fmt.Sprint("m", n.Add(1)), "record")
						if vs, err := box.Add(c); err != nil || vs[0] != outbox.Accepted {
							b.Error(vs, err)
							return
						}
					}
				})
			})
		}
	}
}
