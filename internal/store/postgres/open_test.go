package postgres

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/store/postgres/postgrestest"
)

// Many processes open an empty schema at once: one fills it.
func TestOpenAtOnce(t *testing.T) {
	t.Parallel()
	connection := postgrestest.Schema(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := OpenHelper(t.Context(), connection)
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
	}
	wg.Wait()
}

func TestSchemasThatAreRefused(t *testing.T) {
	t.Parallel()
	connection := postgrestest.Schema(t)
	s := openHelper(t, connection)
	if _, err := OpenLeader(t.Context(), connection); err == nil || !strings.Contains(err.Error(), "belongs to a helper") {
		t.Errorf("a leader in a helper's schema: %v", err)
	}
	if _, err := s.pool.Exec(t.Context(), `UPDATE shoal SET version = 1000`); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenHelper(t.Context(), connection); err == nil || !strings.Contains(err.Error(), "run a newer one") {
		t.Errorf("a schema of the future: %v", err)
	}
}

// What goes wrong with a connection string reveals no password.
func TestErrorsHoldNoPassword(t *testing.T) {
	for _, connection := range []string{
		"postgres://user:hidden@localhost:port/db", "host=/nowhere user=u password=hidden dbname=d", "postgres://u:hidden@127.0.0.1:1/d?connect_timeout=1",
	} {
		_, err := OpenHelper(t.Context(), connection)
		if err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", connection, err)
		}
	}
}

// A connection that would acknowledge before the server's log is on disk is set
// to wait for it.
func TestCommitsWaitForTheLog(t *testing.T) {
	t.Parallel()
	s := openHelper(t, postgrestest.With(postgrestest.Schema(t), "options", "-c synchronous_commit=off"))
	var have string
	if err := s.pool.QueryRow(t.Context(), `SHOW synchronous_commit`).Scan(&have); err != nil || have != "on" {
		t.Errorf("synchronous_commit is %q, %v", have, err)
	}
}

// A node's name belongs to one process at a time, in each schema, whatever becomes
// of the connections.
func TestClaims(t *testing.T) {
	t.Parallel()
	connection := postgrestest.Schema(t)
	open := func(connection string) *Leader {
		s, err := OpenLeader(t.Context(), connection)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	now := time.Unix(1_700_000_000, 0)
	claim := func(s *Leader, node, disk string) error {
		_, err := s.Claim(t.Context(), leader.Claim{Node: node, Disk: disk, Until: now.Add(time.Minute)}, now)
		return err
	}
	one, two, elsewhere := open(connection), open(connection), open(postgrestest.Schema(t))
	for s, node := range map[*Leader]string{one: "a", two: "b", elsewhere: "a"} {
		if err := claim(s, node, "disk of one"); err != nil {
			t.Fatal(err)
		}
	}
	// The claim outlives the connections, as when the server restarts.
	one.Close()
	three := open(connection)
	if err := claim(three, "a", "disk of three"); !errors.Is(err, leader.ErrHeld) || !strings.Contains(err.Error(), "until 2023-11-14T22:14:20Z") {
		t.Fatalf("the name was given twice: %v", err)
	}
	now = now.Add(time.Minute)
	if err := claim(three, "a", "disk of three"); err != nil {
		t.Errorf("after the lease has lapsed: %v", err)
	}
}

// A process of a version before the leases holds an advisory lock.
func TestClaimAgainstFormerVersion(t *testing.T) {
	t.Parallel()
	s, err := OpenLeader(t.Context(), postgrestest.Schema(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	c, err := s.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), `SELECT pg_advisory_lock(hashtextextended(current_schema() || ' ' || $1, $2))`, "a", int64(migrationLock)); err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	want := leader.Claim{Node: "a", Disk: "d", Until: now.Add(time.Minute)}
	if _, err := s.Claim(t.Context(), want, now); !errors.Is(err, leader.ErrHeld) {
		t.Errorf("claiming while the former version runs: %v", err)
	}
	if _, err := s.DropNode(t.Context(), "a", now); !errors.Is(err, leader.ErrHeld) {
		t.Errorf("dropping the node while the former version runs: %v", err)
	}
	if err := c.Hijack().Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ { // the server notices that the connection is gone
		_, err := s.Claim(t.Context(), want, now)
		if err == nil {
			break
		}
		if i > 10_000 {
			t.Fatalf("after it has gone: %v", err)
		}
	}
}

// asNode returns the store as a node sees it that claims a name.
func asNode(t testing.TB, s *Leader) *Leader {
	t.Helper()
	now := time.Unix(1_700_000_000, 0)
	c, err := s.Claim(t.Context(), leader.Claim{Node: "node", Disk: t.Name(), Until: now.Add(time.Hour)}, now)
	if err != nil {
		t.Fatal(err)
	}
	return s.As(c).(*Leader)
}
