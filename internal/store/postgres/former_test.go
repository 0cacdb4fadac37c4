package postgres

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/store/postgres/postgrestest"
	"github.com/shoal-project/shoal/internal/store/schema"
)

// A schema of a program that knew no leases, absences or losses is brought up to
// date with what it holds.
func TestFormerLeader(t *testing.T) {
	t.Parallel()
	connection := postgrestest.Schema(t)
	former(t, connection, "leader", 3,
		`INSERT INTO dap_intakes (task, last_log) VALUES (decode(rpad('01', 64, '0'), 'hex'), 1)`,
		`INSERT INTO dap_logs (task, number, node, state, records) VALUES (decode(rpad('01', 64, '0'), 'hex'), 1, 'n', 3, 4)`,
		`INSERT INTO dap_jobs (task, node, log, first, past, skip, reports, span_start, span_end, batch, verify_key, created, round, turned, digest,
			location, attempts, due, lease) VALUES (decode(rpad('01', 64, '0'), 'hex'), 'n', 1, 0, 4, '', 4, 7, 8, '', 1, 100, 1, true, '', '', 6, 200, 0)`,
		`INSERT INTO dap_collections (task, job, rev, state, created, request, interval_start, interval_end, batch, upto, count, checksum, location,
			attempts, due, response, problem, detail) VALUES (decode(rpad('01', 64, '0'), 'hex'), decode(repeat('00', 16), 'hex'), 4, 1, 100, '\x09', 5, 7, '', 3, 0,
			decode(repeat('00', 32), 'hex'), '', 2, 100, '', '', '')`)
	plain, err := OpenLeader(t.Context(), connection)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { plain.Close() })
	if nodes, err := plain.Nodes(t.Context()); err != nil || !slices.Equal(nodes, []leader.Claim{{Node: "n"}}) {
		t.Fatalf("nodes %+v, error %v", nodes, err)
	}
	claim, err := plain.Claim(t.Context(), leader.Claim{Node: "n", Disk: "d", Until: time.Unix(400, 0)}, time.Unix(200, 0))
	if err != nil {
		t.Fatal(err)
	}
	s := plain.As(claim)
	jobs, err := s.Lease(t.Context(), "n", time.Unix(200, 0), time.Unix(300, 0), 9)
	if err != nil || len(jobs) != 1 || jobs[0].Reports != 4 || jobs[0].Attempts != 7 {
		t.Errorf("jobs %+v, error %v", jobs, err)
	}
	all, err := s.Collections(t.Context())
	if err != nil || len(all) != 1 || all[0].Rev != 4 || all[0].Lost != 0 || all[0].Interval != (dap.Interval{Start: 5, Duration: 2}) {
		t.Errorf("collections %+v, error %v", all, err)
	}
	d, err := plain.DropNode(t.Context(), "n", time.Unix(400, 0))
	if err != nil || d.Logs != 1 || d.Reports != 4 {
		t.Errorf("dropped %+v, error %v", d, err)
	}
}

// former fills a schema as a program left it that knew so many migrations.
func former(t *testing.T, connection, role string, version int, statements ...string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), connection)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	steps, err := schema.Steps(migrations, role)
	if err != nil {
		t.Fatal(err)
	}
	err = pgx.BeginFunc(t.Context(), c, func(tx pgx.Tx) error {
		if _, err := schema.Version(t.Context(), migrating{tx}, dialect, role); err != nil {
			return err
		}
		var all []string
		for _, step := range steps[:version] {
			text, err := migrations.ReadFile(step)
			if err != nil {
				return err
			}
			all = append(all, string(text))
		}
		all = append(append(all, statements...), fmt.Sprintf(`UPDATE shoal SET version = %d`, version))
		for _, statement := range all {
			if _, err := tx.Conn().PgConn().Exec(t.Context(), statement).ReadAll(); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
