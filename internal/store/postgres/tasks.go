package postgres

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// PutTask implements [tasks.Store]. Only one runs at a time, so that revisions
// become visible in their order.
func (a *aggregator) PutTask(ctx context.Context, task dap.TaskID, revision uint64, sealed []byte) (uint64, error) {
	var next int64
	err := transact(ctx, a.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE dap_tasks IN EXCLUSIVE MODE`); err != nil {
			return err
		}
		var have int64
		err := tx.QueryRow(ctx, `SELECT revision FROM dap_tasks WHERE task = $1`, task[:]).Scan(&have)
		if err != nil && !isNoRows(err) {
			return err
		}
		if uint64(have) != revision {
			return tasks.ErrConflict
		}
		return tx.QueryRow(ctx, `INSERT INTO dap_tasks (task, revision, sealed) VALUES ($1, (SELECT coalesce(max(revision), 0) + 1 FROM dap_tasks), $2)
			ON CONFLICT (task) DO UPDATE SET revision = excluded.revision, sealed = excluded.sealed RETURNING revision`, task[:], sealed).Scan(&next)
	})
	if err != nil {
		return 0, fmt.Errorf("storing task %v: %w", task, err)
	}
	return uint64(next), nil
}

// Tasks implements [tasks.Store].
func (a *aggregator) Tasks(ctx context.Context, since uint64) ([]tasks.Record, error) {
	rows, err := a.pool.Query(ctx, `SELECT task, revision, sealed FROM dap_tasks WHERE revision > $1 ORDER BY revision`, int64(min(since, math.MaxInt64)))
	if err != nil {
		return nil, fmt.Errorf("reading tasks: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (tasks.Record, error) {
		var r tasks.Record
		var task []byte
		var revision int64
		if err := row.Scan(&task, &revision, &r.Sealed); err != nil {
			return r, err
		}
		r.Task, r.Revision = dap.TaskID(task), uint64(revision)
		return r, nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading tasks: %w", err)
	}
	return all, nil
}

// Secret implements [tasks.Store].
func (a *aggregator) Secret(ctx context.Context, name string) (tasks.Secret, error) {
	var s tasks.Secret
	var revision int64
	err := a.pool.QueryRow(ctx, `SELECT revision, sealed FROM dap_secrets WHERE name = $1`, name).Scan(&revision, &s.Sealed)
	if err != nil && !isNoRows(err) {
		return tasks.Secret{}, fmt.Errorf("reading secret %q: %w", name, err)
	}
	s.Revision = uint64(revision)
	return s, nil
}

// PutSecret implements [tasks.Store].
func (a *aggregator) PutSecret(ctx context.Context, name string, revision uint64, sealed []byte) (uint64, error) {
	query := `UPDATE dap_secrets SET revision = revision + 1, sealed = $3 WHERE name = $1 AND revision = $2`
	if revision == 0 {
		query = `INSERT INTO dap_secrets (name, revision, sealed) VALUES ($1, $2 + 1, $3) ON CONFLICT DO NOTHING`
	}
	tag, err := a.pool.Exec(ctx, query, name, int64(revision), sealed)
	if err == nil && tag.RowsAffected() != 1 {
		err = tasks.ErrConflict
	}
	if err != nil {
		return 0, fmt.Errorf("storing secret %q: %w", name, err)
	}
	return revision + 1, nil
}
