package shuffler

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/metric/task"
)

// A History is what a shuffler knows of its own past, from which its statements follow.
type History struct {
	// Since is the time, in Unix seconds, from which on the store is unbroken: reports
	// that came earlier may be lost. 0 is from the beginning, below 0 is not known: the
	// store is of a version that kept no history.
	Since int64
	// Through is the time, in Unix seconds, until which batches that have closed are
	// decided about. Those that are not are in Gaps.
	Through int64
	Gaps    []Gap
	// Sent are the digests of the statements that the next hops have.
	Sent map[task.ID][sha256.Size]byte
}

// A Gap is a loss of reports that were acknowledged, as statements tell it: of all
// tasks, the epochs that closed after After and had begun until Until, in Unix seconds,
// are not complete. Which batch has lost something is not told: that would show that
// there was one.
type Gap struct {
	Place string // what is lost: the same whenever it is found again
	After int64
	Until int64
	Task  task.ID // if not zero, the task that it concerns alone
}

// maxGaps is how many gaps a history has, at most. When there are more, the oldest
// become the time before Since.
const maxGaps = 500

// A foundGap is a gap of which it is not decided which time it concerns.
type foundGap struct {
	place string
	of    []Key   // batches that it concerns, at least; usually none
	task  task.ID // that it concerns alone, if not zero
}

// concerns returns the epochs of a task that a gap concerns. A hop behind the first has
// nothing of an epoch that has not closed.
func (g Gap) concerns(h *hosted) esa.Span {
	if g.Task != (task.ID{}) && g.Task != h.id {
		return esa.Span{First: 1} // none
	}
	span := esa.Span{First: openAt(h.task, g.After), Last: h.task.EpochAt(time.Unix(g.Until+int64(h.task.ClockSkew), 0))}
	if h.hop > 0 {
		span = before(span, openAt(h.task, g.Until))
	}
	return span
}

// lose reports a loss, and notes a gap for it: before anything else is stated, or any
// batch goes on.
func (s *Shuffler) lose(l loss.Loss, of ...Key) {
	s.config.Lost(l)
	s.noteGap(foundGap{place: l.Place, of: of})
}

func (s *Shuffler) noteGap(f foundGap) {
	st := &s.stating
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.places[f.place] {
		st.places[f.place] = true
		st.found = append(st.found, f)
	}
}

// recordGaps makes the gaps that were found durable.
func (s *Shuffler) recordGaps(ctx context.Context) error {
	st := &s.stating
	now, _ := s.guard.Now()
	st.keeping.Lock()
	defer st.keeping.Unlock()
	st.mu.Lock()
	n := len(st.found)
	if n == 0 {
		st.mu.Unlock()
		return nil
	}
	h := History{Since: st.history.Since, Through: st.history.Through}
	for _, f := range st.found {
		h.Gaps = append(h.Gaps, s.gapOf(f, max(h.Through, h.Since), now))
	}
	all := slices.Concat(st.history.Gaps, h.Gaps)
	slices.SortFunc(all, func(a, b Gap) int { return cmp.Compare(b.Until, a.Until) })
	if len(all) > maxGaps {
		h.Since = max(h.Since, all[maxGaps].Until+1)
		all = slices.DeleteFunc(all, func(g Gap) bool { return g.Until < h.Since })
	}
	st.mu.Unlock()
	if err := s.config.Store.Keep(ctx, h); err != nil {
		return fmt.Errorf("noting a loss: %w", err)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.found = st.found[n:]
	st.history.Gaps, st.history.Since = all, h.Since
	for id := range s.tasks {
		st.dirty[id] = true
	}
	return nil
}

// gapOf decides which time a loss concerns that was found now: all epochs that have begun
// and had not closed at the time known, until which they are stated, or nothing is known.
func (s *Shuffler) gapOf(f foundGap, known int64, now time.Time) Gap {
	g := Gap{Place: f.place, Task: f.task, After: known, Until: now.Unix()}
	if f.task != (task.ID{}) {
		g.After = 0
	}
	for _, k := range f.of {
		if h := s.tasks[k.Task]; h != nil {
			g.After = min(g.After, h.task.Closes(k.Epoch).Unix()-1)
			g.Until = max(g.Until, h.task.Start(k.Epoch).Unix())
		}
	}
	return g
}

// inGap reports whether a gap concerns an epoch. Callers hold st.mu.
func (st *stating) inGap(h *hosted, e task.Epoch) bool {
	return slices.ContainsFunc(st.history.Gaps, func(g Gap) bool {
		span := g.concerns(h)
		return span.First <= e && e <= span.Last
	})
}
