package shuffler_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/metric/task"
)

// TestStatementAnyTime: the answer to a statement is lost, the next hop is away for long,
// or the machine stops at any change of the store: in the end all is stated, no batch that
// came is "too few" at any time, and a statement that the next hop has is not sent again.
func TestStatementAnyTime(t *testing.T) {
	run := func(disturb func(c *crashChain, i int), changes func(*crashChain)) *crashChain {
		world := hoptest.New(t, 1, small)
		c := newCrashChain(t, world, 1)
		must(t, errors.Join(c.startShuffler(t), c.startAnalyzer(t)))
		changes(c)
		for i, n := range []int{4, 1, 0, 4} {
			c.Clock.Forward(c.Task.Start(c.Epoch(i)))
			for k := range n {
				if c.Post(t, c.Report(t, c.Epoch(i), "word", int64(100*i+k))) != 201 {
					c.repair(t)
					if status := c.Post(t, c.Report(t, c.Epoch(i), "word", int64(100*i+k))); status != 201 {
						t.Fatal(status)
					}
				}
			}
			if disturb != nil {
				disturb(c, i)
			}
			for _, at := range []time.Time{c.Task.Closes(c.Epoch(i)), c.statedAt(i), c.statedAt(i).Add(20 * time.Minute)} {
				c.Clock.Forward(at)
				for range 3 {
					_ = errors.Join(c.s.Tick(t.Context()), c.a.Tick(t.Context())) // what fails is done by the next
					c.repair(t)
					for k, state := range strings.Split(c.rows(t, i), ", ") {
						if state == "too few" && (k == 0 || k == 3) {
							t.Fatalf("epoch %d has enough reports and is %s", k, state)
						}
					}
				}
			}
		}
		for range 10 {
			c.Clock.Advance(10 * time.Minute)
			_ = errors.Join(c.s.Tick(t.Context()), c.a.Tick(t.Context()))
			c.repair(t)
		}
		if rows := c.rows(t, 3); rows != "released, too few, too few, released" {
			t.Fatalf("in the end the epochs are %s", rows)
		}
		return c
	}
	puts := 0
	calm := run(nil, func(c *crashChain) {
		c.Net.Lose = func(r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/statement") {
				puts++
			}
			return false
		}
	})
	if puts < 4 || puts > 8 { // one an epoch
		t.Errorf("%d statements were sent", puts)
	}
	before := puts
	must(t, calm.s.Close())
	must(t, calm.startShuffler(t))
	must(t, calm.s.Tick(t.Context()))
	if puts != before {
		t.Errorf("after a restart %d statements were sent again", puts-before)
	}
	run(nil, func(c *crashChain) { // time-out after success
		lost := 0
		c.Net.Lose = func(r *http.Request) bool {
			lost++
			return r.Method == http.MethodPut && lost%2 == 1
		}
	})
	run(func(c *crashChain, i int) { // long absence
		if i == 1 {
			c.Net.Serve(c.Parties[1], nil)
		}
		if i == 3 {
			c.Net.Serve(c.Parties[1], c.a.Handler())
		}
	}, func(*crashChain) {})
	for n := 1; n < 9; n++ { // a store that answers by an error, having kept the history or not
		for _, after := range []bool{false, true} {
			run(nil, func(c *crashChain) {
				must(t, c.s.Close())
				store := &flakyHistory{Store: c.store}
				c.chain.store = store
				must(t, c.startShuffler(t))
				c.chain.store = store.Store
				store.n, store.after = n, after
			})
		}
	}
	for m := range 2 {
		for n := range calm.machines[m].n() {
			for _, after := range []bool{false, true} {
				run(nil, func(c *crashChain) { c.machines[m].stop(n+1, after) })
			}
		}
	}
}

// TestStatementsOfWrongClock: a clock that is wrong when the process starts, and is put
// right, is made up for: what was stated too early does not hide a loss.
func TestStatementsOfWrongClock(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		c := newChain(t, small)
		must(t, c.s.Close())
		c.Clock.Advance(10 * 24 * time.Hour)
		c.store = newModel()
		must(t, c.startShuffler(t))
		c.finish(t)
		c.Clock.Set(hoptest.Begin)
		if restarted {
			must(t, c.s.Close())
			must(t, c.startShuffler(t))
		}
		for i, n := range []int{4, 2, 2} {
			c.Clock.Forward(c.Task.Start(c.Epoch(i)))
			c.finish(t)
			c.send(t, i, n)
			if i == 1 {
				must(t, c.s.Close())
				must(t, durable.RemoveAll(c.fs, "shuffler/shared"))
				must(t, c.startShuffler(t))
			}
			c.Clock.Forward(c.statedAt(i))
			c.finish(t)
		}
		c.wantRows(t, 2, "released, missing, too few")
	}
}

// A flakyHistory answers its nth change of the history by an error, before or after it has
// made the change, and lives on.
type flakyHistory struct {
	shuffler.Store
	n     int
	after bool
}

func (f *flakyHistory) Keep(ctx context.Context, h shuffler.History) error {
	f.n--
	if f.n != 0 {
		return f.Store.Keep(ctx, h)
	}
	if f.after {
		_ = f.Store.Keep(ctx, h)
	}
	return errFlaky
}

