package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/shoal-project/shoal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/release"
	"github.com/shoal-project/shoal/store/sqlite"
)

// analyzerStore and analyzerDir are where an analyzer keeps its catalogue and
// its tables.
func (c Config) analyzerStore() string { return filepath.Join(c.Data, "analyzer.db") }

func (c Config) analyzerDir() string { return filepath.Join(c.Data, string(AnalyzerRole), "batches") }

// OpenTables gives read access to what an analyzer has released, beside a
// running server or without one. Call done after use.
func OpenTables(ctx context.Context, c Config) (release.Catalogue, func() error, error) {
	if !c.Has(AnalyzerRole) {
		return nil, nil, errors.New("opening tables: this organisation is no analyzer and has none")
	}
	if _, err := os.Stat(c.analyzerStore()); err != nil {
		return nil, nil, fmt.Errorf("opening tables: %s is missing: the server has not run yet", c.analyzerStore())
	}
	store, err := sqlite.OpenAnalyzer(ctx, c.analyzerStore())
	if err != nil {
		return nil, nil, fmt.Errorf("opening tables: %w", err)
	}
	return analyzer.NewTables(store, durable.OS(), c.analyzerDir()), store.Close, nil
}
