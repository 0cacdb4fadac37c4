// Package storetest holds the conformance suite of [helper.Store] and a model of
// a store that can crash.
//
// An implementation's test calls [Run] with a function that opens a fresh store.
// Tests of what uses a store take a [Model].
package storetest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/ledger"
)

// Run holds a store to the promises of [helper.Store] that go beyond those of
// [ledger.Store], for which the ledger has a suite of its own.
func Run(t *testing.T, open func(t *testing.T) helper.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, helper.Store){
		"jobs":        testJobs,
		"commit":      testCommit,
		"states":      testStates,
		"waiting":     testWaiting,
		"shares":      testShares,
		"sweep":       testSweep,
		"concurrency": testConcurrency,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

var (
	task = dap.TaskID{1}
	at   = time.Unix(1_700_000_000, 0).UTC()
)

func job(id byte, s helper.State) *helper.Job {
	j := &helper.Job{Task: task, ID: dap.AggregationJobID{id}, State: s, Digest: helper.Digest{id, 2, 3}, Made: at}
	switch s {
	case helper.Waiting:
		j.Request = []byte("request")
	case helper.Done:
		j.Verdicts = []byte("verdicts")
	case helper.Failed:
		j.Problem = []byte("problem")
	}
	return j
}

func share(id byte) *helper.Share {
	return &helper.Share{Task: task, ID: dap.AggregateShareID{id}, State: helper.Done, Digest: helper.Digest{id, 4}, Made: at, Response: []byte("response")}
}

// change is a change of one report.
func change(id byte, seq uint32) ledger.Change {
	ids := make([]byte, ledger.IDSize)
	ids[0] = id
	return ledger.Change{
		Task:   task,
		Blocks: []ledger.Block{{Page: ledger.Page{Window: 3}, Seq: seq, IDs: ids}},
		Deltas: []ledger.Delta{{Place: ledger.Place{Bucket: dap.Bucket{Unit: 3}}, Latest: 3}},
		Merge:  func(_ ledger.Place, old []byte) ([]byte, error) { return append(old, id), nil },
	}
}

func begin(t *testing.T, s helper.Store) {
	t.Helper()
	if _, err := s.Begin(t.Context(), task, ledger.Layout{Window: 1, Shards: 1}); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

// sameBytes takes no difference between no bytes and none.
func sameBytes(b ...*[]byte) {
	for _, b := range b {
		if len(*b) == 0 {
			*b = nil
		}
	}
}

func wantJob(t *testing.T, s helper.Store, w *helper.Job) {
	t.Helper()
	got, err := s.Job(t.Context(), w.Task, w.ID)
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(&got.Request, &got.Verdicts, &got.Response, &got.Problem)
	got.Made = got.Made.UTC()
	if !reflect.DeepEqual(got, w) {
		t.Fatalf("job %+v, want %+v", got, w)
	}
}

func wantShare(t *testing.T, s helper.Store, w *helper.Share) {
	t.Helper()
	got, err := s.Share(t.Context(), w.Task, w.ID)
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(&got.Response)
	got.Made = got.Made.UTC()
	if !reflect.DeepEqual(got, w) {
		t.Fatalf("share %+v, want %+v", got, w)
	}
}

func blocks(t *testing.T, s helper.Store) int {
	t.Helper()
	b, err := s.Blocks(t.Context(), task, ledger.Page{Window: 3}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return len(b)
}

func testJobs(t *testing.T, s helper.Store) {
	begin(t, s)
	_, err := s.Job(t.Context(), task, dap.AggregationJobID{1})
	want(t, "a job that is not there", err, helper.ErrNone)
	want(t, "beginning", s.BeginJob(t.Context(), job(1, helper.Waiting)), nil)
	wantJob(t, s, job(1, helper.Waiting))
	want(t, "beginning twice", s.BeginJob(t.Context(), job(1, helper.Waiting)), helper.ErrExists)
	other := job(1, helper.Waiting)
	other.Task = dap.TaskID{2}
	want(t, "the ID in another task", s.BeginJob(t.Context(), other), nil)
	wantJob(t, s, other)
	done := job(1, helper.Done)
	done.Response = []byte("response")
	want(t, "committing", s.CommitJob(t.Context(), change(1, 1), done), nil)
	wantJob(t, s, done)
	want(t, "beginning what is done", s.BeginJob(t.Context(), job(1, helper.Waiting)), helper.ErrExists)
	wantJob(t, s, done)
}

// Job and ledger change together or not at all.
func testCommit(t *testing.T, s helper.Store) {
	begin(t, s)
	want(t, "committing", s.CommitJob(t.Context(), change(1, 1), job(1, helper.Done)), nil)
	want(t, "committing twice", s.CommitJob(t.Context(), change(2, 2), job(1, helper.Done)), helper.ErrExists)
	if n := blocks(t, s); n != 1 {
		t.Fatalf("%d blocks after a job that was there", n)
	}
	want(t, "with a block's number that is taken", s.CommitJob(t.Context(), change(2, 1), job(2, helper.Done)), ledger.ErrConflict)
	broken := errors.New("no merge")
	c := change(3, 2)
	c.Merge = func(ledger.Place, []byte) ([]byte, error) { return nil, broken }
	want(t, "with totals that do not merge", s.CommitJob(t.Context(), c, job(2, helper.Done)), broken)
	c = change(3, 2)
	c.Generation = 7
	want(t, "in another generation", s.CommitJob(t.Context(), c, job(2, helper.Done)), ledger.ErrConflict)
	_, err := s.Job(t.Context(), task, dap.AggregationJobID{2})
	want(t, "the job of commits that failed", err, helper.ErrNone)
	if n := blocks(t, s); n != 1 {
		t.Fatalf("%d blocks after commits that failed", n)
	}
	empty := ledger.Change{Task: task}
	want(t, "a job without reports", s.CommitJob(t.Context(), empty, job(3, helper.Done)), nil)
	wantJob(t, s, job(3, helper.Done))
	empty.Task = dap.TaskID{9}
	none := job(4, helper.Done)
	none.Task = empty.Task
	want(t, "a task without a ledger", s.CommitJob(t.Context(), empty, none), ledger.ErrNotBegun)
}

func testStates(t *testing.T, s helper.Store) {
	begin(t, s)
	ctx := t.Context()
	want(t, "failing nothing", s.FailJob(ctx, job(1, helper.Failed)), helper.ErrNone)
	want(t, "deleting nothing", s.DeleteJob(ctx, job(1, helper.Failed).Key(), at), helper.ErrNone)
	want(t, "beginning", s.BeginJob(ctx, job(1, helper.Waiting)), nil)
	want(t, "failing", s.FailJob(ctx, job(1, helper.Failed)), nil)
	wantJob(t, s, job(1, helper.Failed))
	want(t, "failing twice", s.FailJob(ctx, job(1, helper.Failed)), helper.ErrExists)
	want(t, "committing what failed", s.CommitJob(ctx, change(1, 1), job(1, helper.Done)), helper.ErrExists)
	wantJob(t, s, job(1, helper.Failed))

	want(t, "beginning", s.BeginJob(ctx, job(2, helper.Waiting)), nil)
	want(t, "committing", s.CommitJob(ctx, change(3, 1), job(3, helper.Done)), nil)
	for _, j := range []*helper.Job{job(1, helper.Failed), job(2, helper.Waiting), job(3, helper.Done)} {
		gone := &helper.Job{Task: task, ID: j.ID, State: helper.Deleted, Digest: j.Digest, Made: at.Add(time.Hour)}
		for range 2 {
			want(t, "deleting", s.DeleteJob(ctx, j.Key(), at.Add(time.Hour)), nil)
			wantJob(t, s, gone)
		}
		want(t, "committing what is deleted", s.CommitJob(ctx, change(9, 2), j), helper.ErrExists)
		want(t, "beginning what is deleted", s.BeginJob(ctx, j), helper.ErrExists)
	}
	if n := blocks(t, s); n != 1 {
		t.Fatalf("deleting a job left %d blocks of its reports, want 1", n)
	}
}

func testWaiting(t *testing.T, s helper.Store) {
	begin(t, s)
	for i := range 5 {
		j := job(byte(i), helper.Waiting)
		j.Made = at.Add(-time.Duration(i) * time.Minute)
		want(t, "beginning", s.BeginJob(t.Context(), j), nil)
	}
	want(t, "deleting", s.DeleteJob(t.Context(), job(2, helper.Waiting).Key(), at), nil)
	ids := func(before time.Time, limit int) []byte {
		keys, err := s.WaitingJobs(t.Context(), before, limit)
		if err != nil {
			t.Fatal(err)
		}
		var out []byte
		for _, k := range keys {
			if k.Task != task {
				t.Errorf("a job of task %v", k.Task)
			}
			out = append(out, k.ID[0])
		}
		return out
	}
	if got := ids(at.Add(time.Second), 10); !slices.Equal(got, []byte{4, 3, 1, 0}) {
		t.Errorf("waiting %v", got)
	}
	if got := ids(at, 2); !slices.Equal(got, []byte{4, 3}) {
		t.Errorf("waiting since before now %v", got)
	}
	if got := ids(at.Add(-3*time.Minute), 10); !slices.Equal(got, []byte{4}) {
		t.Errorf("waiting for long %v", got)
	}
}

func interval(start dap.Time) dap.BatchSelector {
	return dap.IntervalSelector(dap.Interval{Start: start, Duration: 1})
}

func testShares(t *testing.T, s helper.Store) {
	begin(t, s)
	ctx := t.Context()
	_, err := s.Share(ctx, task, dap.AggregateShareID{1})
	want(t, "a share that is not there", err, helper.ErrNone)
	want(t, "deleting nothing", s.DeleteShare(ctx, task, dap.AggregateShareID{1}, at), helper.ErrNone)
	want(t, "committing", s.CommitJob(ctx, change(1, 1), job(1, helper.Done)), nil)

	c := ledger.Collection{Task: task, Selector: interval(3)}
	want(t, "collecting what was not seen", s.CollectShare(ctx, c, share(1)), ledger.ErrConflict)
	_, err = s.Share(ctx, task, dap.AggregateShareID{1})
	want(t, "its share", err, helper.ErrNone)

	c.Seen = []ledger.Stamp{{Place: ledger.Place{Bucket: dap.Bucket{Unit: 3}}, Rev: 1}}
	want(t, "collecting", s.CollectShare(ctx, c, share(1)), nil)
	wantShare(t, s, share(1))
	head, err := s.Head(ctx, task, 0)
	if err != nil || head.Generation != 1 || len(head.Marks) != 1 {
		t.Fatalf("head %+v, %v", head, err)
	}
	next := ledger.Collection{Task: task, Generation: 1, Selector: interval(8)}
	want(t, "under an ID that is taken", s.CollectShare(ctx, next, share(1)), helper.ErrExists)
	if head, err := s.Head(ctx, task, 0); err != nil || head.Generation != 1 {
		t.Fatalf("head %+v, %v", head, err)
	}
	for range 2 {
		want(t, "deleting", s.DeleteShare(ctx, task, share(1).ID, at.Add(time.Hour)), nil)
		wantShare(t, s, &helper.Share{Task: task, ID: share(1).ID, State: helper.Deleted, Digest: share(1).Digest, Made: at.Add(time.Hour)})
	}
	want(t, "under an ID that was deleted", s.CollectShare(ctx, next, share(1)), helper.ErrExists)
}

func testSweep(t *testing.T, s helper.Store) {
	begin(t, s)
	ctx := t.Context()
	for i := range 5 {
		j := job(byte(i), helper.Done)
		j.Made, j.Response = at.Add(time.Duration(i)*time.Hour), []byte("response")
		want(t, "committing", s.CommitJob(ctx, ledger.Change{Task: task}, j), nil)
	}
	want(t, "beginning", s.BeginJob(ctx, job(5, helper.Waiting)), nil) // for long, and on
	old, young := share(1), share(2)
	young.Made = at.Add(3 * time.Hour)
	want(t, "collecting", s.CollectShare(ctx, ledger.Collection{Task: task, Selector: interval(8)}, old), nil)
	want(t, "collecting", s.CollectShare(ctx, ledger.Collection{Task: task, Generation: 1, Selector: interval(9)}, young), nil)

	for total := 0; ; {
		n, err := s.Sweep(ctx, at.Add(3*time.Hour), at.Add(90*time.Minute), 1)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		if total += n; total > 20 {
			t.Fatal("sweeping does not end")
		}
	}
	for i := range 5 {
		j := job(byte(i), helper.Done)
		if j.Made = at.Add(time.Duration(i) * time.Hour); i >= 3 {
			j.Response = []byte("response")
		}
		if i >= 2 {
			wantJob(t, s, j)
			continue
		}
		_, err := s.Job(ctx, task, j.ID)
		want(t, "an old job", err, helper.ErrNone)
	}
	wantJob(t, s, job(5, helper.Waiting))
	_, err := s.Share(ctx, task, old.ID)
	want(t, "an old share", err, helper.ErrNone)
	wantShare(t, s, young)
}

// Of many that commit one job at once, one succeeds and the others get an error.
func testConcurrency(t *testing.T, s helper.Store) {
	begin(t, s)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			errs[i] = s.CommitJob(context.WithoutCancel(t.Context()), change(byte(i), 1), job(1, helper.Done))
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, helper.ErrExists) && !errors.Is(err, ledger.ErrConflict):
			t.Error(err)
		}
	}
	if won != 1 || blocks(t, s) != 1 {
		t.Errorf("%d commits of one job succeeded, %d blocks", won, blocks(t, s))
	}
}
