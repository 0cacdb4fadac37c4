package keyring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
)

// An Announcement is what a peer has announced, verified.
type Announcement[V any] struct {
	Value V
	Fresh time.Time // before this it is used without asking again
	Until time.Time // before this it is used if the peer does not answer
}

// A Cache keeps what peers have announced. Many who ask for the same peer cause one
// request, which ends when none of them waits for it any more. It is safe for
// concurrent use.
type Cache[V any] struct {
	clock   clock.Clock
	timeout time.Duration
	pause   time.Duration

	mu      sync.Mutex
	known   map[string]Announcement[V] // guarded by mu
	flights map[string]*flight[V]      // guarded by mu
}

// A flight is a request for which some wait.
type flight[V any] struct {
	cancel  context.CancelFunc
	waiting int           // guarded by the cache's mu
	done    chan struct{} // closed when value and err are set
	value   V
	err     error
}

// A Fetch asks a peer and verifies its answer.
type Fetch[V any] func(ctx context.Context, now time.Time) (Announcement[V], error)

// NewCache returns an empty cache. A request takes timeout at most. A peer that did not
// answer while its last announcement could be used is asked again after pause.
func NewCache[V any](c clock.Clock, timeout, pause time.Duration) *Cache[V] {
	return &Cache[V]{clock: c, timeout: timeout, pause: pause, known: map[string]Announcement[V]{}, flights: map[string]*flight[V]{}}
}

// Get returns what the peer of a name announces, from the cache if it is good.
func (c *Cache[V]) Get(ctx context.Context, peer string, fetch Fetch[V]) (V, error) {
	now := c.clock.Now()
	c.mu.Lock()
	if a, ok := c.known[peer]; ok && now.Before(a.Fresh) {
		c.mu.Unlock()
		return a.Value, nil
	}
	f := c.flights[peer]
	if f == nil {
		f = &flight[V]{done: make(chan struct{})}
		var detached context.Context
		detached, f.cancel = context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
		c.flights[peer] = f
		go c.run(detached, peer, f, fetch, now)
	}
	f.waiting++
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiting--; f.waiting == 0 {
		f.cancel()
		c.end(peer, f)
	}
	var none V
	return none, ctx.Err()
}

// run makes a request.
func (c *Cache[V]) run(ctx context.Context, peer string, f *flight[V], fetch Fetch[V], now time.Time) {
	defer f.cancel()
	a, err := fetch(ctx, now)
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.known[peer]; err != nil && ok && now.Before(known.Until) {
		a, err = known, nil
		a.Fresh = now.Add(c.pause)
	}
	if err == nil && c.flights[peer] == f { // not forgotten meanwhile
		c.known[peer] = a
	}
	f.value, f.err = a.Value, err
	close(f.done)
	c.end(peer, f)
}

// end makes the next Get begin another request. It is called with mu held.
func (c *Cache[V]) end(peer string, f *flight[V]) {
	if c.flights[peer] == f {
		delete(c.flights, peer)
	}
}

// Forget drops what a peer has announced, so that the next Get asks for it.
func (c *Cache[V]) Forget(peer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, peer)
	delete(c.flights, peer)
}

// ErrTooLong says that an announcement is longer than the one who asks allows.
var ErrTooLong = errors.New("the announcement is too long")

// ReadBody reads the body of an announcement, of at most limit bytes. It fails with
// [ErrTooLong].
func ReadBody(resp *http.Response, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%w: limit %d bytes", ErrTooLong, limit)
	}
	return body, nil
}
