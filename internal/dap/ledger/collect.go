package ledger

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/shoal-project/shoal/dap"
)

func (p Page) compare(q Page) int {
	return cmp.Or(cmp.Compare(p.Window, q.Window), cmp.Compare(p.Shard, q.Shard))
}

func (p Place) compare(q Place) int {
	return cmp.Or(cmp.Compare(p.Bucket.Unit, q.Bucket.Unit), bytes.Compare(p.Bucket.Batch[:], q.Bucket.Batch[:]), cmp.Compare(p.Part, q.Part))
}

// Batch returns what a batch has now, and whether a part of it was collected: to
// see whether it is large enough, without collecting it.
func (b *Ledger) Batch(ctx context.Context, s dap.BatchSelector) (total *dap.Total, collected bool, err error) {
	if err := b.lock(ctx); err != nil {
		return nil, false, err
	}
	defer b.unlock()
	total, _, collected, err = b.batch(ctx, s)
	return total, collected, err
}

// batch reads a batch. The lock is held.
func (b *Ledger) batch(ctx context.Context, s dap.BatchSelector) (*dap.Total, []Stamp, bool, error) {
	if err := b.refresh(ctx); err != nil {
		return nil, nil, false, err
	}
	collected, err := b.marks.selects(s)
	if err != nil {
		return nil, nil, false, fmt.Errorf("reading a batch of task %v: %w", b.id, err)
	}
	sums, err := b.ledgers.store.Sums(ctx, b.id, s)
	if err != nil {
		return nil, nil, false, fmt.Errorf("reading a batch of task %v: %w", b.id, err)
	}
	total := b.task.NewTotal()
	stamps := make([]Stamp, 0, len(sums))
	for _, sum := range sums {
		part, err := b.openTotal(sum.Place, sum.Total)
		if err != nil {
			return nil, nil, false, err
		}
		if err := total.Merge(part); err != nil {
			return nil, nil, false, fmt.Errorf("reading a batch of task %v: %w", b.id, err)
		}
		stamps = append(stamps, Stamp{sum.Place, sum.Rev})
	}
	return total, stamps, collected, nil
}

// A Take stores a collection together with the role's own record, in one
// transaction, with the promises of [Store]. The total is the batch's, and the
// caller's to keep: add noise to it, seal it. An error that matches [ErrConflict]
// makes the ledger read the batch again, any other ends the collection. What was
// made of the total of an attempt that failed must never leave.
type Take func(ctx context.Context, total *dap.Total, c Collection) error

// Collect collects a batch that [dap.Task.CheckBatch] allows, else its error is
// an [dap.Abort]. Once take has returned nil, no report is committed to the batch
// any more, and the batch's totals are deleted. With take nil the collection is
// stored alone.
func (b *Ledger) Collect(ctx context.Context, s dap.BatchSelector, take Take) error {
	if take == nil {
		take = func(ctx context.Context, _ *dap.Total, c Collection) error { return b.ledgers.store.Collect(ctx, c) }
	}
	if err := b.lock(ctx); err != nil {
		return err
	}
	defer b.unlock()
	for range attempts {
		total, stamps, collected, err := b.batch(ctx, s)
		if err != nil {
			return err
		}
		if err := b.task.CheckBatch(total, collected); err != nil {
			return err
		}
		err = take(ctx, total, Collection{Task: b.id, Generation: b.generation, Selector: s, Seen: stamps})
		if err == nil {
			return b.collected(s)
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("collecting from the ledger of task %v: %w %d times in a row", b.id, ErrConflict, attempts)
}

// collected notes a collection that the store has just taken, so that Check knows
// of it at once. The lock is held.
func (b *Ledger) collected(s dap.BatchSelector) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.generation++
	return b.marks.add(s)
}

// Evict forgets all reports before a time, rounded down to a window of the
// layout, and the batches of such reports, collected or not. Later reports of
// that time are dropped (section "Reducing Storage Requirements").
func (b *Ledger) Evict(ctx context.Context, before dap.Time) error {
	watermark := before - before%dap.Time(b.layout.Window)
	if err := b.lock(ctx); err != nil {
		return err
	}
	defer b.unlock()
	for range attempts {
		if err := b.refresh(ctx); err != nil {
			return err
		}
		if watermark <= b.watermark {
			return nil
		}
		err := b.ledgers.store.Evict(ctx, b.id, b.generation, watermark)
		if err == nil || !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("evicting from the ledger of task %v: %w %d times in a row", b.id, ErrConflict, attempts)
}

// Expire evicts what is older than the expiry of [Ledgers.Open] and the ExpiryGrace of
// [Config], by the clock of that: one that is set forward by mistake takes away what is not collected.
func (b *Ledger) Expire(ctx context.Context) error {
	b.mu.RLock()
	before := b.horizon(b.ledgers.config.ExpiryGrace)
	b.mu.RUnlock()
	return b.Evict(ctx, before)
}
