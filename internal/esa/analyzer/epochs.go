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

	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
)

// The states of an epoch of which nothing was released.
const (
	// EpochWaiting: the batch has closed, and the shuffler may still hand it over, or
	// it is being released.
	EpochWaiting = "waiting"
	// EpochTooFew: the shuffler has not handed over a batch, although it had the time
	// or handed over a later one. It had too few reports, by the noised minimum of the
	// task; that the shuffler has lost it looks the same from here.
	EpochTooFew = "too few"
	// EpochMissing: the batch was received and its file is gone, or was discarded.
	EpochMissing = "missing"
)

// An Unreleased epoch is one of which nothing was released. Nothing is disclosed of
// its reports: how many there were below the minimum decides nothing for certain
// only as long as it is not disclosed.
type Unreleased struct {
	Epoch task.Epoch
	State string
}

// settleTime is how long after the close of a batch a later one may overtake it.
const settleTime = time.Hour

// UnreleasedOf returns the epochs of a task that have closed before now and of which
// nothing was released, at most so many, the newest, ordered by epoch: those since the
// first batch that the catalogue has, or the newest alone where it has none. grace is how
// long the shuffler may take to hand a batch over; entries are all that the catalogue
// has of these epochs, which are below before, and may hold later ones; gone reports
// whether the file of a received batch is gone.
func UnreleasedOf(t *task.Task, now time.Time, grace time.Duration, entries []Entry, before task.Epoch, most int, gone func(Batch) bool) []Unreleased {
	have := make(map[task.Epoch]Entry, len(entries))
	var newest task.Epoch
	for _, e := range entries {
		have[e.Epoch] = e
		newest = max(newest, e.Epoch)
	}
	first := t.EpochAt(time.Unix(t.NotBefore, 0))
	if len(entries) == 0 {
		most = min(most, 1)
	} else {
		first = max(first, slices.MinFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Epoch, b.Epoch) }).Epoch)
	}
	if before == 0 {
		return nil
	}
	last := min(t.EpochAt(now), t.EpochAt(time.Unix(t.Expires, 0)), before-1)
	var all []Unreleased
	released := 0
	for e := last; e >= first && len(all)+released < most; e-- {
		closes := t.Closes(e)
		if entry, ok := have[e]; ok {
			switch {
			case entry.State == Released || entry.State == Expired:
				released++
			case entry.State == Discarded:
				all = append(all, Unreleased{e, EpochMissing})
			case gone(entry.Batch):
				all = append(all, Unreleased{e, EpochMissing})
			default:
				all = append(all, Unreleased{e, EpochWaiting})
			}
		} else if t.Covers(e) && !closes.After(now) {
			overtaken := e < newest && now.After(closes.Add(settleTime))
			if overtaken || now.After(closes.Add(grace)) {
				all = append(all, Unreleased{e, EpochTooFew})
			} else {
				all = append(all, Unreleased{e, EpochWaiting})
			}
		}
		if e == 0 {
			break
		}
	}
	slices.SortFunc(all, func(a, b Unreleased) int { return cmp.Compare(a.Epoch, b.Epoch) })
	return all
}

// Unreleased is [UnreleasedOf] of the newest epochs of a task.
func (t *Tables) Unreleased(ctx context.Context, of *task.Task, id task.ID, now time.Time, grace time.Duration, most int) ([]Unreleased, error) {
	batches, err := t.store.Outline(ctx, id, math.MaxInt64, most)
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	entries := make([]Entry, len(batches))
	for i, b := range batches {
		entries[i].Batch = b
	}
	return t.Gaps(of, now, grace, entries, math.MaxInt64, most), nil
}

// Gaps is [UnreleasedOf] with the files that are there.
func (t *Tables) Gaps(of *task.Task, now time.Time, grace time.Duration, entries []Entry, before task.Epoch, most int) []Unreleased {
	return UnreleasedOf(of, now, grace, entries, before, most, t.isGone)
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
	if rule, err := metric.Threshold(t.Threshold); err == nil {
		b.Row[5] = rule.String()
	}
	return b
}
