package ledger_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/ledger/storetest"
)

// A counting store counts what is read of pages.
type counting struct {
	ledger.Store
	rows, ids, compactions int
}

func (c *counting) Blocks(ctx context.Context, task dap.TaskID, p ledger.Page, after uint32) ([]ledger.Block, error) {
	all, err := c.Store.Blocks(ctx, task, p, after)
	for _, b := range all {
		c.add(b)
	}
	return all, err
}

func (c *counting) Block(ctx context.Context, task dap.TaskID, p ledger.Page, seq uint32) (ledger.Block, error) {
	b, err := c.Store.Block(ctx, task, p, seq)
	c.add(b)
	return b, err
}

func (c *counting) Compact(ctx context.Context, task dap.TaskID, change ledger.Compaction) error {
	c.compactions++
	return c.Store.Compact(ctx, task, change)
}

func (c *counting) add(b ledger.Block) {
	c.rows++
	c.ids += len(b.IDs) / ledger.IDSize
}

func (c *counting) reset() { c.rows, c.ids, c.compactions = 0, 0, 0 }

func randomIDs(r *rand.ChaCha8, n int) []dap.ReportID {
	ids := make([]dap.ReportID, n)
	for i := range ids {
		r.Read(ids[i][:])
	}
	return ids
}

// fill commits IDs as an older version has: in blocks of so many, in the order in
// which they came.
func fill(t testing.TB, s ledger.Store, task dap.TaskID, page ledger.Page, ids []dap.ReportID, each int) {
	t.Helper()
	for chunk := range slices.Chunk(ids, each) {
		chunk = slices.Clone(chunk)
		slices.SortFunc(chunk, func(a, b dap.ReportID) int { return bytes.Compare(a[:], b[:]) })
		last, err := s.Last(t.Context(), task, page)
		if err != nil {
			t.Fatal(err)
		}
		block := ledger.Block{Page: page, Seq: last + 1}
		for _, id := range chunk {
			block.IDs = append(block.IDs, id[:]...)
		}
		if err := s.Commit(t.Context(), ledger.Change{Task: task, Blocks: []ledger.Block{block}}); err != nil {
			t.Fatal(err)
		}
	}
}

// What a commit reads does not grow with what is there, and what is in memory stays
// within its limit: counted in rows and IDs, with pages as an older version has
// written them.
func TestCommitsDoNotGrow(t *testing.T) {
	const jobs, each = 10, 20
	limit := int64(4 << 20)
	for _, n := range []int{1_000, 30_000, 1_200_000} {
		w := newWorld(t, dap.TimeIntervalMode, 4)
		s := &counting{Store: storetest.NewModel()}
		ledgers := w.ledgers(t, s, func(c *ledger.Config) { c.CacheBytes = limit })
		taskLedger, err := ledgers.Open(t.Context(), w.task, 0)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.NewChaCha8([32]byte{byte(n)})
		old := randomIDs(r, n)
		page := ledger.DefaultLayout(3600).Page(dap.ReportID{}, first)
		fill(t, s.Store, w.task.ID(), page, old, 1000)
		commit := func(ids []dap.ReportID, want dap.ReportError) {
			verdicts, err := taskLedger.Commit(t.Context(), w.forged(t, ids...), nil)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range verdicts {
				if v != want {
					t.Fatalf("%d IDs: report %d of a job has the verdict %v, want %v", n, i, v, want)
				}
			}
		}
		commit(randomIDs(r, each), 0) // reads the page
		commit(randomIDs(r, each), 0)
		if n > 1_000_000 && s.compactions == 0 {
			t.Error("a long page of an older version is not put in order")
		}
		s.reset()
		for range jobs {
			commit(randomIDs(r, each), 0)
		}
		if s.rows > 3*jobs { // some are read to be joined
			t.Errorf("%d IDs: %d commits of new reports read %d rows with %d IDs", n, jobs, s.rows, s.ids)
		}
		s.reset()
		for range jobs {
			var some []dap.ReportID
			for range each {
				some = append(some, old[r.Uint64()%uint64(n)])
			}
			slices.SortFunc(some, func(a, b dap.ReportID) int { return bytes.Compare(a[:], b[:]) })
			commit(slices.Compact(some), dap.ReportReplayed)
		}
		if s.rows > jobs*each*5/4 || s.ids > s.rows*4096 {
			t.Errorf("%d IDs: %d commits of %d replayed reports read %d rows with %d IDs", n, jobs, each, s.rows, s.ids)
		}
		if cached := ledgers.Cached(); cached > limit {
			t.Errorf("%d IDs: %d bytes are in memory, the limit is %d", n, cached, limit)
		}
	}
}

