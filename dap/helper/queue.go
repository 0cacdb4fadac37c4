package helper

import (
	"context"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
)

// A queue lets a few pieces of work run at a time and the others wait, the newest
// first: under overload the newest is the one whose sender still waits. Who has
// waited too long, or is the oldest of too many, is sent away.
type queue struct {
	clock clock.Clock
	slots int           // that run at a time
	depth int           // that wait
	age   time.Duration // how long one waits

	mu      sync.Mutex
	running int
	waiting []*waiter // the oldest first
}

type waiter struct {
	wake    context.CancelFunc
	granted bool
	removed bool
}

// enter waits for a slot and returns the function that gives it back. It returns
// [errBusy] to those that are sent away, and the context's error.
func (q *queue) enter(ctx context.Context) (leave func(), err error) {
	q.mu.Lock()
	if q.running < q.slots {
		q.running++
		q.mu.Unlock()
		return q.leave, nil
	}
	if q.depth == 0 {
		q.mu.Unlock()
		return nil, errBusy
	}
	sleep, wake := context.WithCancel(ctx)
	defer wake()
	w := &waiter{wake: wake}
	if len(q.waiting) == q.depth {
		oldest := q.waiting[0]
		q.waiting = q.waiting[1:]
		oldest.removed = true
		oldest.wake()
	}
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()

	_ = q.clock.Until(sleep, q.clock.Now().Add(q.age)) // granted, removed, aged or cancelled: see below
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.granted {
		return q.leave, nil
	}
	if !w.removed {
		for i, other := range q.waiting {
			if other == w {
				q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
				break
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, errBusy
}

// leave gives a slot to the newest that waits.
func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.waiting)
	if n == 0 {
		q.running--
		return
	}
	w := q.waiting[n-1]
	q.waiting = q.waiting[:n-1]
	w.granted = true
	w.wake()
}

// lengths returns how many run and wait.
func (q *queue) lengths() (running, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running, len(q.waiting)
}
