package postgres

import (
	"context"
	"io/fs"
	"testing"

	"github.com/shoal-project/shoal/store/postgres/postgrestest"

	"github.com/shoal-project/shoal/dap/helper"
	helpertest "github.com/shoal-project/shoal/dap/helper/storetest"
	"github.com/shoal-project/shoal/dap/leader"
	leadertest "github.com/shoal-project/shoal/dap/leader/storetest"
	"github.com/shoal-project/shoal/dap/ledger"
	ledgertest "github.com/shoal-project/shoal/dap/ledger/storetest"
	"github.com/shoal-project/shoal/dap/roster"
	rostertest "github.com/shoal-project/shoal/dap/roster/storetest"
)

func openHelper(t testing.TB, connection string) *Helper {
	t.Helper()
	s, err := OpenHelper(t.Context(), connection)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// reopening returns a store, and a function that closes it and opens it again.
func reopening[S any](t *testing.T, as func(*Helper) S) (S, func(*testing.T) S) {
	t.Parallel()
	connection := postgrestest.Schema(t)
	s := openHelper(t, connection)
	return as(s), func(t *testing.T) S {
		s.Close()
		s = openHelper(t, connection)
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

func TestHelper(t *testing.T) {
	helpertest.Run(t, func(t *testing.T) helper.Store {
		t.Parallel()
		return openHelper(t, postgrestest.Schema(t))
	})
}

func TestLeader(t *testing.T) {
	leadertest.Run(t, func(t *testing.T) (leader.Store, func(*testing.T) leader.Store) {
		t.Parallel()
		connection := postgrestest.Schema(t)
		open := func(t *testing.T) *Leader {
			s, err := OpenLeader(t.Context(), connection)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		}
		s := open(t)
		return s, func(t *testing.T) leader.Store {
			s.Close()
			s = open(t)
			return s
		}
	})
}

func TestKilledProcesses(t *testing.T) {
	where := ""
	if !ledgertest.IsChild(t) {
		where = postgrestest.Schema(t)
	}
	ledgertest.Processes(t, where, func(ctx context.Context, connection string) (ledger.Store, error) {
		return OpenHelper(ctx, connection)
	})
}

func TestInterruptedCommits(t *testing.T) {
	t.Parallel()
	ledgertest.Interrupted(t, openHelper(t, postgrestest.Schema(t)))
}
