package shuffler

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// live are the batches that are not destroyed, with the indexes that keep the cost
// of one batch independent of how many others there are, or ever were. It is not
// safe for concurrent use: [Shuffler].mu guards it.
type live struct {
	batches map[Key]Batch
	epochs  map[task.ID][]task.Epoch // of the batches of each task, ascending
	queue   queue                    // what is due when; holds outdated entries, too
	due     map[Key]time.Time        // which entry of the queue counts for a batch
	visited int                      // entries that lookups have gone through, for tests
}

func newLive() *live {
	return &live{batches: map[Key]Batch{}, epochs: map[task.ID][]task.Epoch{}, due: map[Key]time.Time{}}
}

// put enters or replaces a batch. One that is destroyed is forgotten.
func (l *live) put(b Batch) {
	key := b.Key()
	epochs := l.epochs[b.Task]
	i, known := slices.BinarySearch(epochs, b.Epoch)
	switch {
	case b.State == Destroyed && known:
		l.remove(key, i)
	case b.State == Destroyed:
	case known:
		l.batches[key] = b
	default:
		l.batches[key] = b
		l.epochs[b.Task] = slices.Insert(epochs, i, b.Epoch)
	}
}

// remove forgets the i-th batch of a task.
func (l *live) remove(k Key, i int) {
	delete(l.batches, k)
	delete(l.due, k)
	if epochs := slices.Delete(l.epochs[k.Task], i, i+1); len(epochs) > 0 {
		l.epochs[k.Task] = epochs
	} else {
		delete(l.epochs, k.Task)
	}
}

// of returns the batches of a task that are not destroyed, the earliest first.
func (l *live) of(id task.ID) []Batch {
	all := make([]Batch, 0, len(l.epochs[id]))
	for _, e := range l.epochs[id] {
		all = append(all, l.batches[Key{id, e}])
	}
	l.visited += len(all)
	return all
}

// keys returns all batches, by task, then by epoch.
func (l *live) keys() []Key {
	keys := make([]Key, 0, len(l.batches))
	for k := range l.batches {
		keys = append(keys, k)
	}
	sortKeys(keys)
	return keys
}

func sortKeys(keys []Key) {
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(slices.Compare(a.Task[:], b.Task[:]), cmp.Compare(a.Epoch, b.Epoch))
	})
}

// schedule sets when a batch is looked at next.
func (l *live) schedule(k Key, at time.Time) {
	if have, ok := l.due[k]; ok && have.Equal(at) {
		return
	}
	l.due[k] = at
	heap.Push(&l.queue, look{at, k})
}

// next returns when the first batch is due.
func (l *live) next() (time.Time, bool) {
	l.dropOutdated()
	if len(l.queue) == 0 {
		return time.Time{}, false
	}
	return l.queue[0].at, true
}

// take removes the batches that are due from the queue and returns them, by task,
// then by epoch. Each must be scheduled again unless it has been destroyed.
func (l *live) take(now time.Time) []Key {
	var keys []Key
	for l.dropOutdated(); len(l.queue) > 0 && !l.queue[0].at.After(now); l.dropOutdated() {
		k := heap.Pop(&l.queue).(look).key
		delete(l.due, k)
		keys = append(keys, k)
	}
	l.visited += len(keys)
	sortKeys(keys)
	return keys
}

// dropOutdated removes entries from the head of the queue that do not count.
func (l *live) dropOutdated() {
	for len(l.queue) > 0 {
		at, ok := l.due[l.queue[0].key]
		if ok && at.Equal(l.queue[0].at) {
			return
		}
		heap.Pop(&l.queue)
	}
}

// A look is when a batch is due.
type look struct {
	at  time.Time
	key Key
}

// A queue is a heap, the earliest first.
type queue []look

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(look)) }
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}
