package shuffler_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/metric/task"
)

// noStorage is an engine that lends none.
type noStorage struct{ engine.Engine }

// TestTooLittleMemory: a batch that the oblivious stage has no memory or no storage for
// waits, with an error that names the key, never goes another way, and goes on once there is some.
func TestTooLittleMemory(t *testing.T) {
	c := newChainWith(t, nil, func(c *chain) {
		c.stage, c.memory, c.engine = shuffler.Oblivious, 1000, noStorage{c.engine}
	})
	for n := range 8 {
		c.Post(t, c.Report(t, c.Epoch(0), "word", int64(n)))
	}
	c.closeEpoch(0)
	for memory, want := range map[int64]string{1000: "batches.memory: oblivious: 8 rows of", 2000: "the engine lends no storage"} {
		c.memory = memory
		must(t, c.s.Close())
		must(t, c.startShuffler(t))
		if err := c.s.Tick(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes of memory: %v, want %q", memory, err, want)
		}
		if st := c.s.Status(); len(st.Batches) != 1 || st.Batches[0].State != shuffler.Closed || st.Batches[0].Err == nil {
			t.Errorf("%d bytes of memory: status %+v", memory, st)
		}
	}
	c.memory = 10_000
	must(t, c.s.Close())
	must(t, c.startShuffler(t))
	c.Clock.Advance(time.Hour)
	c.finish(t)
	equal(t, c.released(t), map[string][]int64{"word": {0, 1, 2, 3, 4, 5, 6, 7}})
}

// TestStagesAgree: of the same reports and seed each stage releases the same records,
// with noise, and where the stage is oblivious the store has no counts of crowds.
func TestStagesAgree(t *testing.T) {
	world := hoptest.New(t, 1, func(t *task.Task) {
		t.Threshold = task.Threshold{Kind: task.NoisyDrop, T: 3, D: 4, SigmaMilli: 2000}
	})
	var reports [][]byte
	for n := range 60 {
		reports = append(reports, world.Report(t, world.Epoch(0), fmt.Sprint("word", n%3), int64(n)))
	}
	released := map[string]map[string][]int64{}
	eachStage(t, 8000, func(t *testing.T, use func(*chain)) {
		world.Clock.Set(hoptest.Begin)
		world.Net.Forget()
		c := startChain(t, world, use)
		for _, report := range reports {
			c.Post(t, report)
		}
		c.Post(t, reports[0])
		c.closeEpoch(0)
		c.finish(t)
		released[t.Name()] = c.released(t)
		batches, err := c.store.Batches(t.Context())
		must(t, err)
		counts := batches[0].Counts
		withheld := esa.Counts{Received: 61, Released: counts.Released, Withheld: 61 - counts.Released}
		if counts.Released == 0 || counts.Check() != nil || c.stage == shuffler.Oblivious && counts != withheld {
			t.Errorf("counts %+v", counts)
		}
	})
	for stage, have := range released {
		if len(have) == 0 {
			t.Errorf("%s released nothing", stage)
		}
		equal(t, have, released["TestStagesAgree/plain"])
	}
}
