package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/store/postgres/postgrestest"
)

func newTask(t *testing.T, s *Helper) dap.TaskID {
	t.Helper()
	var id dap.TaskID
	rand.Read(id[:])
	if _, err := s.Begin(t.Context(), id, ledger.DefaultLayout(3600)); err != nil {
		t.Fatal(err)
	}
	return id
}

// commitJob commits a job without reports.
func commitJob(ctx context.Context, s *Helper, task dap.TaskID) error {
	j := &helper.Job{Task: task, State: helper.Done, Made: time.Unix(1_800_000_000, 0)}
	rand.Read(j.ID[:])
	return s.CommitJob(ctx, ledger.Change{Task: task}, j)
}

// A foreign transaction holds the row of a task, as a replica that was stopped
// does: the other tasks of this process go on, the changes of that one end with an
// error that reports it, readiness names it, and all goes on once the lock is gone.
func TestOneTaskIsBlocked(t *testing.T) {
	t.Parallel()
	connection := postgrestest.With(postgrestest.Schema(t), "lock_timeout", "400ms")
	s := openHelper(t, connection)
	a, b := newTask(t, s), newTask(t, s)
	if why := s.Unready(t.Context()); why != "" {
		t.Fatalf("not ready before: %s", why)
	}
	foreign, err := pgx.Connect(t.Context(), connection)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close(context.Background())
	tx, err := foreign.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT 1 FROM dap_ledgers WHERE task = $1 FOR UPDATE`, a[:]); err != nil {
		t.Fatal(err)
	}
	// More changes of the one than the pool has connections, without an end.
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	late := make(chan error, 64)
	var wg sync.WaitGroup
	for range 3 * int(s.pool.Config().MaxConns) {
		wg.Go(func() {
			for ctx.Err() == nil {
				err := commitJob(ctx, s, a)
				select {
				case late <- err:
				default:
				}
			}
		})
	}
	if err := <-late; !errors.Is(err, ErrUnavailable) || errors.Is(err, ledger.ErrConflict) {
		t.Errorf("the blocked change: %v", err)
	}
	for range 50 {
		if err := commitJob(t.Context(), s, b); err != nil {
			t.Fatalf("a change of another task: %v", err)
		}
		if _, err := s.Head(t.Context(), b, 0); err != nil {
			t.Fatal(err)
		}
	}
	if why := s.Unready(t.Context()); !strings.Contains(why, "1 tasks") || !strings.Contains(why, a.String()) || !strings.Contains(why, "pg_blocking_pids") {
		t.Errorf("readiness: %q", why)
	}
	stop()
	wg.Wait()
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := commitJob(t.Context(), s, a); err != nil {
		t.Fatal(err)
	}
	if why := s.Unready(t.Context()); why != "" {
		t.Errorf("not ready afterwards: %s", why)
	}
}

// Where neither the operator nor the server sets limits they are ours.
func TestSettings(t *testing.T) {
	t.Parallel()
	show := func(s *Helper, name string) (value string) {
		if err := s.pool.QueryRow(t.Context(), `SELECT current_setting($1)`, name).Scan(&value); err != nil {
			t.Fatal(err)
		}
		return value
	}
	connection := postgrestest.Schema(t)
	ours := openHelper(t, connection)
	for name, want := range map[string]string{"statement_timeout": "30s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "30s"} {
		if have := show(ours, name); have != want {
			t.Errorf("%s is %s, want %s", name, have, want)
		}
	}
	if d := time.Duration(ours.pool.limit.Load()); d != 45*time.Second {
		t.Errorf("our own limit is %v", d)
	}
	for _, set := range []string{
		postgrestest.With(connection, "statement_timeout", "7min"),
		postgrestest.With(connection, "options", "-c statement_timeout=7min"),
	} {
		s := openHelper(t, set)
		if have := show(s, "statement_timeout"); have != "7min" {
			t.Errorf("%s: statement_timeout is %s", set, have)
		}
		if have := show(s, "lock_timeout"); have != "5s" {
			t.Errorf("%s: lock_timeout is %s", set, have)
		}
	}
	if n := ours.pool.Config().MaxConns; n < defaultConns {
		t.Errorf("the pool has %d connections", n)
	}
	if d := ours.pool.Config().ConnConfig.ConnectTimeout; d != connectTimeout {
		t.Errorf("a connection may take %v", d)
	}
}

func TestPoolThatIsTooSmall(t *testing.T) {
	for _, n := range []string{"1", "3"} {
		_, err := OpenHelper(t.Context(), "host=/nowhere pool_max_conns="+n)
		if err == nil || !strings.Contains(err.Error(), "pool_max_conns is "+n+", the least is 4") {
			t.Errorf("%s: %v", n, err)
		}
	}
}

// The least pool works, with a node's claim and a task that is blocked.
func TestLeastPool(t *testing.T) {
	t.Parallel()
	connection := postgrestest.Schema(t)
	s, err := OpenLeader(t.Context(), postgrestest.With(postgrestest.With(connection, "pool_max_conns", "4"), "lock_timeout", "200ms"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	var a, b dap.TaskID
	rand.Read(a[:])
	rand.Read(b[:])
	s = asNode(t, s)
	for _, id := range []dap.TaskID{a, b} {
		if _, err := s.BeginLog(t.Context(), id, "node"); err != nil {
			t.Fatal(err)
		}
	}
	foreign, err := pgx.Connect(t.Context(), connection)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close(context.Background())
	if _, err := foreign.Exec(t.Context(), `BEGIN; SELECT 1 FROM dap_intakes WHERE task = '\x`+hexOf(a)+`' FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.BeginLog(t.Context(), a, "node"); !errors.Is(err, ErrUnavailable) {
				t.Errorf("the blocked log: %v", err)
			}
		})
	}
	for range 20 {
		if _, err := s.BeginLog(t.Context(), b, "node"); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}
