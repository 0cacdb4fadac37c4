package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/shoal-project/shoal/dap"
)

// A state is what a ledger knows, as [dap.Admit] sees it. It answers for the
// candidates that it was made for, while the lock or mu is held.
type state struct {
	ledger  *Ledger
	horizon dap.Time
	seen    map[dap.ReportID]bool
}

// Collected implements [dap.Ledger].
func (s *state) Collected(b dap.Bucket) bool {
	return s.ledger.marks.collected(s.ledger.task.Config().BatchMode, b)
}

// Seen implements [dap.Ledger].
func (s *state) Seen(id dap.ReportID) bool { return s.seen[id] }

// Evicted implements [dap.Ledger].
func (s *state) Evicted(t dap.Time) bool { return t < s.horizon }

// view reads the pages of the candidates and returns the state that decides on
// them. The lock is held.
func (b *Ledger) view(ctx context.Context, candidates []dap.Candidate, fresh bool) (*state, map[Page]*cachedPage, error) {
	s := &state{ledger: b, horizon: b.horizon(b.ledgers.config.ExpiryGrace), seen: make(map[dap.ReportID]bool)}
	pages := make(map[Page]*cachedPage)
	for i := range candidates {
		c := &candidates[i]
		if c.Time < s.horizon { // its page may be gone, and does not matter
			continue
		}
		at := b.layout.Page(c.ID, c.Time)
		p := pages[at]
		if p == nil {
			var err error
			if p, err = b.page(ctx, at, fresh); err != nil {
				return nil, nil, err
			}
			pages[at] = p
		}
		seen, suspects := p.find(c.ID)
		if len(suspects) > 0 {
			var err error
			if seen, err = b.confirm(ctx, at, p, c.ID, suspects); err != nil {
				return nil, nil, err
			}
		}
		if seen {
			s.seen[c.ID] = true
		}
	}
	return s, pages, nil
}

// Late returns, from what is in memory, why a report comes too late to be accepted:
// [dap.BatchCollected], [dap.ReportDropped], or 0. It reads nothing from the
// store, and may miss what other processes have collected a short while ago.
func (b *Ledger) Late(bucket dap.Bucket, t dap.Time) dap.ReportError {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if t < b.horizon(0) {
		return dap.ReportDropped
	}
	if b.marks.collected(b.task.Config().BatchMode, bucket) {
		return dap.BatchCollected
	}
	return 0
}

// Oldest returns the time before which reports have expired: [Ledger.Late] drops
// them, and other aggregators may have forgotten them.
func (b *Ledger) Oldest() dap.Time {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.horizon(0)
}

// Kept returns the time from which on everything that was counted is here, as of the
// last look at the store, such as that of [Ledger.Batch]: what is older was evicted.
func (b *Ledger) Kept() dap.Time {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.watermark
}

