package analyzer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/loss"
)

// unreadable reports that the file of a received batch cannot be used, and returns
// the error. The batch waits: the file may be restored.
func (a *Analyzer) unreadable(b Batch, err error) error {
	l := loss.Loss{
		Cause: loss.Damaged, Place: placeOf(b.ID),
		Detail: fmt.Sprintf("a batch waits for this file: restore it; after %d tries the batch is set aside, then start once with \"shoal serve --retry-batches\"", MaxAttempts),
	}
	if errors.Is(err, fs.ErrNotExist) {
		l.Cause, l.Detail = loss.Missing, "a batch waits for this file: restore it, and it is released by itself"
	}
	a.config.Lost(l)
	return err
}

// unserved is a received batch whose task is not served.
func unserved(b Batch) loss.Loss {
	return loss.Loss{
		Cause: loss.Orphaned, Place: placeOf(b.ID),
		Detail: fmt.Sprintf("no bundle names task %v: list its bundle again, or discard the batch", b.Task),
	}
}

// Orphans returns received batches of which the catalogue does not know, and those of
// tasks that are not served. They are kept, and so must be the keys, until an
// operator decides.
func (a *Analyzer) Orphans() []loss.Loss {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []loss.Loss
	for _, b := range a.unserved {
		all = append(all, unserved(b))
	}
	for _, id := range a.strays {
		if _, known := a.pending[id]; known {
			continue
		}
		if _, err := a.config.FS.Stat(a.file(id)); errors.Is(err, fs.ErrNotExist) {
			continue // it came again, and was released
		}
		all = append(all, loss.Loss{
			Cause: loss.Orphaned, Place: placeOf(id),
			Detail: "the catalogue does not know this batch: restore it, wait until the shuffler offers the batch again, or discard the file",
		})
	}
	return all
}

// Discard removes a file that [Analyzer.Orphans] calls place, as an operator has
// decided. A batch that the catalogue knows stays known, as one that is discarded, so
// that it cannot come again.
func (a *Analyzer) Discard(ctx context.Context, place string) error {
	a.tickMu.Lock()
	defer a.tickMu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, b := range a.unserved {
		if placeOf(b.ID) != place {
			continue
		}
		b.State = Discarded
		if err := a.config.Store.Advance(ctx, Received, b); err != nil {
			return fmt.Errorf("discarding %s: %w", place, err)
		}
		a.config.Metrics.Batch(Discarded, nil, nil)
		a.unserved = slices.Delete(a.unserved, i, i+1)
		delete(a.pending, b.ID)
		if err := a.config.FS.Remove(a.file(b.ID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("discarding %s: %w: the next start removes the file", place, err)
		}
		return a.config.FS.SyncDir(a.received())
	}
	for i, id := range a.strays {
		if placeOf(id) != place {
			continue
		}
		if err := a.config.FS.Remove(a.file(id)); err != nil {
			return fmt.Errorf("discarding %s: %w", place, err)
		}
		a.strays = slices.Delete(a.strays, i, i+1)
		return a.config.FS.SyncDir(a.received())
	}
	return fmt.Errorf("discarding %s: there is no such orphan", place)
}

// placeOf names the file of a received batch.
func placeOf(id esa.BatchID) string { return "received/" + id.String() + ".batch" }
