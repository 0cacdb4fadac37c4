package shuffler_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/metric/task"
)

// A herald reports which states are reached.
type herald struct {
	recorder
	states chan shuffler.State
}

func (h *herald) Batch(s shuffler.State, _ esa.Counts) { h.states <- s }

// next returns the next state; the clock goes on meanwhile.
func (h *herald) next(c *chain) shuffler.State {
	for {
		select {
		case s := <-h.states:
			return s
		case <-time.After(50 * time.Millisecond):
			c.Clock.Set(c.Clock.Now().Add(time.Minute))
		}
	}
}

// Run closes and hands over by itself, as soon as it is due by the clock, also a
// batch that is opened while it sleeps; and it ends when its context ends.
func TestRun(t *testing.T) {
	c := newChain(t, nil)
	p := c.Parties[0]
	h := &herald{states: make(chan shuffler.State, 16)}
	s, err := shuffler.New(t.Context(), shuffler.Config{
		Store: newModel(), FS: durable.Mem(), Dir: "run", Engine: hoptest.NewEngine(), Clock: c.Clock, Identity: p.ID,
		Keys: p.Keys, Tasks: []*task.Task{c.Task}, Client: c.Net.Client(), Metrics: h,
	})
	must(t, err)
	c.Net.Serve(p, s.Handler())
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var ended error
	wg.Go(func() { ended = s.Run(ctx, func(err error) { t.Error(err) }) })
	for n := range 3 {
		c.Post(t, c.Report(t, c.Epoch(0), "word", int64(n)))
	}
	if first := <-h.states; first != shuffler.Open {
		t.Fatalf("first state is %v", first)
	}
	// In steps, as a clock goes: a sleeper that was too late for one wakes at
	// the next. One that missed many takes the clock for one that jumped, and waits
	// until it has gone on for a while.
	for at := c.Clock.Now(); at.Before(c.Task.Closes(c.Epoch(0)).Add(time.Minute)); at = at.Add(time.Minute) {
		c.Clock.Set(at)
	}
	for _, want := range []shuffler.State{shuffler.Closed, shuffler.Processed, shuffler.Delivered, shuffler.Destroyed} {
		if have := h.next(c); have != want {
			t.Fatalf("state %v, want %v", have, want)
		}
	}
	cancel()
	wg.Wait()
	if !errors.Is(ended, context.Canceled) {
		t.Errorf("Run returned %v", ended)
	}
}

// Keys change while reports of the old ones are on their way: both open until
// the old ones are given up.
func TestKeyRotation(t *testing.T) {
	c := newChain(t, func(t *task.Task) { t.Threshold.T = 1 })
	p := c.Parties[0]
	from, to := hoptest.Begin.AddDate(0, 0, -1), hoptest.Begin.AddDate(1, 0, 0)
	fresh, err := esa.GenerateKey(esa.X25519, from, to, hoptest.Random(7))
	must(t, err)
	old := c.Report(t, c.Epoch(0), "word", 1)
	both := shuffler.Keys{Private: append([]*esa.PrivateKey{fresh}, p.Keys.Private...), Config: p.Keys.Config}
	must(t, c.s.SetKeys(both))
	if status := c.Post(t, old); status != 201 {
		t.Errorf("a report to the older key was answered %d", status)
	}
	sealer, err := esa.NewSealer(c.Task, c.ID, []task.Key{fresh.Public(), c.Parties[1].Keys.Private[0].Public()})
	must(t, err)
	payload, err := c.Task.Encode(task.Record{"word", int64(2)})
	must(t, err)
	report, err := sealer.Seal(c.Epoch(0), c.Tag(t, c.Epoch(0), task.Record{"word", int64(2)}), payload)
	must(t, err)
	if status := c.Post(t, report); status != 201 {
		t.Errorf("a report to the newer key was answered %d", status)
	}
	c.closeEpoch(0)
	c.finish(t)
	equal(t, c.released(t), map[string][]int64{"word": {1, 2}})
	must(t, c.s.SetKeys(shuffler.Keys{Private: []*esa.PrivateKey{fresh}, Config: p.Keys.Config}))
	c.Clock.Set(hoptest.Begin)
	if status := c.Post(t, c.Report(t, c.Epoch(0), "word", 3)); status != 409 {
		t.Errorf("a report to a key given up was answered %d, want 409", status)
	}
}

func TestConfigIsChecked(t *testing.T) {
	w := hoptest.New(t, 1, nil)
	good := shuffler.Config{
		Store: newModel(), FS: durable.Mem(), Dir: "d", Engine: hoptest.NewEngine(), Clock: w.Clock,
		Identity: w.Parties[0].ID, Keys: w.Parties[0].Keys, Tasks: []*task.Task{w.Task},
	}
	for name, spoil := range map[string]func(*shuffler.Config){
		"no store":    func(c *shuffler.Config) { c.Store = nil },
		"no engine":   func(c *shuffler.Config) { c.Engine = nil },
		"no identity": func(c *shuffler.Config) { c.Identity = task.IdentityKey{} },
		"no stage":    func(c *shuffler.Config) { c.Stage = "fast" },
		"a task of others": func(c *shuffler.Config) {
			c.Identity = w.Parties[1].ID // the analyzer's
		},
	} {
		c := good
		spoil(&c)
		if _, err := shuffler.New(t.Context(), c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	s, err := shuffler.New(t.Context(), good)
	must(t, err)
	must(t, s.Close())
}
