package sqlite

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/collector"
)

// What the shuffler reads again and again does not touch batches that are
// destroyed.
func TestShufflerReadsLiveBatchesOnly(t *testing.T) {
	s, err := OpenShuffler(t.Context(), filepath.Join(t.TempDir(), "shuffler.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if text := planOf(t, s.db, liveBatches); !strings.Contains(text, "batches_live") || strings.Contains(text, "TEMP B-TREE") {
		t.Errorf("the index is not used:\n%s", text)
	}
}

// What the analyzer reads again and again is found by indexes.
func TestAnalyzerQueriesUseIndexes(t *testing.T) {
	s, err := OpenAnalyzer(t.Context(), filepath.Join(t.TempDir(), "analyzer.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for query, index := range map[string]string{
		batchesDue: "batches_due", batchesOf: "batches_task", batchesReceived: "batches_received",
		batchesExpired: "batches_expired", batchesSummaries: "COVERING INDEX batches_task",
		batchesNamed: "batches_metric", batchesStamps: "COVERING INDEX batches_metric", batchesOutline: "batches_task", batchesMetrics: "COVERING INDEX batches_metric",
	} {
		query = strings.NewReplacer("= ?", "= 5", "< ?", "< 5", "LIMIT ?", "LIMIT 5").Replace(query)
		if text := planOf(t, s.db, query); !strings.Contains(text, index) {
			t.Errorf("%s\ndoes not use %s:\n%s", query, index, text)
		}
	}
}

// What the collector reads again and again is found by indexes, and in their order.
func TestCollectorQueriesUseIndexes(t *testing.T) {
	s, err := OpenCollector(t.Context(), filepath.Join(t.TempDir(), "collector.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for query, index := range map[string]string{
		asksOpen: "asks_open", asksOf: "asks_task", asksUnreleased: "asks_unreleased", asksReleased: "asks_released",
		asksNamed: "asks_metric", asksDue: "asks_due", asksUndated: "asks_undated", asksExpired: "asks_expired", asksAnswered: "COVERING INDEX asks_digest",
		asksSummaries: "COVERING INDEX asks_released", asksStamps: "COVERING INDEX asks_metric", asksMetrics: "COVERING INDEX asks_metric",
	} {
		query = strings.NewReplacer("= ?", "= 5", "< ?", "< 5", "LIMIT ?", "LIMIT 5").Replace(query)
		if text := planOf(t, s.db, query); !strings.Contains(text, index) || strings.Contains(text, "TEMP B-TREE") {
			t.Errorf("%s\ndoes not use %s:\n%s", query, index, text)
		}
	}
}

// The asks of an earlier version get their new columns from the manifests.
func TestCollectorMigratesManifests(t *testing.T) {
	name := filepath.Join(t.TempDir(), "collector.db")
	db, err := sql.Open("sqlite", "file:"+name)
	if err != nil {
		t.Fatal(err)
	}
	first, err := migrations.ReadFile("migrations/collector/0001_asks.sql")
	if err != nil {
		t.Fatal(err)
	}
	statements := []string{
		`CREATE TABLE shoal (role TEXT NOT NULL, version INTEGER NOT NULL) STRICT`, `INSERT INTO shoal VALUES ('collector', 1)`, string(first),
	}
	const kept = `{"metric":"m","digest":"d%d","end":"2026-11-23T01:00:00Z","reports":%d,"parameters":{"retention_days":%d}}`
	for i, row := range []struct {
		state    int
		manifest string
	}{
		{1, ``}, {3, `{"damaged`}, {3, fmt.Sprintf(kept, 1, 7, 2)}, {3, fmt.Sprintf(kept, 2, 8, 0)}, {4, fmt.Sprintf(kept, 3, 9, 2)}, {5, ``},
	} {
		statements = append(statements, fmt.Sprintf(`INSERT INTO asks (ask, task, number, request, created, state, manifest)
			VALUES (x'%032x', x'%064x', %d, x'01', 5, %d, '%s')`, i+1, 1, i, row.state, row.manifest))
	}
	for _, text := range statements {
		if _, err := db.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := OpenCollector(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	id := dap.TaskID{31: 1}
	end := time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC).Unix()
	sums, err := s.Summaries(t.Context())
	if err != nil || len(sums) != 1 || sums[0] != (collector.Summary{Task: id, Batches: 4, Reports: 24, End: end}) {
		t.Errorf("summaries %+v, %v", sums, err)
	}
	for at, want := range map[int64]int{end + 2*86400 - 1: 0, end + 2*86400: 1} {
		due, err := s.Due(t.Context(), at)
		if err != nil || len(due) != want || want == 1 && due[0].Number != 2 {
			t.Errorf("due at %d: %+v, %v", at, due, err)
		}
	}
	named, err := s.Named(t.Context(), "m")
	if err != nil || len(named) != 4 {
		t.Errorf("%d asks of the metric, %v", len(named), err)
	}
	undated, err := s.Undated(t.Context())
	if err != nil || len(undated) != 1 || undated[0].Number != 1 {
		t.Errorf("undated %+v, %v", undated, err)
	}
	undated[0].State = collector.Expired // its metric stays known
	if err := s.Advance(t.Context(), collector.Released, undated[0]); err != nil {
		t.Fatal(err)
	}
	if named, err := s.Named(t.Context(), "m"); err != nil || len(named) != 4 {
		t.Errorf("%d asks of the metric, %v", len(named), err)
	}
	if known, err := s.Answered(t.Context(), id, "d3"); !known || err != nil {
		t.Errorf("an answer of an earlier version is not known, %v", err)
	}
}

// The catalogue of an earlier version gets its new columns from the manifests.
func TestAnalyzerMigratesManifests(t *testing.T) {
	name := filepath.Join(t.TempDir(), "analyzer.db")
	db, err := sql.Open("sqlite", "file:"+name)
	if err != nil {
		t.Fatal(err)
	}
	first, err := migrations.ReadFile("migrations/analyzer/0001_catalogue.sql")
	if err != nil {
		t.Fatal(err)
	}
	statements := []string{
		`CREATE TABLE shoal (role TEXT NOT NULL, version INTEGER NOT NULL) STRICT`, `INSERT INTO shoal VALUES ('analyzer', 1)`, string(first),
	}
	for i, row := range []struct {
		state    int
		manifest string
	}{
		{1, ``},
		{2, `{"end":"2026-11-23T01:00:00Z","analyzer":{"records":7},"parameters":{"retention_days":2}}`},
		{2, `{"end":"2026-11-23T01:00:00Z","analyzer":{"records":8},"parameters":{"retention_days":0}}`},
		{3, `{"end":"2026-11-23T01:00:00Z","analyzer":{"records":9},"parameters":{"retention_days":2}}`},
	} {
		statements = append(statements, fmt.Sprintf(`INSERT INTO batches (batch, task, epoch, state, digest, manifest)
			VALUES (x'%064x', x'%064x', %d, %d, x'%064x', '%s')`, i+1, 1, i, row.state, 5, row.manifest))
	}
	for _, text := range statements {
		if _, err := db.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := OpenAnalyzer(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all, err := s.Batches(t.Context())
	if err != nil || len(all) != 4 {
		t.Fatal(all, err)
	}
	end := time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)
	for i, want := range []struct{ records, expires int64 }{{0, 0}, {7, end.AddDate(0, 0, 2).Unix()}, {8, 0}, {9, 0}} {
		if b := all[i]; b.Records != want.records || b.Expires != want.expires || b.Attempts != 0 {
			t.Errorf("batch %d: %+v, want %+v", i, b, want)
		}
	}
}

func planOf(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+query)
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
	return strings.Join(plan, "\n")
}
