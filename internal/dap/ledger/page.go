package ledger

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/shoal-project/shoal/dap"
)

// A cachedPage is what a ledger knows of a page: everything up to block seq. Most of
// a long page is in runs; what came later is kept whole, which is at most about
// sizes.run IDs once it has been put in order.
type cachedPage struct {
	mu    sync.RWMutex
	seed  maphash.Seed // of the filters
	runs  []*run
	ids   idSet  // of the blocks after the last run
	stray idSet  // of blocks before it that are in no run
	after uint32 // the last number in a run
	loose int    // how many blocks come after it
	seq   uint32
	tail  []blockSize // the small blocks at the page's end, see [Ledger.compact]
}

func newCachedPage() *cachedPage {
	return &cachedPage{seed: maphash.MakeSeed(), ids: newIDSet(), stray: newIDSet()}
}

// blockSize is the number of a block and how many IDs it has.
type blockSize struct {
	seq uint32
	n   int
}

// A suspect is an ID that may be in a chunk of a run.
type suspect struct {
	run   *run
	chunk *chunk
}

// find reports whether an ID is in the page as far as is known in memory, and where
// to look if it may be.
func (c *cachedPage) find(id dap.ReportID) (bool, []suspect) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.ids.has(id) || c.stray.has(id) {
		return true, nil
	}
	var all []suspect
	for _, r := range c.runs {
		if at := r.find(id, c.seed); at != nil {
			all = append(all, suspect{r, at})
		}
	}
	return false, all
}

// size returns the bytes of memory.
func (c *cachedPage) size() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	size := c.ids.size() + c.stray.size()
	for _, r := range c.runs {
		size += r.size()
	}
	return size
}

// shrink drops the filters of the oldest runs until so many bytes are free, and
// returns how many are.
func (c *cachedPage) shrink(bytes int64) (freed int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.runs {
		if freed >= bytes {
			break
		}
		freed += r.filter.size()
		r.filter, r.misses = nil, 0
	}
	return freed
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
	c.loose++
	if n >= smallBlock {
		c.tail = nil
		return
	}
	c.tail = append(c.tail, blockSize{block.Seq, n})
}

// addRun adds blocks that are in order and follow those that are known.
func (c *cachedPage) addRun(blocks []Block) {
	r := newRun(c.seq, blocks, c.seed)
	c.mu.Lock()
	defer c.mu.Unlock()
	// Another process may have put in order what is known here already.
	kept := c.runs[:0:0]
	for _, old := range c.runs {
		if !within(old, blocks, r) {
			kept = append(kept, old)
		}
	}
	c.runs = append(kept, r)
	stray := newIDSet()
	for _, set := range []*idSet{&c.stray, &c.ids} {
		set.each(func(id dap.ReportID) {
			if !r.holds(blocks, id) {
				stray.add(id)
			}
		})
	}
	c.stray, c.ids = stray, newIDSet()
	c.seq, c.after, c.loose, c.tail = r.last, r.last, 0, nil
}

// within reports whether the blocks of a run are now in another one, r of blocks: an
// ID is in one block, and what replaces blocks replaces them as a whole.
func within(old *run, blocks []Block, r *run) bool {
	for i := range old.chunks {
		if !r.holds(blocks, old.chunks[i].first) {
			return false
		}
	}
	return true
}

// page returns a page of the task, reading it if it is not in memory or, with
// fresh, what is new in it. The lock is held.
func (b *Ledger) page(ctx context.Context, p Page, fresh bool) (*cachedPage, error) {
	key := cacheKey{b.id, p}
	c := b.ledgers.cache.get(key)
	if c != nil && !fresh {
		return c, nil
	}
	if c == nil {
		c = newCachedPage()
	}
	if err := b.load(ctx, p, c); err != nil {
		b.ledgers.cache.drop(key) // it may have forgotten what it would have read
		return nil, fmt.Errorf("reading page %v of task %v: %w", p, b.id, err)
	}
	b.ledgers.cache.put(key, c)
	return c, nil
}

