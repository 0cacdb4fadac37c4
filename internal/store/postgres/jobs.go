package postgres

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/store/column"
)

// addJobs stores new jobs and counts their reports in their batches.
func addJobs(ctx context.Context, tx pgx.Tx, jobs []leader.Job) error {
	var b pgx.Batch
	for i := range jobs {
		j := &jobs[i]
		start, end, err := column.Span(j.Span)
		if err != nil {
			return err
		}
		b.Queue(`INSERT INTO dap_jobs (task, node, log, first, past, skip, reports, span_start, span_end, batch, verify_key,
			created, round, turned, refused, digest, location, attempts, since, due, lease)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)`,
			j.Task[:], j.Node, number(j.Log), j.From, j.To, column.Blob(j.Skip), int64(j.Reports), start, end, column.Batch(&j.Batch), int16(j.Key),
			column.Seconds(j.Created), int64(j.Round), j.Turned, int64(j.Refused), column.Digest(j.Digest), []byte(j.Location), int64(j.Attempts), column.Seconds(j.Since),
			column.Seconds(j.Due), column.Seconds(j.Lease))
		countBatch(&b, j.Task, j.Batch, int64(j.Reports), 0)
	}
	return send(ctx, tx, &b)
}

// countBatch changes the counts of a batch of the leader-selected mode.
func countBatch(b *pgx.Batch, task dap.TaskID, batch dap.BatchID, assigned, counted int64) {
	if batch == (dap.BatchID{}) {
		return
	}
	b.Queue(`UPDATE dap_batches SET assigned = assigned + $3, count = count + $4 WHERE task = $1 AND batch = $2`,
		task[:], batch[:], assigned, counted)
}

const jobColumns = `id, task, node, log, first, past, skip, reports, span_start, span_end, batch, verify_key, created, round, turned, refused, digest, location, attempts, since, due, lease`

func scanJob(row pgx.CollectableRow) (leader.Job, error) {
	var j leader.Job
	var task, skip, batch, digest, location []byte
	var id, log, start, end, created, since, due, lease int64
	var key int16
	err := row.Scan(&id, &task, &j.Node, &log, &j.From, &j.To, &skip, &j.Reports, &start, &end, &batch, &key,
		&created, &j.Round, &j.Turned, &j.Refused, &digest, &location, &j.Attempts, &since, &due, &lease)
	copy(j.Task[:], task)
	copy(j.Batch[:], batch)
	copy(j.Digest[:], digest)
	if len(skip) > 0 {
		j.Skip = skip
	}
	j.Number, j.Log, j.Key, j.Location = uint64(id), uint64(log), dap.VerificationKeyID(key), string(location)
	j.Span = dap.Interval{Start: dap.Time(start), Duration: dap.Duration(end - start)}
	j.Created, j.Since, j.Due, j.Lease = column.Time(created), column.Time(since), column.Time(due), column.Time(lease)
	return j, err
}

// Lease implements [leader.Store]. Jobs that another process is leasing are left
// to it.
func (s *Leader) Lease(ctx context.Context, node string, now, until time.Time, limit int) ([]leader.Job, error) {
	rows, err := s.pool.Query(ctx, `WITH claim AS (SELECT 1 FROM dap_nodes WHERE node = $5 AND token = $6 FOR SHARE)
		UPDATE dap_jobs SET attempts = attempts + 1, lease = $3 WHERE EXISTS (SELECT 1 FROM claim) AND id IN (
			SELECT id FROM dap_jobs WHERE node = $1 AND due <= $2 AND lease <= $2 ORDER BY due, task, id LIMIT $4 FOR UPDATE SKIP LOCKED)
		RETURNING `+jobColumns, node, column.Seconds(now), column.Seconds(until), int64(max(0, limit)), s.claim.Node, number(s.claim.Token))
	if err != nil {
		return nil, fmt.Errorf("leasing jobs: %w", err)
	}
	all, err := pgx.CollectRows(rows, scanJob)
	if err == nil && len(all) == 0 {
		err = s.fenced(ctx, s.pool)
	}
	if err != nil {
		return nil, fmt.Errorf("leasing jobs: %w", err)
	}
	slices.SortFunc(all, func(a, b leader.Job) int {
		return cmp.Or(a.Due.Compare(b.Due), bytes.Compare(a.Task[:], b.Task[:]), cmp.Compare(a.Number, b.Number))
	})
	return all, nil
}

// Release implements [leader.Store].
func (s *Leader) Release(ctx context.Context, node string) error {
	err := s.transact(ctx, func(tx pgx.Tx) error {
		var b pgx.Batch
		s.fence(&b)
		b.Queue(`UPDATE dap_jobs SET lease = 0 WHERE node = $1 AND lease > 0`, node)
		return send(ctx, tx, &b)
	})
	if err != nil {
		return fmt.Errorf("releasing jobs: %w", err)
	}
	return nil
}

// NextDue implements [leader.Store].
func (s *Leader) NextDue(ctx context.Context, node string) (time.Time, error) {
	var due *int64
	if err := s.pool.QueryRow(ctx, `SELECT min(greatest(due, lease)) FROM dap_jobs WHERE node = $1`, node).Scan(&due); err != nil {
		return time.Time{}, fmt.Errorf("reading jobs: %w", err)
	}
	if due == nil {
		return time.Time{}, nil
	}
	return column.Time(*due), nil
}

