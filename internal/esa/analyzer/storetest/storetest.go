// Package storetest holds the conformance suite of [analyzer.Store] and a model
// of a store that can crash.
//
// An implementation's test calls [Run] with a function that opens a fresh
// store. Tests of what uses a store take a [Model].
package storetest

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/metric/task"
)

// Run checks a store against the promises of [analyzer.Store]. Open returns an
// empty store; reopen closes it and opens what it has left behind.
func Run(t *testing.T, open func(t *testing.T) (store analyzer.Store, reopen func(t *testing.T) analyzer.Store)) {
	for name, test := range map[string]func(*testing.T, analyzer.Store, func(*testing.T) analyzer.Store){
		"way of a batch": testWay, "accept once": testOnce, "illegal changes": testIllegal,
		"order": testOrder, "one of many wins": testConcurrent, "tries": testTries,
		"statements": testStated,
	} {
		t.Run(name, func(t *testing.T) {
			store, reopen := open(t)
			test(t, store, reopen)
		})
	}
}

// received returns a batch in its first state.
func received(id task.ID, e task.Epoch) analyzer.Batch {
	return analyzer.Batch{ID: esa.NewBatchID(id, e, 0), Task: id, Epoch: e, State: analyzer.Received, Digest: [32]byte{3}}
}

