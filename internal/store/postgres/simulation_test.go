package postgres

import (
	"testing"

	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/simulation"
	"github.com/shoal-project/shoal/internal/store/postgres/postgrestest"
)

// TestSimulation runs whole systems of aggregation on these stores: what the
// simulation finds of package dap's roles on models must hold in PostgreSQL too.
func TestSimulation(t *testing.T) {
	t.Parallel()
	seeds := uint64(8)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		s := simulation.Plan(910_000 + seed)
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
	l, err := OpenLeader(t.Context(), postgrestest.Schema(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return simulated{l, openHelper(t, postgrestest.Schema(t))}
}
