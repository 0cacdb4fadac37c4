package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/internal/store/duckdb"
	"github.com/shoal-project/shoal/metric/task"
)

// fixed is a catalogue of one batch.
type fixed string

func (f fixed) Released(context.Context) ([]release.Batch, error) {
	return []release.Batch{{Metric: string(f), Task: task.ID{f[0]}, Columns: []release.Column{{Name: "state", Type: release.Text}}, Row: release.Row{"released"}}}, nil
}

// TestConsoleTables: SQL in the demo's console has the tables of all organisations that
// have results, also of those that come later.
func TestConsoleTables(t *testing.T) {
	var later []release.Catalogue
	db, err := duckdb.New(growing{fixed("api_use"), func() []release.Catalogue { return later }}, duckdb.Options{Worker: []string{"none"}})
	if err != nil {
		t.Fatal(err)
	}
	later = []release.Catalogue{fixed("page"), fixed("query")}
	tables, err := db.Tables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, table := range tables {
		names = append(names, table.Ref())
	}
	if got := strings.Join(names, " "); got != "api_use.batches page.batches query.batches" {
		t.Errorf("tables %s", got)
	}
}

// TestQuery runs testdata/query/*.txtar, on what the demo releases about the
// words of a text. The condition sql holds in a program with the engine.
func TestQuery(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/query",
		UpdateScripts: golden.Updating(),
		Setup: func(e *testscript.Env) error {
			// With 603 reports a noised minimum of 100 is missed in 1 of 10^15 runs.
			text := strings.Repeat("Sea. ", 400) + strings.Repeat("fish ", 200) + strings.Repeat("rare ", 3)
			return os.WriteFile(filepath.Join(e.WorkDir, "words.txt"), []byte(text), 0o600)
		},
		Condition: func(name string) (bool, error) {
			if name != "sql" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return duckdb.Built, nil
		},
	})
}
