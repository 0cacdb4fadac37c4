package helper

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/exchange"
)

// enterAll makes n arrivals one after another, and returns in which order they
// were let in, each giving its slot back at once.
type arrivals struct {
	mu    sync.Mutex
	order []int
	busy  []int
}

func (a *arrivals) enter(ctx context.Context, q *queue, i int) {
	leave, err := q.enter(ctx, "a")
	a.mu.Lock()
	if err != nil {
		a.busy = append(a.busy, i)
		a.mu.Unlock()
		return
	}
	a.order = append(a.order, i)
	a.mu.Unlock()
	leave()
}

// The newest of those that wait is served first, and the oldest of too many is
// sent away.
func TestQueueOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{clock: clock.NewVirtual(time.Unix(0, 0)), slots: 1, depth: 3, age: time.Minute}
		leave, err := q.enter(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		var a arrivals
		for i := range 5 {
			go a.enter(t.Context(), q, i)
			synctest.Wait()
		}
		if !slices.Equal(a.busy, []int{0, 1}) {
			t.Errorf("sent away: %v", a.busy)
		}
		if running, waiting := q.lengths(); running != 1 || waiting != 3 {
			t.Errorf("%d run, %d wait", running, waiting)
		}
		leave()
		synctest.Wait()
		if !slices.Equal(a.order, []int{4, 3, 2}) {
			t.Errorf("let in: %v", a.order)
		}
		if running, waiting := q.lengths(); running != 0 || waiting != 0 {
			t.Errorf("in the end %d run, %d wait", running, waiting)
		}
	})
}

// A request that waits too long, or is cancelled, leaves the queue.
func TestQueueAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.NewVirtual(time.Unix(0, 0))
		q := &queue{clock: c, slots: 1, depth: 3, age: time.Minute}
		leave, err := q.enter(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		var a arrivals
		ctx, cancel := context.WithCancel(t.Context())
		go a.enter(ctx, q, 0)
		go a.enter(t.Context(), q, 1)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if !slices.Equal(a.busy, []int{0}) {
			t.Errorf("gone: %v", a.busy)
		}
		c.Advance(59 * time.Second)
		go a.enter(t.Context(), q, 2)
		synctest.Wait()
		c.Advance(2 * time.Second)
		synctest.Wait()
		if !slices.Equal(a.busy, []int{0, 1}) {
			t.Errorf("gone: %v", a.busy)
		}
		leave()
		synctest.Wait()
		if !slices.Equal(a.order, []int{2}) {
			t.Errorf("let in: %v", a.order)
		}
	})
	q := &queue{clock: clock.NewVirtual(time.Unix(0, 0)), slots: 1}
	if _, err := q.enter(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := q.enter(t.Context(), "a"); !errors.Is(err, exchange.ErrBusy) {
		t.Errorf("without room to wait: %v", err)
	}
}

func TestRates(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBuckets[string](Rate{PerSecond: 10, Burst: 50})
	if b.check("a", now) != 0 {
		t.Error("no credit at the start")
	}
	b.spend("a", 150, now) // a job of any size is let in while there is credit
	if wait := b.check("a", now); wait != 10100*time.Millisecond {
		t.Errorf("in debt: wait %v", wait)
	}
	if b.check("b", now) != 0 {
		t.Error("another name has to wait")
	}
	if wait := b.check("a", now.Add(-time.Hour)); wait < 10*time.Second {
		t.Errorf("a clock that goes back gives credit: %v", wait)
	}
	now = now.Add(-time.Hour).Add(9 * time.Second)
	if wait := b.check("a", now); wait < time.Second || wait > 2*time.Second {
		t.Errorf("after 9 s: wait %v", wait)
	}
	now = now.Add(2 * time.Second)
	if wait := b.check("a", now); wait != 0 {
		t.Errorf("after 11 s: wait %v", wait)
	}
	b.spend("a", 10, now)
	if b.check("a", now) == 0 {
		t.Error("the credit is above what has come in")
	}
	now = now.Add(time.Hour)
	b.spend("a", 50, now)
	if b.check("a", now) == 0 {
		t.Error("the credit is above the burst")
	}
	none := newBuckets[string](Rate{})
	none.spend("a", 1e9, now)
	if none.check("a", now) != 0 {
		t.Error("no limit limits")
	}
}