// Check returns what [Ledger.Commit] would answer for candidates now, 0 for a report
// that may be aggregated. What other processes have committed may be missing, so
// that it is good enough to leave out reports early, and not to count one.
func (b *Ledger) Check(ctx context.Context, candidates []dap.Candidate) ([]dap.ReportError, error) {
	if verdicts := b.peek(candidates); verdicts != nil {
		return verdicts, nil
	}
	if err := b.lock(ctx); err != nil {
		return nil, err
	}
	defer b.unlock()
	for range attempts {
		s, _, err := b.view(ctx, candidates, false)
		if err == nil {
			return dap.Admit(candidates, s), nil
		}
		if !errors.Is(err, ErrConflict) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("reading the ledger of task %v: %w %d times in a row", b.id, ErrConflict, attempts)
}

// peek is [Ledger.Check] for candidates about which nothing has to be read, else nil:
// it does not wait for a commit that is under way.
func (b *Ledger) peek(candidates []dap.Candidate) []dap.ReportError {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := &state{ledger: b, horizon: b.horizon(b.ledgers.config.ExpiryGrace), seen: make(map[dap.ReportID]bool)}
	for i := range candidates {
		c := &candidates[i]
		if c.Time < s.horizon {
			continue
		}
		p := b.ledgers.cache.get(cacheKey{b.id, b.layout.Page(c.ID, c.Time)})
		if p == nil {
			return nil
		}
		seen, suspects := p.find(c.ID)
		if len(suspects) > 0 {
			return nil // has to be read
		}
		if seen {
			s.seen[c.ID] = true
		}
	}
	return dap.Admit(candidates, s)
}

// An Apply stores a change together with the role's own record, in one
// transaction, with the promises of [Store]. An error that matches [ErrConflict]
// makes the ledger decide again, any other ends the commit.
type Apply func(ctx context.Context, c Change, verdicts []dap.ReportError) error

// attempts bounds how often a step is tried. Each lost attempt is a step that
// another process has made.
const attempts = 1000

// Commit commits the outcome of an aggregation job and returns the verdicts on
// its candidates, in their order: 0 means that the report is counted. With apply
// nil the change is stored alone.
//
// A job whose commit came to an unknown end (an error that does not match
// [ErrConflict]) must be looked up before it is tried again: if it has happened,
// its own reports are found replayed. The same holds for two goroutines with the
// same job: apply must fail for the second one because the job is there.
func (b *Ledger) Commit(ctx context.Context, o *dap.Outcome, apply Apply) ([]dap.ReportError, error) {
	return b.CommitSpending(ctx, o, nil, apply)
}

// CommitSpending is [Ledger.Commit] of reports with tags: those that are counted are
// spent in the same transaction, those whose tags were spent are replayed. With spent
// nil tags make no difference.
func (b *Ledger) CommitSpending(ctx context.Context, o *dap.Outcome, spent *Spent, apply Apply) ([]dap.ReportError, error) {
	if apply == nil {
		apply = func(ctx context.Context, c Change, _ []dap.ReportError) error { return b.ledgers.store.Commit(ctx, c) }
	}
	if err := b.lock(ctx); err != nil {
		return nil, err
	}
	defer b.unlock()
	if spent != nil { // always after the task's
		if err := spent.list.lock(ctx); err != nil {
			return nil, err
		}
		defer spent.list.unlock()
	}
	for n := range attempts {
		verdicts, err := b.commit(ctx, o, spent, apply, n > 0)
		if err == nil || !errors.Is(err, ErrConflict) {
			return verdicts, err
		}
		if err := b.refresh(ctx); err != nil {
			return nil, err
		}
		if spent != nil {
			if err := spent.list.refresh(ctx); err != nil {
				return nil, err
			}
		}
	}
	return nil, fmt.Errorf("committing to the ledger of task %v: %w %d times in a row", b.id, ErrConflict, attempts)
}

// commit makes one attempt. The lock is held.
func (b *Ledger) commit(ctx context.Context, o *dap.Outcome, spent *Spent, apply Apply, fresh bool) ([]dap.ReportError, error) {
	s, pages, err := b.view(ctx, o.Candidates(), fresh)
	if err != nil {
		return nil, err
	}
	verdicts := dap.Admit(o.Candidates(), s)
	var tags *appending
	if spent != nil {
		if tags, err = spent.judge(ctx, b.precision, o.Candidates(), verdicts, false, fresh); err != nil {
			return nil, err
		}
	}
	totals, err := o.Totals(verdicts)
	if err != nil {
		return nil, fmt.Errorf("committing to the ledger of task %v: %w", b.id, err)
	}
	c := Change{Task: b.id, Generation: b.generation, Blocks: b.blocks(o.Candidates(), verdicts, pages)}
	b.addTotals(&c, totals)
	if tags != nil && len(tags.change.Blocks) > 0 {
		c.Spent = &tags.change
	}
	if err := apply(ctx, c, verdicts); err != nil {
		return nil, err
	}
	b.appended(ctx, c.Blocks, pages)
	if tags != nil {
		spent.list.appended(ctx, tags.change.Blocks, tags.pages)
	}
	return verdicts, nil
}

// appended notes blocks that the store has taken.
func (b *Ledger) appended(ctx context.Context, blocks []Block, pages map[Page]*cachedPage) {
	for i := range blocks {
		at := blocks[i].Page
		pages[at].append(&blocks[i])
		b.ledgers.cache.put(cacheKey{b.id, at}, pages[at])
		b.compact(ctx, at, pages[at])
	}
}

// blocks returns the IDs of the admitted candidates by page.
func (b *Ledger) blocks(candidates []dap.Candidate, verdicts []dap.ReportError, pages map[Page]*cachedPage) []Block {
	ids := make(map[Page][]dap.ReportID)
	for i := range candidates {
		if verdicts[i] == 0 {
			at := b.layout.Page(candidates[i].ID, candidates[i].Time)
			ids[at] = append(ids[at], candidates[i].ID)
		}
	}
	blocks := make([]Block, 0, len(ids))
	for at, list := range ids {
		slices.SortFunc(list, func(x, y dap.ReportID) int { return bytes.Compare(x[:], y[:]) })
		blocks = append(blocks, Block{Page: at, Seq: pages[at].seq + 1, IDs: join(list)})
	}
	// In one order everywhere, so that two processes never wait for each other.
	slices.SortFunc(blocks, func(x, y Block) int { return x.Page.compare(y.Page) })
	return blocks
}

func join(ids []dap.ReportID) []byte {
	b := make([]byte, 0, len(ids)*IDSize)
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return b
}

// addTotals adds the deltas of the totals to a change.
func (b *Ledger) addTotals(c *Change, totals map[dap.Bucket]*dap.Total) {
	for bucket, total := range totals {
		latest := total.Interval.Start + dap.Time(total.Interval.Duration) - 1
		c.Deltas = append(c.Deltas, Delta{Place{bucket, b.ledgers.part}, latest})
	}
	slices.SortFunc(c.Deltas, func(x, y Delta) int { return x.Place.compare(y.Place) })
	c.Merge = func(p Place, old []byte) ([]byte, error) {
		total := totals[p.Bucket]
		if total == nil {
			return nil, fmt.Errorf("merging totals: nothing to add to bucket %v", p.Bucket)
		}
		if old != nil {
			sum, err := b.openTotal(p, old)
			if err != nil {
				return nil, err
			}
			if err := sum.Merge(total); err != nil {
				return nil, err
			}
			total = sum
		}
		return b.sealTotal(p, total)
	}
}

// where is the place as it is bound to a sealed total.
func (b *Ledger) where(p Place) [][]byte {
	id := b.id
	unit := binary.BigEndian.AppendUint64(nil, uint64(p.Bucket.Unit))
	return [][]byte{id[:], unit, p.Bucket.Batch[:], {p.Part}}
}

const totalKind = "dap total"

func (b *Ledger) sealTotal(p Place, total *dap.Total) ([]byte, error) {
	plain, err := total.MarshalBinary()
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return b.ledgers.config.Keys.Seal(plain, totalKind, b.where(p)...), nil
}

func (b *Ledger) openTotal(p Place, sealed []byte) (*dap.Total, error) {
	plain, err := b.ledgers.config.Keys.Open(sealed, totalKind, b.where(p)...)
	if err != nil {
		return nil, fmt.Errorf("bucket %v of task %v: %w", p.Bucket, b.id, err)
	}
	defer clear(plain)
	return b.task.ParseTotal(plain)
}
