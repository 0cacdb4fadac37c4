package shuffler

import (
	"testing"

	"github.com/shoal-project/shoal/dp"
)

// FuzzState drives a batch by arbitrary changes: whatever is asked for, a batch
// never opens again, never closes twice, holds a seed exactly while it is
// closed or processed, and cannot come back from destruction.
func FuzzState(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 7})
	f.Add([]byte{2, 6, 7, 1})
	f.Add([]byte{1, 2, 5, 5, 7, 2})
	f.Fuzz(func(t *testing.T, steps []byte) {
		b := Batch{Epoch: 1}
		var opened, closed, destroyed bool
		for _, step := range steps {
			next := b
			next.State = State(step & 0x0f)
			next.Into = b.Epoch + 1
			next.Seed = dp.Seed{}
			if withSeed := step&0x80 == 0; withSeed && (next.State == Closed || next.State == Processed) {
				next.Seed = dp.Seed{1}
			}
			if (Change{b.State, next}).Check() != nil {
				continue
			}
			if next.State == Open && (opened || closed) || next.State == Closed && closed || destroyed {
				t.Fatalf("from %v to %v", b.State, next.State)
			}
			// Without one the batch is processed where crowds are blinded.
			if seeded := next.Seed != (dp.Seed{}); !seeded && next.State == Closed || seeded && next.State != Closed && next.State != Processed {
				t.Fatalf("state %v with seed %v", next.State, seeded)
			}
			opened = opened || next.State == Open
			closed = closed || next.State == Closed
			destroyed = next.State == Destroyed
			b = next
		}
	})
}