// TestLossesAtOnce: losses that are found while batches arrive are each noted once.
func TestLossesAtOnce(t *testing.T) {
	c := newChainOf(t, 2, small)
	store, p := newModel(), c.Parties[1]
	second, err := shuffler.New(t.Context(), shuffler.Config{
		Store: store, FS: durable.Mem(), Dir: "second", Engine: hoptest.NewEngine(), Clock: c.Clock, Rand: hoptest.Random(99),
		Identity: p.ID, Keys: p.Keys, Tasks: []*task.Task{c.Task}, Client: c.Net.Client(),
	})
	must(t, err)
	c.Net.Serve(p, second.Handler())
	const losses = 40
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := range losses {
				shuffler.NoteLoss(second, fmt.Sprint("place ", (n+7*w)%losses))
				if err := shuffler.RecordGaps(t.Context(), second); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	h, known, err := store.History(t.Context())
	if err != nil || !known || len(h.Gaps) != losses {
		t.Errorf("%d gaps are kept, %v, want %d", len(h.Gaps), err, losses)
	}
}

// TestManyLosses: however many losses there are, the history stays bounded, and what it
// forgets is not stated any more.
func TestManyLosses(t *testing.T) {
	c := newChain(t, small)
	for n := range 700 {
		c.Clock.Advance(time.Minute)
		shuffler.NoteLoss(c.s, fmt.Sprint("place ", n))
		must(t, shuffler.RecordGaps(t.Context(), c.s))
	}
	h, _, err := c.store.History(t.Context())
	must(t, err)
	if len(h.Gaps) > 500 || h.Since <= hoptest.Begin.Unix() || h.Since >= c.Clock.Now().Unix() {
		t.Errorf("%d gaps since %v", len(h.Gaps), time.Unix(h.Since, 0).UTC())
	}
	for _, g := range h.Gaps {
		if g.Until < h.Since {
			t.Errorf("gap %+v ended before %d", g, h.Since)
		}
	}
}

// TestChainOfStatements: what the analyzer is told is the weakest of what two shufflers
// know: each one's loss shows, and the silence of the first.
func TestChainOfStatements(t *testing.T) {
	c := newChainOf(t, 2, small)
	fs, store := durable.Mem(), newModel()
	p := c.Parties[1]
	var second *shuffler.Shuffler
	startSecond := func() {
		var err error
		second, err = shuffler.New(t.Context(), shuffler.Config{
			Store: store, FS: fs, Dir: "second", Engine: hoptest.NewEngine(), Clock: c.Clock, Rand: hoptest.Random(99),
			Identity: p.ID, Keys: p.Keys, Tasks: []*task.Task{c.Task}, Client: c.Net.Client(),
		})
		must(t, err)
		c.Net.Serve(p, second.Handler())
	}
	startSecond()
	tick := func() {
		for range 3 {
			_ = errors.Join(c.s.Tick(t.Context()), second.Tick(t.Context()), c.a.Tick(t.Context()))
			c.Clock.Advance(time.Minute)
		}
	}
	epoch := func(i, n int) {
		c.Clock.Forward(c.Task.Start(c.Epoch(i)))
		c.send(t, i, n)
	}
	pass := func(i int) {
		c.closeEpoch(i)
		tick()
		c.Clock.Forward(c.statedAt(i))
		tick()
	}
	epoch(0, 4)
	pass(0)
	epoch(1, 1)
	pass(1)
	c.wantRows(t, 1, "released, too few")
	epoch(2, 1) // the first loses its reports
	must(t, c.s.Close())
	must(t, durable.RemoveAll(c.fs, "shuffler/shared"))
	must(t, c.startShuffler(t))
	pass(2)
	c.wantRows(t, 2, "released, too few, missing")
	epoch(3, 4) // the second loses the batch
	c.closeEpoch(3)
	c.Net.Serve(c.Parties[2], nil)
	must(t, c.s.Tick(t.Context()))
	must(t, second.Close())
	in := fmt.Sprintf("second/%x-%d/received.batch", c.ID[:8], c.Epoch(3))
	whole, err := durable.ReadFile(fs, in)
	must(t, err)
	must(t, durable.WriteFile(fs, in, whole[:len(whole)-3], 0o600))
	startSecond()
	c.Net.Serve(c.Parties[2], c.a.Handler())
	tick()
	c.Clock.Forward(c.statedAt(3))
	tick()
	c.wantRows(t, 3, "released, too few, missing, missing")
	must(t, durable.WriteFile(fs, in, whole, 0o600)) // it is restored
	c.Clock.Advance(10 * time.Minute)
	tick()
	c.wantRows(t, 3, "released, too few, missing, released")
	epoch(4, 0) // the first says nothing
	first := c.s
	c.s = second
	c.Clock.Forward(c.statedAt(5))
	tick()
	c.wantRows(t, 5, "released, too few, missing, released, waiting, waiting")
	c.s = first
	tick()
	c.wantRows(t, 5, "released, too few, missing, released, too few, too few")
	if st := second.Status(); st.Unstated != 0 {
		t.Errorf("%d tasks are not stated", st.Unstated)
	}
}
