package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/store/column"
)

var _ helper.Store = (*Helper)(nil)

// Job implements [helper.Store].
func (s *Helper) Job(ctx context.Context, task dap.TaskID, id dap.AggregationJobID) (*helper.Job, error) {
	j := &helper.Job{Task: task, ID: id}
	var digest []byte
	var made int64
	err := s.db.QueryRowContext(ctx, `SELECT state, digest, made, request, verdicts, response, problem FROM dap_jobs WHERE task = ? AND job = ?`,
		task[:], id[:]).Scan(&j.State, &digest, &made, &j.Request, &j.Verdicts, &j.Response, &j.Problem)
	if isNoRows(err) {
		return nil, helper.ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("reading job %v: %w", id, err)
	}
	j.Digest, j.Made = helper.Digest(digest), time.Unix(made, 0).UTC()
	return j, nil
}

// only fails with an error unless a statement has changed one row.
func only(result sql.Result, err, otherwise error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n != 1 {
		return otherwise
	}
	return err
}

// BeginJob implements [helper.Store].
func (s *Helper) BeginJob(ctx context.Context, j *helper.Job) error {
	result, err := s.db.ExecContext(ctx, `INSERT INTO dap_jobs (task, job, state, digest, made, request) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`, j.Task[:], j.ID[:], j.State, j.Digest[:], j.Made.Unix(), j.Request)
	if err := only(result, err, helper.ErrExists); err != nil {
		return fmt.Errorf("storing job %v: %w", j.ID, err)
	}
	return nil
}

// CommitJob implements [helper.Store].
func (s *Helper) CommitJob(ctx context.Context, c ledger.Change, j *helper.Job) error {
	if err := c.Check(); err != nil {
		return err
	}
	err := transact(ctx, s.db, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO dap_jobs (task, job, state, digest, made, verdicts, response) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (task, job) DO UPDATE SET state = excluded.state, digest = excluded.digest, made = excluded.made,
				request = NULL, verdicts = excluded.verdicts, response = excluded.response WHERE state = ?`,
			j.Task[:], j.ID[:], j.State, j.Digest[:], j.Made.Unix(), column.Nullable(j.Verdicts), column.Nullable(j.Response), helper.Waiting)
		if err := only(result, err, helper.ErrExists); err != nil {
			return err
		}
		return commitChange(ctx, tx, &c)
	})
	if err != nil {
		return fmt.Errorf("committing job %v: %w", j.ID, err)
	}
	return nil
}

// FailJob implements [helper.Store].
func (s *Helper) FailJob(ctx context.Context, j *helper.Job) error {
	err := transact(ctx, s.db, func(tx *sql.Tx) error {
		var state helper.State
		err := tx.QueryRowContext(ctx, `SELECT state FROM dap_jobs WHERE task = ? AND job = ?`, j.Task[:], j.ID[:]).Scan(&state)
		switch {
		case isNoRows(err):
			return helper.ErrNone
		case err != nil:
			return err
		case state != helper.Waiting:
			return helper.ErrExists
		}
		_, err = tx.ExecContext(ctx, `UPDATE dap_jobs SET state = ?, made = ?, request = NULL, problem = ? WHERE task = ? AND job = ?`,
			j.State, j.Made.Unix(), column.Nullable(j.Problem), j.Task[:], j.ID[:])
		return err
	})
	if err != nil {
		return fmt.Errorf("storing that job %v failed: %w", j.ID, err)
	}
	return nil
}

// DeleteJob implements [helper.Store].
func (s *Helper) DeleteJob(ctx context.Context, k helper.JobKey, now time.Time) error {
	result, err := s.db.ExecContext(ctx, `UPDATE dap_jobs SET state = ?, made = ?, request = NULL, verdicts = NULL, response = NULL, problem = NULL
		WHERE task = ? AND job = ?`, helper.Deleted, now.Unix(), k.Task[:], k.ID[:])
	if err := only(result, err, helper.ErrNone); err != nil {
		return fmt.Errorf("deleting job %v: %w", k.ID, err)
	}
	return nil
}

// WaitingJobs implements [helper.Store].
func (s *Helper) WaitingJobs(ctx context.Context, before time.Time, limit int) ([]helper.JobKey, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT task, job FROM dap_jobs WHERE state = 1 AND made < ? ORDER BY made, job LIMIT ?`, before.Unix(), limit)
	if err != nil {
		return nil, fmt.Errorf("reading the jobs that wait: %w", err)
	}
	defer rows.Close()
	var keys []helper.JobKey
	for rows.Next() {
		var key helper.JobKey
		if err := rows.Scan(exactly(key.Task[:]), exactly(key.ID[:])); err != nil {
			return nil, fmt.Errorf("reading the jobs that wait: %w", err)
		}
		keys = append(keys, key)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the jobs that wait: %w", err)
	}
	return keys, nil
}

