package simulation_test

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shoal-project/shoal/internal/dap/simulation"
)

// seeds returns how many seeds to run: 1,000, fewer with -short, or the number in
// SHOAL_SIM_SEEDS.
func seeds(t *testing.T) uint64 {
	if v := os.Getenv("SHOAL_SIM_SEEDS"); v != "" {
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			t.Fatalf("SHOAL_SIM_SEEDS: %v", err)
		}
		return n
	}
	if testing.Short() {
		return 50
	}
	return 1000
}

// TestSeeds covers the system as a whole: at most once, nothing acknowledged
// lost, and one bad report harms only itself, under every fault that the
// simulation knows. SHOAL_SIM_SEED runs one seed alone.
func TestSeeds(t *testing.T) {
	if v := os.Getenv("SHOAL_SIM_SEED"); v != "" {
		seed, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("SHOAL_SIM_SEED: %v", err)
		}
		stats, err := simulation.Run(t.Context(), simulation.Plan(seed))
		t.Logf("%+v", stats)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	n := seeds(t)
	var next atomic.Uint64
	var mu sync.Mutex
	var sum simulation.Stats
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for seed := next.Add(1); seed <= n && !t.Failed(); seed = next.Add(1) {
				stats, err := simulation.Run(t.Context(), simulation.Plan(seed))
				if err != nil {
					t.Errorf("%v\nrun it alone with SHOAL_SIM_SEED=%d", err, seed)
					return
				}
				mu.Lock()
				sum.Add(stats)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	t.Logf("%d seeds: %+v", n, sum)
	// A simulation in which nothing happens proves nothing.
	if !t.Failed() && (sum.Counted == 0 || sum.Pending == 0 || sum.Collections == 0 || sum.Restarts == 0 || sum.Replays == 0 || sum.Hostile == 0 ||
		sum.StoreErrors == 0 || sum.Slow == 0 || sum.Absences == 0 || sum.Renewals == 0 || sum.Impostors == 0 || sum.Dropped == 0) {
		t.Errorf("something never happened: %+v", sum)
	}
}
