package sqlite

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	leadertest "github.com/shoal-project/shoal/internal/dap/leader/storetest"
	"github.com/shoal-project/shoal/internal/store/schema"
)

func TestLeader(t *testing.T) {
	leadertest.Run(t, func(t *testing.T) (leader.Store, func(*testing.T) leader.Store) {
		name := filepath.Join(t.TempDir(), "leader.db")
		open := func(t *testing.T) *Leader {
			s, err := OpenLeader(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		}
		s := open(t)
		return s, func(t *testing.T) leader.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t)
			return s
		}
	})
}

// Jobs that a program stored before it knew of absence and refusals are found, with
// neither.
func TestLeaderBeforeAbsence(t *testing.T) {
	name := filepath.Join(t.TempDir(), "leader.db")
	task := dap.TaskID{1}
	former(t, name, "leader", 3,
		`INSERT INTO dap_logs (task, number, node, state, records) VALUES (CAST(x'01' || zeroblob(31) AS BLOB), 1, 'n', 3, 4)`,
		`INSERT INTO dap_jobs (task, node, log, first, past, skip, reports, span_start, span_end, batch, verify_key, created, round, turned, digest,
			location, attempts, due, lease) VALUES (CAST(x'01' || zeroblob(31) AS BLOB), 'n', 1, 0, 4, x'', 4, 7, 8, x'', 1, 100, 1, 1,
			CAST(x'05' || zeroblob(31) AS BLOB), 'https://helper.example/job', 6, 200, 0)`,
		`INSERT INTO dap_collections (task, job, rev, state, created, request, interval_start, interval_end, batch, upto, count, checksum, location,
			attempts, due, response, problem, detail) VALUES (CAST(x'01' || zeroblob(31) AS BLOB), zeroblob(16), 4, 1, 100, x'09', 5, 7, x'', 3, 0,
			zeroblob(32), '', 2, 100, x'', '', '')`)
	plain, err := OpenLeader(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	nodes, err := plain.Nodes(t.Context())
	if err != nil || len(nodes) != 1 || nodes[0] != (leader.Claim{Node: "n"}) {
		t.Fatalf("nodes %+v, error %v", nodes, err)
	}
	claim, err := plain.Claim(t.Context(), leader.Claim{Node: "n", Disk: "d", Until: time.Unix(400, 0)}, time.Unix(200, 0))
	if err != nil {
		t.Fatal(err)
	}
	s := plain.As(claim)
	jobs, err := s.Lease(t.Context(), "n", time.Unix(200, 0), time.Unix(300, 0).UTC(), 9)
	if err != nil || len(jobs) != 1 {
		t.Fatalf("%d jobs, error %v", len(jobs), err)
	}
	want := leader.Job{
		Task: task, Number: jobs[0].Number, Node: "n", Log: 1, To: 4, Reports: 4, Span: dap.Interval{Start: 7, Duration: 1}, Key: 1,
		Created: time.Unix(100, 0).UTC(), Round: 1, Turned: true, Digest: [32]byte{5}, Location: "https://helper.example/job",
		Attempts: 7, Due: time.Unix(200, 0).UTC(), Lease: time.Unix(300, 0).UTC(),
	}
	if !reflect.DeepEqual(jobs[0], want) {
		t.Errorf("job %+v, want %+v", jobs[0], want)
	}
	if all, err := s.Work(t.Context()); err != nil || len(all) != 1 || all[task] != (leader.Work{Jobs: 1, Reports: 4}) {
		t.Errorf("work %+v, error %v", all, err)
	}
	c := leader.Collection{
		Task: task, Rev: 4, State: leader.Waiting, Created: time.Unix(100, 0).UTC(), Request: []byte{9}, Interval: dap.Interval{Start: 5, Duration: 2},
		Upto: 3, Attempts: 2, Due: time.Unix(100, 0).UTC(),
	}
	if all, err := s.Collections(t.Context()); err != nil || len(all) != 1 || !reflect.DeepEqual(all[0], c) {
		t.Errorf("collections %+v, error %v, want %+v", all, err, c)
	}
	d, err := plain.DropNode(t.Context(), "n", time.Unix(400, 0))
	if err != nil || d.Logs != 1 || d.Reports != 4 {
		t.Errorf("dropped %+v, error %v", d, err)
	}
}

// former makes a file as a program left it that knew so many migrations.
func former(t *testing.T, name, role string, version int, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", name)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	steps, err := schema.Steps(migrations, role)
	if err != nil {
		t.Fatal(err)
	}
	err = transact(t.Context(), db, func(tx *sql.Tx) error {
		if _, err := schema.Version(t.Context(), migrating{tx}, dialect, role); err != nil {
			return err
		}
		for _, step := range steps[:version] {
			text, err := migrations.ReadFile(step)
			if err != nil {
				return err
			}
			statements = append([]string{string(text)}, statements...)
		}
		slices.Reverse(statements[:version])
		for _, statement := range append(statements, `UPDATE shoal SET version = `+strconv.Itoa(version)) {
			if _, err := tx.ExecContext(t.Context(), statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkLeaderWork reads the jobs of 1,000 tasks with 10 each, as a status needs them,
// at once and task by task.
func BenchmarkLeaderWork(b *testing.B) {
	s, err := OpenLeader(b.Context(), filepath.Join(b.TempDir(), "leader.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const tasks = 1000
	_, err = s.db.ExecContext(b.Context(), `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
		INSERT INTO dap_jobs (task, node, log, first, past, skip, reports, span_start, span_end, batch, verify_key, created, round, turned, digest, location, attempts, due, lease, since)
		SELECT CAST(printf('%032d', i % 1000) AS BLOB), 'n', 1, 0, 4, x'', 4, 7, 8, x'', 1, 100, 1, 1, zeroblob(32), '', 0, 200, 0, 5 * (i % 3) FROM n`)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("at-once", func(b *testing.B) {
		for b.Loop() {
			if all, err := s.Work(b.Context()); err != nil || len(all) != tasks {
				b.Fatal(len(all), err)
			}
		}
	})
	b.Run("by-task", func(b *testing.B) {
		for b.Loop() {
			for i := range tasks {
				id := dap.TaskID([]byte(fmt.Sprintf("%032d", i)))
				if jobs, _, err := s.Jobs(b.Context(), id); err != nil || jobs != 10 {
					b.Fatal(jobs, err)
				}
			}
		}
	})
}
