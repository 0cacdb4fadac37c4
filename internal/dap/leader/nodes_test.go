package leader_test

import (
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
)

// Two nodes share a store. Reports that came to either are in the result, whichever
// drives the collection, and a node that is slow is waited for.
func TestTwoNodes(t *testing.T) {
	for _, mode := range []func(*dap.TaskConfiguration){nil, func(c *dap.TaskConfiguration) {
		leaderSelected(c)
		c.MinBatchSize = 8
	}} {
		w := newWorld(t, dap.DAP18(), mode, nil)
		first := w.leader
		w.fs, w.tweak = durable.Mem(), func(c *leader.Config) { c.Node = "second" }
		must(t, w.start())
		second := w.leader
		defer first.Close()
		nodes := []*leader.Leader{first, second}
		q := w.unit(t, 1)
		if mode != nil {
			q = dap.NextBatchQuery()
		}
		for i := range 8 {
			w.leader = nodes[i%2]
			w.upload(t, w.report(t, i, 0))
		}
		at := w.collect(t, q)
		w.clock.Advance(precision + 10*time.Minute)
		for range 3 { // the second node is away
			must(t, first.Tick(t.Context()))
			w.clock.Advance(time.Minute)
		}
		w.leader = first
		if got := w.result(t, at, q); got != nil {
			t.Fatalf("a result without the second node: %v", got)
		}
		for i := range 6 {
			must(t, nodes[(i+1)%2].Tick(t.Context()))
		}
		for _, n := range nodes {
			w.leader = n
			if got := w.result(t, at, q); !slices.Equal(got, ones(8)) {
				t.Fatalf("result %v", got)
			}
		}
		w.leader = second
	}
}

// A node resumes its own jobs when it starts again, and leaves those of others.
func TestNodeStartsAgain(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, func(c *leader.Config) { c.Attempts = 100 })
	w.helper.refuse = func(*http.Request) *http.Response { return respond(503, "", nil) }
	w.uploadAndCollect(t, 4)
	w.tickAlong(t, 1, 0)
	nodes, err := w.store.Nodes(t.Context())
	must(t, err)
	jobs, err := w.store.As(nodes[0]).Lease(t.Context(), "leader", w.clock.Now().Add(time.Hour), w.clock.Now().Add(100*time.Hour), 9)
	must(t, err)
	if len(jobs) != 1 { // as if a worker had it when the power failed
		t.Fatalf("%d jobs", len(jobs))
	}
	w.helper.refuse = nil
	w.restart(t)
	w.clock.Advance(time.Hour)
	w.tick(t)
	if w.seen.aggregated != 4 {
		t.Errorf("%d reports aggregated", w.seen.aggregated)
	}
}

// A full disk refuses reports with a time to try again, loses none, and is not
// counted as a fault.
func TestDiskFull(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	w.leader.Close()
	disk := crashfs.New(1)
	w.fs = disk
	must(t, w.start())
	q := w.unit(t, 1)
	w.upload(t, w.report(t, 0, 0))
	full := true
	disk.FailWith(func(op, _ string) error {
		if full && op == "write" {
			return syscall.ENOSPC
		}
		return nil
	})
	late := w.report(t, 1, 0)
	rec := w.post(t, late)
	if rec.Code != 503 || rec.Header().Get("Retry-After") == "" {
		t.Fatalf("answer %d, %v", rec.Code, rec.Header())
	}
	full = false
	w.upload(t, late, w.report(t, 2, 0))
	at := w.collect(t, q)
	w.clock.Advance(precision + 10*time.Minute)
	w.tick(t)
	if got := w.result(t, at, q); !slices.Equal(got, ones(3)) {
		t.Fatalf("result %v", got)
	}
	if len(w.seen.errs) > 0 {
		t.Errorf("blamed on ourselves: %v", w.seen.errs)
	}
}

// A log that cannot be closed is tried again, and takes no more reports meanwhile.
func TestLogThatCannotBeClosed(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	w.leader.Close()
	disk := crashfs.New(1)
	w.fs = disk
	must(t, w.start())
	at, q := w.uploadAndCollect(t, 3)
	broken := true
	disk.FailWith(func(op, name string) error {
		if broken && op == "sync" {
			return syscall.EIO
		}
		return nil
	})
	if err := w.leader.Tick(t.Context()); err == nil {
		t.Fatal("no error")
	}
	if got := w.result(t, at, q); got != nil {
		t.Fatalf("result %v", got)
	}
	broken = false
	w.clock.Advance(time.Minute)
	w.tick(t)
	if got := w.result(t, at, q); !slices.Equal(got, ones(3)) {
		t.Fatalf("result %v", got)
	}
}
