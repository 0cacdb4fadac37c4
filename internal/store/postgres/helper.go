package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/store/column"
)

var _ helper.Store = (*Helper)(nil)

// Job implements [helper.Store].
func (s *Helper) Job(ctx context.Context, task dap.TaskID, id dap.AggregationJobID) (*helper.Job, error) {
	j := &helper.Job{Task: task, ID: id}
	var state int16
	var digest []byte
	var made int64
	err := s.pool.QueryRow(ctx, `SELECT state, digest, made, request, verdicts, response, problem FROM dap_jobs WHERE task = $1 AND job = $2`,
		task[:], id[:]).Scan(&state, &digest, &made, &j.Request, &j.Verdicts, &j.Response, &j.Problem)
	if isNoRows(err) {
		return nil, helper.ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("reading job %v: %w", id, err)
	}
	j.State, j.Digest, j.Made = helper.State(state), helper.Digest(digest), time.Unix(made, 0).UTC()
	return j, nil
}

// BeginJob implements [helper.Store].
func (s *Helper) BeginJob(ctx context.Context, j *helper.Job) error {
	err := s.one(ctx, j.Task, helper.ErrExists, `INSERT INTO dap_jobs (task, job, state, digest, made, request) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT DO NOTHING`, j.Task[:], j.ID[:], int16(j.State), j.Digest[:], j.Made.Unix(), column.Nullable(j.Request))
	if err != nil {
		return fmt.Errorf("storing job %v: %w", j.ID, err)
	}
	return nil
}

// CommitJob implements [helper.Store].
func (s *Helper) CommitJob(ctx context.Context, c ledger.Change, j *helper.Job) error {
	if err := c.Check(); err != nil {
		return err
	}
	return s.step(ctx, "committing a job to", c.Task, func(tx pgx.Tx) error {
		// First the ledger: a job that is here twice then waits for itself, finds
		// the ledger changed, and decided again it has nothing to add but the job.
		var b pgx.Batch
		if err := commitChange(ctx, tx, &c, &b); err != nil {
			return err
		}
		b.Queue(`INSERT INTO dap_jobs AS j (task, job, state, digest, made, verdicts, response) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (task, job) DO UPDATE SET state = excluded.state, digest = excluded.digest, made = excluded.made,
				request = NULL, verdicts = excluded.verdicts, response = excluded.response WHERE j.state = 1`,
			j.Task[:], j.ID[:], int16(j.State), j.Digest[:], j.Made.Unix(), column.Nullable(j.Verdicts), column.Nullable(j.Response)).
			Exec(only(helper.ErrExists))
		return send(ctx, tx, &b)
	})
}

// FailJob implements [helper.Store].
func (s *Helper) FailJob(ctx context.Context, j *helper.Job) error {
	err := transact(forTask(ctx, j.Task), s.pool, func(tx pgx.Tx) error {
		var state int16
		err := tx.QueryRow(ctx, `SELECT state FROM dap_jobs WHERE task = $1 AND job = $2 FOR UPDATE`, j.Task[:], j.ID[:]).Scan(&state)
		switch {
		case isNoRows(err):
			return helper.ErrNone
		case err != nil:
			return err
		case helper.State(state) != helper.Waiting:
			return helper.ErrExists
		}
		_, err = tx.Exec(ctx, `UPDATE dap_jobs SET state = $3, made = $4, request = NULL, problem = $5 WHERE task = $1 AND job = $2`,
			j.Task[:], j.ID[:], int16(j.State), j.Made.Unix(), column.Nullable(j.Problem))
		return err
	})
	if err != nil {
		return fmt.Errorf("storing that job %v failed: %w", j.ID, err)
	}
	return nil
}

// DeleteJob implements [helper.Store].
func (s *Helper) DeleteJob(ctx context.Context, k helper.JobKey, now time.Time) error {
	err := s.one(ctx, k.Task, helper.ErrNone, `UPDATE dap_jobs SET state = $3, made = $4, request = NULL, verdicts = NULL, response = NULL, problem = NULL
		WHERE task = $1 AND job = $2`, k.Task[:], k.ID[:], int16(helper.Deleted), now.Unix())
	if err != nil {
		return fmt.Errorf("deleting job %v: %w", k.ID, err)
	}
	return nil
}

