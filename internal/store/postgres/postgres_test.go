package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/credential"
	credentialtest "github.com/shoal-project/shoal/internal/credential/storetest"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/store/postgres/postgrestest"

	"github.com/shoal-project/shoal/internal/dap/helper"
	helpertest "github.com/shoal-project/shoal/internal/dap/helper/storetest"
	"github.com/shoal-project/shoal/internal/dap/leader"
	leadertest "github.com/shoal-project/shoal/internal/dap/leader/storetest"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	ledgertest "github.com/shoal-project/shoal/internal/dap/ledger/storetest"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	taskstest "github.com/shoal-project/shoal/internal/dap/tasks/storetest"
	"github.com/shoal-project/shoal/internal/store/schema"
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

// TestCredentials covers servers of one role that share a schema: their issuers have one
// key for a slot, and one list of the clients that were answered.
func TestCredentials(t *testing.T) {
	at := postgrestest.Schema(t)
	key, err := atrest.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := atrest.New(key)
	if err != nil {
		t.Fatal(err)
	}
	open := func() credential.Store {
		return openHelper(t, at).Credentials(keys)
	}
	credentialtest.Run(t, open(), open)
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
