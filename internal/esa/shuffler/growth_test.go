package shuffler_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	shufflertest "github.com/shoal-project/shoal/internal/esa/shuffler/storetest"
	"github.com/shoal-project/shoal/metric/task"
)

// A reader counts the batches that a store returns.
type reader struct {
	shuffler.Store
	rows int
}

func (r *reader) Batches(ctx context.Context) ([]shuffler.Batch, error) {
	all, err := r.Store.Batches(ctx)
	r.rows += len(all)
	return all, err
}

// A year of destroyed batches is not read: not at the start, not when a batch
// closes, not by a tick.
func TestPastIsNotRead(t *testing.T) {
	c := newChain(t, func(t *task.Task) { t.Threshold.T = 1 })
	store := &reader{Store: newModel()}
	for e := range task.Epoch(1000) {
		for _, change := range shufflertest.Way(task.ID{7}, e) {
			must(t, store.Apply(t.Context(), change))
		}
	}
	c.store = store
	must(t, c.startShuffler(t))
	for n := range 3 {
		if code := c.Post(t, c.Report(t, c.Epoch(0), fmt.Sprint("word", n), int64(n))); code != 201 {
			t.Fatal(code)
		}
	}
	c.closeEpoch(0)
	c.finish(t)
	if n := len(c.released(t)); n != 3 {
		t.Fatalf("%d words were released", n)
	}
	if store.rows != 0 {
		t.Errorf("%d rows of batches were read", store.rows)
	}
	if st := c.s.Status(); len(st.Batches) != 0 {
		t.Errorf("still live: %v", st.Batches)
	}
}

// An idle engine writes nothing.
type idle struct{ engine.Engine }

func (idle) Create(context.Context, string, []engine.Column) (engine.Writer, error) {
	return nil, errors.New("no space left on device")
}

func (idle) CreateSorted(context.Context, string, []engine.Column, []string) (engine.Writer, error) {
	return nil, errors.New("no space left on device")
}

// What a batch needs that is closed and could not be processed is known after a
// restart.
func TestNeedAfterRestart(t *testing.T) {
	c, worlds := newMany(t, durable.Mem(), 1)
	size := int64(0)
	for n := range 6 {
		report := worlds[0].Report(t, worlds[0].Epoch(0), "word", int64(n))
		size = int64(len(report))
		if code := worlds[0].Post(t, report); code != 201 {
			t.Fatal(code)
		}
	}
	whole := c.engine
	c.engine = idle{whole}
	must(t, c.s.Close())
	many(t, c, worlds)
	c.closeEpoch(0)
	if err := c.s.Tick(t.Context()); err == nil {
		t.Fatal("a batch was processed without a disk")
	}
	for range 2 {
		if need := c.s.Need(); need < 4*6*size || need > 6*6*size {
			t.Errorf("need %d for 6 reports of %d bytes", need, size)
		}
		must(t, c.s.Close())
		many(t, c, worlds)
	}
	c.engine = whole
	must(t, c.s.Close())
	many(t, c, worlds)
	c.finish(t)
	if need := c.s.Need(); need != 0 {
		t.Errorf("need %d for nothing", need)
	}
}
