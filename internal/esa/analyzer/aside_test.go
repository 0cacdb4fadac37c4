package analyzer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/metric/task"
)

// newAnalyzer starts an analyzer of the bench's task with a bound on memory.
func (b *bench) newAnalyzer(t testing.TB, memory int64, retry bool) *analyzer.Analyzer {
	t.Helper()
	p := b.Parties[1]
	a, err := analyzer.New(t.Context(), analyzer.Config{
		Store: b.store, FS: b.fs, Dir: "data", Clock: b.Clock, Identity: p.ID.Public(), Keys: p.Keys,
		Tasks: []*task.Task{b.Task}, Workers: 2, Memory: memory, Retry: retry,
	})
	must(t, err)
	b.a = a
	return a
}

// A batch that needs more memory than there is does not end the process, is set
// aside after so many tries, reports so once in each process, keeps its file, holds up
// no other batch, and is released when an operator has it tried again.
func TestSetAside(t *testing.T) {
	b := newBench(t, func(t *task.Task) { t.Threshold.T = 1 })
	b.newAnalyzer(t, 1500, false)
	var reports [][]byte
	for n := range 40 {
		reports = append(reports, b.Report(t, b.Epoch(0), fmt.Sprint("word", n), int64(n)))
	}
	id, file := b.batch(t, b.Epoch(0), b.Parties[0].ID, b.rows(t, reports...))
	if code := b.put(id.String(), file); code != 201 {
		t.Fatalf("answer %d, want 201", code)
	}
	for n := 1; n <= analyzer.MaxAttempts; n++ {
		err := b.a.Tick(t.Context())
		if err == nil || !strings.Contains(err.Error(), "batches.memory") || strings.Contains(err.Error(), "set aside") != (n == analyzer.MaxAttempts) {
			t.Fatalf("try %d: %v", n, err)
		}
		b.Clock.Advance(10 * time.Minute)
	}
	wantAside := func() {
		t.Helper()
		must(t, b.a.Tick(t.Context())) // it is not tried
		if st := b.a.Status(); st.Aside != 1 || len(st.Pending) != 1 || st.Pending[0].Err == nil {
			t.Errorf("status %+v", st)
		}
		if len(files(t, b.fs, "data/received")) != 1 {
			t.Error("the batch is gone")
		}
	}
	wantAside()
	b.release(t, b.Epoch(1), b.Report(t, b.Epoch(1), "other", 1))
	b.newAnalyzer(t, 0, false) // the memory is there now, but no other try was requested
	if err := b.a.Tick(t.Context()); err == nil || !strings.Contains(err.Error(), "set aside") {
		t.Errorf("after a restart: %v", err)
	}
	wantAside()
	b.newAnalyzer(t, 0, true)
	must(t, b.a.Tick(t.Context()))
	if st := b.a.Status(); st.Aside != 0 || len(st.Pending) != 0 {
		t.Errorf("status %+v", st)
	}
	entries, err := b.a.Tables().Entries(t.Context())
	must(t, err)
	if len(entries) != 2 || entries[0].State != analyzer.Released || entries[0].Manifest.Analyzer.Crowds != 40 {
		t.Errorf("entries %+v", entries)
	}
}

// Tries that end with the process count: a batch that brings it down is not tried at
// each start for ever.
func TestSetAsideAfterCrashes(t *testing.T) {
	b := newBench(t, func(t *task.Task) { t.Threshold.T = 1 })
	id, file := b.batch(t, b.Epoch(0), b.Parties[0].ID, b.rows(t, b.Report(t, b.Epoch(0), "word", 1)))
	b.put(id.String(), file)
	for range analyzer.MaxAttempts {
		b.store.CrashAt(2, false) // the release; the first change counts the try
		if err := b.a.Tick(t.Context()); err == nil {
			t.Fatal("no crash")
		}
		b.store = b.store.Restart()
		b.newAnalyzer(t, 0, false)
	}
	if err := b.a.Tick(t.Context()); err == nil || !strings.Contains(err.Error(), "set aside") || b.a.Status().Aside != 1 {
		t.Errorf("error %v, status %+v", err, b.a.Status())
	}
}

// Missing keys and a full disk are no fault of the batch, however long they last.
func TestNotSetAside(t *testing.T) {
	b := newBench(t, func(t *task.Task) { t.Threshold.T = 1 })
	id, file := b.batch(t, b.Epoch(0), b.Parties[0].ID, b.rows(t, b.Report(t, b.Epoch(0), "word", 1)))
	b.put(id.String(), file)
	keys := b.Parties[1].Keys
	must(t, b.a.SetKeys(analyzer.Keys{Config: keys.Config}))
	for range 2 * analyzer.MaxAttempts {
		if err := b.a.Tick(t.Context()); err == nil || strings.Contains(err.Error(), "set aside") {
			t.Fatalf("error %v", err)
		}
		b.Clock.Advance(10 * time.Minute)
	}
	must(t, b.a.SetKeys(keys))
	must(t, b.a.Tick(t.Context()))
	if st := b.a.Status(); st.Aside != 0 || len(st.Pending) != 0 {
		t.Errorf("status %+v", st)
	}
}

// A reader counts the batches that a store returns as wholes.
type reader struct {
	analyzer.Store
	rows int
}

func (r *reader) Batches(ctx context.Context) ([]analyzer.Batch, error) {
	all, err := r.Store.Batches(ctx)
	r.rows += len(all)
	return all, err
}

// The catalogue of a year is not read when a batch arrives, is released or expires.
func TestPastIsNotRead(t *testing.T) {
	b := newBench(t, func(t *task.Task) { t.RetentionDays, t.Threshold.T = 2, 1 })
	for e := range 50 {
		b.release(t, b.Epoch(e), b.Report(t, b.Epoch(e), "a", 1))
	}
	store := &reader{Store: b.store}
	p := b.Parties[1]
	a, err := analyzer.New(t.Context(), analyzer.Config{
		Store: store, FS: b.fs, Dir: "data", Clock: b.Clock, Identity: p.ID.Public(), Keys: p.Keys, Tasks: []*task.Task{b.Task},
	})
	must(t, err)
	b.a = a
	id, file := b.batch(t, b.Epoch(50), b.Parties[0].ID, b.rows(t, b.Report(t, b.Epoch(50), "a", 1)))
	if code := b.put(id.String(), file); code != 201 {
		t.Fatalf("answer %d, want 201", code)
	}
	must(t, a.Tick(t.Context()))
	if entries, err := a.Tables().Newest(t.Context(), b.ID, 3); err != nil || len(entries) != 3 || entries[2].ID != id {
		t.Errorf("newest %v, %v", entries, err)
	}
	if all, err := a.Tables().Summaries(t.Context()); err != nil || len(all) != 1 || all[0].Batches != 51 || all[0].Latest != b.Epoch(50) {
		t.Errorf("summaries %v, %v", all, err)
	}
	b.Clock.Advance(90 * 24 * time.Hour)
	must(t, a.Tick(t.Context()))
	if left := files(t, b.fs, "data/tables"); len(left) != 0 {
		t.Errorf("files %v are left", left)
	}
	if store.rows != 0 {
		t.Errorf("%d rows of the catalogue were read", store.rows)
	}
}