// WaitingJobs implements [helper.Store].
func (s *Helper) WaitingJobs(ctx context.Context, before time.Time, limit int) ([]helper.JobKey, error) {
	rows, err := s.pool.Query(ctx, `SELECT task, job FROM dap_jobs WHERE state = 1 AND made < $1 ORDER BY made, job LIMIT $2`, before.Unix(), int64(limit))
	if err != nil {
		return nil, fmt.Errorf("reading the jobs that wait: %w", err)
	}
	keys, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (helper.JobKey, error) {
		var k helper.JobKey
		var task, id []byte
		err := row.Scan(&task, &id)
		copy(k.Task[:], task)
		copy(k.ID[:], id)
		return k, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the jobs that wait: %w", err)
	}
	return keys, nil
}

// Share implements [helper.Store].
func (s *Helper) Share(ctx context.Context, task dap.TaskID, id dap.AggregateShareID) (*helper.Share, error) {
	share := &helper.Share{Task: task, ID: id}
	var state int16
	var digest []byte
	var made int64
	err := s.pool.QueryRow(ctx, `SELECT state, digest, made, response FROM dap_shares WHERE task = $1 AND share = $2`,
		task[:], id[:]).Scan(&state, &digest, &made, &share.Response)
	if isNoRows(err) {
		return nil, helper.ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("reading aggregate share %v: %w", id, err)
	}
	share.State, share.Digest, share.Made = helper.State(state), helper.Digest(digest), time.Unix(made, 0).UTC()
	return share, nil
}

// CollectShare implements [helper.Store].
func (s *Helper) CollectShare(ctx context.Context, c ledger.Collection, share *helper.Share) error {
	return s.step(ctx, "storing an aggregate share of", c.Task, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `INSERT INTO dap_shares (task, share, state, digest, made, response) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT DO NOTHING`, share.Task[:], share.ID[:], int16(share.State), share.Digest[:], share.Made.Unix(), column.Nullable(share.Response))
		if err != nil {
			return err
		}
		if err := only(helper.ErrExists)(tag); err != nil {
			return err
		}
		return collectBatch(ctx, tx, &c)
	})
}

// DeleteShare implements [helper.Store].
func (s *Helper) DeleteShare(ctx context.Context, task dap.TaskID, id dap.AggregateShareID, now time.Time) error {
	err := s.one(ctx, task, helper.ErrNone, `UPDATE dap_shares SET state = $3, made = $4, response = NULL WHERE task = $1 AND share = $2`,
		task[:], id[:], int16(helper.Deleted), now.Unix())
	if err != nil {
		return fmt.Errorf("deleting aggregate share %v: %w", id, err)
	}
	return nil
}

// Sweep implements [helper.Store]. Rows that another process is sweeping are left
// to it.
func (s *Helper) Sweep(ctx context.Context, responses, records time.Time, limit int) (int, error) {
	total := 0
	for _, do := range []struct {
		text   string
		before time.Time
	}{
		{`DELETE FROM dap_jobs WHERE (task, job) IN (SELECT task, job FROM dap_jobs WHERE made < $1 AND state <> 1 LIMIT $2 FOR UPDATE SKIP LOCKED)`, records},
		{`DELETE FROM dap_shares WHERE (task, share) IN (SELECT task, share FROM dap_shares WHERE made < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`, records},
		{`UPDATE dap_jobs SET response = NULL WHERE (task, job) IN (SELECT task, job FROM dap_jobs
			WHERE made < $1 AND response IS NOT NULL LIMIT $2 FOR UPDATE SKIP LOCKED)`, responses},
	} {
		tag, err := s.pool.Exec(ctx, do.text, do.before.Unix(), int64(limit))
		if err != nil {
			return total, fmt.Errorf("sweeping jobs and aggregate shares: %w", err)
		}
		total += int(tag.RowsAffected())
	}
	return total, nil
}
