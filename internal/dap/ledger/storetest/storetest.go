// Package storetest holds the conformance suite of [ledger.Store] and a model of
// a store that can crash.
//
// An implementation's test calls [Run] with a function that opens a fresh store.
// Tests of what uses a store take a [Model].
package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/ledger"
)

// A Reopen closes a store and opens what it has left behind.
type Reopen func(t *testing.T) ledger.Store

// Run checks a store against the promises of [ledger.Store]. Open returns an
// empty store.
func Run(t *testing.T, open func(t *testing.T) (ledger.Store, Reopen)) {
	for name, test := range map[string]func(*testing.T, ledger.Store, Reopen){
		"begin": testBegin, "blocks": testBlocks, "sums": testSums, "leader-selected": testBatches,
		"stale commits": testStale, "all or nothing": testAtomic, "spent with the rest": testSpent, "changes that cannot be": testIllegal,
		"collect": testCollect, "evict": testEvict, "compact": testCompact, "tasks are apart": testApart,
		"large": testLarge, "one of many wins": testRaces, "collect against commits": testCollectRace,
	} {
		t.Run(name, func(t *testing.T) {
			store, reopen := open(t)
			test(t, store, reopen)
		})
	}
}

var (
	layout = ledger.Layout{Window: 24, Shards: 2}
	task   = dap.TaskID{1, 31: 9}
	errBad = errors.New("merge fails")
)

// join is a merge that shows its calls: totals are texts.
func join(text string) func(ledger.Place, []byte) ([]byte, error) {
	return func(_ ledger.Place, old []byte) ([]byte, error) {
		if old == nil {
			return []byte(text), nil
		}
		return fmt.Appendf(nil, "%s+%s", old, text), nil
	}
}

// ids returns a block of IDs with these last bytes.
func ids(window uint64, shard uint8, seq uint32, last ...byte) ledger.Block {
	b := ledger.Block{Page: ledger.Page{Window: window, Shard: shard}, Seq: seq}
	for _, l := range last {
		id := dap.ReportID{15: l}
		b.IDs = append(b.IDs, id[:]...)
	}
	return b
}

func unit(t dap.Time, part uint8) ledger.Place {
	return ledger.Place{Bucket: dap.Bucket{Unit: t}, Part: part}
}

func batch(id byte, part uint8) ledger.Place {
	return ledger.Place{Bucket: dap.Bucket{Batch: dap.BatchID{id, 31: 1}}, Part: part}
}

func interval(start dap.Time, n dap.Duration) dap.BatchSelector {
	return dap.IntervalSelector(dap.Interval{Start: start, Duration: n})
}

func begin(t *testing.T, s ledger.Store) {
	t.Helper()
	if l, err := s.Begin(t.Context(), task, layout); err != nil || l != layout {
		t.Fatalf("layout %v, %v", l, err)
	}
}

func commit(t *testing.T, s ledger.Store, c ledger.Change) {
	t.Helper()
	c.Task = task
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// add commits text to a place at generation g.
func add(t *testing.T, s ledger.Store, g uint64, p ledger.Place, latest dap.Time, text string) {
	t.Helper()
	commit(t, s, ledger.Change{Generation: g, Deltas: []ledger.Delta{{Place: p, Latest: latest}}, Merge: join(text)})
}

func conflict(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("%s: %v, want ErrConflict", what, err)
	}
}

func wantHead(t *testing.T, s ledger.Store, since uint64, want ledger.Head) {
	t.Helper()
	have, err := s.Head(t.Context(), task, since)
	if err != nil {
		t.Fatal(err)
	}
	if len(have.Marks) == 0 && len(want.Marks) == 0 {
		have.Marks, want.Marks = nil, nil
	}
	if !reflect.DeepEqual(have, want) {
		t.Fatalf("head since %d: %+v, want %+v", since, have, want)
	}
}

func wantBlocks(t *testing.T, s ledger.Store, p ledger.Page, after uint32, want ...ledger.Block) {
	t.Helper()
	have, err := s.Blocks(t.Context(), task, p, after)
	if err != nil {
		t.Fatal(err)
	}
	if len(have)+len(want) > 0 && !reflect.DeepEqual(have, want) {
		t.Fatalf("blocks of %v after %d: %v, want %v", p, after, have, want)
	}
}

