package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shoal-project/shoal/internal/dap/ledger"
)

// testRaces lets many append to one page: each number is taken once, and each
// commit that was acknowledged is in the sum once.
func testRaces(t *testing.T, s ledger.Store, _ Reopen) {
	begin(t, s)
	const writers, each = 6, 5
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				for {
					blocks, err := s.Blocks(t.Context(), task, ledger.Page{Window: 1}, 0)
					if err != nil {
						t.Error(err)
						return
					}
					err = s.Commit(t.Context(), ledger.Change{
						Task: task, Blocks: []ledger.Block{ids(1, 0, uint32(len(blocks)+1), byte(w*each+i))},
						Deltas: []ledger.Delta{{Place: unit(24, 0), Latest: 24}}, Merge: count,
					})
					if err == nil {
						break
					}
					if !errors.Is(err, ledger.ErrConflict) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	blocks, err := s.Blocks(t.Context(), task, ledger.Page{Window: 1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for i, b := range blocks {
		if b.Seq != uint32(i+1) {
			t.Errorf("block %d has number %d", i+1, b.Seq)
		}
		seen[string(b.IDs)] = true
	}
	if len(seen) != writers*each {
		t.Errorf("%d of %d appends are there", len(seen), writers*each)
	}
	wantSums(t, s, interval(24, 1), sum(unit(24, 0), writers*each, 24, strconv.Itoa(writers*each)))
}

// count is a merge that adds one.
func count(_ ledger.Place, old []byte) ([]byte, error) {
	n := 0
	if old != nil {
		var err error
		if n, err = strconv.Atoi(string(old)); err != nil {
			return nil, err
		}
	}
	return strconv.AppendInt(nil, int64(n+1), 10), nil
}

// testCollectRace lets one collect a batch while others commit to it: what was
// acknowledged before is in what was collected, and nothing comes after it.
func testCollectRace(t *testing.T, s ledger.Store, _ Reopen) {
	begin(t, s)
	var committed atomic.Int64
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			p := unit(30, uint8(w%2))
			for range 40 {
				err := s.Commit(t.Context(), ledger.Change{Task: task, Deltas: []ledger.Delta{{Place: p, Latest: 30}}, Merge: count})
				if errors.Is(err, ledger.ErrConflict) { // the generation has moved on
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				committed.Add(1)
			}
		})
	}
	collected := 0
	for try := 0; ; try++ {
		sums, err := s.Sums(t.Context(), task, interval(30, 1))
		if err != nil {
			t.Error(err)
			break
		}
		c := ledger.Collection{Task: task, Selector: interval(30, 1)}
		n := 0
		for _, sum := range sums {
			part, err := strconv.Atoi(string(sum.Total))
			if err != nil {
				t.Error(err)
			}
			n += part
			c.Seen = append(c.Seen, ledger.Stamp{Place: sum.Place, Rev: sum.Rev})
		}
		if n == 0 {
			continue // nothing is committed yet
		}
		if err = s.Collect(t.Context(), c); err == nil {
			collected = n
			break
		}
		if !errors.Is(err, ledger.ErrConflict) || try == 100_000 {
			t.Error(fmt.Errorf("collecting, attempt %d: %w", try+1, err))
			break
		}
	}
	if t.Failed() { // end the writers
		if err := s.Evict(t.Context(), task, 0, 1); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if int64(collected) != committed.Load() {
		t.Errorf("%d commits were acknowledged, %d collected", committed.Load(), collected)
	}
	wantSums(t, s, interval(30, 1))
	wantHead(t, s, 0, ledger.Head{Layout: layout, Generation: 1, Marks: []ledger.Mark{{Generation: 1, Selector: interval(30, 1)}}})
	conflict(t, "committing afterwards", s.Commit(t.Context(), ledger.Change{Task: task, Deltas: []ledger.Delta{{Place: unit(30, 0)}}, Merge: count}))
}
