package sqlite

import (
	"context"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/shoal-project/shoal/dap/ledger"
	ledgertest "github.com/shoal-project/shoal/dap/ledger/storetest"
	"github.com/shoal-project/shoal/dap/roster"
	rostertest "github.com/shoal-project/shoal/dap/roster/storetest"
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

func TestRoster(t *testing.T) {
	rostertest.Run(t, func(t *testing.T) (roster.Store, func(*testing.T) roster.Store) {
		return reopening(t, func(h *Helper) roster.Store { return h })
	})
}

// Leader and helper begin with the same tables.
func TestSharedMigrations(t *testing.T) {
	for _, name := range []string{"001_ledger.sql", "002_roster.sql"} {
		a, err := fs.ReadFile(migrations, "migrations/leader/"+name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := fs.ReadFile(migrations, "migrations/helper/"+name)
		if err != nil {
			t.Fatal(err)
		}
		if string(a) != string(b) {
			t.Errorf("%s is not the same for leader and helper", name)
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
