package ohttp

import (
	"maps"
	"sync"
)

// A counter counts events by cause. The zero value is ready to use.
type counter struct {
	mu sync.Mutex
	by map[string]uint64
}

func (c *counter) add(cause string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[string]uint64{}
	}
	c.by[cause]++
}

func (c *counter) snapshot() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.by)
}

// A budget bounds the bytes that requests in progress hold.
type budget struct {
	mu   sync.Mutex
	left int
}

// take reserves n bytes, or returns false at once.
func (b *budget) take(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.left {
		return false
	}
	b.left -= n
	return true
}

func (b *budget) give(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += n
}
