package shuffler_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/shoal-project/shoal/esa/shuffler"
	shufflertest "github.com/shoal-project/shoal/esa/shuffler/storetest"
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
