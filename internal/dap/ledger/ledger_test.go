package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/ledger/storetest"
)

func all(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// whole selects every report of a world.
func whole(w *world) dap.BatchSelector {
	return dap.IntervalSelector(dap.Interval{Start: first, Duration: dap.Duration(7*len(w.inits) + 1)})
}

// Many goroutines in several processes commit jobs that share reports: each
// report counts once, and is in the total once.
func TestConcurrentCommits(t *testing.T) {
	const n = 24
	w := newWorld(t, dap.TimeIntervalMode, n)
	store := storetest.NewModel()
	var accepted [n]atomic.Int32
	var wg sync.WaitGroup
	for process := range 3 {
		taskLedger := w.open(t, store)
		for g := range 4 {
			order := rand.New(rand.NewPCG(uint64(process), uint64(g))).Perm(n)
			var jobs []*dap.Outcome
			for part := range slices.Chunk(order, 5) {
				jobs = append(jobs, w.job(t, part...))
			}
			wg.Go(func() {
				for k, job := range jobs {
					verdicts, err := taskLedger.Commit(t.Context(), job, nil)
					if err != nil {
						t.Error(err)
						return
					}
					for i, v := range verdicts {
						if v == 0 {
							accepted[order[5*k+i]].Add(1)
						} else if v != dap.ReportReplayed {
							t.Errorf("verdict %v", v)
						}
					}
				}
			})
		}
	}
	wg.Wait()
	for i := range accepted {
		if accepted[i].Load() != 1 {
			t.Errorf("report %d was accepted %d times", i, accepted[i].Load())
		}
	}
	total, collected, err := w.open(t, store).Batch(t.Context(), whole(w))
	if err != nil || collected {
		t.Fatal(collected, err)
	}
	equal(t, "all", total, w.sum(t, all(n)...))
}

// A batch that is collected while others commit to it holds exactly what was
// acknowledged to them.
func TestCollectAgainstCommits(t *testing.T) {
	const n = 24
	w := newWorld(t, dap.TimeIntervalMode, n)
	for round := range 20 {
		store := storetest.NewModel()
		ledgers := []*ledger.Ledger{w.open(t, store), w.open(t, store)}
		var mu sync.Mutex
		var accepted []int
		var wg sync.WaitGroup
		for i := range n {
			job := w.job(t, i)
			wg.Go(func() {
				verdicts, err := ledgers[i%2].Commit(t.Context(), job, nil)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if verdicts[0] == 0 {
					accepted = append(accepted, i)
				}
			})
		}
		var got *dap.Total
		for got == nil && !t.Failed() {
			err := ledgers[round%2].Collect(t.Context(), whole(w), func(ctx context.Context, total *dap.Total, c ledger.Collection) error {
				if err := store.Collect(ctx, c); err != nil {
					return err
				}
				got = total
				return nil
			})
			if abort, _ := errors.AsType[*dap.Abort](err); err != nil && (abort == nil || abort.Type != dap.ProblemInvalidBatchSize) {
				t.Fatal(err)
			}
		}
		wg.Wait()
		if got == nil {
			t.Fatal("nothing was collected")
		}
		equal(t, "collected", got, w.sum(t, accepted...))
		total, collected, err := ledgers[0].Batch(t.Context(), whole(w))
		if err != nil || !collected || total.Count != 0 {
			t.Fatalf("%d reports after the collection, %v", total.Count, err)
		}
	}
}

// At every change of the store a crash, before it or after it, and an error
// without one: what is tried again is neither lost nor counted twice, if the
// caller looks up whether it has happened, as callers must.
func TestCrashes(t *testing.T) {
	w := newWorld(t, dap.TimeIntervalMode, 12)
	jobs := [][]int{{0, 1, 2}, {2, 3, 4}, {5, 0, 6, 7}, {8}, {9, 10, 11}}
	for n := 1; ; n++ {
		crashed := false
		for _, after := range []bool{false, true} {
			for _, flaky := range []bool{false, true} {
				m := storetest.NewModel()
				m.Flaky = flaky
				m.CrashAt(n, after)
				c := &crashing{w: w, model: m, done: make(map[int]bool)}
				for k, job := range jobs {
					c.commit(t, k, w.job(t, job...))
				}
				c.collect(t, all(12))
				crashed = crashed || c.crashes > 0
			}
		}
		if !crashed {
			if n < len(jobs)+2 {
				t.Fatalf("only %d changes", n-1)
			}
			return
		}
	}
}

// crashing is a role over a store that crashes. done represents its own records,
// which are written in the same transactions.
type crashing struct {
	w       *world
	model   *storetest.Model
	ledger  *ledger.Ledger
	done    map[int]bool
	crashes int
}

// restart opens the store again after an error, if it has crashed.
func (c *crashing) restart(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, storetest.ErrCrashed) {
		t.Fatal(err)
	}
	c.crashes++
	if c.model.Crashed() {
		c.model, c.ledger = c.model.Restart(), nil
	}
}

