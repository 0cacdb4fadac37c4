package analyzer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/shoal-project/shoal/esa"
	"github.com/shoal-project/shoal/internal/loss"
)

// unreadable reports that the file of a received batch cannot be used, and returns
// the error. The batch waits: the file may be restored.
func (a *Analyzer) unreadable(b Batch, err error) error {
	l := loss.Loss{Cause: loss.Damaged, Place: placeOf(b.ID), Detail: "a batch waits for this file: restore it"}
	if errors.Is(err, fs.ErrNotExist) {
		l.Cause = loss.Missing
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
	all := slices.Clone(a.unserved)
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
// decided. A batch that the catalogue knows is not removed: its task can be served
// again.
func (a *Analyzer) Discard(_ context.Context, place string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
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
	return fmt.Errorf("discarding %s: the catalogue knows this batch: list the bundle of its task again", place)
}

// placeOf names the file of a received batch.
func placeOf(id esa.BatchID) string { return "received/" + id.String() + ".batch" }
