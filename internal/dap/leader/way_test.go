package leader_test

import (
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
)

func variants() []*dap.Variant { return []*dap.Variant{dap.DAP18(), dap.DAP19(), dap.Janus()} }

// leaderSelected makes the task one of the leader-selected mode.
func leaderSelected(c *dap.TaskConfiguration) { c.BatchMode = dap.LeaderSelectedMode }

// The whole way in the time-interval mode: nothing is ready before the grace is
// over, then the sum is exact, and the batch is collected once.
func TestWayOfAnInterval(t *testing.T) {
	for _, v := range variants() {
		t.Run(v.String(), func(t *testing.T) {
			w := newWorld(t, v, nil, nil)
			q := w.unit(t, 1)
			for i := range 10 {
				if refused := w.upload(t, w.report(t, i%3, 0)); len(refused) > 0 {
					t.Fatalf("refused: %v", refused)
				}
			}
			at := w.collect(t, q)
			w.tick(t)
			if w.result(t, at, q) != nil {
				t.Fatal("a result before the interval has ended")
			}
			w.clock.Advance(precision + 9*time.Minute)
			w.upload(t, w.report(t, 5, 1)) // late, within the grace
			w.tick(t)
			if w.result(t, at, q) != nil {
				t.Fatal("a result before the grace is over")
			}
			w.clock.Advance(time.Minute)
			w.tick(t)
			got := w.result(t, at, q)
			if !slices.Equal(got, histogram(4, 3, 3, 0, 0, 1)) {
				t.Fatalf("result %v", got)
			}
			if again := w.result(t, at, q); !slices.Equal(again, got) {
				t.Fatalf("the second answer is %v", again)
			}
			w.collectedOnce(t, q)
		})
	}
}

// collectedOnce checks that nothing of a query's batch can be had again, nor be
// added to it.
func (w *world) collectedOnce(t *testing.T, q dap.Query) {
	t.Helper()
	i, err := q.Interval()
	must(t, err)
	i.Duration++
	rec := w.ask(t, dap.CollectionJobReq{Query: dap.IntervalQuery(i)}, dap.CollectionJobID{77})
	if abort := problemOf(t, rec); abort.Type != dap.ProblemBatchOverlap {
		t.Fatalf("an overlapping query got %v", abort)
	}
	r := w.report(t, 1, 0)
	r.Metadata.Time = i.Start
	refused := w.upload(t, w.seal(t, r.Metadata, 1, nil))
	if len(refused) != 1 || refused[0].Error != dap.ReportReplayed {
		t.Fatalf("a report of a collected batch: %v", refused)
	}
}

// The whole way in the leader-selected mode: each batch has exactly the minimum,
// and each query after the deletion of the one before gets another.
func TestWayOfSelectedBatches(t *testing.T) {
	for _, v := range variants() {
		t.Run(v.String(), func(t *testing.T) {
			w := newWorld(t, v, leaderSelected, nil)
			for i := range 7 {
				w.upload(t, w.report(t, i, 0))
			}
			q := dap.NextBatchQuery()
			sum := make([]uint64, buckets)
			for range 2 {
				at := w.collect(t, q)
				w.tick(t)
				got := w.result(t, at, q)
				n := uint64(0)
				for k, x := range got {
					n += x
					sum[k] += x
				}
				if n != 3 {
					t.Fatalf("a batch of %d reports: %v", n, got)
				}
				if rec := w.do("DELETE", at, "", nil, w.token); rec.Code/100 != 2 {
					t.Fatalf("deletion answered %d", rec.Code)
				}
			}
			at := w.collect(t, q)
			w.tick(t)
			if got := w.result(t, at, q); got != nil {
				t.Fatalf("a batch of one report: %v", got)
			}
			w.upload(t, w.report(t, 7, 0), w.report(t, 8, 0))
			w.clock.Advance(time.Minute)
			w.tick(t)
			for k, x := range w.result(t, at, q) {
				sum[k] += x
			}
			if !slices.Equal(sum, histogram(1, 1, 1, 1, 1, 1, 1, 1, 1)) {
				t.Fatalf("the batches together have %v", sum)
			}
		})
	}
}

// Everything goes on after a restart between any two steps, with an asynchronous
// helper that loses answers.
func TestRestarts(t *testing.T) {
	for _, mode := range []func(*dap.TaskConfiguration){nil, leaderSelected} {
		w := newWorld(t, dap.DAP18(), mode, func(c *leader.Config) { c.CollectionTimeout = 100 * time.Hour })
		w.helper.async, w.helper.lose = true, 2
		q := w.unit(t, 1)
		if mode != nil {
			q = dap.NextBatchQuery()
		}
		var at string
		for i := range 12 {
			w.upload(t, w.report(t, i, 0))
			w.restart(t)
			if i == 5 {
				at = w.collect(t, q)
			}
			w.leader.Tick(t.Context())
			w.clock.Advance(5 * time.Minute) // the last report is within the interval
		}
		w.clock.Advance(20 * time.Minute)
		for range 40 {
			w.restart(t)
			w.leader.Tick(t.Context())
			w.clock.Advance(time.Minute)
		}
		got := w.result(t, at, q)
		if n := total(got); mode == nil && n != 12 || mode != nil && n != 3 {
			t.Fatalf("result %v", got)
		}
		for _, x := range got {
			if x > 1 {
				t.Fatalf("a report counts twice: %v", got)
			}
		}
	}
}

func total(histogram []uint64) (n uint64) {
	for _, x := range histogram {
		n += x
	}
	return n
}
