package postgres

import (
	"context"
	"fmt"

	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// aggregator is what leader and helper have in common: the ledgers of their tasks
// and their registry.
type aggregator struct{ pool *database }

// A Leader is what a DAP leader stores, in a schema of a PostgreSQL database. Any
// number of processes can have it open.
type Leader struct {
	aggregator
	claim leader.Claim // as whose holder it is seen
}

// A Helper is what a DAP helper stores, in a schema of a PostgreSQL database. Any
// number of processes can have it open.
type Helper struct{ aggregator }

var (
	_ ledger.Store = (*Leader)(nil)
	_ tasks.Store  = (*Leader)(nil)
	_ ledger.Store = (*Helper)(nil)
	_ tasks.Store  = (*Helper)(nil)
)

// OpenLeader connects to a leader's schema, filling it if it is empty.
func OpenLeader(ctx context.Context, connection string) (*Leader, error) {
	pool, err := open(ctx, connection, "leader")
	if err != nil {
		return nil, err
	}
	return &Leader{aggregator: aggregator{pool}}, nil
}

// OpenHelper connects to a helper's schema, filling it if it is empty.
func OpenHelper(ctx context.Context, connection string) (*Helper, error) {
	pool, err := open(ctx, connection, "helper")
	if err != nil {
		return nil, err
	}
	return &Helper{aggregator{pool}}, nil
}

// Close closes the connections, once those in use are given back.
func (a *aggregator) Close() error {
	a.pool.Close()
	return nil
}

// Installation returns the random ID that the schema was given when it was filled.
func (a *aggregator) Installation(ctx context.Context) (string, error) {
	var id string
	if err := a.pool.QueryRow(ctx, `SELECT id FROM installation`).Scan(&id); err != nil {
		return "", fmt.Errorf("reading the store's ID: %w", err)
	}
	return id, nil
}
