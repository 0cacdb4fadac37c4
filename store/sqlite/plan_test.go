package sqlite

import (
	"path/filepath"
	"strings"
	"testing"
)

// What the shuffler reads again and again does not touch batches that are
// destroyed.
func TestShufflerReadsLiveBatchesOnly(t *testing.T) {
	s, err := OpenShuffler(t.Context(), filepath.Join(t.TempDir(), "shuffler.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rows, err := s.db.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+liveBatches)
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
	if text := strings.Join(plan, "\n"); !strings.Contains(text, "batches_live") || strings.Contains(text, "TEMP B-TREE") {
		t.Errorf("the index is not used:\n%s", text)
	}
}
