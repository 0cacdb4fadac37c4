package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/simulation"
)

// TestSimulation runs whole systems of aggregation on these stores: what the
// simulation finds of package dap's roles on models must hold on files too.
func TestSimulation(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		s := simulation.Plan(900_000 + seed)
		s.Stores = openSimulated(t)
		if _, err := simulation.Run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

type simulated struct {
	leader *Leader
	helper *Helper
}

func (s simulated) Leader() leader.Store { return s.leader }
func (s simulated) Helper() helper.Store { return s.helper }

func openSimulated(t *testing.T) simulated {
	t.Helper()
	l, err := OpenLeader(t.Context(), filepath.Join(t.TempDir(), "leader.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	h, err := OpenHelper(t.Context(), filepath.Join(t.TempDir(), "helper.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return simulated{l, h}
}
