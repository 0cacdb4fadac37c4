package collector

import (
	"context"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// The states of an epoch that was asked for and of which nothing was released.
const (
	// EpochWaiting: the leader is adding up, or the answer is being released.
	EpochWaiting = "waiting"
	// EpochNotEnough: the leader has too few reports yet, and more may come.
	EpochNotEnough = "not enough yet"
	// EpochTooFew: the leader had too few when no more could come.
	EpochTooFew = "too few"
	// EpochGivenUp: there will be no answer, as the leader reported.
	EpochGivenUp = "given up"
)

// LateReports is how long after a batch has closed reports that are on their way
// between leader and helper may still count.
const LateReports = 6 * time.Hour

// Epoch returns the state at the time now of an ask that is not released, of a
// batch for which devices could send until closed.
func (a Ask) Epoch(closed, now time.Time) string {
	switch {
	case a.State == Abandoned:
		return EpochGivenUp
	case a.State != Asked || a.Missing == "":
		return EpochWaiting
	case !closed.IsZero() && now.After(closed.Add(LateReports)):
		return EpochTooFew
	}
	return EpochNotEnough
}

// Unreleased returns the last asks of a task that are not released, at most so many.
func (t *Tables) Unreleased(ctx context.Context, id dap.TaskID, most int) ([]Ask, error) {
	return t.store.Unreleased(ctx, id, most)
}

// Span returns what an ask of the question asks for, zero times where the leader
// chooses.
func (q *Question) Span(a Ask) (start, end time.Time) { return q.span(a) }

// UnreleasedBatch is a row of the table of batches without figures.
func UnreleasedBatch(t *task.Task, id task.ID, a Ask, start, end time.Time, state string) release.Batch {
	b := release.Batch{Task: id, Metric: t.Metric, Epoch: task.Epoch(a.Number), Start: start, End: end, Note: state, Columns: batchColumns}
	b.Row = make(release.Row, len(batchColumns))
	b.Row[0], b.Row[1], b.Row[2], b.Row[3] = start.UnixMilli(), end.UnixMilli(), id.String(), state
	return b
}
