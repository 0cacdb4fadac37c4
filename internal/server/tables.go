package server

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
)

// analyzerStore and analyzerDir are where an analyzer keeps its catalogue and
// its tables.
func (c Config) analyzerStore() string { return filepath.Join(c.Data, "analyzer.db") }

func (c Config) analyzerDir() string { return filepath.Join(c.Data, task.Analyzer.String(), "batches") }

// OpenTables gives read access to what an analyzer and a collector have released,
// beside a running server or without one. Call done after use.
func OpenTables(ctx context.Context, c Config) (release.Catalogue, func() error, error) {
	if !c.releases() {
		return nil, nil, errors.New("opening tables: this organisation is no analyzer and no collector, and has none")
	}
	var all []release.Catalogue
	var closers []func() error
	done := func() error {
		var errs []error
		for _, c := range closers {
			errs = append(errs, c())
		}
		return errors.Join(errs...)
	}
	for _, r := range c.Roles {
		tables, shut, err := openTablesOf(ctx, c, r)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("opening tables: %w", err), done())
		}
		if tables != nil {
			all, closers = append(all, tables), append(closers, shut)
		}
	}
	return release.Join(all...), done, nil
}

// errNotRun is returned if a role has no store.
var errNotRun = errors.New("the server has not run yet")

// openTablesOf opens what one role has released, nil if the role releases nothing.
func openTablesOf(ctx context.Context, c Config, r task.Role) (release.Catalogue, func() error, error) {
	name := map[task.Role]string{task.Analyzer: c.analyzerStore(), task.Collector: c.collectorStore()}[r]
	if name == "" {
		return nil, nil, nil
	}
	if there, err := hasStore(name); err != nil {
		return nil, nil, err
	} else if !there {
		return nil, nil, fmt.Errorf("%s is missing: %w", name, errNotRun)
	}
	if r == task.Collector {
		store, err := sqlite.OpenCollector(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		return collector.NewTables(store, durable.OS(), c.collectorDir()), store.Close, nil
	}
	store, err := sqlite.OpenAnalyzer(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	return analyzer.NewTables(store, durable.OS(), c.analyzerDir()), store.Close, nil
}

// Released returns what the organisation has released, as an analyzer and as a
// collector, or nil if it is neither.
func (s *Server) Released() release.Catalogue {
	var all []release.Catalogue
	if t := s.Tables(); t != nil {
		all = append(all, t)
	}
	if t := s.Aggregates(); t != nil {
		all = append(all, t)
	}
	if len(all) == 0 {
		return nil
	}
	return release.Join(all...)
}

// Aggregates returns what the organisation has released as a collector, or nil if
// it is not one.
func (s *Server) Aggregates() *collector.Tables {
	if g := roleOf[*collectorHost](s); g != nil {
		return g.c.Tables()
	}
	return nil
}
