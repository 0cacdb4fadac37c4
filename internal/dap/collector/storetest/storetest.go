// Package storetest holds the conformance suite of [collector.Store] and a model
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
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/collector"
)

// Run checks a store against the promises of [collector.Store]. Open returns an
// empty store; reopen closes it and opens what it has left behind.
func Run(t *testing.T, open func(t *testing.T) (store collector.Store, reopen func(t *testing.T) collector.Store)) {
	for name, test := range map[string]func(*testing.T, collector.Store, func(*testing.T) collector.Store){
		"way of an ask": testWay, "abandoned": testAbandoned, "add once": testOnce, "illegal changes": testIllegal,
		"order": testOrder, "one of many wins": testConcurrent, "begins once": testBegin,
	} {
		t.Run(name, func(t *testing.T) {
			store, reopen := open(t)
			test(t, store, reopen)
		})
	}
}

// asked returns an ask in its first state.
func asked(id byte, number uint64) collector.Ask {
	return collector.Ask{
		ID: dap.CollectionJobID{id, byte(number), byte(number >> 8)}, Task: dap.TaskID{id}, Number: number,
		Request: []byte{1, 2, 3}, Created: 1_800_000_000, State: collector.Asked,
	}
}

func want(t *testing.T, s collector.Store, asks ...collector.Ask) {
	t.Helper()
	have, err := s.Asks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(have)+len(asks) > 0 && !reflect.DeepEqual(have, asks) {
		t.Fatalf("store holds %+v, want %+v", have, asks)
	}
	wantParts(t, s, asks)
}

// wantParts asks for parts of what a store holds, and compares with the model.
func wantParts(t *testing.T, s collector.Store, asks []collector.Ask) {
	t.Helper()
	m := NewModel()
	for _, a := range asks {
		m.asks[a.ID] = a
	}
	have, want := partsOf(t, s, asks), partsOf(t, m, asks)
	if !reflect.DeepEqual(have, want) {
		t.Fatalf("parts of the store\n%+v, want\n%+v", have, want)
	}
}

// partsOf returns what a store returns for some asks.
func partsOf(t *testing.T, s collector.Store, asks []collector.Ask) map[string]any {
	t.Helper()
	parts := map[string]any{}
	note := func(name string, of any, err error) {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if v := reflect.ValueOf(of); v.Kind() != reflect.Slice || v.Len() > 0 { // nil and empty are one
			parts[name] = of
		}
	}
	list := func(name string) func([]collector.Ask, error) {
		return func(all []collector.Ask, err error) { note(name, all, err) }
	}
	ctx := t.Context()
	list("open")(s.Open(ctx))
	list("expired")(s.Expired(ctx))
	list("undated")(s.Undated(ctx))
	for _, now := range []int64{0, ended, ended + 2*86400 - 1, ended + 2*86400, 1 << 40} {
		list(fmt.Sprint("due ", now))(s.Due(ctx, now))
	}
	for _, a := range asks {
		for _, most := range []int{1, 1000} {
			list(fmt.Sprint("of ", a.Task, most))(s.Of(ctx, a.Task, most))
			list(fmt.Sprint("unreleased ", a.Task, most))(s.Unreleased(ctx, a.Task, most))
			list(fmt.Sprint("released ", a.Task, most))(s.Released(ctx, a.Task, math.MaxUint64, most))
			list(fmt.Sprint("released ", a.Task, a.Number, most))(s.Released(ctx, a.Task, a.Number, most))
		}
		for _, digest := range []string{"", "abc", "other"} {
			known, err := s.Answered(ctx, a.Task, digest)
			note(fmt.Sprint("answered ", a.Task, digest), known, err)
		}
	}
	metrics, err := s.Metrics(ctx)
	note("metrics", metrics, err)
	for _, name := range append(metrics, "another") {
		list("named " + name)(s.Named(ctx, name))
	}
	stamps, err := s.Stamps(ctx)
	note("stamps", stamps, err)
	sums, err := s.Summaries(ctx)
	note("summaries", sums, err)
	return parts
}

// ended is when the batch of the manifest in these tests ended.
const ended = 1_800_003_600

var released = fmt.Appendf(nil, `{"version":1,"metric":"fruit","digest":"abc","reports":7,"end":%q,"parameters":{"retention_days":2}}`,
	time.Unix(ended, 0).UTC().Format(time.RFC3339))

func add(t *testing.T, s collector.Store, a collector.Ask, fresh bool) {
	t.Helper()
	got, err := s.Add(t.Context(), a)
	if err != nil || got != fresh {
		t.Fatalf("adding: %v, %v; want %v", got, err, fresh)
	}
}

