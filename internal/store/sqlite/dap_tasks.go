package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"math"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// PutTask implements [tasks.Store].
func (a *aggregator) PutTask(ctx context.Context, task dap.TaskID, revision uint64, sealed []byte) (uint64, error) {
	var next uint64
	err := transact(ctx, a.db, func(tx *sql.Tx) error {
		var have uint64
		err := tx.QueryRowContext(ctx, `SELECT revision FROM dap_tasks WHERE task = ?`, task[:]).Scan(&have)
		if err != nil && !isNoRows(err) {
			return err
		}
		if have != revision {
			return tasks.ErrConflict
		}
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(revision), 0) + 1 FROM dap_tasks`).Scan(&next); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO dap_tasks (task, revision, sealed) VALUES (?, ?, ?)
			ON CONFLICT (task) DO UPDATE SET revision = excluded.revision, sealed = excluded.sealed`, task[:], int64(next), sealed)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("storing task %v: %w", task, err)
	}
	return next, nil
}

// Tasks implements [tasks.Store].
func (a *aggregator) Tasks(ctx context.Context, since uint64) ([]tasks.Record, error) {
	rows, err := a.db.QueryContext(ctx, `SELECT task, revision, sealed FROM dap_tasks WHERE revision > ? ORDER BY revision`, int64(min(since, math.MaxInt64)))
	if err != nil {
		return nil, fmt.Errorf("reading tasks: %w", err)
	}
	defer rows.Close()
	var all []tasks.Record
	for rows.Next() {
		var r tasks.Record
		if err := rows.Scan(exactly(r.Task[:]), &r.Revision, &r.Sealed); err != nil {
			return nil, fmt.Errorf("reading tasks: %w", err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading tasks: %w", err)
	}
	return all, nil
}

// Secret implements [tasks.Store].
func (a *aggregator) Secret(ctx context.Context, name string) (tasks.Secret, error) {
	var s tasks.Secret
	err := a.db.QueryRowContext(ctx, `SELECT revision, sealed FROM dap_secrets WHERE name = ?`, name).Scan(&s.Revision, &s.Sealed)
	if err != nil && !isNoRows(err) {
		return tasks.Secret{}, fmt.Errorf("reading secret %q: %w", name, err)
	}
	return s, nil
}

// PutSecret implements [tasks.Store].
func (a *aggregator) PutSecret(ctx context.Context, name string, revision uint64, sealed []byte) (uint64, error) {
	err := transact(ctx, a.db, func(tx *sql.Tx) error {
		var have uint64
		err := tx.QueryRowContext(ctx, `SELECT revision FROM dap_secrets WHERE name = ?`, name).Scan(&have)
		if err != nil && !isNoRows(err) {
			return err
		}
		if have != revision {
			return tasks.ErrConflict
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO dap_secrets (name, revision, sealed) VALUES (?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, sealed = excluded.sealed`, name, int64(revision)+1, sealed)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("storing secret %q: %w", name, err)
	}
	return revision + 1, nil
}
