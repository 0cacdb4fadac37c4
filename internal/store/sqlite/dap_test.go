package sqlite

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/dap/ledger"
	ledgertest "github.com/shoal-project/shoal/internal/dap/ledger/storetest"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	taskstest "github.com/shoal-project/shoal/internal/dap/tasks/storetest"
	"github.com/shoal-project/shoal/internal/store/schema"
)

func openHelper(t *testing.T, name string) *Helper {
	t.Helper()
	s, err := OpenHelper(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// reopening returns a function that closes the helper's store and opens it again.
func reopening[S any](t *testing.T, as func(*Helper) S) (S, func(*testing.T) S) {
	name := filepath.Join(t.TempDir(), "helper.db")
	s := openHelper(t, name)
	return as(s), func(t *testing.T) S {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openHelper(t, name)
		return as(s)
	}
}

func TestLedger(t *testing.T) {
	ledgertest.Run(t, func(t *testing.T) (ledger.Store, ledgertest.Reopen) {
		s, reopen := reopening(t, func(h *Helper) ledger.Store { return h })
		return s, reopen
	})
}

func TestRegistry(t *testing.T) {
	taskstest.Run(t, func(t *testing.T) (tasks.Store, func(*testing.T) tasks.Store) {
		return reopening(t, func(h *Helper) tasks.Store { return h })
	})
}

// The steps of leader and helper have the numbers 1, 2, 3, ..., those that they
// share included: a number that is missing or given twice would shift the rest.
func TestStepsAreNumbered(t *testing.T) {
	for _, role := range []string{"leader", "helper"} {
		steps, err := schema.Steps(migrations, role)
		if err != nil || len(steps) < 3 {
			t.Fatalf("%s: %d steps, %v", role, len(steps), err)
		}
		for i, step := range steps {
			if !strings.HasPrefix(path.Base(step), fmt.Sprintf("%03d_", i+1)) {
				t.Errorf("%s: step %d is %s", role, i+1, step)
			}
		}
	}
}

func TestKilledProcesses(t *testing.T) {
	ledgertest.Processes(t, filepath.Join(t.TempDir(), "helper.db"), func(ctx context.Context, name string) (ledger.Store, error) {
		return OpenHelper(ctx, name)
	})
}

func TestInterruptedCommits(t *testing.T) {
	ledgertest.Interrupted(t, openHelper(t, filepath.Join(t.TempDir(), "helper.db")))
}
