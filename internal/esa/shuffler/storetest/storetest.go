// Package storetest holds the conformance suite of [shuffler.Store] and a model
// of a store that can crash.
//
// An implementation's test calls [Run] with a function that opens a fresh
// store. Tests of what uses a store take a [Model].
package storetest

import (
	"errors"
	"maps"
	"math"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/metric/task"
)

// Run checks a store against the promises of [shuffler.Store]. Open returns an
// empty store; reopen closes it and opens what it has left behind.
func Run(t *testing.T, open func(t *testing.T) (store shuffler.Store, reopen func(t *testing.T) shuffler.Store)) {
	for name, test := range map[string]func(*testing.T, shuffler.Store, func(*testing.T) shuffler.Store){
		"way of a batch": testWay, "conflicts": testConflicts, "all or nothing": testAtomic,
		"illegal changes": testIllegal, "order": testOrder, "one of many wins": testConcurrent,
		"history": testHistory, "statements": testStated,
	} {
		t.Run(name, func(t *testing.T) {
			store, reopen := open(t)
			test(t, store, reopen)
		})
	}
}

// testHistory: the history is what was kept last, with all gaps since its beginning.
func testHistory(t *testing.T, s shuffler.Store, reopen func(*testing.T) shuffler.Store) {
	if h, known, err := s.History(t.Context()); err != nil || known {
		t.Fatalf("a new store has the history %+v, %v", h, err)
	}
	a, b := task.ID{1}, task.ID{2}
	for i, step := range []struct{ keep, want shuffler.History }{
		{shuffler.History{}, shuffler.History{}},
		{shuffler.History{Since: 3, Through: 9}, shuffler.History{Since: 3, Through: 9}},
		{
			shuffler.History{Since: 3, Through: 20, Gaps: []shuffler.Gap{{Place: "b", After: 9, Until: 20}}, Sent: map[task.ID][32]byte{a: {1}}},
			shuffler.History{Since: 3, Through: 20, Gaps: []shuffler.Gap{{Place: "b", After: 9, Until: 20}}, Sent: map[task.ID][32]byte{a: {1}}},
		},
		{
			shuffler.History{Since: 3, Through: 30, Gaps: []shuffler.Gap{{Place: "b", After: 20, Until: 30}, {Place: "a", After: 20, Until: 30, Task: b}}, Sent: map[task.ID][32]byte{a: {2}, b: {3}}},
			shuffler.History{Since: 3, Through: 30, Gaps: []shuffler.Gap{{Place: "a", After: 20, Until: 30, Task: b}, {Place: "b", After: 9, Until: 20}}, Sent: map[task.ID][32]byte{a: {2}, b: {3}}},
		},
		{
			shuffler.History{Since: 21, Through: 30},
			shuffler.History{Since: 21, Through: 30, Gaps: []shuffler.Gap{{Place: "a", After: 20, Until: 30, Task: b}}, Sent: map[task.ID][32]byte{a: {2}, b: {3}}},
		},
	} {
		if err := s.Keep(t.Context(), step.keep); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			have, known, err := s.History(t.Context())
			if err != nil || !known || have.Since != step.want.Since || have.Through != step.want.Through ||
				!slices.Equal(have.Gaps, step.want.Gaps) || !maps.Equal(have.Sent, step.want.Sent) {
				t.Fatalf("step %d: history %+v, %v, want %+v", i, have, err, step.want)
			}
			s = reopen(t)
		}
	}
}

// testStated: what is stated is merged, and stays.
func testStated(t *testing.T, s shuffler.Store, reopen func(*testing.T) shuffler.Store) {
	span := func(first, last task.Epoch) esa.Epochs { return esa.EpochsOf(esa.Span{First: first, Last: last}) }
	want := map[task.ID]esa.Coverage{}
	for _, c := range []esa.Coverage{
		{}, {Complete: span(5, 9)}, {Complete: span(5, 12)}, {Complete: span(5, 8)}, {Complete: span(20, 30), Lost: span(9, 15)}, {Complete: span(10, 10)},
	} {
		for _, id := range []task.ID{{1}, {0xff}} {
			if err := s.Learn(t.Context(), id, c); err != nil {
				t.Fatal(err)
			}
			want[id] = want[id].Merge(c)
		}
		for _, id := range []task.ID{{1}, {0xff}, {7}} {
			if have, err := s.Stated(t.Context(), id); err != nil || !have.Equal(want[id]) {
				t.Fatalf("of task %v %+v is stated, %v, want %+v", id, have, err, want[id])
			}
		}
		s = reopen(t)
	}
}

// seed is some seed that is not zero.
func seed(b byte) dp.Seed { return dp.Seed{0: b, 31: 1} }

// Way returns the states of one batch from the first to the last, as changes.
func Way(id task.ID, e task.Epoch) []shuffler.Change {
	counts := esa.Counts{Received: 9, Duplicate: 1, SuppressedCrowds: 1, SuppressedReports: 2, Dropped: 1, Released: 4}
	counts.Invalid[esa.CauseDecrypt] = 1
	open := shuffler.Batch{Task: id, Epoch: e, State: shuffler.Open}
	closed := open
	closed.State, closed.ID, closed.Seed, closed.Input = shuffler.Closed, esa.NewBatchID(id, e, 0), seed(7), [32]byte{1}
	processed := closed
	processed.State, processed.Output, processed.Counts = shuffler.Processed, [32]byte{2}, counts
	delivered := processed
	delivered.State, delivered.Seed = shuffler.Delivered, dp.Seed{}
	destroyed := delivered
	destroyed.State = shuffler.Destroyed
	return []shuffler.Change{
		{From: shuffler.None, To: open},
		{From: shuffler.Open, To: closed},
		{From: shuffler.Closed, To: processed},
		{From: shuffler.Processed, To: delivered},
		{From: shuffler.Delivered, To: destroyed},
	}
}

