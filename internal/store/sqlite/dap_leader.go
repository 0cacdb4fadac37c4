package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/store/column"
)

var _ leader.Store = (*Leader)(nil)

// changed fails with [leader.ErrConflict] if a statement changed no row.
func changed(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return leader.ErrConflict
	}
	return err
}

// isConflict reports whether changed has failed.
func isConflict(err error) bool { return errors.Is(err, leader.ErrConflict) }

// BeginLog implements [leader.Store].
func (s *Leader) BeginLog(ctx context.Context, task dap.TaskID, node string) (leader.Log, error) {
	log := leader.Log{Task: task, Node: node, State: leader.LogOpen}
	err := s.change(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `INSERT INTO dap_intakes (task, last_log) VALUES (?, 1)
			ON CONFLICT (task) DO UPDATE SET last_log = last_log + 1 RETURNING last_log`, task[:]).Scan(&log.Number)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO dap_logs (task, number, node, state, records) VALUES (?, ?, ?, ?, 0)`,
			task[:], int64(log.Number), node, log.State)
		return err
	})
	if err != nil {
		return leader.Log{}, fmt.Errorf("beginning a log of task %v: %w", task, err)
	}
	return log, nil
}

// Logs implements [leader.Store].
func (s *Leader) Logs(ctx context.Context, node string) ([]leader.Log, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT task, number, state, records,
		(SELECT count(*) FROM dap_jobs j WHERE j.task = l.task AND j.log = l.number)
		FROM dap_logs l WHERE node = ? ORDER BY task, number`, node)
	if err != nil {
		return nil, fmt.Errorf("reading logs: %w", err)
	}
	defer rows.Close()
	var all []leader.Log
	for rows.Next() {
		l := leader.Log{Node: node}
		var task []byte
		if err := rows.Scan(&task, &l.Number, &l.State, &l.Records, &l.Jobs); err != nil {
			return nil, fmt.Errorf("reading logs: %w", err)
		}
		copy(l.Task[:], task)
		all = append(all, l)
	}
	return all, rows.Err()
}

// Log implements [leader.Store].
func (s *Leader) Log(ctx context.Context, task dap.TaskID, number uint64) (log leader.Log, found bool, err error) {
	log = leader.Log{Task: task, Number: number}
	err = s.db.QueryRowContext(ctx, `SELECT node, state, records,
		(SELECT count(*) FROM dap_jobs j WHERE j.task = l.task AND j.log = l.number)
		FROM dap_logs l WHERE task = ? AND number = ?`, task[:], int64(number)).Scan(&log.Node, &log.State, &log.Records, &log.Jobs)
	if errors.Is(err, sql.ErrNoRows) {
		return leader.Log{}, false, nil
	}
	if err != nil {
		return leader.Log{}, false, fmt.Errorf("reading log %d of task %v: %w", number, task, err)
	}
	return log, true, nil
}

