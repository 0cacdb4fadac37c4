package helper

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
)

// A queue lets a few pieces of work run at a time and the others wait. Peers share
// it fairly: a slot goes to the peer that has the fewest running, among equals to
// the one that was served the longest ago. Within a peer the newest is first: under
// overload it is the one whose sender still waits. A request that has waited too
// long is refused, and of too many the oldest one of the peer that has the most
// waiting.
type queue struct {
	clock clock.Clock
	slots int           // that run at a time
	depth int           // that wait
	age   time.Duration // how long one waits

	mu      sync.Mutex
	running int
	waiting int
	served  uint64                // how often a slot was given
	peers   map[string]*queuePeer // that have something here
}

// queuePeer is what one peer has in a queue.
type queuePeer struct {
	name    string
	running int
	served  uint64    // the queue's count when it last got a slot; 0 never
	waiting []*waiter // the oldest first
}

type waiter struct {
	wake    context.CancelFunc
	granted bool
	removed bool
}

// enter waits for a slot for a peer and returns the function that gives it back. It
// returns [errBusy] to those that are refused, and the context's error.
func (q *queue) enter(ctx context.Context, peer string) (leave func(), err error) {
	q.mu.Lock()
	p := q.peer(peer)
	if q.running < q.slots {
		q.grant(p)
		q.mu.Unlock()
		return func() { q.leave(p) }, nil
	}
	if q.depth == 0 {
		q.forget(p)
		q.mu.Unlock()
		return nil, errBusy
	}
	sleep, wake := context.WithCancel(ctx)
	defer wake()
	w := &waiter{wake: wake}
	p.waiting = append(p.waiting, w)
	if q.waiting++; q.waiting > q.depth {
		q.refuse()
	}
	q.mu.Unlock()

	_ = q.clock.Until(sleep, q.clock.Now().Add(q.age)) // granted, removed, aged or cancelled: see below
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.granted {
		return func() { q.leave(p) }, nil
	}
	if !w.removed {
		i := slices.Index(p.waiting, w)
		p.waiting = slices.Delete(p.waiting, i, i+1)
		q.waiting--
	}
	q.forget(p)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, errBusy
}

// peer returns what a peer has here. Callers hold mu.
func (q *queue) peer(name string) *queuePeer {
	p := q.peers[name]
	if p == nil {
		if q.peers == nil {
			q.peers = make(map[string]*queuePeer)
		}
		p = &queuePeer{name: name}
		q.peers[name] = p
	}
	return p
}

// forget drops a peer that has nothing here. Callers hold mu.
func (q *queue) forget(p *queuePeer) {
	if p.running == 0 && len(p.waiting) == 0 && q.peers[p.name] == p {
		delete(q.peers, p.name)
	}
}

// grant gives a peer a slot. Callers hold mu.
func (q *queue) grant(p *queuePeer) {
	q.running++
	q.served++
	p.running++
	p.served = q.served
}

// refuse removes the oldest that waits of the peer with the most. Callers hold mu.
func (q *queue) refuse() {
	var most *queuePeer
	for _, p := range q.peers {
		if most == nil || len(p.waiting) > len(most.waiting) || len(p.waiting) == len(most.waiting) && p.served > most.served {
			most = p
		}
	}
	oldest := most.waiting[0]
	most.waiting = most.waiting[1:]
	q.waiting--
	oldest.removed = true
	oldest.wake()
}

// leave gives the slot of a peer to the next that waits.
func (q *queue) leave(p *queuePeer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	p.running--
	defer q.forget(p)
	var next *queuePeer
	for _, other := range q.peers {
		if len(other.waiting) == 0 {
			continue
		}
		if next == nil || other.running < next.running || other.running == next.running && other.served < next.served {
			next = other
		}
	}
	if next == nil {
		return
	}
	last := len(next.waiting) - 1
	w := next.waiting[last]
	next.waiting = next.waiting[:last]
	q.waiting--
	q.grant(next)
	w.granted = true
	w.wake()
}

// lengths returns how many run and wait.
func (q *queue) lengths() (running, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running, q.waiting
}