func wantSums(t *testing.T, s ledger.Store, sel dap.BatchSelector, want ...ledger.Sum) {
	t.Helper()
	have, err := s.Sums(t.Context(), task, sel)
	if err != nil {
		t.Fatal(err)
	}
	if len(have)+len(want) > 0 && !reflect.DeepEqual(have, want) {
		t.Fatalf("sums of %v: %v, want %v", sel, have, want)
	}
}

func sum(p ledger.Place, rev uint64, latest dap.Time, total string) ledger.Sum {
	return ledger.Sum{Place: p, Rev: rev, Latest: latest, Total: []byte(total)}
}

func testBegin(t *testing.T, s ledger.Store, reopen Reopen) {
	_, head := s.Head(t.Context(), task, 0)
	_, blocks := s.Blocks(t.Context(), task, ledger.Page{}, 0)
	_, sums := s.Sums(t.Context(), task, interval(0, 1))
	for what, err := range map[string]error{
		"head": head, "blocks": blocks, "sums": sums,
		"commit":  s.Commit(t.Context(), ledger.Change{Task: task}),
		"collect": s.Collect(t.Context(), ledger.Collection{Task: task, Selector: interval(0, 1)}),
		"evict":   s.Evict(t.Context(), task, 0, 1),
		"compact": s.Compact(t.Context(), task, compaction(0, 1, ids(0, 0, 1, 1))),
	} {
		if !errors.Is(err, ledger.ErrNotBegun) {
			t.Errorf("%s of a task that was not begun: %v, want ErrNotBegun", what, err)
		}
	}
	if _, err := s.Begin(t.Context(), task, ledger.Layout{Window: 0, Shards: 1}); err == nil {
		t.Error("a layout without windows was taken")
	}
	begin(t, s)
	s = reopen(t)
	l, err := s.Begin(t.Context(), task, ledger.Layout{Window: 7, Shards: 1})
	if err != nil || l != layout {
		t.Errorf("another layout was begun: %v, %v", l, err)
	}
	wantHead(t, s, 0, ledger.Head{Layout: layout})
}

func testBlocks(t *testing.T, s ledger.Store, reopen Reopen) {
	begin(t, s)
	a, b, other := ids(5, 0, 1, 2, 9), ids(5, 0, 2, 1, 200), ids(6, 1, 1, 3)
	commit(t, s, ledger.Change{Blocks: []ledger.Block{a, other}})
	commit(t, s, ledger.Change{Blocks: []ledger.Block{b}})
	s = reopen(t)
	wantBlocks(t, s, a.Page, 0, a, b)
	wantBlocks(t, s, a.Page, 1, b)
	wantBlocks(t, s, a.Page, 2)
	wantBlocks(t, s, other.Page, 0, other)
	wantBlocks(t, s, ledger.Page{Window: 5, Shard: 1}, 0)
}

func testSums(t *testing.T, s ledger.Store, reopen Reopen) {
	begin(t, s)
	add(t, s, 0, unit(10, 0), 10, "a")
	add(t, s, 0, unit(10, 3), 10, "b")
	add(t, s, 0, unit(10, 0), 10, "c")
	add(t, s, 0, unit(11, 0), 11, "d")
	add(t, s, 0, unit(300, 0), 300, "e")
	s = reopen(t)
	ten := []ledger.Sum{sum(unit(10, 0), 2, 10, "a+c"), sum(unit(10, 3), 1, 10, "b")}
	wantSums(t, s, interval(10, 1), ten...)
	wantSums(t, s, interval(9, 3), append(ten, sum(unit(11, 0), 1, 11, "d"))...)
	wantSums(t, s, interval(11, 1000), sum(unit(11, 0), 1, 11, "d"), sum(unit(300, 0), 1, 300, "e"))
	wantSums(t, s, interval(0, 10))
	if _, err := s.Sums(t.Context(), task, interval(5, 0)); err == nil {
		t.Error("an interval of no length has sums")
	}
	if _, err := s.Sums(t.Context(), task, interval(1, 1<<64-1)); err == nil {
		t.Error("an interval without end has sums")
	}
}

