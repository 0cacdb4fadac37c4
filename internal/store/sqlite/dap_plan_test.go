package sqlite

import (
	"path/filepath"
	"strings"
	"testing"
)

// What a leader asks for again and again is found by indexes: nothing is scanned or
// sorted.
func TestLeaderQueriesUseIndexes(t *testing.T) {
	s, err := OpenLeader(t.Context(), filepath.Join(t.TempDir(), "leader.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, query := range []string{
		`SELECT task, number, state, records, (SELECT count(*) FROM dap_jobs j WHERE j.task = l.task AND j.log = l.number)
			FROM dap_logs l WHERE node = 'n' ORDER BY task, number`,
		`SELECT coalesce((SELECT last_log FROM dap_intakes WHERE task = x'00'), 0),
			(SELECT count(*) FROM dap_logs WHERE task = x'00' AND number <= 9 AND state <> 3)`,
		`SELECT min(max(due, lease)) FROM dap_jobs WHERE node = 'n'`,
		`SELECT id FROM dap_jobs WHERE node = 'n' AND due <= 5 AND lease <= 5 ORDER BY due LIMIT 5`,
	} {
		rows, err := s.db.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, detail)
		}
		text := strings.Join(plan, "\n")
		if strings.Contains(text, "SCAN dap") || strings.Contains(text, "SCAN l") || strings.Contains(text, "SCAN j") || strings.Contains(text, "TEMP B-TREE") {
			t.Errorf("%s\n%s", query, text)
		}
		if strings.Contains(query, "state <>") && !strings.Contains(text, "dap_logs_uncut") || strings.Contains(query, "min(max") && !strings.Contains(text, "dap_jobs_next") {
			t.Errorf("the index is not used:\n%s\n%s", query, text)
		}
	}
}
