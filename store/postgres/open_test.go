package postgres

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/store/postgres/postgrestest"
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

// What goes wrong with a connection string tells no password.
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

// A connection that would acknowledge before the server's log is on disk is told
// to wait for it.
func TestCommitsWaitForTheLog(t *testing.T) {
	t.Parallel()
	s := openHelper(t, postgrestest.With(postgrestest.Schema(t), "options", "-c synchronous_commit=off"))
	var have string
	if err := s.pool.QueryRow(t.Context(), `SHOW synchronous_commit`).Scan(&have); err != nil || have != "on" {
		t.Errorf("synchronous_commit is %q, %v", have, err)
	}
}

// A node's name belongs to one process at a time, in each schema.
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
	claim := func(s *Leader, node string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return s.Claim(ctx, node)
	}
	one, two, elsewhere := open(connection), open(connection), open(postgrestest.Schema(t))
	for s, node := range map[*Leader]string{one: "a", two: "b", elsewhere: "a"} {
		if err := claim(s, node); err != nil {
			t.Fatal(err)
		}
	}
	three := open(connection)
	if err := claim(three, "a"); err == nil || !strings.Contains(err.Error(), "another process has this name") {
		t.Fatalf("the name was given twice: %v", err)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if err := claim(three, "a"); err != nil {
		t.Errorf("after the other has gone: %v", err)
	}
}
