package shoal_test

import (
	"testing"

	"github.com/shoal-project/shoal/metric/task"
)

// BenchmarkSay is what a call costs an app whose outbox is on a disk: Count of a
// metric that asks whether, after the first one, and Add, which stores each value.
func BenchmarkSay(b *testing.B) {
	a := newAggregators(b)
	o := a.options(a.ask("whether", task.Aggregation{Kind: task.Count, Max: 1}), a.ask("pages", task.Aggregation{Kind: task.Sum, Max: 1 << 30}))
	o.Dir = b.TempDir()
	c := open(b, o)
	b.Run("count", func(b *testing.B) {
		for b.Loop() {
			if got := c.Count("whether"); !got.Queued() {
				b.Fatal(got)
			}
		}
	})
	b.Run("add", func(b *testing.B) {
		for b.Loop() {
			if got := c.Add("pages", 1); !got.Queued() {
				b.Fatal(got)
			}
		}
	})
	b.Run("add_parallel", func(b *testing.B) {
		b.SetParallelism(16)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if got := c.Add("pages", 1); !got.Queued() {
					b.Error(got)
				}
			}
		})
	})
}
