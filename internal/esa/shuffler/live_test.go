package shuffler

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/metric/task"
)

// The indexes agree with a plain map, whatever happens to the batches.
func TestLiveAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, all, due := newLive(), map[Key]Batch{}, map[Key]time.Time{}
		now := time.Unix(0, 0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			b := Batch{
				Task: task.ID{rapid.ByteRange(0, 2).Draw(t, "task")}, Epoch: task.Epoch(rapid.IntRange(0, 4).Draw(t, "epoch")),
				State: State(rapid.IntRange(1, 7).Draw(t, "state")),
			}
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				l.put(b)
				all[b.Key()] = b
				if b.State == Destroyed {
					delete(all, b.Key())
					delete(due, b.Key())
				}
			case 1:
				if _, ok := all[b.Key()]; ok {
					at := time.Unix(rapid.Int64Range(0, 100).Draw(t, "at"), 0)
					l.schedule(b.Key(), at)
					due[b.Key()] = at
				}
			case 2:
				now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "wait")) * time.Second)
				taken := map[Key]bool{}
				for _, k := range l.take(now) {
					taken[k] = true
				}
				for k, at := range due {
					if taken[k] == at.After(now) {
						t.Fatalf("%v is due at %v, taken at %v: %v", k, at, now, taken[k])
					}
					if taken[k] {
						delete(due, k)
						delete(taken, k)
					}
				}
				if len(taken) > 0 {
					t.Fatalf("taken without being due: %v", taken)
				}
			}
			if len(l.batches) != len(all) {
				t.Fatalf("%d batches, want %d", len(l.batches), len(all))
			}
			n := 0
			for _, id := range []task.ID{{0}, {1}, {2}} {
				of := l.of(id)
				n += len(of)
				for i, b := range of {
					if b != all[b.Key()] || i > 0 && of[i-1].Epoch >= b.Epoch {
						t.Fatalf("batches of %v: %v", id, of)
					}
				}
			}
			if n != len(all) {
				t.Fatalf("%d batches by task, want %d", n, len(all))
			}
		}
	})
}

// Taking one batch and looking for those of its task visits as many entries among
// 100,000 batches as among ten.
func TestLiveVisits(t *testing.T) {
	visits := func(tasks int) int {
		l := newLive()
		for i := range tasks {
			id := task.ID{byte(i), byte(i >> 8), byte(i >> 16)}
			for e := range task.Epoch(10) {
				b := Batch{Task: id, Epoch: e, State: Open}
				l.put(b)
				l.schedule(b.Key(), time.Unix(1000+rand.Int64N(1000), 0))
			}
		}
		first := Key{task.ID{}, 3}
		l.schedule(first, time.Unix(1, 0))
		if keys := l.take(time.Unix(5, 0)); len(keys) != 1 || keys[0] != first {
			t.Fatal(keys)
		}
		l.of(first.Task)
		return l.visited
	}
	if few, many := visits(1), visits(10_000); few != many {
		t.Errorf("%d entries visited among 10 batches, %d among 100,000", few, many)
	}
}
