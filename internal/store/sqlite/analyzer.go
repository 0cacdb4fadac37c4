package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
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

// The columns of a batch, with its manifest or without.
const (
	analyzerColumns = `SELECT batch, task, epoch, state, digest, expires, records, attempts, manifest FROM batches`
	withoutManifest = `SELECT batch, task, epoch, state, digest, expires, records, attempts, '' FROM batches`
	byTask          = ` ORDER BY task, epoch, batch`
)

// What is asked for often. Each state has a literal of its own, so that the partial
// indexes serve.
const (
	batchesDue       = analyzerColumns + ` WHERE state = 2 AND expires > 0 AND expires <= ?`
	batchesOf        = analyzerColumns + ` WHERE task = ? AND epoch < ? ORDER BY epoch DESC, batch DESC LIMIT ?`
	batchesOutline   = withoutManifest + ` WHERE task = ? AND epoch < ? ORDER BY epoch DESC, batch DESC LIMIT ?`
	batchesStamps    = `SELECT metric, count(*) || ' ' || sum(state) FROM batches WHERE state IN (2, 3) GROUP BY metric`
	batchesNamed     = analyzerColumns + ` WHERE state IN (2, 3) AND metric = ?` + byTask
	batchesReceived  = withoutManifest + ` WHERE state = 1` + byTask
	batchesExpired   = withoutManifest + ` WHERE state = 3` + byTask
	batchesSummaries = `SELECT task, count(*), sum(records), max(epoch) FROM batches WHERE state IN (2, 3) GROUP BY task ORDER BY task`
	// One step into the index a metric, rather than all of it.
	batchesMetrics = `WITH RECURSIVE m (name) AS (
		SELECT min(metric) FROM batches WHERE state IN (2, 3)
		UNION ALL SELECT (SELECT min(metric) FROM batches WHERE state IN (2, 3) AND metric > m.name) FROM m WHERE m.name IS NOT NULL)
		SELECT name FROM m WHERE name IS NOT NULL`
)

// Batches implements [analyzer.Store].
func (s *Analyzer) Batches(ctx context.Context) ([]analyzer.Batch, error) {
	return s.batches(ctx, analyzerColumns+byTask)
}

// Batch implements [analyzer.Store].
func (s *Analyzer) Batch(ctx context.Context, id esa.BatchID) (analyzer.Batch, error) {
	all, err := s.batches(ctx, analyzerColumns+` WHERE batch = ?`, id[:])
	if err != nil || len(all) == 0 {
		return analyzer.Batch{}, err
	}
	return all[0], nil
}

// In implements [analyzer.Store].
func (s *Analyzer) In(ctx context.Context, state analyzer.State) ([]analyzer.Batch, error) {
	switch state {
	case analyzer.Received:
		return s.batches(ctx, batchesReceived)
	case analyzer.Expired:
		return s.batches(ctx, batchesExpired)
	}
	return s.batches(ctx, withoutManifest+` WHERE state = ?`+byTask, state)
}

// Due implements [analyzer.Store].
func (s *Analyzer) Due(ctx context.Context, now int64) ([]analyzer.Batch, error) {
	all, err := s.batches(ctx, batchesDue, now)
	slices.SortFunc(all, func(a, b analyzer.Batch) int {
		return cmp.Or(bytes.Compare(a.Task[:], b.Task[:]), cmp.Compare(a.Epoch, b.Epoch), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return all, err
}

// Of implements [analyzer.Store].
func (s *Analyzer) Of(ctx context.Context, id task.ID, before task.Epoch, most int) ([]analyzer.Batch, error) {
	all, err := s.batches(ctx, batchesOf, id[:], int64(min(before, math.MaxInt64)), most)
	slices.Reverse(all)
	return all, err
}

// Outline implements [analyzer.Store].
func (s *Analyzer) Outline(ctx context.Context, id task.ID, before task.Epoch, most int) ([]analyzer.Batch, error) {
	all, err := s.batches(ctx, batchesOutline, id[:], int64(min(before, math.MaxInt64)), most)
	slices.Reverse(all)
	return all, err
}

// Stamps implements [analyzer.Store].
func (s *Analyzer) Stamps(ctx context.Context) (map[string]string, error) {
	return pairs(ctx, s.db, batchesStamps)
}

// Named implements [analyzer.Store].
func (s *Analyzer) Named(ctx context.Context, metric string) ([]analyzer.Batch, error) {
	return s.batches(ctx, batchesNamed, metric)
}

// Metrics implements [analyzer.Store].
func (s *Analyzer) Metrics(ctx context.Context) ([]string, error) {
	return texts(ctx, s.db, batchesMetrics)
}

// Summaries implements [analyzer.Store].
func (s *Analyzer) Summaries(ctx context.Context) ([]analyzer.Summary, error) {
	rows, err := s.db.QueryContext(ctx, batchesSummaries)
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	defer rows.Close()
	var all []analyzer.Summary
	for rows.Next() {
		var one analyzer.Summary
		if err := rows.Scan(exactly(one.Task[:]), &one.Batches, &one.Records, &one.Latest); err != nil {
			return nil, fmt.Errorf("reading the catalogue: %w", err)
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

func (s *Analyzer) batches(ctx context.Context, query string, args ...any) ([]analyzer.Batch, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading batches: %w", err)
	}
	defer rows.Close()
	var all []analyzer.Batch
	for rows.Next() {
		var b analyzer.Batch
		var manifest []byte
		if err := rows.Scan(exactly(b.ID[:]), exactly(b.Task[:]), &b.Epoch, &b.State, exactly(b.Digest[:]), &b.Expires, &b.Records, &b.Attempts, &manifest); err != nil {
			return nil, fmt.Errorf("reading batches: %w", err)
		}
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

// Try implements [analyzer.Store].
func (s *Analyzer) Try(ctx context.Context, id esa.BatchID, attempts int) error {
	err := transact(ctx, s.db, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `UPDATE batches SET attempts = ? WHERE batch = ? AND state = 1`, attempts, id[:])
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 1 {
			return err
		}
		return analyzer.ErrConflict
	})
	if err != nil {
		return fmt.Errorf("counting a try of batch %v: %w", id, err)
	}
	return nil
}

// Advance implements [analyzer.Store].
func (s *Analyzer) Advance(ctx context.Context, from analyzer.State, b analyzer.Batch) error {
	if err := b.Check(from); err != nil {
		return err
	}
	var named struct {
		Metric *string `json:"metric"` // nil of a manifest that cannot be read: the column stays
	}
	_ = json.Unmarshal(b.Manifest, &named)
	err := transact(ctx, s.db, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `UPDATE batches SET state = ?, manifest = ?, expires = ?, records = ?, metric = coalesce(?, metric)
			WHERE batch = ? AND task = ? AND epoch = ? AND digest = ? AND state = ?`,
			b.State, string(b.Manifest), b.Expires, b.Records, named.Metric, b.ID[:], b.Task[:], int64(b.Epoch), b.Digest[:], from)
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
