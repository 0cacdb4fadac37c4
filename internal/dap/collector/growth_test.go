package collector_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
)

// A reader counts the asks that a store returns.
type reader struct {
	collector.Store
	rows int
}

func (r *reader) count(all []collector.Ask, err error) ([]collector.Ask, error) {
	r.rows += len(all)
	return all, err
}

func (r *reader) Asks(ctx context.Context) ([]collector.Ask, error) {
	return r.count(r.Store.Asks(ctx))
}

func (r *reader) Open(ctx context.Context) ([]collector.Ask, error) {
	return r.count(r.Store.Open(ctx))
}

func (r *reader) Due(ctx context.Context, now int64) ([]collector.Ask, error) {
	return r.count(r.Store.Due(ctx, now))
}

func (r *reader) Expired(ctx context.Context) ([]collector.Ask, error) {
	return r.count(r.Store.Expired(ctx))
}

func (r *reader) Undated(ctx context.Context) ([]collector.Ask, error) {
	return r.count(r.Store.Undated(ctx))
}

func (r *reader) Of(ctx context.Context, id dap.TaskID, most int) ([]collector.Ask, error) {
	return r.count(r.Store.Of(ctx, id, most))
}

func (r *reader) Unreleased(ctx context.Context, id dap.TaskID, most int) ([]collector.Ask, error) {
	return r.count(r.Store.Unreleased(ctx, id, most))
}

// TestPastIsNotRead: the answers of other questions, and asks that were given up, are
// not read when one is asked, answered and shown. On 0caf301 each tick read all of it.
func TestPastIsNotRead(t *testing.T) {
	w := newWorld(t, setting{})
	for n := range 500 {
		for kind := range 2 {
			a := collector.Ask{
				ID: dap.CollectionJobID{byte(n), byte(n >> 8), byte(kind), 1}, Task: dap.TaskID{byte(n % 7), 1},
				Number: uint64(n), Request: []byte{1}, Created: 1, State: collector.Asked,
			}
			must(w.store.Add(t.Context(), a))
			a.State, a.Reason = collector.Abandoned, "too few"
			if kind == 1 {
				a.State, a.Reason, a.Response = collector.Received, "", []byte{1}
				if err := w.store.Advance(t.Context(), collector.Asked, a); err != nil {
					t.Fatal(err)
				}
				a.State, a.Response, a.Manifest = collector.Released, nil, fmt.Appendf(nil, `{"metric":"other%d","end":"2026-11-22T00:00:00Z"}`, n%7)
			}
			from := map[int]collector.State{0: collector.Asked, 1: collector.Received}[kind]
			if err := w.store.Advance(t.Context(), from, a); err != nil {
				t.Fatal(err)
			}
		}
	}
	store := &reader{Store: w.store}
	c := must(collector.New(collector.Config{
		Store: store, FS: w.fs, Dir: "collector", Clock: w.clock, Keys: []*dapkey.PrivateKey{w.key}, HTTP: w.leader.server.Client(),
	}))
	if err := c.Serve(t.Context(), collector.Question{Task: w.task, Leader: w.token, Shoal: w.shoal}); err != nil {
		t.Fatal(err)
	}
	w.c = c
	w.leader.fill(hour(0), 60, 40, 20, 0)
	if err := w.pass(90 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if n := len(must(w.tables.Newest(t.Context(), w.task.ID(), 1<<62, 10))); n != 1 {
		t.Fatalf("%d batches were released", n)
	}
	if status := must(c.Status(t.Context(), w.task.ID(), 100)); len(status) != 0 {
		t.Errorf("still waiting: %+v", status)
	}
	if ticks := 90; store.rows > ticks { // the ask itself while it waits
		t.Errorf("%d asks were read in %d ticks", store.rows, ticks)
	}
}

// TestByHandBesideSchedule: the schedule, which remembers what it has made, heeds what
// is asked for by hand later.
func TestByHandBesideSchedule(t *testing.T) {
	w := newWorld(t, setting{})
	w.leader.fill(hour(0), 60, 0, 0, 0)
	if err := w.pass(71 * time.Minute); err != nil || w.states() != "released" {
		t.Fatalf("%q, %v", w.states(), err)
	}
	w.clock.Set(noon.Add(191 * time.Minute)) // two more epochs have closed
	w.leader.fill(dap.IntervalQuery(dap.Interval{Start: dap.Time(noon.Unix()/3600) + 1, Duration: 2}), 70, 0, 0, 0)
	if _, err := w.c.Collect(t.Context(), w.task.ID(), noon.Add(time.Hour), noon.Add(3*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := w.pass(10 * time.Minute); err != nil || w.states() != "released released" {
		t.Errorf("%q, %v", w.states(), err)
	}
	w.leader.fill(hour(3), 80, 0, 0, 0)
	if err := w.pass(time.Hour); err != nil || w.states() != "released released released" {
		t.Errorf("%q, %v", w.states(), err)
	}
}
