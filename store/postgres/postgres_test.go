package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/shoal-project/shoal/dap/helper"
	helpertest "github.com/shoal-project/shoal/dap/helper/storetest"
	"github.com/shoal-project/shoal/dap/leader"
	leadertest "github.com/shoal-project/shoal/dap/leader/storetest"
	"github.com/shoal-project/shoal/dap/ledger"
	ledgertest "github.com/shoal-project/shoal/dap/ledger/storetest"
	"github.com/shoal-project/shoal/dap/roster"
	rostertest "github.com/shoal-project/shoal/dap/roster/storetest"
)

// schema returns a connection string for a schema of the test's own, which goes
// with the test.
func schema(t testing.TB) string {
	t.Helper()
	server := os.Getenv("SHOAL_TEST_POSTGRES")
	if server == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("SHOAL_TEST_POSTGRES is not set: in CI these tests must run")
		}
		t.Skip("needs PostgreSQL: scripts/postgres go test ./store/postgres")
	}
	var b [8]byte
	rand.Read(b[:])
	name := "test_" + hex.EncodeToString(b[:])
	do := func(ctx context.Context, query string) {
		t.Helper()
		c, err := pgx.Connect(ctx, server)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(ctx)
		if _, err := c.Exec(ctx, query); err != nil {
			t.Fatal(err)
		}
	}
	do(t.Context(), "CREATE SCHEMA "+name)
	t.Cleanup(func() { do(context.Background(), "DROP SCHEMA "+name+" CASCADE") })
	return with(server, "search_path", name)
}

// with adds a parameter to a connection string of either form.
func with(connection, name, value string) string {
	if !strings.Contains(connection, "://") {
		return fmt.Sprintf("%s %s='%s'", connection, name, value)
	}
	separator := "?"
	if strings.Contains(connection, "?") {
		separator = "&"
	}
	return connection + separator + name + "=" + url.PathEscape(value)
}

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
	connection := schema(t)
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
		return openHelper(t, schema(t))
	})
}

func TestLeader(t *testing.T) {
	leadertest.Run(t, func(t *testing.T) (leader.Store, func(*testing.T) leader.Store) {
		t.Parallel()
		connection := schema(t)
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
		where = schema(t)
	}
	ledgertest.Processes(t, where, func(ctx context.Context, connection string) (ledger.Store, error) {
		return OpenHelper(ctx, connection)
	})
}
