package analyzer_test

import (
	"context"
	"log"
	"os"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/release"
)

// What has been released can be read while the analyzer runs, or without it.
// (The example is compiled, not run.)
func Example() {
	export := func(ctx context.Context, store analyzer.Store) error {
		tables := analyzer.NewTables(store, durable.OS(), "/var/lib/shoal/analyzer")
		entries, err := tables.Entries(ctx)
		if err != nil {
			return err
		}
		for _, e := range entries {
			log.Print(e.Epoch, " ", e.State)
		}
		return tables.Export(ctx, os.Stdout, release.CSV, release.Query{Metric: "api.use", Table: analyzer.CountsTable})
	}
	_ = export
}
