package helper

import (
	"sync"
	"time"
)

// A Rate is how many reports a second a peer or a task may send. The zero Rate is
// no limit.
type Rate struct {
	PerSecond float64 // reports
	Burst     float64 // that may come at once after a pause; at least those of one job
}

// buckets are the token buckets of a set of names. Names are those of tasks and
// peers in the registry, so that there are not more than an operator has agreed to.
type buckets[K comparable] struct {
	rate Rate

	mu   sync.Mutex
	held map[K]*bucket
}

// A bucket may be in debt: a job is let in while there is any credit, and its
// size is known only once it has been read.
type bucket struct {
	credit float64
	at     time.Time // of the credit
}

func newBuckets[K comparable](r Rate) *buckets[K] {
	return &buckets[K]{rate: r, held: make(map[K]*bucket)}
}

// check returns how long a name has to wait until it has credit, 0 if it has.
func (b *buckets[K]) check(name K, now time.Time) time.Duration {
	if b.rate.PerSecond <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.fill(name, now)
	if k.credit > 0 {
		return 0
	}
	wait := time.Duration((1 - k.credit) / b.rate.PerSecond * float64(time.Second))
	return max(wait, time.Second)
}

// spend takes the reports of a job that was let in.
func (b *buckets[K]) spend(name K, reports int, now time.Time) {
	if b.rate.PerSecond <= 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(name, now).credit -= float64(reports)
}

// fill returns a name's bucket with the credit of now. A clock that goes back
// gives none.
func (b *buckets[K]) fill(name K, now time.Time) *bucket {
	k := b.held[name]
	if k == nil {
		k = &bucket{credit: b.rate.Burst, at: now}
		b.held[name] = k
	}
	if d := now.Sub(k.at); d > 0 {
		k.credit = min(b.rate.Burst, k.credit+d.Seconds()*b.rate.PerSecond)
	}
	k.at = now
	return k
}
