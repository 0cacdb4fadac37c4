package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-project/shoal/dap"
)

// MaxBlockIDs bounds the IDs of one block, so that a row stays below what the
// databases accept in one value.
const MaxBlockIDs = 1 << 22

// Check reports the first thing in a change that no state of a store could take.
// Stores call it before they begin.
func (c *Change) Check() error {
	pages := make(map[Page]bool, len(c.Blocks))
	for i := range c.Blocks {
		b := &c.Blocks[i]
		if err := b.Check(); err != nil {
			return err
		}
		if pages[b.Page] {
			return fmt.Errorf("ledger change: two blocks for page %v", b.Page)
		}
		pages[b.Page] = true
	}
	places := make(map[Place]bool, len(c.Deltas))
	for _, d := range c.Deltas {
		if places[d.Place] {
			return fmt.Errorf("ledger change: two deltas for bucket %v", d.Place)
		}
		if d.Latest > math.MaxInt64 || d.Place.Bucket.Unit > math.MaxInt64 {
			return fmt.Errorf("ledger change: bucket %v: time out of range", d.Place)
		}
		places[d.Place] = true
	}
	if len(c.Deltas) > 0 && c.Merge == nil {
		return errors.New("ledger change: deltas, but no way to merge them")
	}
	if c.Spent == nil {
		return nil
	}
	if len(c.Spent.Deltas) > 0 || c.Spent.Spent != nil || c.Spent.Task == c.Task {
		return errors.New("ledger change: what is spent must be blocks of another ledger alone")
	}
	return c.Spent.Check()
}

// Check reports whether the block's IDs are whole, increasing, and at least one.
func (b *Block) Check() error {
	n := len(b.IDs) / IDSize
	if b.Seq == 0 || n == 0 || n > MaxBlockIDs || len(b.IDs)%IDSize != 0 || b.Page.Window > math.MaxInt64 {
		return fmt.Errorf("ledger block %d of page %v: %d bytes of IDs", b.Seq, b.Page, len(b.IDs))
	}
	for i := 1; i < n; i++ {
		if bytes.Compare(b.id(i-1), b.id(i)) >= 0 {
			return fmt.Errorf("ledger block %d of page %v: ID %d is not above the one before it", b.Seq, b.Page, i+1)
		}
	}
	return nil
}

// ReadIDs is how many IDs [Store.Blocks] returns at a time, about: 8 MiB.
const ReadIDs = 1 << 19

// Check reports the first thing in a compaction that no state of a store could take.
func (c *Compaction) Check() error {
	if len(c.Blocks) == 0 || c.After >= c.Last || c.Count < 1 {
		return fmt.Errorf("ledger compaction: %d blocks for %d with numbers above %d up to %d", len(c.Blocks), c.Count, c.After, c.Last)
	}
	least := c.Last
	for i := range c.Blocks {
		b := &c.Blocks[i]
		if err := b.Check(); err != nil {
			return err
		}
		if b.Page != c.Blocks[0].Page || b.Seq < least {
			return fmt.Errorf("ledger compaction: block %d of page %v, want a number from %d of page %v", b.Seq, b.Page, least, c.Blocks[0].Page)
		}
		least = b.Seq + 1
	}
	return nil
}

// Page is the page of a compaction.
func (c *Compaction) Page() Page { return c.Blocks[0].Page }

// Appends reports whether a new block has a number above those that are replaced.
func (c *Compaction) Appends() bool { return c.Blocks[len(c.Blocks)-1].Seq > c.Last }

func (b *Block) id(i int) []byte { return b.IDs[i*IDSize : (i+1)*IDSize] }

// Range returns which buckets a selector names: the units from first to last, or
// the batch if it is not nil. It fails with the errors of [dap.BatchSelector] and
// with [dap.ErrTime].
func Range(s dap.BatchSelector) (first, last dap.Time, batch *dap.BatchID, err error) {
	if s.Mode == dap.LeaderSelectedMode {
		id, err := s.BatchID()
		return 0, 0, &id, err
	}
	i, err := s.Interval()
	if err != nil {
		return 0, 0, nil, err
	}
	if err := i.Validate(); err != nil {
		return 0, 0, nil, err
	}
	end, err := i.End()
	if err != nil || end > math.MaxInt64 {
		return 0, 0, nil, fmt.Errorf("%w: %v", dap.ErrTime, i)
	}
	return i.Start, end - 1, nil, nil
}

// Match reports whether sums are exactly the parts and revisions that were seen.
func (c *Collection) Match(sums []Sum) bool {
	if len(sums) != len(c.Seen) {
		return false
	}
	seen := make(map[Stamp]bool, len(c.Seen))
	for _, s := range c.Seen {
		seen[s] = true
	}
	for _, s := range sums {
		if !seen[Stamp{s.Place, s.Rev}] {
			return false
		}
	}
	return len(seen) == len(sums)
}

// merge returns one block with the IDs of several of one page, and the last
// number.
func merge(blocks []Block) (Block, error) {
	var all []dap.ReportID
	var out Block
	for i := range blocks {
		b := &blocks[i]
		if err := b.Check(); err != nil {
			return Block{}, err
		}
		out.Page, out.Seq = b.Page, b.Seq
		for k := range len(b.IDs) / IDSize {
			all = append(all, dap.ReportID(b.id(k)))
		}
	}
	slices.SortFunc(all, func(x, y dap.ReportID) int { return bytes.Compare(x[:], y[:]) })
	out.IDs = join(slices.Compact(all))
	return out, out.Check()
}
