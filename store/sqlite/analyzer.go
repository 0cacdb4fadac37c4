package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/shoal-project/shoal/esa"
	"github.com/shoal-project/shoal/esa/analyzer"
	"github.com/shoal-project/shoal/metric/task"
)

// An Analyzer is an [analyzer.Store] in one SQLite file.
type Analyzer struct{ db *sql.DB }

var _ analyzer.Store = (*Analyzer)(nil)

// OpenAnalyzer opens an analyzer's file, creating it if it is not there.
func OpenAnalyzer(ctx context.Context, name string) (*Analyzer, error) {
	db, err := open(ctx, name, "analyzer")
	if err != nil {
		return nil, err
	}
	return &Analyzer{db}, nil
}

// Close closes the file.
func (s *Analyzer) Close() error { return s.db.Close() }

// Installation returns the random ID that the file was given when it was created.
func (s *Analyzer) Installation(ctx context.Context) (string, error) { return installation(ctx, s.db) }

// Accept implements [analyzer.Store].
func (s *Analyzer) Accept(ctx context.Context, b analyzer.Batch) (bool, error) {
	if err := b.Check(analyzer.None); err != nil {
		return false, err
	}
	if b.Epoch > math.MaxInt64 {
		return false, errors.New("epoch out of range")
	}
	fresh := false
	err := transact(ctx, s.db, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO batches (batch, task, epoch, state, digest, manifest)
			VALUES (?, ?, ?, ?, ?, '') ON CONFLICT DO NOTHING`, b.ID[:], b.Task[:], int64(b.Epoch), b.State, b.Digest[:])
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil || n == 1 {
			fresh = n == 1
			return err
		}
		var same int
		err = tx.QueryRowContext(ctx, `SELECT count(*) FROM batches WHERE batch = ? AND task = ? AND epoch = ? AND digest = ?`,
			b.ID[:], b.Task[:], int64(b.Epoch), b.Digest[:]).Scan(&same)
		if err == nil && same == 0 {
			err = analyzer.ErrConflict
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("accepting batch %v: %w", b.ID, err)
	}
	return fresh, nil
}

// Batches implements [analyzer.Store].
func (s *Analyzer) Batches(ctx context.Context) ([]analyzer.Batch, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT batch, task, epoch, state, digest, manifest FROM batches ORDER BY task, epoch, batch`)
	if err != nil {
		return nil, fmt.Errorf("reading batches: %w", err)
	}
	defer rows.Close()
	var all []analyzer.Batch
	for rows.Next() {
		var b analyzer.Batch
		var batch, id, digest, manifest []byte
		if err := rows.Scan(&batch, &id, &b.Epoch, &b.State, &digest, &manifest); err != nil {
			return nil, fmt.Errorf("reading batches: %w", err)
		}
		b.ID, b.Task, b.Digest = esa.BatchID(batch), task.ID(id), [32]byte(digest)
		if len(manifest) > 0 {
			b.Manifest = manifest
		}
		all = append(all, b)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading batches: %w", err)
	}
	return all, nil
}

// Advance implements [analyzer.Store].
func (s *Analyzer) Advance(ctx context.Context, from analyzer.State, b analyzer.Batch) error {
	if err := b.Check(from); err != nil {
		return err
	}
	err := transact(ctx, s.db, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `UPDATE batches SET state = ?, manifest = ?
			WHERE batch = ? AND task = ? AND epoch = ? AND digest = ? AND state = ?`,
			b.State, string(b.Manifest), b.ID[:], b.Task[:], int64(b.Epoch), b.Digest[:], from)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 1 {
			return err
		}
		return analyzer.ErrConflict
	})
	if err != nil {
		return fmt.Errorf("storing batch %v: %w", b.ID, err)
	}
	return nil
}