// Share implements [helper.Store].
func (s *Helper) Share(ctx context.Context, task dap.TaskID, id dap.AggregateShareID) (*helper.Share, error) {
	share := &helper.Share{Task: task, ID: id}
	var digest []byte
	var made int64
	err := s.db.QueryRowContext(ctx, `SELECT state, digest, made, response FROM dap_shares WHERE task = ? AND share = ?`,
		task[:], id[:]).Scan(&share.State, &digest, &made, &share.Response)
	if isNoRows(err) {
		return nil, helper.ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("reading aggregate share %v: %w", id, err)
	}
	share.Digest, share.Made = helper.Digest(digest), time.Unix(made, 0).UTC()
	return share, nil
}

// CollectShare implements [helper.Store].
func (s *Helper) CollectShare(ctx context.Context, c ledger.Collection, share *helper.Share) error {
	err := transact(ctx, s.db, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO dap_shares (task, share, state, digest, made, response) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT DO NOTHING`, share.Task[:], share.ID[:], share.State, share.Digest[:], share.Made.Unix(), column.Nullable(share.Response))
		if err := only(result, err, helper.ErrExists); err != nil {
			return err
		}
		return collectBatch(ctx, tx, &c)
	})
	if err != nil {
		return fmt.Errorf("storing aggregate share %v: %w", share.ID, err)
	}
	return nil
}

// DeleteShare implements [helper.Store].
func (s *Helper) DeleteShare(ctx context.Context, task dap.TaskID, id dap.AggregateShareID, now time.Time) error {
	result, err := s.db.ExecContext(ctx, `UPDATE dap_shares SET state = ?, made = ?, response = NULL WHERE task = ? AND share = ?`,
		helper.Deleted, now.Unix(), task[:], id[:])
	if err := only(result, err, helper.ErrNone); err != nil {
		return fmt.Errorf("deleting aggregate share %v: %w", id, err)
	}
	return nil
}

// Sweep implements [helper.Store].
func (s *Helper) Sweep(ctx context.Context, responses, records time.Time, limit int) (int, error) {
	total := 0
	for _, do := range []struct {
		text   string
		before time.Time
	}{
		{`DELETE FROM dap_jobs WHERE id IN (SELECT id FROM dap_jobs WHERE made < ? AND state <> 1 LIMIT ?)`, records},
		{`DELETE FROM dap_shares WHERE id IN (SELECT id FROM dap_shares WHERE made < ? LIMIT ?)`, records},
		{`UPDATE dap_jobs SET response = NULL WHERE id IN (SELECT id FROM dap_jobs WHERE made < ? AND response IS NOT NULL LIMIT ?)`, responses},
	} {
		result, err := s.db.ExecContext(ctx, do.text, do.before.Unix(), limit)
		if err != nil {
			return total, fmt.Errorf("sweeping jobs and aggregate shares: %w", err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return total, fmt.Errorf("sweeping jobs and aggregate shares: %w", err)
		}
		total += int(n)
	}
	return total, nil
}