func want(t *testing.T, s analyzer.Store, batches ...analyzer.Batch) {
	t.Helper()
	have, err := s.Batches(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(have)+len(batches) > 0 && !reflect.DeepEqual(have, batches) {
		t.Fatalf("store holds %+v, want %+v", have, batches)
	}
	wantParts(t, s, batches)
}

// wantParts asks for parts of what a store holds, and compares with the model.
func wantParts(t *testing.T, s analyzer.Store, batches []analyzer.Batch) {
	t.Helper()
	m := NewModel()
	for _, b := range batches {
		m.batches[b.ID] = b
	}
	ctx := t.Context()
	type parts struct {
		one, none analyzer.Batch
		lists     [][]analyzer.Batch
		metrics   []string
		stamps    string
		summaries []analyzer.Summary
	}
	of := func(s analyzer.Store) (p parts) {
		var errs []error
		note := func(list []analyzer.Batch, err error) {
			if len(list) > 0 {
				p.lists = append(p.lists, list)
			}
			errs = append(errs, err)
		}
		var err error
		for _, b := range batches {
			p.one, err = s.Batch(ctx, b.ID)
			errs = append(errs, err)
			note(s.Of(ctx, b.Task, math.MaxInt64, 1))
			note(s.Of(ctx, b.Task, math.MaxInt64, 1000))
			note(s.Of(ctx, b.Task, b.Epoch, 2))
			note(s.Outline(ctx, b.Task, math.MaxInt64, 2))
		}
		stamps, err := s.Stamps(ctx)
		errs = append(errs, err)
		p.stamps = fmt.Sprint(stamps)
		metrics, err := s.Metrics(ctx)
		errs = append(errs, err)
		for _, metric := range append(metrics, "another") {
			p.metrics = append(p.metrics, metric)
			note(s.Named(ctx, metric))
		}
		p.none, err = s.Batch(ctx, esa.BatchID{0xee})
		errs = append(errs, err)
		for state := range analyzer.Discarded + 1 {
			note(s.In(ctx, state))
		}
		for _, now := range []int64{0, 49, 50, 51, 1 << 40} {
			note(s.Due(ctx, now))
		}
		summaries, err := s.Summaries(ctx)
		if p.summaries = summaries; len(summaries) == 0 {
			p.summaries = nil
		}
		if err := errors.Join(append(errs, err)...); err != nil {
			t.Fatal(err)
		}
		return p
	}
	if have, want := of(s), of(m); !reflect.DeepEqual(have, want) {
		t.Fatalf("parts of the store %+v, want %+v", have, want)
	}
}

// testTries counts tries, and stops when the batch is released.
func testTries(t *testing.T, s analyzer.Store, reopen func(*testing.T) analyzer.Store) {
	b := received(task.ID{1}, 5)
	if err := s.Try(t.Context(), b.ID, 1); !errors.Is(err, analyzer.ErrConflict) {
		t.Errorf("trying an unknown batch: error %v, want ErrConflict", err)
	}
	accept(t, s, b, true)
	for _, n := range []int{1, 2, 0, 7} {
		if err := s.Try(t.Context(), b.ID, n); err != nil {
			t.Fatal(err)
		}
		b.Attempts = n
		s = reopen(t)
		want(t, s, b)
	}
	b.State, b.Manifest, b.Expires, b.Records = analyzer.Released, []byte(`{"metric":"fruit"}`), 50, 7
	if err := s.Advance(t.Context(), analyzer.Received, b); err != nil {
		t.Fatal(err)
	}
	want(t, s, b)
	if err := s.Try(t.Context(), b.ID, 1); !errors.Is(err, analyzer.ErrConflict) {
		t.Errorf("trying a released batch: error %v, want ErrConflict", err)
	}
}

func accept(t *testing.T, s analyzer.Store, b analyzer.Batch, fresh bool) {
	t.Helper()
	got, err := s.Accept(t.Context(), b)
	if err != nil || got != fresh {
		t.Fatalf("accepting: %v, %v; want %v", got, err, fresh)
	}
}

func testWay(t *testing.T, s analyzer.Store, reopen func(*testing.T) analyzer.Store) {
	want(t, s)
	b := received(task.ID{1}, 5)
	accept(t, s, b, true)
	want(t, reopen(t), b)
	for _, next := range []analyzer.State{analyzer.Released, analyzer.Expired} {
		s = reopen(t)
		from := b.State
		b.State, b.Manifest = next, []byte(`{"version":1}`)
		if err := s.Advance(t.Context(), from, b); err != nil {
			t.Fatal(err)
		}
		want(t, s, b)
		want(t, reopen(t), b)
	}
	accept(t, reopen(t), received(task.ID{1}, 5), false) // the ID stays taken permanently
}

func testOnce(t *testing.T, s analyzer.Store, _ func(*testing.T) analyzer.Store) {
	b := received(task.ID{1}, 5)
	accept(t, s, b, true)
	accept(t, s, b, false)
	for name, spoil := range map[string]func(*analyzer.Batch){
		"digest": func(b *analyzer.Batch) { b.Digest[0]++ },
		"task":   func(b *analyzer.Batch) { b.Task[0]++ },
		"epoch":  func(b *analyzer.Batch) { b.Epoch++ },
	} {
		other := b
		spoil(&other)
		if _, err := s.Accept(t.Context(), other); !errors.Is(err, analyzer.ErrConflict) {
			t.Errorf("same ID with another %s: error %v, want ErrConflict", name, err)
		}
	}
	want(t, s, b)
}

func testIllegal(t *testing.T, s analyzer.Store, _ func(*testing.T) analyzer.Store) {
	b := received(task.ID{1}, 5)
	released, bare := b, b
	released.State, released.Manifest = analyzer.Released, []byte("{}")
	bare.State = analyzer.Released
	if _, err := s.Accept(t.Context(), released); err == nil {
		t.Error("a batch was accepted as released")
	}
	if err := s.Advance(t.Context(), analyzer.Received, released); !errors.Is(err, analyzer.ErrConflict) {
		t.Errorf("advancing an unknown batch: error %v, want ErrConflict", err)
	}
	accept(t, s, b, true)
	if err := s.Advance(t.Context(), analyzer.Received, bare); err == nil {
		t.Error("a batch was released without a manifest")
	}
	expired := released
	expired.State = analyzer.Expired
	if err := s.Advance(t.Context(), analyzer.Released, expired); !errors.Is(err, analyzer.ErrConflict) {
		t.Errorf("expiring a batch that is not released: error %v, want ErrConflict", err)
	}
	discarded := b
	discarded.State = analyzer.Discarded
	if err := s.Advance(t.Context(), analyzer.Received, discarded); err != nil {
		t.Errorf("discarding a received batch: %v", err)
	}
	if err := s.Advance(t.Context(), analyzer.Received, released); !errors.Is(err, analyzer.ErrConflict) {
		t.Errorf("releasing a batch that is discarded: error %v, want ErrConflict", err)
	}
	if sums, err := s.Summaries(t.Context()); err != nil || len(sums) != 0 {
		t.Errorf("a discarded batch is among those released: %+v, %v", sums, err)
	}
	accept(t, s, b, false)
	want(t, s, discarded)
}

func testOrder(t *testing.T, s analyzer.Store, _ func(*testing.T) analyzer.Store) {
	var all []analyzer.Batch
	for _, id := range []task.ID{{1}, {2}, {0xff}} {
		for _, e := range []task.Epoch{0, 9, 10, 300} {
			all = append(all, received(id, e))
		}
	}
	for i := range all {
		accept(t, s, all[(i*5)%len(all)], true)
	}
	want(t, s, all...)
}

func testConcurrent(t *testing.T, s analyzer.Store, _ func(*testing.T) analyzer.Store) {
	var wg sync.WaitGroup
	var fresh atomic.Int32
	for i := range 8 {
		wg.Go(func() {
			b := received(task.ID{1}, 5)
			b.Digest[1] = byte(i % 2)
			ok, err := s.Accept(t.Context(), b)
			if ok {
				fresh.Add(1)
			}
			if err != nil && !errors.Is(err, analyzer.ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if fresh.Load() != 1 {
		t.Errorf("%d of 8 were told that their batch is new, want 1", fresh.Load())
	}
}

// testStated: what is stated is merged, and stays.
func testStated(t *testing.T, s analyzer.Store, reopen func(*testing.T) analyzer.Store) {
	a, b := task.ID{1}, task.ID{0xff}
	span := func(first, last task.Epoch) esa.Epochs { return esa.EpochsOf(esa.Span{First: first, Last: last}) }
	want := map[task.ID]esa.Coverage{}
	changes := map[task.ID]int64{}
	check := func() {
		t.Helper()
		for _, id := range []task.ID{a, b, {7}} {
			if have, err := s.Stated(t.Context(), id); err != nil || !have.Equal(want[id]) {
				t.Fatalf("of task %v %+v is stated, %v, want %+v", id, have, err, want[id])
			}
		}
		have, err := s.StatedChanges(t.Context())
		if err != nil || len(have) != len(changes) {
			t.Fatalf("changes %v, %v, want %v", have, err, changes)
		}
		for id, n := range changes {
			if have[id] != n {
				t.Fatalf("changes %v, want %v", have, changes)
			}
		}
	}
	check()
	for _, step := range []struct {
		id      task.ID
		c       esa.Coverage
		changes bool
	}{
		{a, esa.Coverage{Complete: span(5, 9)}, true},
		{a, esa.Coverage{Complete: span(5, 9)}, false},
		{b, esa.Coverage{Lost: span(1, 1)}, true},
		{a, esa.Coverage{Complete: span(5, 12)}, true},
		{a, esa.Coverage{Complete: span(5, 8)}, false}, // an older one comes late
		{a, esa.Coverage{Complete: span(20, 30), Lost: span(9, 15)}, true},
		{a, esa.Coverage{Complete: span(10, 10)}, false}, // a loss stays
		{b, esa.Coverage{}, false},
	} {
		if err := s.Learn(t.Context(), step.id, step.c); err != nil {
			t.Fatal(err)
		}
		want[step.id] = want[step.id].Merge(step.c)
		if step.changes {
			changes[step.id]++
		}
		check()
	}
	s = reopen(t)
	check()
}
