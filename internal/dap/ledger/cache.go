package ledger

import (
	"container/list"
	"sync"

	"github.com/shoal-project/shoal/dap"
)

type cacheKey struct {
	task dap.TaskID
	page Page
}

// A cache holds pages within a limit that the tasks share: when it is full, the task
// with the most in it gives something up, so that a busy one takes nothing from
// those that have less. It gives up the filters of the page that it has not used for
// the longest time, and once it has none the page itself.
type cache struct {
	limit int64

	mu    sync.Mutex
	total int64
	pages map[cacheKey]*list.Element // of cacheEntry
	tasks map[dap.TaskID]*cacheTask
}

type cacheTask struct {
	total int64
	order list.List // of cacheEntry, most recently used first
}

type cacheEntry struct {
	key  cacheKey
	page *cachedPage
	size int64
}

// get returns a page, nil if it is not here.
func (c *cache) get(k cacheKey) *cachedPage {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.pages[k]
	if e == nil {
		return nil
	}
	c.tasks[k.task].order.MoveToFront(e)
	return e.Value.(*cacheEntry).page
}

// put stores a page with its present size and makes room. A page of which even what
// it cannot do without is larger than the limit goes at once, and serves its caller
// until then.
func (c *cache) put(k cacheKey, p *cachedPage) {
	size := p.size()
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.pages[k]; e != nil {
		c.remove(e)
	}
	t := c.tasks[k.task]
	if t == nil {
		t = &cacheTask{}
		c.tasks[k.task] = t
	}
	c.pages[k] = t.order.PushFront(&cacheEntry{k, p, size})
	t.total += size
	c.total += size
	if c.total > c.limit {
		c.shrink(c.total - c.limit + c.limit/16) // some more, so as not to search each time
	}
}

// shrink frees so many bytes. Callers hold mu.
func (c *cache) shrink(bytes int64) {
	for want := c.total - bytes; c.total > want && len(c.pages) > 0; {
		var most *cacheTask
		for _, t := range c.tasks {
			if most == nil || t.total > most.total {
				most = t
			}
		}
		c.reduce(most, c.total-want)
	}
}

// reduce makes a task give up at most about so many bytes, at least something.
func (c *cache) reduce(t *cacheTask, bytes int64) {
	for e := t.order.Back(); e != nil; e = e.Prev() {
		entry := e.Value.(*cacheEntry)
		if freed := entry.page.shrink(bytes); freed > 0 {
			entry.size -= freed
			t.total -= freed
			c.total -= freed
			return
		}
	}
	c.remove(t.order.Back())
}

func (c *cache) drop(k cacheKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.pages[k]; e != nil {
		c.remove(e)
	}
}

// remove is called with mu held.
func (c *cache) remove(e *list.Element) {
	entry := e.Value.(*cacheEntry)
	t := c.tasks[entry.key.task]
	t.order.Remove(e)
	t.total -= entry.size
	delete(c.pages, entry.key)
	if t.order.Len() == 0 {
		delete(c.tasks, entry.key.task)
	}
	c.total -= entry.size
}

func (c *cache) size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}