// A task that has much in memory takes nothing from one that has little.
func TestBusyTaskLeavesOthersTheirPages(t *testing.T) {
	s := &counting{Store: storetest.NewModel()}
	r := rand.NewChaCha8([32]byte{3})
	page := ledger.DefaultLayout(3600).Page(dap.ReportID{}, first)
	var ledgers *ledger.Ledgers
	var all []*ledger.Ledger
	var worlds []*world
	for k := range 3 {
		w := newWorld(t, dap.TimeIntervalMode, 4+k)
		if ledgers == nil {
			ledgers = w.ledgers(t, s, func(c *ledger.Config) { c.CacheBytes = 3 << 20 })
		}
		taskLedger, err := ledgers.Open(t.Context(), w.task, 0)
		if err != nil {
			t.Fatal(err)
		}
		all, worlds = append(all, taskLedger), append(worlds, w)
	}
	fill(t, s.Store, worlds[0].task.ID(), page, randomIDs(r, 1_500_000), 500_000) // 3.4 MB of filters
	fill(t, s.Store, worlds[1].task.ID(), page, randomIDs(r, 20_000), 1000)
	fill(t, s.Store, worlds[2].task.ID(), page, randomIDs(r, 20_000), 1000)
	commit := func(k int) int {
		before := s.rows
		if _, err := all[k].Commit(t.Context(), worlds[k].forged(t, randomIDs(r, 10)...), nil); err != nil {
			t.Fatal(err)
		}
		return s.rows - before
	}
	for k := range all {
		commit(k)
	}
	quiet := 0
	for range 10 {
		commit(0)
		commit(0)
		quiet += commit(1) + commit(2)
	}
	if quiet > 0 {
		t.Errorf("beside a busy task 20 commits of two others read %d rows", quiet)
	}
	if cached := ledgers.Cached(); cached > ledgers.Limit() {
		t.Errorf("%d bytes are in memory, the limit is %d", cached, ledgers.Limit())
	}
}

// Two processes with small runs: each puts pages in order while the other commits,
// and every report counts once.
func TestOrderedPagesOfTwoProcesses(t *testing.T) {
	for seed := range byte(3) {
		w := newWorld(t, dap.TimeIntervalMode, 4)
		s := storetest.NewModel()
		r := rand.New(rand.NewChaCha8([32]byte{seed}))
		var all []*ledger.Ledger
		for range 2 {
			ledgers := w.ledgers(t, s, func(c *ledger.Config) { c.CacheBytes = 1 << (11 + seed) })
			ledgers.SetSizes(4, 16, 32, 256)
			taskLedger, err := ledgers.Open(t.Context(), w.task, 0)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, taskLedger)
		}
		ids := randomIDs(rand.NewChaCha8([32]byte{seed, 1}), 1500)
		counted := map[dap.ReportID]bool{}
		for range 250 {
			job := map[dap.ReportID]bool{}
			for range 1 + r.IntN(6) {
				job[ids[r.IntN(len(ids))]] = true
			}
			var some []dap.ReportID
			for _, id := range ids {
				if job[id] {
					some = append(some, id)
				}
			}
			taskLedger := all[r.IntN(2)]
			if r.IntN(3) == 0 {
				taskLedger = all[0]
			}
			verdicts, err := taskLedger.Commit(t.Context(), w.forged(t, some...), nil)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range verdicts {
				want := dap.ReportError(0)
				if counted[some[i]] {
					want = dap.ReportReplayed
				}
				if v != want {
					t.Fatalf("seed %d: verdict %v, want %v", seed, v, want)
				}
				counted[some[i]] = true
			}
		}
		page := ledger.DefaultLayout(3600).Page(dap.ReportID{}, first)
		stored := map[dap.ReportID]int{}
		for after := uint32(0); ; {
			blocks, err := s.Blocks(t.Context(), w.task.ID(), page, after)
			if err != nil {
				t.Fatal(err)
			}
			if len(blocks) == 0 {
				break
			}
			for _, b := range blocks {
				for id := range slices.Chunk(b.IDs, ledger.IDSize) {
					stored[dap.ReportID(id)]++
				}
				after = b.Seq
			}
		}
		if len(stored) != len(counted) {
			t.Errorf("seed %d: %d IDs are stored, %d reports counted", seed, len(stored), len(counted))
		}
		for id, n := range stored {
			if n != 1 || !counted[id] {
				t.Errorf("seed %d: %v is stored %d times", seed, id, n)
			}
		}
	}
}