// Jobs implements [leader.Store].
func (s *Leader) Jobs(ctx context.Context, task dap.TaskID) (jobs int, reports uint64, err error) {
	var sum int64
	err = s.pool.QueryRow(ctx, `SELECT count(*), coalesce(sum(reports), 0)::bigint FROM dap_jobs WHERE task = $1`, task[:]).Scan(&jobs, &sum)
	if err != nil {
		return 0, 0, fmt.Errorf("reading the jobs of task %v: %w", task, err)
	}
	return jobs, uint64(sum), nil
}

// Work implements [leader.Store].
func (s *Leader) Work(ctx context.Context) (map[dap.TaskID]leader.Work, error) {
	rows, err := s.pool.Query(ctx, `SELECT task, count(*), sum(reports)::bigint, count(*) FILTER (WHERE since > 0),
		coalesce(sum(reports) FILTER (WHERE since > 0), 0)::bigint, coalesce(min(since) FILTER (WHERE since > 0), 0)
		FROM dap_jobs GROUP BY task`)
	if err != nil {
		return nil, fmt.Errorf("reading the jobs of all tasks: %w", err)
	}
	all := make(map[dap.TaskID]leader.Work)
	var task []byte
	var w leader.Work
	var reports, unanswered, since int64
	_, err = pgx.ForEachRow(rows, []any{&task, &w.Jobs, &reports, &w.Unanswered.Jobs, &unanswered, &since}, func() error {
		w.Reports, w.Unanswered.Reports, w.Unanswered.Since = uint64(reports), uint64(unanswered), column.Time(since)
		all[dap.TaskID(task)] = w
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the jobs of all tasks: %w", err)
	}
	return all, nil
}

// UpdateJob implements [leader.Store].
func (s *Leader) UpdateJob(ctx context.Context, j leader.Job, held time.Time) error {
	err := s.one(ctx, j.Task, leader.ErrConflict, `WITH claim AS (SELECT 1 FROM dap_nodes WHERE node = $10 AND token = $11 FOR SHARE)
		UPDATE dap_jobs SET digest = $1, location = $2, attempts = $3, since = $4, due = $5, lease = $6
		WHERE id = $7 AND task = $8 AND lease = $9 AND EXISTS (SELECT 1 FROM claim)`,
		column.Digest(j.Digest), []byte(j.Location), int64(j.Attempts), column.Seconds(j.Since), column.Seconds(j.Due), column.Seconds(j.Lease), number(j.Number), j.Task[:], column.Seconds(held),
		s.claim.Node, number(s.claim.Token))
	if errors.Is(err, leader.ErrConflict) {
		err = cmp.Or(s.fenced(ctx, s.pool), err)
	}
	if err != nil {
		return fmt.Errorf("updating job %d of task %v: %w", j.Number, j.Task, err)
	}
	return nil
}

// EndJob implements [leader.Store].
func (s *Leader) EndJob(ctx context.Context, end leader.End, change *ledger.Change) error {
	j := &end.Job
	if change == nil {
		err := s.transact(forTask(ctx, j.Task), func(tx pgx.Tx) error {
			_, err := s.endJob(ctx, tx, &end)
			return err
		})
		if err != nil {
			return fmt.Errorf("ending job %d of task %v: %w", j.Number, j.Task, err)
		}
		return nil
	}
	if err := change.Check(); err != nil {
		return err
	}
	return s.step(ctx, fmt.Sprintf("ending job %d and committing it to", j.Number), j.Task, func(tx pgx.Tx) error {
		b, err := s.endJob(ctx, tx, &end)
		if err != nil {
			return err
		}
		if err := commitChange(ctx, tx, change, b); err != nil {
			return err
		}
		return send(ctx, tx, b)
	})
}

// endJob checks the claim and replaces a job by those that follow it.
func (s *Leader) endJob(ctx context.Context, tx pgx.Tx, end *leader.End) (*pgx.Batch, error) {
	j := &end.Job
	var reports int64
	var batch []byte
	var b pgx.Batch
	s.fence(&b)
	b.Queue(`DELETE FROM dap_jobs WHERE id = $1 AND task = $2 AND lease = $3 RETURNING reports, batch`,
		number(j.Number), j.Task[:], column.Seconds(j.Lease)).QueryRow(func(row pgx.Row) error { return row.Scan(&reports, &batch) })
	err := send(ctx, tx, &b)
	if isNoRows(err) {
		return nil, leader.ErrConflict
	}
	if err != nil {
		return nil, err
	}
	var id dap.BatchID
	copy(id[:], batch)
	b = pgx.Batch{}
	countBatch(&b, j.Task, id, -reports, int64(end.Counted))
	if err := send(ctx, tx, &b); err != nil {
		return nil, err
	}
	if err := addJobs(ctx, tx, end.Next); err != nil {
		return nil, err
	}
	return new(pgx.Batch), addLosses(ctx, tx, j.Task, end.Lost)
}
