package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/collector"
)

// A Collector is a [collector.Store] in one SQLite file.
type Collector struct{ db *sql.DB }

var _ collector.Store = (*Collector)(nil)

// OpenCollector opens a collector's file, creating it if it is not there.
func OpenCollector(ctx context.Context, name string) (*Collector, error) {
	db, err := open(ctx, name, "collector")
	if err != nil {
		return nil, err
	}
	return &Collector{db}, nil
}

// Close closes the file.
func (s *Collector) Close() error { return s.db.Close() }

// Installation returns the random ID that the file was given when it was created.
func (s *Collector) Installation(ctx context.Context) (string, error) { return installation(ctx, s.db) }

// Begin implements [collector.Store].
func (s *Collector) Begin(ctx context.Context, task dap.TaskID, at int64) (int64, error) {
	var first int64
	err := transact(ctx, s.db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO begun (task, at) VALUES (?, ?) ON CONFLICT DO NOTHING`, task[:], at); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT at FROM begun WHERE task = ?`, task[:]).Scan(&first)
	})
	if err != nil {
		return 0, fmt.Errorf("beginning task %v: %w", task, err)
	}
	return first, nil
}

// Add implements [collector.Store].
func (s *Collector) Add(ctx context.Context, a collector.Ask) (bool, error) {
	if err := a.Check(collector.None); err != nil {
		return false, err
	}
	if a.Number > math.MaxInt64 {
		return false, errors.New("number of an ask out of range")
	}
	result, err := s.db.ExecContext(ctx, `INSERT INTO asks (ask, task, number, request, created, state, location, missing)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		a.ID[:], a.Task[:], int64(a.Number), a.Request, a.Created, a.State, a.Location, a.Missing)
	if err != nil {
		return false, fmt.Errorf("adding ask %v: %w", a.ID, err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// Asks implements [collector.Store].
func (s *Collector) Asks(ctx context.Context) ([]collector.Ask, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT ask, task, number, request, created, state, location, missing, reason, response, manifest
		FROM asks ORDER BY task, number, ask`)
	if err != nil {
		return nil, fmt.Errorf("reading asks: %w", err)
	}
	defer rows.Close()
	var all []collector.Ask
	for rows.Next() {
		var a collector.Ask
		var response, manifest []byte
		if err := rows.Scan(exactly(a.ID[:]), exactly(a.Task[:]), &a.Number, &a.Request, &a.Created, &a.State, &a.Location, &a.Missing, &a.Reason, &response, &manifest); err != nil {
			return nil, fmt.Errorf("reading asks: %w", err)
		}
		if len(response) > 0 {
			a.Response = response
		}
		if len(manifest) > 0 {
			a.Manifest = manifest
		}
		all = append(all, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading asks: %w", err)
	}
	return all, nil
}

// Advance implements [collector.Store].
func (s *Collector) Advance(ctx context.Context, from collector.State, a collector.Ask) error {
	if err := a.Check(from); err != nil {
		return err
	}
	response := a.Response
	if response == nil {
		response = []byte{}
	}
	result, err := s.db.ExecContext(ctx, `UPDATE asks SET state = ?, location = ?, missing = ?, reason = ?, response = ?, manifest = ?
		WHERE ask = ? AND state = ?`,
		a.State, a.Location, a.Missing, a.Reason, response, string(a.Manifest), a.ID[:], from)
	if err != nil {
		return fmt.Errorf("storing ask %v: %w", a.ID, err)
	}
	switch n, err := result.RowsAffected(); {
	case err != nil:
		return fmt.Errorf("storing ask %v: %w", a.ID, err)
	case n == 0:
		return fmt.Errorf("storing ask %v: %w", a.ID, collector.ErrConflict)
	}
	return nil
}