// opened returns the ledger.
func (c *crashing) opened(t *testing.T) *ledger.Ledger {
	for c.ledger == nil {
		var err error
		if c.ledger, err = c.w.ledgers(t, c.model).Open(t.Context(), c.w.task, 0); err != nil {
			c.restart(t, err)
		}
	}
	return c.ledger
}

func (c *crashing) record(k int) storetest.Step {
	return func() (func(), error) {
		if c.done[k] {
			return nil, errors.New("done twice")
		}
		return func() { c.done[k] = true }, nil
	}
}

func (c *crashing) commit(t *testing.T, k int, o *dap.Outcome) {
	for !c.done[k] {
		_, err := c.opened(t).Commit(t.Context(), o, func(_ context.Context, change ledger.Change, _ []dap.ReportError) error {
			return c.model.Atomically(c.model.StepCommit(change), c.record(k))
		})
		if err != nil {
			c.restart(t, err)
		}
	}
}

func (c *crashing) collect(t *testing.T, members []int) {
	for !c.done[-1] {
		err := c.opened(t).Collect(t.Context(), whole(c.w), func(_ context.Context, total *dap.Total, change ledger.Collection) error {
			equal(t, "after crashes", total, c.w.sum(t, members...))
			return c.model.Atomically(c.model.StepCollect(change), c.record(-1))
		})
		if err != nil {
			c.restart(t, err)
		}
	}
}

// Reports that are older than the expiry are dropped before their page is read,
// and forgotten by Expire; what another process evicts, too.
func TestExpiry(t *testing.T) {
	w := newWorld(t, dap.TimeIntervalMode, 12) // of the first 4 days
	store := storetest.NewModel()
	ledgers := w.ledgers(t, store)
	taskLedger := must(ledgers.Open(t.Context(), w.task, 28*24*time.Hour))(t) // the clock is 30 days later
	verdicts := must(taskLedger.Commit(t.Context(), w.job(t, all(12)...), nil))(t)
	for i, v := range verdicts {
		old := w.inits[i].Share.Metadata.Time < first+48
		if old && v != dap.ReportDropped || !old && v != 0 {
			t.Errorf("report %d: %v", i, v)
		}
	}
	if err := taskLedger.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if head := must(store.Head(t.Context(), w.task.ID(), 0))(t); head.Watermark != first+48 {
		t.Errorf("watermark %d, want %d", head.Watermark, first+48)
	}
	other := w.open(t, store)
	w.clock.Advance(26 * time.Hour)
	defer w.clock.Advance(-26 * time.Hour)
	if err := taskLedger.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := must(other.Commit(t.Context(), w.job(t, 7, 11), nil))(t); v[0] != dap.ReportDropped || v[1] != dap.ReportReplayed {
		t.Errorf("after another process evicted: %v", v)
	}
	if b := must(store.Blocks(t.Context(), w.task.ID(), ledger.Page{Window: uint64(first+48) / 24}, 0))(t); len(b) != 0 {
		t.Error("an expired page is still there")
	}
	if _, err := ledgers.Open(t.Context(), w.task, -1); err == nil {
		t.Error("a negative expiry was taken")
	}
}

