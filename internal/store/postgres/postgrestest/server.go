package postgrestest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A Server is a PostgreSQL server of one test alone, which may restart it. It
// listens on a Unix socket in a folder of its own.
type Server struct {
	// Connection is a connection string for the server, with rights of a superuser.
	Connection string

	bin, dir string
	user     string // whom the server runs as, "" for the caller
	mu       sync.Mutex
}

// NewServer starts a server, which ends with the test. Where the server's programs
// are not known the test is skipped, and with CI=true it fails: scripts/postgres
// names their folder in SHOAL_TEST_POSTGRES_BIN.
func NewServer(t testing.TB) *Server {
	t.Helper()
	bin := os.Getenv("SHOAL_TEST_POSTGRES_BIN")
	if bin == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("SHOAL_TEST_POSTGRES_BIN is not set: in CI these tests must run, by scripts/postgres go test")
		}
		t.Skip("needs the programs of PostgreSQL: run by scripts/postgres go test")
	}
	dir, err := os.MkdirTemp("/tmp", "shoal-pg.") // not TMPDIR: the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{bin: bin, dir: dir, Connection: fmt.Sprintf("host=%s user=shoal dbname=postgres", dir)}
	t.Cleanup(func() {
		_ = s.Stop() // it may be stopped already
		os.RemoveAll(dir)
	})
	if os.Geteuid() == 0 {
		s.user = "postgres"
		if out, err := exec.Command("chown", s.user, dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if err := s.run("initdb", "-D", s.data(), "-U", "shoal", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// run runs one of the server's programs as its user.
func (s *Server) run(program string, args ...string) error {
	all := append([]string{filepath.Join(s.bin, program)}, args...)
	if s.user != "" {
		for i := range all {
			all[i] = "'" + strings.ReplaceAll(all[i], "'", `'\''`) + "'"
		}
		all = []string{"su", "-s", "/bin/sh", s.user, "-c", strings.Join(all, " ")}
	}
	cmd := exec.Command(all[0], all[1:]...)
	cmd.Dir = s.dir
	// To a file: the server keeps what it inherits open.
	out, err := os.CreateTemp("", "postgres")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w: %s", program, err, text)
	}
	return nil
}

// Restart ends the server at once, as its crash would, and starts it.
func (s *Server) Restart() error {
	if err := s.Stop(); err != nil {
		return err
	}
	return s.Start()
}

// Stop ends the server at once, as its crash would.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run("pg_ctl", "stop", "-w", "-D", s.data(), "-m", "immediate")
}

// Start starts a server that was stopped. What it has acknowledged survives the
// end of its process, not of its machine: it does not wait for the disk.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	options := fmt.Sprintf("-c listen_addresses='' -c unix_socket_directories='%s' -c max_connections=100 -c fsync=off", s.dir)
	return s.run("pg_ctl", "start", "-w", "-D", s.data(), "-l", filepath.Join(s.dir, "log"), "-o", options)
}

// Schema makes an empty schema on the server and returns a connection string for
// it, whose sessions [Terminate] ends.
func (s *Server) Schema(t testing.TB) string {
	t.Helper()
	name := schemaName()
	do(t.Context(), t, s.Connection, "CREATE SCHEMA "+name)
	return With(With(s.Connection, "search_path", name), "application_name", name)
}

// Terminate ends the sessions that were made with a connection string of [Schema]
// or [Server.Schema], by pg_terminate_backend, wherever they are in their work, and
// returns how many. Other tests on the server keep theirs.
func Terminate(ctx context.Context, connection string) (int, error) {
	c, err := pgx.Connect(ctx, connection)
	if err != nil {
		return 0, err
	}
	defer c.Close(ctx)
	var n int
	err = c.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = current_setting('application_name')`).Scan(&n)
	return n, err
}
