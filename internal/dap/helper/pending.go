package helper

import (
	"context"
	"slices"
	"sync"
)

// pending is which jobs of this process wait to be handled, in memory: the store
// has them all. Peers take turns, each with its oldest job first, and one peer has
// half of the room at most.
type pending struct {
	most int

	mu    sync.Mutex
	peers []*pendingPeer    // that have a job that waits; the next one first
	known map[JobKey]string // the peers of jobs that wait here or are being handled
	count map[string]int    // of known, by peer
	wake  chan struct{}
}

type pendingPeer struct {
	name string
	keys []JobKey
}

func newPending(most int) *pending {
	return &pending{most: most, known: make(map[JobKey]string), count: make(map[string]int), wake: make(chan struct{}, 1)}
}

// room reports whether a job of a peer may be added.
func (p *pending) room(peer string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.known) < p.most && p.count[peer] < max(1, p.most/2)
}

// add adds a job that is not known yet.
func (p *pending) add(k JobKey, peer string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.known[k]; known {
		return
	}
	p.known[k] = peer
	p.count[peer]++
	i := slices.IndexFunc(p.peers, func(o *pendingPeer) bool { return o.name == peer })
	if i < 0 {
		i = len(p.peers)
		p.peers = append(p.peers, &pendingPeer{name: peer})
	}
	p.peers[i].keys = append(p.peers[i].keys, k)
	p.signal()
}

func (p *pending) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// next waits for a job. done forgets it.
func (p *pending) next(ctx context.Context) (JobKey, error) {
	for {
		if k, ok := p.take(); ok {
			return k, nil
		}
		select {
		case <-p.wake:
		case <-ctx.Done():
			return JobKey{}, ctx.Err()
		}
	}
}

// take returns the next job, if there is one.
func (p *pending) take() (JobKey, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.peers) == 0 {
		return JobKey{}, false
	}
	peer := p.peers[0]
	p.peers = p.peers[1:]
	k := peer.keys[0]
	if peer.keys = peer.keys[1:]; len(peer.keys) > 0 {
		p.peers = append(p.peers, peer)
	}
	if len(p.peers) > 0 {
		p.signal()
	}
	return k, true
}

func (p *pending) done(k JobKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	peer, known := p.known[k]
	if !known {
		return
	}
	delete(p.known, k)
	if p.count[peer]--; p.count[peer] == 0 {
		delete(p.count, peer)
	}
	for i, o := range p.peers { // handled by Finish, not from next
		if at := slices.Index(o.keys, k); at >= 0 {
			if o.keys = slices.Delete(o.keys, at, at+1); len(o.keys) == 0 {
				p.peers = slices.Delete(p.peers, i, i+1)
			}
			return
		}
	}
}

func (p *pending) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.known)
}
