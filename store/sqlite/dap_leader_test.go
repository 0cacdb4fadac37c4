package sqlite

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/leader"
	leadertest "github.com/shoal-project/shoal/dap/leader/storetest"
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
	s, err := OpenLeader(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	task := dap.TaskID{1}
	for _, statement := range []string{
		`DROP INDEX dap_jobs_since`,
		`ALTER TABLE dap_jobs DROP COLUMN since`,
		`ALTER TABLE dap_jobs DROP COLUMN refused`,
		`INSERT INTO dap_jobs (task, node, log, first, past, skip, reports, span_start, span_end, batch, verify_key, created, round, turned, digest,
			location, attempts, due, lease) VALUES (CAST(x'01' || zeroblob(31) AS BLOB), 'n', 1, 0, 4, x'', 4, 7, 8, x'', 1, 100, 1, 1,
			CAST(x'05' || zeroblob(31) AS BLOB), 'https://helper.example/job', 6, 200, 0)`,
		`UPDATE shoal SET version = 3`,
	} {
		if _, err := s.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	s.Close()
	if s, err = OpenLeader(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
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
	if a, err := s.Unanswered(t.Context(), task); err != nil || a != (leader.Absence{}) {
		t.Errorf("absence %+v, error %v", a, err)
	}
}
