package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// aggregator is what the files of leader and helper have in common: the ledgers
// of their tasks and their registry.
type aggregator struct{ db *sql.DB }

// A Leader is what a DAP leader stores, in one SQLite file. Several processes on
// one machine can have it open.
type Leader struct {
	aggregator
	claim leader.Claim // as whose holder it is seen
}

// A Helper is what a DAP helper stores, in one SQLite file. Several processes on
// one machine can have it open.
type Helper struct{ aggregator }

var (
	_ ledger.Store = (*Leader)(nil)
	_ tasks.Store  = (*Leader)(nil)
	_ ledger.Store = (*Helper)(nil)
	_ tasks.Store  = (*Helper)(nil)
)

// OpenLeader opens a leader's file, creating it if it is not there.
func OpenLeader(ctx context.Context, name string) (*Leader, error) {
	db, err := open(ctx, name, "leader")
	if err != nil {
		return nil, err
	}
	return &Leader{aggregator: aggregator{db}}, nil
}

// OpenHelper opens a helper's file, creating it if it is not there.
func OpenHelper(ctx context.Context, name string) (*Helper, error) {
	db, err := open(ctx, name, "helper")
	if err != nil {
		return nil, err
	}
	return &Helper{aggregator{db}}, nil
}

// Close closes the file.
func (a *aggregator) Close() error { return a.db.Close() }

// Installation returns the random ID that the file was given when it was created.
func (a *aggregator) Installation(ctx context.Context) (string, error) {
	return installation(ctx, a.db)
}

// isNoRows reports whether a query had no row.
func isNoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }
