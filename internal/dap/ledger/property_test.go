package ledger_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/ledger/storetest"
)

// A naive ledger keeps everything in plain sets and has one user: what the ledgers
// must do, whichever process uses them.
type naive struct {
	w         *world
	seen      map[dap.ReportID]bool
	collected map[dap.Bucket]bool
	inBatch   map[dap.Bucket][]int
	watermark dap.Time
}

func newNaive(w *world) *naive {
	return &naive{w, make(map[dap.ReportID]bool), make(map[dap.Bucket]bool), make(map[dap.Bucket][]int), 0}
}

func (n *naive) commit(reports []int) []dap.ReportError {
	var verdicts []dap.ReportError
	for _, i := range reports {
		md := n.w.inits[i].Share.Metadata
		switch {
		case n.collected[n.w.bucket[i]]:
			verdicts = append(verdicts, dap.BatchCollected)
		case md.Time < n.watermark:
			verdicts = append(verdicts, dap.ReportDropped)
		case n.seen[md.ID]:
			verdicts = append(verdicts, dap.ReportReplayed)
		default:
			verdicts = append(verdicts, 0)
			n.seen[md.ID] = true
			n.inBatch[n.w.bucket[i]] = append(n.inBatch[n.w.bucket[i]], i)
		}
	}
	return verdicts
}

// members returns the reports of a batch, and whether a part was collected.
func (n *naive) members(s dap.BatchSelector) (reports []int, collected bool) {
	for b, in := range n.inBatch {
		if n.w.task.Selects(s, b) {
			reports = append(reports, in...)
		}
	}
	for b := range n.collected {
		collected = collected || n.w.task.Selects(s, b)
	}
	return reports, collected
}

func (n *naive) collect(s dap.BatchSelector) {
	for b := range n.inBatch {
		if n.w.task.Selects(s, b) {
			delete(n.inBatch, b)
		}
	}
	if id, err := s.BatchID(); err == nil {
		n.collected[dap.Bucket{Batch: id}] = true
	}
	if i, err := s.Interval(); err == nil {
		for k := range uint64(i.Duration) {
			n.collected[dap.Bucket{Unit: i.Start + dap.Time(k)}] = true
		}
	}
}

// evict forgets as a store does: a bucket goes with its latest report, a mark of
// an interval only as a whole, so that its units stay collected until then.
func (n *naive) evict(before dap.Time) {
	n.watermark = max(n.watermark, before-before%24)
	for b, in := range n.inBatch {
		latest := dap.Time(0)
		for _, i := range in {
			latest = max(latest, n.w.inits[i].Share.Metadata.Time)
		}
		if latest < n.watermark {
			delete(n.inBatch, b)
		}
	}
}

// A schedule is processes that share a store, under a random sequence of steps.
type schedule struct {
	w       *world
	t       *rapid.T
	store   *storetest.Model
	ledgers []*ledger.Ledger
	naive   *naive
	// counted is how often each report was in a batch that was collected.
	counted []int
}

func (s *schedule) some() []int {
	n := len(s.w.inits)
	if s.w.task.Config().BatchMode == dap.LeaderSelectedMode { // one batch a job
		at := rapid.IntRange(0, n/3-1).Draw(s.t, "batch") * 3
		return rapid.SampledFrom([][]int{{at}, {at + 1, at}, {at + 2, at + 1}, {at, at + 1, at + 2}}).Draw(s.t, "reports")
	}
	return rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 1, 6, rapid.ID).Draw(s.t, "reports")
}

func (s *schedule) selector() dap.BatchSelector {
	if s.w.task.Config().BatchMode == dap.LeaderSelectedMode {
		return dap.BatchIDSelector(dap.BatchID{byte(rapid.IntRange(1, len(s.w.inits)/3).Draw(s.t, "batch"))})
	}
	return dap.IntervalSelector(dap.Interval{
		Start:    first + dap.Time(rapid.IntRange(0, 7*len(s.w.inits)).Draw(s.t, "start")),
		Duration: dap.Duration(rapid.IntRange(1, 60).Draw(s.t, "units")),
	})
}

