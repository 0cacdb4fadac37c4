package shuffler_test

import (
	"fmt"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/metric/task"
)

// TestNeedOfReceivedBatch: of a batch that the hop before has sent the work needs room as
// of reports that were taken here: from when it is accepted until it is processed, over a
// restart, and that of the largest counts.
func TestNeedOfReceivedBatch(t *testing.T) {
	c := newChainOf(t, 2, small)
	fs, store, p := durable.Mem(), newModel(), c.Parties[1]
	var second *shuffler.Shuffler
	start := func() {
		var err error
		second, err = shuffler.New(t.Context(), shuffler.Config{
			Store: store, FS: fs, Dir: "second", Engine: hoptest.NewEngine(), Clock: c.Clock, Rand: hoptest.Random(99),
			Identity: p.ID, Keys: p.Keys, Tasks: []*task.Task{c.Task}, Client: c.Net.Client(),
		})
		must(t, err)
		c.Net.Serve(p, second.Handler())
	}
	start()
	if need := second.Need(); need != 0 {
		t.Errorf("without a batch the work needs %d bytes", need)
	}
	largest := int64(0)
	for i, n := range []int{12, 30, 5} {
		c.Clock.Forward(c.Task.Start(c.Epoch(i)))
		c.send(t, i, n)
		c.closeEpoch(i)
		must(t, c.s.Tick(t.Context()))
		info, err := fs.Stat(fmt.Sprintf("second/%x-%d/received.batch", c.ID[:8], c.Epoch(i)))
		must(t, err)
		largest = max(largest, info.Size())
		for _, when := range []string{"is accepted", "waits, after a restart"} {
			if need := second.Need(); need != 4*largest {
				t.Errorf("when batch %d %s the work needs %d bytes, want 4 times %d", i, when, need, largest)
			}
			start()
		}
	}
	must(t, second.Tick(t.Context()))
	if need := second.Need(); need != 0 {
		t.Errorf("when all are processed the work needs %d bytes", need)
	}
}
