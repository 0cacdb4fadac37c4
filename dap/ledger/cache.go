package ledger

import (
	"container/list"
	"context"
	"fmt"
	"sync"

	"github.com/shoal-project/shoal/dap"
)

// A cachedPage is what a book knows of a page: everything up to block seq.
type cachedPage struct {
	mu   sync.RWMutex
	ids  idSet
	seq  uint32
	tail []blockSize // the small blocks at the page's end, see [Book.compact]
}

// blockSize is the number of a block and how many IDs it has.
type blockSize struct {
	seq uint32
	n   int
}

type cacheKey struct {
	task dap.TaskID
	page Page
}

// A cache holds pages, the least recently used ones leaving first.
type cache struct {
	limit int64

	mu    sync.Mutex
	total int64
	pages map[cacheKey]*list.Element // of cacheEntry
	order list.List                  // most recently used first
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
	c.order.MoveToFront(e)
	return e.Value.(*cacheEntry).page
}

// put stores a page with its present size and lets others go. A page that is
// larger than the limit goes at once, and serves its caller until then.
func (c *cache) put(k cacheKey, p *cachedPage) {
	p.mu.RLock()
	size := p.ids.size()
	p.mu.RUnlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.pages[k]; e != nil {
		c.remove(e)
	}
	c.pages[k] = c.order.PushFront(&cacheEntry{k, p, size})
	c.total += size
	for c.total > c.limit {
		c.remove(c.order.Back())
	}
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
	entry := c.order.Remove(e).(*cacheEntry)
	delete(c.pages, entry.key)
	c.total -= entry.size
}

func (c *cache) size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// page returns a page of the task, reading it if it is not in memory or, with
// fresh, what is new in it. The turn is held.
func (b *Book) page(ctx context.Context, p Page, fresh bool) (*cachedPage, error) {
	key := cacheKey{b.task.ID(), p}
	c := b.books.cache.get(key)
	if c != nil && !fresh {
		return c, nil
	}
	if c == nil {
		c = &cachedPage{ids: newIDSet()}
	}
	blocks, err := b.books.store.Blocks(ctx, b.task.ID(), p, c.seq)
	if err != nil {
		return nil, fmt.Errorf("reading page %v of task %v: %w", p, b.task.ID(), err)
	}
	for i := range blocks {
		if err := blocks[i].Check(); err != nil {
			return nil, fmt.Errorf("reading page %v of task %v: %w", p, b.task.ID(), err)
		}
		c.append(&blocks[i])
	}
	b.books.cache.put(key, c)
	return c, nil
}

// append adds a block that the store has taken.
func (c *cachedPage) append(block *Block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(block.IDs) / IDSize
	for i := range n {
		c.ids.add(dap.ReportID(block.id(i)))
	}
	c.seq = block.Seq
	if n >= smallBlock {
		c.tail = nil
		return
	}
	c.tail = append(c.tail, blockSize{block.Seq, n})
}

func (c *cachedPage) has(id dap.ReportID) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.ids.has(id)
}