func testWay(t *testing.T, s collector.Store, reopen func(*testing.T) collector.Store) {
	want(t, s)
	a := asked(1, 5)
	add(t, s, a, true)
	want(t, reopen(t), a)
	for _, step := range []func(*collector.Ask){
		func(a *collector.Ask) { a.Location, a.Missing = "https://leader.example/job", "more than half" },
		func(a *collector.Ask) { a.State, a.Missing, a.Response = collector.Received, "", []byte{7, 0, 8} },
		func(a *collector.Ask) {
			a.State, a.Response, a.Manifest = collector.Released, nil, released
		},
		func(a *collector.Ask) { a.State = collector.Expired },
	} {
		s = reopen(t)
		from := a.State
		step(&a)
		if err := s.Advance(t.Context(), from, a); err != nil {
			t.Fatal(err)
		}
		want(t, s, a)
		want(t, reopen(t), a)
	}
	add(t, reopen(t), asked(1, 5), false) // the ID stays taken permanently
}

func testAbandoned(t *testing.T, s collector.Store, reopen func(*testing.T) collector.Store) {
	a := asked(1, 5)
	add(t, s, a, true)
	a.State, a.Reason = collector.Abandoned, "too few"
	if err := s.Advance(t.Context(), collector.Asked, a); err != nil {
		t.Fatal(err)
	}
	want(t, reopen(t), a)
}

func testOnce(t *testing.T, s collector.Store, _ func(*testing.T) collector.Store) {
	a := asked(1, 5)
	add(t, s, a, true)
	other := a
	other.Request, other.Created = []byte{9}, 1
	add(t, s, other, false)
	want(t, s, a)
	// What was asked does not change with how far it is.
	other.State, other.Response = collector.Received, []byte{1}
	if err := s.Advance(t.Context(), collector.Asked, other); err != nil {
		t.Fatal(err)
	}
	a.State, a.Response = collector.Received, []byte{1}
	want(t, s, a)
}

func testIllegal(t *testing.T, s collector.Store, _ func(*testing.T) collector.Store) {
	a := asked(1, 5)
	received, bare, released := a, a, a
	received.State, received.Response = collector.Received, []byte{1}
	bare.State = collector.Received
	released.State, released.Manifest = collector.Released, []byte("{}")
	if _, err := s.Add(t.Context(), received); err == nil {
		t.Error("an ask was added as received")
	}
	if err := s.Advance(t.Context(), collector.Asked, received); !errors.Is(err, collector.ErrConflict) {
		t.Errorf("advancing an unknown ask: error %v, want ErrConflict", err)
	}
	add(t, s, a, true)
	if err := s.Advance(t.Context(), collector.Asked, bare); err == nil {
		t.Error("an ask was received without a response")
	}
	if err := s.Advance(t.Context(), collector.Asked, released); err == nil {
		t.Error("an ask was released before it was received")
	}
	if err := s.Advance(t.Context(), collector.Received, released); !errors.Is(err, collector.ErrConflict) {
		t.Errorf("releasing an ask that is not received: error %v, want ErrConflict", err)
	}
	want(t, s, a)
}

func testOrder(t *testing.T, s collector.Store, _ func(*testing.T) collector.Store) {
	var all []collector.Ask
	for _, id := range []byte{1, 2, 0xff} {
		for _, n := range []uint64{0, 9, 10, 300} {
			all = append(all, asked(id, n))
		}
	}
	for i := range all {
		add(t, s, all[(i*5)%len(all)], true)
	}
	want(t, s, all...)
}

func testConcurrent(t *testing.T, s collector.Store, _ func(*testing.T) collector.Store) {
	add(t, s, asked(1, 5), true)
	var wg sync.WaitGroup
	var won atomic.Int32
	for i := range 8 {
		wg.Go(func() {
			a := asked(1, 5)
			a.State, a.Response = collector.Received, []byte{byte(i)}
			switch err := s.Advance(t.Context(), collector.Asked, a); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, collector.ErrConflict):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 8 were told that their answer was the first, want 1", won.Load())
	}
}

func testBegin(t *testing.T, s collector.Store, reopen func(*testing.T) collector.Store) {
	for _, c := range []struct {
		task     byte
		at, want int64
	}{{1, 100, 100}, {1, 200, 100}, {2, 300, 300}, {1, 50, 100}} {
		got, err := s.Begin(t.Context(), dap.TaskID{c.task}, c.at)
		if err != nil || got != c.want {
			t.Errorf("task %d at %d: %d, %v; want %d", c.task, c.at, got, err, c.want)
		}
		s = reopen(t)
	}
}