// load reads what is new in a page. Blocks that are found in order make a run.
func (b *Ledger) load(ctx context.Context, p Page, c *cachedPage) error {
	var chain []Block // in order
	size := &b.ledgers.sizes
	ids, most := 0, size.long
	flush := func() {
		if ids >= size.least {
			if c.ids.len() >= size.least { // else they would be kept whole before the run
				b.orderEarlier(ctx, p, c)
			}
			c.addRun(chain)
			chain, ids = nil, 0
			return
		}
		for i := range chain {
			c.append(&chain[i])
		}
		chain, ids = nil, 0
		if c.ids.len() >= most { // the page of an older version: put it in order as it comes
			b.orderEarlier(ctx, p, c)
			most = c.ids.len() + size.long
		}
	}
	for after := c.seq; ; {
		blocks, err := b.ledgers.store.Blocks(ctx, b.id, p, after)
		if err != nil {
			return err
		}
		if len(blocks) == 0 {
			flush()
			if c.ids.len() >= size.run {
				b.order(ctx, p, c)
			}
			return nil
		}
		for i := range blocks {
			if err := blocks[i].Check(); err != nil {
				return err
			}
			n := len(blocks[i].IDs) / IDSize
			if len(chain) > 0 && (!blocks[i].continues(&chain[len(chain)-1]) || ids+n > size.long+size.long/4) {
				flush()
			}
			chain, ids = append(chain, blocks[i]), ids+n
			if ids == n && n < size.chunk/2 { // not the first one of a run
				flush()
			}
		}
		after = blocks[len(blocks)-1].Seq
	}
}

// confirm reads whether an ID is in one of the chunks that may hold it. It fails with
// [ErrConflict] if another process has put the page in another order: it is read
// again then. The lock is held.
func (b *Ledger) confirm(ctx context.Context, p Page, c *cachedPage, id dap.ReportID, all []suspect) (bool, error) {
	for _, s := range all {
		block, err := b.ledgers.store.Block(ctx, b.id, p, s.chunk.seq)
		if err == nil {
			err = block.Check()
		}
		if err == nil && !s.chunk.is(&block) {
			err = ErrConflict
		}
		if err != nil {
			if errors.Is(err, ErrConflict) {
				b.ledgers.cache.drop(cacheKey{b.id, p})
			}
			return false, fmt.Errorf("reading block %d of page %v of task %v: %w", s.chunk.seq, p, b.id, err)
		}
		if block.contains(id) {
			return true, nil
		}
		if err := b.missed(ctx, p, c, s.run); err != nil {
			return false, err
		}
	}
	return false, nil
}

// missed counts a look into a run without a filter, and makes the filter again when
// the looks have cost as much. The lock is held.
func (b *Ledger) missed(ctx context.Context, p Page, c *cachedPage, r *run) error {
	c.mu.Lock()
	wanted := false
	if r.filter == nil {
		r.misses++
		wanted = r.misses >= len(r.chunks)
	}
	c.mu.Unlock()
	if !wanted || int64(r.n)*9/4 > b.ledgers.config.CacheBytes/2 {
		return nil
	}
	blocks, err := b.read(ctx, p, r.after, r.last)
	for i := range blocks {
		if err == nil && (len(blocks) != len(r.chunks) || !r.chunks[i].is(&blocks[i])) {
			err = ErrConflict // another process has put the page in another order
		}
	}
	if err != nil {
		b.ledgers.cache.drop(cacheKey{b.id, p})
		return err
	}
	f := newFilter(blocks, r.n, c.seed)
	c.mu.Lock()
	r.filter, r.misses = f, 0
	c.mu.Unlock()
	b.ledgers.cache.put(cacheKey{b.id, p}, c)
	return nil
}

// read returns the blocks with numbers above after, up to last.
func (b *Ledger) read(ctx context.Context, p Page, after, last uint32) ([]Block, error) {
	var all []Block
	for after < last {
		blocks, err := b.ledgers.store.Blocks(ctx, b.id, p, after)
		if err != nil {
			return nil, err
		}
		for i := range blocks {
			if blocks[i].Seq > last {
				blocks = blocks[:i]
				break
			}
			if err := blocks[i].Check(); err != nil {
				return nil, err
			}
		}
		if len(blocks) == 0 {
			return nil, ErrConflict
		}
		all = append(all, blocks...)
		after = all[len(all)-1].Seq
	}
	return all, nil
}