func apply(t *testing.T, s shuffler.Store, changes ...shuffler.Change) {
	t.Helper()
	if err := s.Apply(t.Context(), changes...); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, s shuffler.Store, batches ...shuffler.Batch) {
	t.Helper()
	have, err := s.Batches(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(have)+len(batches) > 0 && !reflect.DeepEqual(have, batches) {
		t.Fatalf("store holds %+v, want %+v", have, batches)
	}
	alive, err := s.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kept := slices.DeleteFunc(slices.Clone(batches), func(b shuffler.Batch) bool { return b.State == shuffler.Destroyed })
	if len(alive)+len(kept) > 0 && !reflect.DeepEqual(alive, kept) {
		t.Fatalf("of what is not destroyed the store returns %+v, want %+v", alive, kept)
	}
	for _, b := range batches {
		if one, err := s.Batch(t.Context(), b.Key()); err != nil || !reflect.DeepEqual(one, b) {
			t.Fatalf("batch %+v, %v, want %+v", one, err, b)
		}
	}
	for _, k := range []shuffler.Key{{Task: task.ID{0xee}}, {Task: task.ID{1}, Epoch: math.MaxUint64}} {
		if one, err := s.Batch(t.Context(), k); err != nil || one.State != shuffler.None {
			t.Fatalf("an unknown batch is %+v, %v", one, err)
		}
	}
}

func testWay(t *testing.T, s shuffler.Store, reopen func(*testing.T) shuffler.Store) {
	want(t, s)
	for _, c := range Way(task.ID{1}, 5) {
		apply(t, s, c)
		want(t, s, c.To)
		s = reopen(t)
		want(t, s, c.To)
	}
}

func testConflicts(t *testing.T, s shuffler.Store, _ func(*testing.T) shuffler.Store) {
	way := Way(task.ID{1}, 5)
	for i, c := range way {
		for j, other := range way {
			if i == j {
				continue
			}
			if err := s.Apply(t.Context(), other); !errors.Is(err, shuffler.ErrConflict) {
				t.Fatalf("change from %v while in state %v: error %v, want ErrConflict", other.From, c.From, err)
			}
		}
		apply(t, s, c)
	}
	want(t, s, way[len(way)-1].To)
}

func testAtomic(t *testing.T, s shuffler.Store, reopen func(*testing.T) shuffler.Store) {
	a, b := Way(task.ID{1}, 5), Way(task.ID{1}, 6)
	err := s.Apply(t.Context(), a[0], b[1]) // the second cannot be
	if !errors.Is(err, shuffler.ErrConflict) {
		t.Fatalf("error %v, want ErrConflict", err)
	}
	want(t, s)
	apply(t, s, a[0], b[0])
	carried := a[1].To
	apply(t, s, a[1])
	carried.State, carried.Into, carried.Seed = shuffler.Carried, 6, dp.Seed{}
	apply(t, s, shuffler.Change{From: shuffler.Closed, To: carried}, b[1])
	want(t, reopen(t), carried, b[1].To)
}

func testIllegal(t *testing.T, s shuffler.Store, _ func(*testing.T) shuffler.Store) {
	way := Way(task.ID{1}, 5)
	noSeed, keepsSeed, skips, backwards := way[1], way[3], way[3], way[1]
	noSeed.To.Seed = dp.Seed{} // of a batch that is closed
	keepsSeed.To.Seed = seed(7)
	skips.From = shuffler.Closed
	backwards.From = shuffler.Destroyed
	apply(t, s, way[0])
	for _, c := range []shuffler.Change{noSeed, keepsSeed, skips, backwards} {
		if err := s.Apply(t.Context(), c); err == nil {
			t.Errorf("change from %v to %v was applied", c.From, c.To.State)
		}
	}
	want(t, s, way[0].To)
}

func testOrder(t *testing.T, s shuffler.Store, _ func(*testing.T) shuffler.Store) {
	var all []shuffler.Batch
	for _, id := range []task.ID{{1}, {2}, {0xff}} {
		for _, e := range []task.Epoch{0, 9, 10, 300} {
			all = append(all, shuffler.Batch{Task: id, Epoch: e, State: shuffler.Open})
		}
	}
	for i := range all {
		apply(t, s, shuffler.Change{From: shuffler.None, To: all[(i*5)%len(all)]})
	}
	want(t, s, all...)
}

func testConcurrent(t *testing.T, s shuffler.Store, _ func(*testing.T) shuffler.Store) {
	way := Way(task.ID{1}, 5)
	apply(t, s, way[0])
	var wg sync.WaitGroup
	var won atomic.Int32
	for i := range 8 {
		wg.Go(func() {
			c := way[1]
			c.To.Seed = seed(byte(i + 1))
			err := s.Apply(t.Context(), c)
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, shuffler.ErrConflict) {
				t.Errorf("error %v, want ErrConflict", err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 8 equal changes took place, want 1", won.Load())
	}
}
