package ledger

import (
	"context"
	"errors"
	"hash/maphash"
)

const (
	smallBlock   = 1024 // IDs, 16 KiB: what a row and its last page leave unused is then little
	compactAfter = 32   // small blocks in a row
)

// compact joins the small blocks at the end of a page when there are many, and puts
// what is kept whole in order when it has grown. The commit has happened: an error
// here costs space and no more, and the next commit tries again. The lock is held.
func (b *Ledger) compact(ctx context.Context, at Page, c *cachedPage) {
	switch {
	case c.ids.len() >= b.ledgers.sizes.run:
		b.order(ctx, at, c)
	case len(c.tail) >= compactAfter:
		b.join(ctx, at, c)
	}
}

// join makes one block of the small ones at the end of a page.
func (b *Ledger) join(ctx context.Context, at Page, c *cachedPage) {
	count, after := len(c.tail), c.tail[0].seq-1
	blocks, err := b.read(ctx, at, after, c.seq)
	if err != nil && !errors.Is(err, ErrConflict) {
		return
	}
	joined, failure := merge(blocks)
	if err == nil && failure == nil && len(blocks) == count {
		err = b.ledgers.store.Compact(ctx, b.id, Compaction{After: after, Last: c.seq, Count: count, Blocks: []Block{joined}})
	} else {
		err = ErrConflict
	}
	switch {
	case err == nil:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.loose -= count - 1
		c.tail = nil
		if n := len(joined.IDs) / IDSize; n < smallBlock {
			c.tail = []blockSize{{joined.Seq, n}}
		}
	case errors.Is(err, ErrConflict): // another process was here: read the page again
		b.ledgers.cache.drop(cacheKey{b.id, at})
	}
}

// order puts the blocks after the last run in order, as a run, and joins the last
// runs if there are enough of them. The lock is held.
func (b *Ledger) order(ctx context.Context, at Page, c *cachedPage) {
	r, err := b.rewrite(ctx, at, c.seed, Compaction{After: c.after, Last: c.seq, Count: c.loose}, c.seq)
	if err == nil {
		c.mu.Lock()
		c.ids = newIDSet()
		c.runs = append(c.runs, r)
		c.seq, c.after, c.loose, c.tail = r.last, r.last, 0, nil
		c.mu.Unlock()
		err = b.joinRuns(ctx, at, c)
	}
	if errors.Is(err, ErrConflict) {
		b.ledgers.cache.drop(cacheKey{b.id, at})
		return
	}
	b.ledgers.cache.put(cacheKey{b.id, at}, c)
}

// joinRuns makes one long run of the last short ones.
func (b *Ledger) joinRuns(ctx context.Context, at Page, c *cachedPage) error {
	first, n, count := len(c.runs)-joinRuns, 0, 0
	if first < 0 {
		return nil
	}
	for _, r := range c.runs[first:] {
		n, count = n+r.n, count+len(r.chunks)
	}
	from := c.runs[first].after
	if n > b.ledgers.sizes.long+b.ledgers.sizes.long/4 {
		return nil
	}
	for i := first + 1; i < len(c.runs); i++ {
		if c.runs[i].after != c.runs[i-1].last {
			return nil // there is something between them
		}
	}
	r, err := b.rewrite(ctx, at, c.seed, Compaction{After: from, Last: c.seq, Count: count}, c.seq)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq, c.after = r.last, r.last
	c.runs = append(c.runs[:first:first], r)
	return nil
}

// orderEarlier puts what has been read of a page in order while there is more to
// read. It goes to the end of the page, where it is read again, and is forgotten
// here. If that fails it is kept whole.
func (b *Ledger) orderEarlier(ctx context.Context, at Page, c *cachedPage) {
	end, err := b.ledgers.store.Last(ctx, b.id, at)
	if err != nil {
		return
	}
	if _, err := b.rewrite(ctx, at, c.seed, Compaction{After: c.after, Last: c.seq, Count: c.loose}, end); err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids, c.after, c.loose, c.tail = newIDSet(), c.seq, 0, nil
}

// rewrite puts the blocks that a compaction replaces in order, with numbers after
// end, the last one of the page.
func (b *Ledger) rewrite(ctx context.Context, at Page, seed maphash.Seed, change Compaction, end uint32) (*run, error) {
	blocks, err := b.read(ctx, at, change.After, change.Last)
	if err != nil {
		return nil, err
	}
	if len(blocks) != change.Count {
		return nil, ErrConflict
	}
	all, err := merge(blocks)
	if err != nil {
		return nil, err
	}
	change.Blocks = all.split(b.ledgers.sizes.chunk, end)
	if err := b.ledgers.store.Compact(ctx, b.id, change); err != nil {
		return nil, err
	}
	return newRun(change.After, change.Blocks, seed), nil
}
