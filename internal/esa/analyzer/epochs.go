package analyzer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// What is known of an epoch of which nothing was released.
const (
	// EpochWaiting: the batch has closed, and the shuffler may still hand it over, or
	// it is being released.
	EpochWaiting = "waiting"
	// EpochTooFew: the shuffler has stated that it has lost nothing of the epoch, and there
	// is no batch. It had too few reports, by the noised minimum of the task, or none.
	EpochTooFew = "too few"
	// EpochMissing: the shuffler has stated that reports may be lost, or has not stated
	// anything in the time that it has; or the batch was received and its file is gone, or
	// was discarded, or data of the analyzer was lost in which it could have been.
	EpochMissing = "missing"
)

// An Unreleased epoch is one of which nothing was released. Nothing is disclosed of
// its reports: how many there were below the minimum decides nothing for certain
// only as long as it is not disclosed.
type Unreleased struct {
	Epoch task.Epoch
	State string
}

// A Span of epochs is what [UnreleasedOf] is asked for.
type Span struct {
	Now    time.Time
	Grace  time.Duration // how long the shuffler may take to hand a batch over, and to state that no batch comes
	Since  time.Time     // when data of the analyzer was last given up or restored; zero for never
	Before task.Epoch    // the first that is not wanted
	Most   int           // the newest, at most so many
}

// UnreleasedOf returns the epochs of a task that have closed and of which nothing was
// released, ordered by epoch: those since the first batch that the catalogue has, or the
// newest alone where it has none. entries are all that the catalogue has of these epochs,
// and may hold later ones; stated is what the shuffler had stated before they were read;
// gone reports whether the file of a received batch is gone.
func UnreleasedOf(t *task.Task, want Span, entries []Entry, stated esa.Coverage, gone func(Batch) bool) []Unreleased {
	have := make(map[task.Epoch]Entry, len(entries))
	for _, e := range entries {
		have[e.Epoch] = e
	}
	first, most := t.EpochAt(time.Unix(t.NotBefore, 0)), want.Most
	if len(entries) == 0 {
		most = min(most, 1)
	} else {
		first = max(first, slices.MinFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Epoch, b.Epoch) }).Epoch)
	}
	if want.Before == 0 {
		return nil
	}
	last := min(t.EpochAt(want.Now), t.EpochAt(time.Unix(t.Expires, 0)), want.Before-1)
	var all []Unreleased
	released := 0
	for e := last; e >= first && len(all)+released < most; e-- {
		entry, ok := have[e]
		switch {
		case ok && (entry.State == Released || entry.State == Expired):
			released++
		case ok && (entry.State == Discarded || gone(entry.Batch)):
			all = append(all, Unreleased{e, EpochMissing})
		case ok:
			all = append(all, Unreleased{e, EpochWaiting})
		case t.Covers(e) && !t.Closes(e).After(want.Now):
			all = append(all, Unreleased{e, want.without(t.Closes(e), e, stated)})
		}
		if e == 0 {
			break
		}
	}
	slices.Reverse(all)
	return all
}

// without returns the state of an epoch of which the catalogue knows no batch. Before
// Since, it may have known one.
func (s Span) without(closes time.Time, e task.Epoch, stated esa.Coverage) string {
	switch {
	case stated.Lost.Has(e):
		return EpochMissing
	case stated.Complete.Has(e) && !closes.Before(s.Since):
		return EpochTooFew
	case s.Now.After(closes.Add(s.Grace)):
		return EpochMissing
	}
	return EpochWaiting
}

// Unreleased is [UnreleasedOf] of the newest epochs of a task.
func (t *Tables) Unreleased(ctx context.Context, of *task.Task, id task.ID, want Span) ([]Unreleased, error) {
	stated, err := t.Stated(ctx, id)
	if err != nil {
		return nil, err
	}
	batches, err := t.store.Outline(ctx, id, math.MaxInt64, want.Most)
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	entries := make([]Entry, len(batches))
	for i, b := range batches {
		entries[i].Batch = b
	}
	want.Before = math.MaxInt64
	return t.Gaps(of, want, entries, stated), nil
}

// Stated returns what the shuffler has stated of a task. It is read before the batches
// that it is compared with: a batch comes before the statement that it has come.
func (t *Tables) Stated(ctx context.Context, id task.ID) (esa.Coverage, error) {
	return t.store.Stated(ctx, id)
}

// StatedChanges returns for each task of which something was stated how often that has
// changed.
func (t *Tables) StatedChanges(ctx context.Context) (map[task.ID]int64, error) {
	return t.store.StatedChanges(ctx)
}

// Gaps is [UnreleasedOf] with the files that are there.
func (t *Tables) Gaps(of *task.Task, want Span, entries []Entry, stated esa.Coverage) []Unreleased {
	return UnreleasedOf(of, want, entries, stated, t.isGone)
}

// isGone reports whether the file of a received batch is gone.
func (t *Tables) isGone(b Batch) bool {
	_, err := t.fs.Stat(filepath.Join(t.dir, "received", b.ID.String()+".batch"))
	return errors.Is(err, fs.ErrNotExist)
}

// UnreleasedBatch is a row of the table of batches without figures.
func UnreleasedBatch(t *task.Task, id task.ID, u Unreleased) release.Batch {
	start, end := t.Start(u.Epoch), t.Start(u.Epoch+1)
	b := release.Batch{Task: id, Metric: t.Metric, Epoch: u.Epoch, Start: start, End: end, Note: u.State, Columns: batchColumns}
	b.Row = make(Row, len(batchColumns))
	b.Row[0], b.Row[1], b.Row[2], b.Row[3] = start.UnixMilli(), end.UnixMilli(), id.String(), u.State
	if rule, err := t.Threshold.Rule(); err == nil {
		b.Row[5] = rule.String()
	}
	return b
}
