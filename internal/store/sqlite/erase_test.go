package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	shufflertest "github.com/shoal-project/shoal/internal/esa/shuffler/storetest"
	"github.com/shoal-project/shoal/metric/task"
)

// Rows grow and pages split while many batches go their way at the same time:
// no copy of a forgotten seed stays behind in any page, used or free.
func TestSeedsAreErasedAmongMany(t *testing.T) {
	dir := t.TempDir()
	s := openShuffler(t, filepath.Join(dir, "shuffler.db"))
	const batches = 40
	seeds := make([]dp.Seed, batches)
	ways := make([][]shuffler.Change, batches)
	for i := range ways {
		copy(seeds[i][:], fmt.Sprintf("seed %06d, which stands out....", i))
		ways[i] = shufflertest.Way(task.ID{byte(i % 3)}, task.Epoch(i))
	}
	held := make([]bool, batches)
	for round := range batches + len(ways[0]) {
		for i := max(0, round-len(ways[0])+1); i <= min(round, batches-1); i++ { // each a step further than the one after it
			c := ways[i][round-i]
			held[i] = c.To.Seed != dp.Seed{}
			if held[i] {
				c.To.Seed = seeds[i]
			}
			if err := s.Apply(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range seeds {
		if held[i] || inFiles(t, dir, seeds[i][:]) {
			t.Errorf("the seed of batch %d is still in the files", i)
		}
	}
}