// LastLog implements [leader.Store].
func (s *Leader) LastLog(ctx context.Context, task dap.TaskID, upto uint64) (last uint64, undone int, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT coalesce((SELECT last_log FROM dap_intakes WHERE task = ?1), 0),
		(SELECT count(*) FROM dap_logs WHERE task = ?1 AND number <= ?2 AND state <> 3)`, // LogCut, as the index has it
		task[:], int64(min(upto, math.MaxInt64))).Scan(&last, &undone)
	if err != nil {
		return 0, 0, fmt.Errorf("reading the logs of task %v: %w", task, err)
	}
	return last, undone, nil
}

// SealLog implements [leader.Store].
func (s *Leader) SealLog(ctx context.Context, log leader.Log) error {
	err := s.change(ctx, func(tx *sql.Tx) error {
		return changed(tx.ExecContext(ctx, `UPDATE dap_logs SET state = ?, records = ? WHERE task = ? AND number = ? AND state = ?`,
			leader.LogSealed, log.Records, log.Task[:], int64(log.Number), leader.LogOpen))
	})
	if err != nil {
		return fmt.Errorf("sealing log %d of task %v: %w", log.Number, log.Task, err)
	}
	return nil
}

// CreateJobs implements [leader.Store].
func (s *Leader) CreateJobs(ctx context.Context, creation leader.JobCreation) error {
	err := s.change(ctx, func(tx *sql.Tx) error {
		err := changed(tx.ExecContext(ctx, `UPDATE dap_logs SET state = ? WHERE task = ? AND number = ? AND state = ?`,
			leader.LogDone, creation.Log.Task[:], int64(creation.Log.Number), leader.LogSealed))
		if err != nil {
			return err
		}
		for _, b := range creation.Batches {
			_, err := tx.ExecContext(ctx, `INSERT INTO dap_batches (task, batch, window, assigned, count, taken) VALUES (?, ?, ?, ?, ?, 0)`,
				b.Task[:], b.ID[:], int64(b.Window), int64(b.Assigned), int64(b.Count))
			if err != nil {
				return err
			}
		}
		for i := range creation.Jobs {
			if err := mayAdd(ctx, tx, &creation.Jobs[i]); err != nil {
				return err
			}
		}
		if err := addJobs(ctx, tx, creation.Jobs); err != nil {
			return err
		}
		return addLosses(ctx, tx, creation.Log.Task, creation.Lost)
	})
	if err != nil {
		return fmt.Errorf("cutting log %d of task %v: %w", creation.Log.Number, creation.Log.Task, err)
	}
	return nil
}

// mayAdd fails if the batch of a job is taken or frozen.
func mayAdd(ctx context.Context, tx *sql.Tx, j *leader.Job) error {
	start, end, err := column.Span(j.Span)
	if err != nil {
		return err
	}
	var frozen, open int
	err = tx.QueryRowContext(ctx, `SELECT
		(SELECT count(*) FROM dap_collections WHERE state = ?2 AND task = ?1
			AND CASE WHEN interval_end > interval_start THEN interval_start < ?4 AND ?3 < interval_end ELSE length(batch) > 0 AND batch = ?5 END),
		(SELECT count(*) FROM dap_batches WHERE task = ?1 AND batch = ?5 AND taken = 0)`,
		j.Task[:], leader.Draining, start, end, column.Batch(&j.Batch)).Scan(&frozen, &open)
	switch {
	case err != nil:
		return err
	case frozen > 0:
		return leader.ErrBusy
	case j.Batch != dap.BatchID{} && open == 0:
		return leader.ErrConflict
	}
	return nil
}

func addJobs(ctx context.Context, tx *sql.Tx, jobs []leader.Job) error {
	for i := range jobs {
		j := &jobs[i]
		start, end, err := column.Span(j.Span)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO dap_jobs (task, node, log, first, past, skip, reports, span_start, span_end, batch, verify_key,
			created, round, turned, refused, digest, location, attempts, since, due, lease) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			j.Task[:], j.Node, int64(j.Log), j.From, j.To, column.Blob(j.Skip), j.Reports, start, end, column.Batch(&j.Batch), j.Key,
			column.Seconds(j.Created), j.Round, j.Turned, j.Refused, column.Digest(j.Digest), j.Location, j.Attempts, column.Seconds(j.Since), column.Seconds(j.Due), column.Seconds(j.Lease))
		if err != nil {
			return err
		}
		if err := countBatch(ctx, tx, j.Task, j.Batch, int64(j.Reports), 0); err != nil {
			return err
		}
	}
	return nil
}

// countBatch changes the counts of a batch of the leader-selected mode.
func countBatch(ctx context.Context, tx *sql.Tx, task dap.TaskID, batch dap.BatchID, assigned, counted int64) error {
	if batch == (dap.BatchID{}) {
		return nil
	}
	_, err := tx.ExecContext(ctx, `UPDATE dap_batches SET assigned = assigned + ?, count = count + ? WHERE task = ? AND batch = ?`,
		assigned, counted, task[:], batch[:])
	return err
}

// DropLog implements [leader.Store].
func (s *Leader) DropLog(ctx context.Context, task dap.TaskID, number uint64) error {
	err := s.change(ctx, func(tx *sql.Tx) error {
		var state leader.LogState
		err := tx.QueryRowContext(ctx, `SELECT state FROM dap_logs WHERE task = ? AND number = ?`, task[:], int64(number)).Scan(&state)
		if isNoRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if state != leader.LogDone {
			return leader.ErrConflict
		}
		var jobs int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM dap_jobs WHERE task = ? AND log = ?`, task[:], int64(number)).Scan(&jobs); err != nil {
			return err
		}
		if jobs > 0 {
			return leader.ErrBusy
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM dap_logs WHERE task = ? AND number = ?`, task[:], int64(number))
		return err
	})
	if err != nil {
		return fmt.Errorf("dropping log %d of task %v: %w", number, task, err)
	}
	return nil
}

const jobColumns = `id, task, node, log, first, past, skip, reports, span_start, span_end, batch, verify_key, created, round, turned, refused, digest, location, attempts, since, due, lease`

func scanJobs(rows *sql.Rows) ([]leader.Job, error) {
	defer rows.Close()
	var all []leader.Job
	for rows.Next() {
		var j leader.Job
		var task, skip, batch, digest []byte
		var start, end, created, since, due, lease int64
		err := rows.Scan(&j.Number, &task, &j.Node, &j.Log, &j.From, &j.To, &skip, &j.Reports, &start, &end, &batch, &j.Key,
			&created, &j.Round, &j.Turned, &j.Refused, &digest, &j.Location, &j.Attempts, &since, &due, &lease)
		if err != nil {
			return nil, err
		}
		copy(j.Task[:], task)
		copy(j.Batch[:], batch)
		copy(j.Digest[:], digest)
		if len(skip) > 0 {
			j.Skip = skip
		}
		j.Span = dap.Interval{Start: dap.Time(start), Duration: dap.Duration(end - start)}
		j.Created, j.Since, j.Due, j.Lease = column.Time(created), column.Time(since), column.Time(due), column.Time(lease)
		all = append(all, j)
	}
	return all, rows.Err()
}

// Lease implements [leader.Store].
func (s *Leader) Lease(ctx context.Context, node string, now, until time.Time, limit int) ([]leader.Job, error) {
	var all []leader.Job
	err := s.change(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT `+jobColumns+` FROM dap_jobs WHERE node = ?1 AND due <= ?2 AND lease <= ?2
			ORDER BY due, task, id LIMIT ?3`, node, column.Seconds(now), limit)
		if err != nil {
			return err
		}
		if all, err = scanJobs(rows); err != nil {
			return err
		}
		for i := range all {
			all[i].Attempts++
			all[i].Lease = until
			_, err := tx.ExecContext(ctx, `UPDATE dap_jobs SET attempts = ?, lease = ? WHERE id = ?`, all[i].Attempts, column.Seconds(until), int64(all[i].Number))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("leasing jobs: %w", err)
	}
	return all, nil
}