func (s *schedule) ledger() *ledger.Ledger {
	return s.ledgers[rapid.IntRange(0, len(s.ledgers)-1).Draw(s.t, "process")]
}

func (s *schedule) commit(t *testing.T) {
	reports := s.some()
	verdicts, err := s.ledger().Commit(t.Context(), s.w.job(t, reports...), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if want := s.naive.commit(reports); !settled(verdicts, want) {
		s.t.Fatalf("reports %v: verdicts %v, want %v", reports, verdicts, want)
	}
}

// settled compares verdicts. A mark of an interval that was evicted may be
// remembered or not: both refuse the report, with another reason.
func settled(have, want []dap.ReportError) bool {
	return slices.EqualFunc(have, want, func(h, w dap.ReportError) bool {
		return h == w || h == dap.ReportDropped && w == dap.BatchCollected
	})
}

func (s *schedule) collect(t *testing.T) {
	sel := s.selector()
	members, collected := s.naive.members(sel)
	err := s.ledger().Collect(t.Context(), sel, func(ctx context.Context, total *dap.Total, c ledger.Collection) error {
		if !sameTotal(t, total, s.w.sum(t, members...)) {
			s.t.Fatalf("batch %v: a total of %d reports, want that of %v", sel, total.Count, members)
		}
		return s.store.Collect(ctx, c)
	})
	abort, _ := errors.AsType[*dap.Abort](err)
	switch {
	case err == nil:
		if collected && !s.evicted(sel) || len(members) < 2 {
			s.t.Fatalf("batch %v with %d reports was collected, part of it for the second time: %t", sel, len(members), collected)
		}
		for _, i := range members {
			s.counted[i]++
		}
		s.naive.collect(sel)
	case abort == nil:
		s.t.Fatal(err)
	case abort.Type == dap.ProblemBatchOverlap && collected:
	case abort.Type == dap.ProblemInvalidBatchSize && len(members) < 2:
	default:
		s.t.Fatalf("batch %v with %d reports, collected before: %t: %v", sel, len(members), collected, err)
	}
}

// evicted reports whether a batch begins before the watermark.
func (s *schedule) evicted(sel dap.BatchSelector) bool {
	i, err := sel.Interval()
	return err == nil && i.Start < s.naive.watermark
}

func (s *schedule) evict(t *testing.T) {
	before := first + dap.Time(rapid.IntRange(0, 3*len(s.w.inits)).Draw(s.t, "before"))
	if err := s.ledger().Evict(t.Context(), before); err != nil {
		s.t.Fatal(err)
	}
	s.naive.evict(before)
}

func (s *schedule) restart(t *testing.T) {
	at := rapid.IntRange(0, len(s.ledgers)-1).Draw(s.t, "process")
	s.ledgers[at] = s.w.open(t, s.store, func(c *ledger.Config) { c.CacheBytes = 2000 })
}

// Whatever several processes do to one store, the verdicts and totals are those
// of a naive ledger with one user.
func TestSchedules(t *testing.T) {
	for _, mode := range []dap.BatchMode{dap.TimeIntervalMode, dap.LeaderSelectedMode} {
		t.Run(mode.String(), func(t *testing.T) {
			w := newWorld(t, mode, 18)
			rapid.Check(t, func(rt *rapid.T) {
				s := &schedule{w: w, t: rt, store: storetest.NewModel(), naive: newNaive(w), counted: make([]int, len(w.inits))}
				for range 3 {
					s.ledgers = append(s.ledgers, w.open(t, s.store))
				}
				steps := map[string]func(*testing.T){"commit": s.commit, "collect": s.collect, "evict": s.evict, "restart": s.restart}
				for range 20 {
					steps[rapid.SampledFrom([]string{"commit", "commit", "commit", "commit", "collect", "collect", "evict", "restart"}).Draw(rt, "step")](t)
				}
				for i, n := range s.counted {
					if n > 1 {
						rt.Fatalf("report %d counts %d times", i, n)
					}
				}
			})
		})
	}
}