// What has expired is not accepted any more, and can be committed for a while.
func TestCommitAfterExpiry(t *testing.T) {
	w := newWorld(t, dap.TimeIntervalMode, 12)
	store := storetest.NewModel()
	const day = 24 * time.Hour
	ledgers := w.ledgers(t, store, func(c *ledger.Config) { c.ExpiryGrace = day })
	taskLedger := must(ledgers.Open(t.Context(), w.task, 28*day))(t) // the clock is 30 days later
	c := w.job(t, 4).Candidates()[0]                                 // of the second day
	if e := taskLedger.Late(c.Bucket, c.Time); e != dap.ReportDropped {
		t.Errorf("taking it in: %v", e)
	}
	if err := taskLedger.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := must(taskLedger.Check(t.Context(), []dap.Candidate{c}))(t); v[0] != 0 {
		t.Errorf("verdict %v", v)
	}
	if v := must(taskLedger.Commit(t.Context(), w.job(t, 0, 4), nil))(t); v[0] != dap.ReportDropped || v[1] != 0 {
		t.Errorf("verdicts %v, want the report of the first day dropped and that of the second counted", v)
	}
	w.clock.Advance(day)
	defer w.clock.Advance(-day)
	if err := taskLedger.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := must(taskLedger.Commit(t.Context(), w.job(t, 4), nil))(t); v[0] != dap.ReportDropped {
		t.Errorf("a day later: %v", v)
	}
	if _, err := ledger.New(store, ledger.Config{Keys: w.keys, Clock: w.clock, Rand: w.rand, ExpiryGrace: -1}); err == nil {
		t.Error("a negative time was taken")
	}
}

// Check answers as Commit would, from memory or not.
func TestCheck(t *testing.T) {
	w := newWorld(t, dap.TimeIntervalMode, 9)
	store := storetest.NewModel()
	taskLedger := w.open(t, store)
	must(taskLedger.Commit(t.Context(), w.job(t, 0, 4, 8), nil))(t)
	if err := taskLedger.Collect(t.Context(), dap.IntervalSelector(dap.Interval{Start: first, Duration: 30}), nil); err != nil {
		t.Fatal(err)
	}
	want := []dap.ReportError{dap.BatchCollected, dap.BatchCollected, dap.BatchCollected, dap.BatchCollected, dap.BatchCollected, 0, 0, 0, dap.ReportReplayed}
	candidates := w.job(t, all(9)...).Candidates()
	for range 2 { // the second time from memory
		for _, b := range []*ledger.Ledger{taskLedger, w.open(t, store)} {
			if have := must(b.Check(t.Context(), candidates))(t); !slices.Equal(have, want) {
				t.Errorf("verdicts %v, want %v", have, want)
			}
		}
	}
}

// The IDs in memory stay within their bound, and what left is read again.
func TestCacheIsBounded(t *testing.T) {
	w := newWorld(t, dap.TimeIntervalMode, 24)
	const limit = 3000 // two pages
	ledgers := w.ledgers(t, storetest.NewModel(), func(c *ledger.Config) { c.CacheBytes = limit })
	taskLedger := must(ledgers.Open(t.Context(), w.task, 0))(t)
	for round := range 2 {
		for i := range 24 {
			want := dap.ReportError(0)
			if round > 0 {
				want = dap.ReportReplayed
			}
			if v := must(taskLedger.Commit(t.Context(), w.job(t, i), nil))(t); v[0] != want {
				t.Errorf("report %d in round %d: %v", i, round, v[0])
			}
			if ledgers.Cached() > limit {
				t.Fatalf("%d bytes of IDs in memory, the limit is %d", ledgers.Cached(), limit)
			}
		}
	}
}

// Blocks of small jobs are joined, whichever process has written them, and every ID
// stays.
func TestSmallBlocksAreJoined(t *testing.T) {
	w := newWorld(t, dap.TimeIntervalMode, 3) // all on one day
	store := storetest.NewModel()
	ledgers := []*ledger.Ledger{w.open(t, store), w.open(t, store), w.open(t, store)}
	page := ledger.Page{Window: uint64(first) / 24}
	const n = 200
	var ids []dap.ReportID
	for i := range n {
		init := w.inits[0]
		w.rand.Read(init.Share.Metadata.ID[:])
		ids = append(ids, init.Share.Metadata.ID)
		o := w.forged(t, init.Share.Metadata.ID)
		if v := must(ledgers[i%7%3].Commit(t.Context(), o, nil))(t); v[0] != 0 {
			t.Fatalf("report %d: %v", i, v[0])
		}
	}
	blocks := must(store.Blocks(t.Context(), w.task.ID(), page, 0))(t)
	var have []dap.ReportID
	for _, b := range blocks {
		for c := range slices.Chunk(b.IDs, ledger.IDSize) {
			have = append(have, dap.ReportID(c))
		}
	}
	compare := func(a, b dap.ReportID) int { return bytes.Compare(a[:], b[:]) }
	slices.SortFunc(have, compare)
	slices.SortFunc(ids, compare)
	if !slices.Equal(have, ids) {
		t.Errorf("%d IDs are stored, want the %d of the reports", len(have), len(ids))
	}
	if len(blocks) > 64 {
		t.Errorf("%d blocks for %d commits", len(blocks), n)
	}
	for _, b := range append(ledgers, w.open(t, store)) {
		if v := must(b.Commit(t.Context(), w.forged(t, ids...), nil))(t); slices.ContainsFunc(v, func(e dap.ReportError) bool { return e != dap.ReportReplayed }) {
			t.Error("a report is not found after its block was joined")
		}
	}
}