// Release implements [leader.Store].
func (s *Leader) Release(ctx context.Context, node string) error {
	err := s.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE dap_jobs SET lease = 0 WHERE node = ? AND lease > 0`, node)
		return err
	})
	if err != nil {
		return fmt.Errorf("releasing jobs: %w", err)
	}
	return nil
}

// NextDue implements [leader.Store].
func (s *Leader) NextDue(ctx context.Context, node string) (time.Time, error) {
	var due sql.NullInt64
	if err := s.db.QueryRowContext(ctx, `SELECT min(max(due, lease)) FROM dap_jobs WHERE node = ?`, node).Scan(&due); err != nil {
		return time.Time{}, fmt.Errorf("reading jobs: %w", err)
	}
	return column.Time(due.Int64), nil
}

// Jobs implements [leader.Store].
func (s *Leader) Jobs(ctx context.Context, task dap.TaskID) (jobs int, reports uint64, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(reports), 0) FROM dap_jobs WHERE task = ?`, task[:]).Scan(&jobs, &reports)
	if err != nil {
		return 0, 0, fmt.Errorf("reading the jobs of task %v: %w", task, err)
	}
	return jobs, reports, nil
}

// Work implements [leader.Store].
func (s *Leader) Work(ctx context.Context) (map[dap.TaskID]leader.Work, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT task, count(*), sum(reports), sum(since > 0), sum(iif(since > 0, reports, 0)), coalesce(min(iif(since > 0, since, NULL)), 0)
		FROM dap_jobs GROUP BY task`)
	if err != nil {
		return nil, fmt.Errorf("reading the jobs of all tasks: %w", err)
	}
	defer rows.Close()
	all := make(map[dap.TaskID]leader.Work)
	for rows.Next() {
		var task []byte
		var w leader.Work
		var since int64
		if err := rows.Scan(&task, &w.Jobs, &w.Reports, &w.Unanswered.Jobs, &w.Unanswered.Reports, &since); err != nil {
			return nil, fmt.Errorf("reading the jobs of all tasks: %w", err)
		}
		w.Unanswered.Since = column.Time(since)
		all[dap.TaskID(task)] = w
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the jobs of all tasks: %w", err)
	}
	return all, nil
}

// UpdateJob implements [leader.Store].
func (s *Leader) UpdateJob(ctx context.Context, j leader.Job, held time.Time) error {
	err := s.change(ctx, func(tx *sql.Tx) error {
		return changed(tx.ExecContext(ctx, `UPDATE dap_jobs SET digest = ?, location = ?, attempts = ?, since = ?, due = ?, lease = ?
			WHERE id = ? AND task = ? AND lease = ?`,
			column.Digest(j.Digest), j.Location, j.Attempts, column.Seconds(j.Since), column.Seconds(j.Due), column.Seconds(j.Lease), int64(j.Number), j.Task[:], column.Seconds(held)))
	})
	if err != nil {
		return fmt.Errorf("updating job %d of task %v: %w", j.Number, j.Task, err)
	}
	return nil
}

// EndJob implements [leader.Store].
func (s *Leader) EndJob(ctx context.Context, end leader.End, change *ledger.Change) error {
	j := &end.Job
	if change != nil {
		if err := change.Check(); err != nil {
			return err
		}
	}
	err := s.change(ctx, func(tx *sql.Tx) error {
		var reports int64
		var batch []byte
		err := tx.QueryRowContext(ctx, `DELETE FROM dap_jobs WHERE id = ? AND task = ? AND lease = ? RETURNING reports, batch`,
			int64(j.Number), j.Task[:], column.Seconds(j.Lease)).Scan(&reports, &batch)
		if isNoRows(err) {
			return leader.ErrConflict
		}
		if err != nil {
			return err
		}
		var id dap.BatchID
		copy(id[:], batch)
		if err := countBatch(ctx, tx, j.Task, id, -reports, int64(end.Counted)); err != nil {
			return err
		}
		if err := addJobs(ctx, tx, end.Next); err != nil {
			return err
		}
		if err := addLosses(ctx, tx, j.Task, end.Lost); err != nil {
			return err
		}
		if change == nil {
			return nil
		}
		return commitChange(ctx, tx, change)
	})
	if err != nil {
		return fmt.Errorf("ending job %d of task %v: %w", j.Number, j.Task, err)
	}
	return nil
}

// Batches implements [leader.Store].
func (s *Leader) Batches(ctx context.Context, task dap.TaskID) ([]leader.Batch, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT batch, window, assigned, count FROM dap_batches WHERE task = ? AND taken = 0 ORDER BY id`, task[:])
	if err != nil {
		return nil, fmt.Errorf("reading the batches of task %v: %w", task, err)
	}
	defer rows.Close()
	var all []leader.Batch
	for rows.Next() {
		b := leader.Batch{Task: task}
		var id []byte
		if err := rows.Scan(&id, &b.Window, &b.Assigned, &b.Count); err != nil {
			return nil, fmt.Errorf("reading the batches of task %v: %w", task, err)
		}
		copy(b.ID[:], id)
		all = append(all, b)
	}
	return all, rows.Err()
}

// ForgetLosses implements [leader.Store].
func (s *Leader) ForgetLosses(ctx context.Context, task dap.TaskID, before dap.Time) error {
	err := s.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM dap_losses WHERE task = ? AND unit < ?`, task[:], int64(min(before, math.MaxInt64)))
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting losses of task %v: %w", task, err)
	}
	return nil
}

// ForgetBatches implements [leader.Store].
func (s *Leader) ForgetBatches(ctx context.Context, task dap.TaskID, before dap.Time) error {
	err := s.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM dap_batches WHERE task = ? AND taken = 1 AND window < ?`, task[:], int64(min(before, math.MaxInt64)))
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting batches of task %v: %w", task, err)
	}
	return nil
}