func testBatches(t *testing.T, s ledger.Store, reopen Reopen) {
	begin(t, s)
	add(t, s, 0, batch(7, 0), 10, "a")
	add(t, s, 0, batch(7, 0), 90, "b")
	add(t, s, 0, batch(7, 0), 40, "c") // the latest time stays
	add(t, s, 0, batch(8, 1), 50, "d")
	s = reopen(t)
	seven, eight := dap.BatchIDSelector(batch(7, 0).Bucket.Batch), dap.BatchIDSelector(batch(8, 0).Bucket.Batch)
	wantSums(t, s, seven, sum(batch(7, 0), 3, 90, "a+b+c"))
	wantSums(t, s, eight, sum(batch(8, 1), 1, 50, "d"))
	wantSums(t, s, dap.BatchIDSelector(dap.BatchID{9}))
	c := ledger.Collection{Task: task, Selector: seven, Seen: []ledger.Stamp{{Place: batch(7, 0), Rev: 3}}}
	if err := s.Collect(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	// A batch goes as a whole, and only when all of its parts are too old.
	add(t, s, 1, batch(8, 0), 20, "e")
	if err := s.Evict(t.Context(), task, 1, 48); err != nil {
		t.Fatal(err)
	}
	wantSums(t, s, eight, sum(batch(8, 0), 1, 20, "e"), sum(batch(8, 1), 1, 50, "d"))
	// The mark of a batch stays when its reports are evicted.
	if err := s.Evict(t.Context(), task, 2, 96); err != nil {
		t.Fatal(err)
	}
	wantHead(t, s, 0, ledger.Head{Layout: layout, Generation: 3, Watermark: 96, Marks: []ledger.Mark{{Generation: 1, Selector: seven}}})
	wantSums(t, s, seven)
	wantSums(t, s, eight)
}

func testStale(t *testing.T, s ledger.Store, _ Reopen) {
	begin(t, s)
	for _, seq := range []uint32{2, 3} {
		conflict(t, fmt.Sprint("block ", seq, " of an empty page"), s.Commit(t.Context(), ledger.Change{Task: task, Blocks: []ledger.Block{ids(1, 0, seq, 1)}}))
	}
	commit(t, s, ledger.Change{Blocks: []ledger.Block{ids(1, 0, 1, 1)}})
	for _, seq := range []uint32{1, 3} {
		conflict(t, fmt.Sprint("block ", seq, " after 1"), s.Commit(t.Context(), ledger.Change{Task: task, Blocks: []ledger.Block{ids(1, 0, seq, 2)}}))
	}
	conflict(t, "another generation", s.Commit(t.Context(), ledger.Change{Task: task, Generation: 1}))
	if err := s.Collect(t.Context(), ledger.Collection{Task: task, Selector: interval(500, 2)}); err != nil {
		t.Fatal(err)
	}
	conflict(t, "the generation before", s.Commit(t.Context(), ledger.Change{Task: task, Blocks: []ledger.Block{ids(1, 0, 2, 2)}}))
	wantBlocks(t, s, ledger.Page{Window: 1}, 0, ids(1, 0, 1, 1))
	commit(t, s, ledger.Change{Generation: 1, Blocks: []ledger.Block{ids(1, 0, 2, 2)}})
}

func testAtomic(t *testing.T, s ledger.Store, reopen Reopen) {
	begin(t, s)
	commit(t, s, ledger.Change{Blocks: []ledger.Block{ids(2, 0, 1, 1)}})
	c := ledger.Change{
		Task: task, Merge: join("x"),
		Blocks: []ledger.Block{ids(1, 0, 1, 1), ids(2, 0, 1, 2)}, // the second is taken
		Deltas: []ledger.Delta{{Place: unit(24, 0), Latest: 24}},
	}
	conflict(t, "half of a change", s.Commit(t.Context(), c))
	c.Blocks = c.Blocks[:1]
	c.Deltas = append(c.Deltas, ledger.Delta{Place: unit(25, 0), Latest: 25})
	c.Merge = func(p ledger.Place, _ []byte) ([]byte, error) {
		if p == unit(25, 0) {
			return nil, errBad
		}
		return []byte("x"), nil
	}
	if err := s.Commit(t.Context(), c); !errors.Is(err, errBad) {
		t.Errorf("%v, want the error of the merge", err)
	}
	s = reopen(t)
	wantBlocks(t, s, ledger.Page{Window: 1}, 0)
	wantSums(t, s, interval(0, 100))
	c.Merge = join("x")
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	wantSums(t, s, interval(0, 100), sum(unit(24, 0), 1, 24, "x"), sum(unit(25, 0), 1, 25, "x"))
}

// testSpent: what reports spend is on its list if they are counted, and only then; and
// they are counted only if the list is as it was when they were judged.
func testSpent(t *testing.T, s ledger.Store, reopen Reopen) {
	begin(t, s)
	list := dap.TaskID{2, 31: 7}
	if _, err := s.Begin(t.Context(), list, layout); err != nil {
		t.Fatal(err)
	}
	count := func(seq uint32, spent ledger.Block) error {
		return s.Commit(t.Context(), ledger.Change{
			Task: task, Merge: join("x"), Blocks: []ledger.Block{ids(1, 0, seq, byte(seq))},
			Deltas: []ledger.Delta{{Place: unit(24, 0), Latest: 24}},
			Spent:  &ledger.Change{Task: list, Blocks: []ledger.Block{spent}},
		})
	}
	if err := count(1, ids(5, 0, 1, 50)); err != nil {
		t.Fatal(err)
	}
	conflict(t, "a list that has grown", count(2, ids(5, 0, 1, 51)))
	conflict(t, "a ledger that has grown", count(1, ids(5, 0, 2, 51)))
	if err := s.Evict(t.Context(), list, 0, 24); err != nil {
		t.Fatal(err)
	}
	conflict(t, "a list of another generation", count(2, ids(5, 0, 2, 51)))
	s = reopen(t)
	wantBlocks(t, s, ledger.Page{Window: 1}, 0, ids(1, 0, 1, 1))
	wantSums(t, s, interval(0, 100), sum(unit(24, 0), 1, 24, "x"))
	blocks, err := s.Blocks(t.Context(), list, ledger.Page{Window: 5}, 0)
	if err != nil || len(blocks) != 1 || !bytes.Equal(blocks[0].IDs, ids(5, 0, 1, 50).IDs) {
		t.Errorf("spent %v, %v", blocks, err)
	}
	c := ledger.Change{Task: task, Spent: &ledger.Change{Task: task, Blocks: []ledger.Block{ids(1, 0, 2, 2)}}}
	if err := s.Commit(t.Context(), c); err == nil || errors.Is(err, ledger.ErrConflict) {
		t.Errorf("a list that is the ledger itself: %v", err)
	}
}

func testIllegal(t *testing.T, s ledger.Store, _ Reopen) {
	begin(t, s)
	unsorted, equal, cut := ids(1, 0, 1, 2, 1), ids(1, 0, 1, 1, 1), ids(1, 0, 1, 1)
	cut.IDs = cut.IDs[1:]
	for what, c := range map[string]ledger.Change{
		"no IDs":         {Blocks: []ledger.Block{ids(1, 0, 1)}},
		"block 0":        {Blocks: []ledger.Block{ids(1, 0, 0, 1)}},
		"unsorted":       {Blocks: []ledger.Block{unsorted}},
		"twice":          {Blocks: []ledger.Block{equal}},
		"cut":            {Blocks: []ledger.Block{cut}},
		"same page":      {Blocks: []ledger.Block{ids(1, 0, 1, 1), ids(1, 0, 2, 2)}},
		"same place":     {Deltas: []ledger.Delta{{Place: unit(1, 0)}, {Place: unit(1, 0)}}, Merge: join("x")},
		"no merge":       {Deltas: []ledger.Delta{{Place: unit(1, 0)}}},
		"time too large": {Deltas: []ledger.Delta{{Place: unit(1<<63, 0)}}, Merge: join("x")},
	} {
		c.Task = task
		if err := s.Commit(t.Context(), c); err == nil || errors.Is(err, ledger.ErrConflict) {
			t.Errorf("%s: %v, want an error that is no conflict", what, err)
		}
	}
}

func testCollect(t *testing.T, s ledger.Store, reopen Reopen) {
	begin(t, s)
	add(t, s, 0, unit(10, 0), 10, "a")
	add(t, s, 0, unit(11, 1), 11, "b")
	add(t, s, 0, unit(12, 0), 12, "c")
	c := ledger.Collection{Task: task, Selector: interval(10, 2), Seen: []ledger.Stamp{{Place: unit(10, 0), Rev: 1}, {Place: unit(11, 1), Rev: 1}}}
	for what, change := range map[string]func(*ledger.Collection){
		"one part unseen":  func(c *ledger.Collection) { c.Seen = c.Seen[:1] },
		"none seen":        func(c *ledger.Collection) { c.Seen = nil },
		"older revision":   func(c *ledger.Collection) { c.Seen[0].Rev = 0 },
		"part too many":    func(c *ledger.Collection) { c.Seen = append(c.Seen, ledger.Stamp{Place: unit(12, 0), Rev: 1}) },
		"another part":     func(c *ledger.Collection) { c.Seen[1].Place.Part = 0 },
		"generation ahead": func(c *ledger.Collection) { c.Generation = 1 },
	} {
		other := c
		other.Seen = slices.Clone(c.Seen)
		change(&other)
		conflict(t, what, s.Collect(t.Context(), other))
	}
	wantHead(t, s, 0, ledger.Head{Layout: layout})
	if err := s.Collect(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	conflict(t, "again", s.Collect(t.Context(), c))
	s = reopen(t)
	first, second := ledger.Mark{Generation: 1, Selector: c.Selector}, ledger.Mark{Generation: 2, Selector: interval(200, 1)}
	wantHead(t, s, 0, ledger.Head{Layout: layout, Generation: 1, Marks: []ledger.Mark{first}})
	wantSums(t, s, interval(0, 100), sum(unit(12, 0), 1, 12, "c"))
	if err := s.Collect(t.Context(), ledger.Collection{Task: task, Generation: 1, Selector: second.Selector}); err != nil {
		t.Fatal(err)
	}
	wantHead(t, s, 0, ledger.Head{Layout: layout, Generation: 2, Marks: []ledger.Mark{first, second}})
	wantHead(t, s, 1, ledger.Head{Layout: layout, Generation: 2, Marks: []ledger.Mark{second}})
	wantHead(t, s, 2, ledger.Head{Layout: layout, Generation: 2})
}

func testEvict(t *testing.T, s ledger.Store, reopen Reopen) {
	begin(t, s)
	early, across, late := ids(0, 0, 1, 1), ids(1, 1, 1, 1), ids(2, 0, 1, 1)
	commit(t, s, ledger.Change{Blocks: []ledger.Block{early, across, late}})
	for _, at := range []dap.Time{23, 24, 47, 48} {
		add(t, s, 0, unit(at, 0), at, fmt.Sprint(at))
	}
	for g, sel := range []dap.BatchSelector{interval(100, 1), interval(20, 20), interval(1, 2)} {
		c := ledger.Collection{Task: task, Generation: uint64(g), Selector: sel}
		if g == 1 {
			c.Seen = []ledger.Stamp{{Place: unit(23, 0), Rev: 1}, {Place: unit(24, 0), Rev: 1}}
		}
		if err := s.Collect(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	conflict(t, "evicting at another generation", s.Evict(t.Context(), task, 2, 24))
	if err := s.Evict(t.Context(), task, 3, 24); err != nil {
		t.Fatal(err)
	}
	s = reopen(t)
	wantHead(t, s, 0, ledger.Head{Layout: layout, Generation: 4, Watermark: 24, Marks: []ledger.Mark{
		{Generation: 1, Selector: interval(100, 1)}, {Generation: 2, Selector: interval(20, 20)},
	}})
	wantBlocks(t, s, early.Page, 0)
	wantBlocks(t, s, across.Page, 0, across)
	wantSums(t, s, interval(0, 100), sum(unit(47, 0), 1, 47, "47"), sum(unit(48, 0), 1, 48, "48"))
	for _, lower := range []dap.Time{0, 24} { // nothing happens
		if err := s.Evict(t.Context(), task, 4, lower); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Evict(t.Context(), task, 4, 48); err != nil {
		t.Fatal(err)
	}
	wantHead(t, s, 0, ledger.Head{Layout: layout, Generation: 5, Watermark: 48, Marks: []ledger.Mark{{Generation: 1, Selector: interval(100, 1)}}})
	wantBlocks(t, s, across.Page, 0)
	wantBlocks(t, s, late.Page, 0, late)
	wantSums(t, s, interval(0, 100), sum(unit(48, 0), 1, 48, "48"))
}

func testCompact(t *testing.T, s ledger.Store, reopen Reopen) {
	begin(t, s)
	for i := range 5 {
		commit(t, s, ledger.Change{Blocks: []ledger.Block{ids(3, 0, uint32(i+1), byte(50-i))}})
	}
	page := ledger.Page{Window: 3}
	joined := ids(3, 0, 4, 47, 48, 49)
	for _, wrong := range []struct {
		after uint32
		count int
	}{{1, 2}, {1, 4}, {0, 3}, {2, 3}} {
		conflict(t, fmt.Sprint("compacting ", wrong), s.Compact(t.Context(), task, compaction(wrong.after, wrong.count, joined)))
	}
	if err := s.Compact(t.Context(), task, compaction(1, 3, joined)); err != nil {
		t.Fatal(err)
	}
	s = reopen(t)
	wantBlocks(t, s, page, 0, ids(3, 0, 1, 50), joined, ids(3, 0, 5, 46))
	wantBlocks(t, s, page, 2, joined, ids(3, 0, 5, 46)) // a reader that knew a part of it reads all of it
	missing := ids(3, 0, 6, 46, 47)
	conflict(t, "compacting a block that is not there", s.Compact(t.Context(), task, compaction(4, 1, missing)))
	all := ids(3, 0, 5, 46, 47, 48, 49, 50)
	if err := s.Compact(t.Context(), task, compaction(0, 3, all)); err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint32{1, 2, 5, 7} { // numbers that are gone are not free
		conflict(t, fmt.Sprint("block ", seq, " after compaction"), s.Commit(t.Context(), ledger.Change{Task: task, Blocks: []ledger.Block{ids(3, 0, seq, 99)}}))
	}
	commit(t, s, ledger.Change{Blocks: []ledger.Block{ids(3, 0, 6, 99)}})
	wantBlocks(t, s, page, 0, all, ids(3, 0, 6, 99))
	for _, want := range []ledger.Block{all, ids(3, 0, 6, 99)} {
		if have, err := s.Block(t.Context(), task, page, want.Seq); err != nil || !bytes.Equal(have.IDs, want.IDs) {
			t.Errorf("block %d: %d bytes, %v", want.Seq, len(have.IDs), err)
		}
	}
	_, err := s.Block(t.Context(), task, page, 4)
	conflict(t, "a block that is gone", err)
	// Several blocks in the place of several get numbers above them, if these are free.
	several := []ledger.Block{ids(3, 0, 7, 46, 47, 48), ids(3, 0, 8, 49, 50, 99)}
	early := ledger.Compaction{After: 0, Last: 5, Count: 1, Blocks: []ledger.Block{ids(3, 0, 6, 46, 47, 48), ids(3, 0, 7, 49, 50)}}
	conflict(t, "numbers that are taken", s.Compact(t.Context(), task, early))
	if err := s.Compact(t.Context(), task, ledger.Compaction{After: 0, Last: 6, Count: 2, Blocks: several}); err != nil {
		t.Fatal(err)
	}
	s = reopen(t)
	wantBlocks(t, s, page, 6, several...) // a reader that knew all reads all
	conflict(t, "the number after those that were replaced", s.Commit(t.Context(), ledger.Change{Task: task, Blocks: []ledger.Block{ids(3, 0, 7, 98)}}))
	commit(t, s, ledger.Change{Blocks: []ledger.Block{ids(3, 0, 9, 98)}})
	if last, err := s.Last(t.Context(), task, page); err != nil || last != 9 {
		t.Errorf("the last block is %d, %v", last, err)
	}
	if last, err := s.Last(t.Context(), task, ledger.Page{Window: 77}); err != nil || last != 0 {
		t.Errorf("the last block of an empty page is %d, %v", last, err)
	}
	// Blocks before the last one go to the end too.
	ordered := []ledger.Block{ids(3, 0, 10, 46, 47), ids(3, 0, 11, 48, 49, 50, 99)}
	conflict(t, "numbers that are taken", s.Compact(t.Context(), task, ledger.Compaction{After: 0, Last: 8, Count: 2, Blocks: []ledger.Block{ids(3, 0, 9, 46)}}))
	if err := s.Compact(t.Context(), task, ledger.Compaction{After: 0, Last: 8, Count: 2, Blocks: ordered}); err != nil {
		t.Fatal(err)
	}
	wantBlocks(t, s, page, 0, append([]ledger.Block{ids(3, 0, 9, 98)}, ordered...)...)
	below := ledger.Compaction{After: 0, Last: 9, Count: 3, Blocks: several}
	if err := s.Compact(t.Context(), task, below); err == nil {
		t.Error("numbers below those that are replaced are accepted")
	}
}

// compaction replaces blocks by one with the number of the last.
func compaction(after uint32, count int, b ledger.Block) ledger.Compaction {
	return ledger.Compaction{After: after, Last: b.Seq, Count: count, Blocks: []ledger.Block{b}}
}

func testApart(t *testing.T, s ledger.Store, _ Reopen) {
	begin(t, s)
	other := dap.TaskID{2}
	if _, err := s.Begin(t.Context(), other, ledger.Layout{Window: 1, Shards: 1}); err != nil {
		t.Fatal(err)
	}
	c := ledger.Change{Task: other, Blocks: []ledger.Block{ids(0, 0, 1, 1)}, Deltas: []ledger.Delta{{Place: unit(1, 0), Latest: 1}}, Merge: join("other")}
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	wantBlocks(t, s, ledger.Page{}, 0)
	wantSums(t, s, interval(0, 10))
	add(t, s, 0, unit(1, 0), 1, "ours")
	if err := s.Collect(t.Context(), ledger.Collection{Task: other, Selector: interval(0, 10), Seen: []ledger.Stamp{{Place: unit(1, 0), Rev: 1}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Evict(t.Context(), other, 1, 100); err != nil {
		t.Fatal(err)
	}
	wantHead(t, s, 0, ledger.Head{Layout: layout})
	wantSums(t, s, interval(0, 10), sum(unit(1, 0), 1, 1, "ours"))
}

func testLarge(t *testing.T, s ledger.Store, reopen Reopen) {
	begin(t, s)
	const n = 20_000
	b := ledger.Block{Page: ledger.Page{Window: 1 << 40}, Seq: 1, IDs: make([]byte, n*ledger.IDSize)}
	for i := range n {
		b.IDs[i*ledger.IDSize], b.IDs[i*ledger.IDSize+1] = byte(i>>8), byte(i)
	}
	total := bytes.Repeat([]byte{7}, 3<<20)
	c := ledger.Change{Task: task, Blocks: []ledger.Block{b}, Deltas: []ledger.Delta{{Place: unit(1<<44, 255), Latest: 1 << 44}}}
	c.Merge = func(ledger.Place, []byte) ([]byte, error) { return total, nil }
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	s = reopen(t)
	blocks, err := s.Blocks(t.Context(), task, b.Page, 0)
	if err != nil || len(blocks) != 1 || !bytes.Equal(blocks[0].IDs, b.IDs) {
		t.Errorf("%d blocks, %v: not those that were stored", len(blocks), err)
	}
	sums, err := s.Sums(t.Context(), task, interval(1<<44, 1))
	if err != nil || len(sums) != 1 || !bytes.Equal(sums[0].Total, total) {
		t.Errorf("%d sums, %v: not those that were stored", len(sums), err)
	}
}