// Totals are not stored in plain text, and open only in their place.
func TestTotalsAreSealed(t *testing.T) {
	w := newWorld(t, dap.TimeIntervalMode, 4)
	store := storetest.NewModel()
	taskLedger := w.open(t, store)
	must(taskLedger.Commit(t.Context(), w.job(t, all(4)...), nil))(t)
	sums := must(store.Sums(t.Context(), w.task.ID(), whole(w)))(t)
	if len(sums) != 4 {
		t.Fatalf("%d sums", len(sums))
	}
	for i, s := range sums {
		if plain := must(w.alone[i].MarshalBinary())(t); bytes.Contains(s.Total, plain[len(plain)-32:]) || bytes.Contains(s.Total, plain[:32]) {
			t.Errorf("total %d stands open", i)
		}
	}
	moved := &mover{Store: store}
	if _, _, err := w.open(t, moved).Batch(t.Context(), whole(w)); !errors.Is(err, atrest.ErrSealed) {
		t.Errorf("totals of other places: %v, want ErrSealed", err)
	}
	w.keys = must(atrest.New(atrest.Key{2}))(t)
	_, _, err := w.open(t, store).Batch(t.Context(), whole(w))
	if !errors.Is(err, atrest.ErrSealed) || !strings.Contains(err.Error(), "storage key") {
		t.Errorf("under another key: %v, want ErrSealed", err)
	}
	w.keys = must(atrest.New(atrest.Key{2}, atrest.Key{1}))(t)
	if _, _, err := w.open(t, store).Batch(t.Context(), whole(w)); err != nil {
		t.Errorf("with a new key before the old one: %v", err)
	}
}

// A mover gives out totals in each other's places.
type mover struct{ ledger.Store }

func (m *mover) Sums(ctx context.Context, id dap.TaskID, s dap.BatchSelector) ([]ledger.Sum, error) {
	sums, err := m.Store.Sums(ctx, id, s)
	sums[0].Total, sums[1].Total = sums[1].Total, sums[0].Total
	return sums, err
}

// A context that ends while another commit runs ends the wait for it.
func TestWaitingEnds(t *testing.T) {
	w := newWorld(t, dap.TimeIntervalMode, 3)
	store := storetest.NewModel()
	taskLedger := w.open(t, store)
	inside, leave := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	job, other := w.job(t, 0), w.job(t, 1)
	go func() {
		_, err := taskLedger.Commit(t.Context(), job, func(ctx context.Context, c ledger.Change, _ []dap.ReportError) error {
			close(inside)
			<-leave
			return store.Commit(ctx, c)
		})
		done <- err
	}()
	<-inside
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := taskLedger.Commit(ctx, other, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want Canceled", err)
	}
	// Meanwhile what is in memory can be asked.
	if v := must(taskLedger.Check(t.Context(), nil))(t); len(v) != 0 {
		t.Error(v)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// What apply returns ends the commit, and nothing has happened.
func TestApplyFails(t *testing.T) {
	w := newWorld(t, dap.TimeIntervalMode, 3)
	store := storetest.NewModel()
	taskLedger := w.open(t, store)
	mine := errors.New("the job is there already")
	if _, err := taskLedger.Commit(t.Context(), w.job(t, 0, 1), func(context.Context, ledger.Change, []dap.ReportError) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("%v", err)
	}
	must(taskLedger.Commit(t.Context(), w.job(t, 0, 1), nil))(t)
	if err := taskLedger.Collect(t.Context(), whole(w), func(context.Context, *dap.Total, ledger.Collection) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("%v", err)
	}
	if total, collected, err := taskLedger.Batch(t.Context(), whole(w)); err != nil || collected || total.Count != 2 {
		t.Errorf("%v %v", collected, err)
	}
	never := func(context.Context, ledger.Change, []dap.ReportError) error { return ledger.ErrConflict }
	if _, err := taskLedger.Commit(t.Context(), w.job(t, 2), never); !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("%v, want ErrConflict in the end", err)
	}
}
