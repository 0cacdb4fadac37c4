package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
)

var _ leader.Store = (*Leader)(nil)

// number is an unsigned number as it is stored: the largest one is the largest.
func number(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// change makes a change of a task for the node whose claim the store is seen with,
// in a transaction that checks the claim. What lost against others is a conflict.
func (s *Leader) change(ctx context.Context, task dap.TaskID, do func(pgx.Tx) error) error {
	return s.transact(forTask(ctx, task), func(tx pgx.Tx) error {
		var b pgx.Batch
		s.fence(&b)
		if err := send(ctx, tx, &b); err != nil {
			return err
		}
		return do(tx)
	})
}

// transact makes a transaction. What lost against others is a conflict.
func (s *Leader) transact(ctx context.Context, do func(pgx.Tx) error) error {
	err := transact(ctx, s.pool, do)
	if contended(err) {
		err = errors.Join(leader.ErrConflict, err)
	}
	return err
}

// alone makes a change while no other such change of the task is under way.
func (s *Leader) alone(ctx context.Context, task dap.TaskID, do func(pgx.Tx) error) error {
	return s.transact(forTask(ctx, task), func(tx pgx.Tx) error {
		var b pgx.Batch
		s.fence(&b)
		b.Queue(`INSERT INTO dap_intakes AS i (task, last_log) VALUES ($1, 0)
			ON CONFLICT (task) DO UPDATE SET last_log = i.last_log`, task[:])
		if err := send(ctx, tx, &b); err != nil {
			return err
		}
		return do(tx)
	})
}

// BeginLog implements [leader.Store].
func (s *Leader) BeginLog(ctx context.Context, task dap.TaskID, node string) (leader.Log, error) {
	log := leader.Log{Task: task, Node: node, State: leader.LogOpen}
	err := s.change(ctx, task, func(tx pgx.Tx) error {
		var last int64
		err := tx.QueryRow(ctx, `INSERT INTO dap_intakes AS i (task, last_log) VALUES ($1, 1)
			ON CONFLICT (task) DO UPDATE SET last_log = i.last_log + 1 RETURNING last_log`, task[:]).Scan(&last)
		if err != nil {
			return err
		}
		log.Number = uint64(last)
		_, err = tx.Exec(ctx, `INSERT INTO dap_logs (task, number, node, state, records) VALUES ($1, $2, $3, $4, 0)`,
			task[:], last, node, int16(log.State))
		return err
	})
	if err != nil {
		return leader.Log{}, fmt.Errorf("beginning a log of task %v: %w", task, err)
	}
	return log, nil
}

// Logs implements [leader.Store].
func (s *Leader) Logs(ctx context.Context, node string) ([]leader.Log, error) {
	rows, err := s.pool.Query(ctx, `SELECT task, number, state, records,
		(SELECT count(*) FROM dap_jobs j WHERE j.task = l.task AND j.log = l.number)
		FROM dap_logs l WHERE node = $1 ORDER BY task, number`, node)
	if err != nil {
		return nil, fmt.Errorf("reading logs: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (leader.Log, error) {
		l := leader.Log{Node: node}
		var task []byte
		var number int64
		var state int16
		err := row.Scan(&task, &number, &state, &l.Records, &l.Jobs)
		copy(l.Task[:], task)
		l.Number, l.State = uint64(number), leader.LogState(state)
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading logs: %w", err)
	}
	return all, nil
}

// Log implements [leader.Store].
func (s *Leader) Log(ctx context.Context, task dap.TaskID, n uint64) (log leader.Log, found bool, err error) {
	log = leader.Log{Task: task, Number: n}
	var state int16
	err = s.pool.QueryRow(ctx, `SELECT node, state, records,
		(SELECT count(*) FROM dap_jobs j WHERE j.task = l.task AND j.log = l.number)
		FROM dap_logs l WHERE task = $1 AND number = $2`, task[:], number(n)).Scan(&log.Node, &state, &log.Records, &log.Jobs)
	if errors.Is(err, pgx.ErrNoRows) {
		return leader.Log{}, false, nil
	}
	if err != nil {
		return leader.Log{}, false, fmt.Errorf("reading log %d of task %v: %w", n, task, err)
	}
	log.State = leader.LogState(state)
	return log, true, nil
}

// LastLog implements [leader.Store].
func (s *Leader) LastLog(ctx context.Context, task dap.TaskID, upto uint64) (last uint64, undone int, err error) {
	var have int64
	err = s.pool.QueryRow(ctx, `SELECT coalesce((SELECT last_log FROM dap_intakes WHERE task = $1), 0),
		(SELECT count(*) FROM dap_logs WHERE task = $1 AND number <= $2 AND state <> 3)`, // LogCut, as the index has it
		task[:], number(upto)).Scan(&have, &undone)
	if err != nil {
		return 0, 0, fmt.Errorf("reading the logs of task %v: %w", task, err)
	}
	return uint64(have), undone, nil
}

// SealLog implements [leader.Store].
func (s *Leader) SealLog(ctx context.Context, log leader.Log) error {
	err := s.change(ctx, log.Task, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE dap_logs SET state = $1, records = $2 WHERE task = $3 AND number = $4 AND state = $5`,
			int16(leader.LogSealed), log.Records, log.Task[:], number(log.Number), int16(leader.LogOpen))
		if err != nil {
			return err
		}
		return only(leader.ErrConflict)(tag)
	})
	if err != nil {
		return fmt.Errorf("sealing log %d of task %v: %w", log.Number, log.Task, err)
	}
	return nil
}

// CreateJobs implements [leader.Store].
func (s *Leader) CreateJobs(ctx context.Context, creation leader.JobCreation) error {
	err := s.alone(ctx, creation.Log.Task, func(tx pgx.Tx) error {
		var b pgx.Batch
		b.Queue(`UPDATE dap_logs SET state = $1 WHERE task = $2 AND number = $3 AND state = $4`,
			int16(leader.LogDone), creation.Log.Task[:], number(creation.Log.Number), int16(leader.LogSealed)).Exec(only(leader.ErrConflict))
		for i := range creation.Batches {
			batch := &creation.Batches[i]
			b.Queue(`INSERT INTO dap_batches (task, batch, unit, assigned, count, taken) VALUES ($1, $2, $3, $4, $5, false)`,
				batch.Task[:], batch.ID[:], number(uint64(batch.Window)), number(batch.Assigned), number(batch.Count))
		}
		if err := send(ctx, tx, &b); err != nil {
			return err
		}
		if err := mayAdd(ctx, tx, creation.Log.Task, creation.Jobs); err != nil {
			return err
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
func mayAdd(ctx context.Context, tx pgx.Tx, task dap.TaskID, jobs []leader.Job) error {
	frozen, err := collectionsOf(ctx, tx, `task = $1 AND state = $2`, task[:], int16(leader.Draining))
	if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `SELECT batch FROM dap_batches WHERE task = $1 AND NOT taken`, task[:])
	if err != nil {
		return err
	}
	batches, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return err
	}
	open := make(map[string]bool)
	for _, id := range batches {
		open[string(id)] = true
	}
	for i := range jobs {
		j := &jobs[i]
		for k := range frozen {
			if frozen[k].Overlaps(j) {
				return leader.ErrBusy
			}
		}
		if j.Batch != (dap.BatchID{}) && !open[string(j.Batch[:])] {
			return leader.ErrConflict
		}
	}
	return nil
}

// DropLog implements [leader.Store].
func (s *Leader) DropLog(ctx context.Context, task dap.TaskID, n uint64) error {
	err := s.alone(ctx, task, func(tx pgx.Tx) error {
		var state int16
		var jobs int
		err := tx.QueryRow(ctx, `SELECT state, (SELECT count(*) FROM dap_jobs WHERE task = $1 AND log = $2)
			FROM dap_logs WHERE task = $1 AND number = $2`, task[:], number(n)).Scan(&state, &jobs)
		switch {
		case isNoRows(err):
			return nil
		case err != nil:
			return err
		case leader.LogState(state) != leader.LogDone:
			return leader.ErrConflict
		case jobs > 0:
			return leader.ErrBusy
		}
		_, err = tx.Exec(ctx, `DELETE FROM dap_logs WHERE task = $1 AND number = $2`, task[:], number(n))
		return err
	})
	if err != nil {
		return fmt.Errorf("dropping log %d of task %v: %w", n, task, err)
	}
	return nil
}

// Batches implements [leader.Store].
func (s *Leader) Batches(ctx context.Context, task dap.TaskID) ([]leader.Batch, error) {
	rows, err := s.pool.Query(ctx, `SELECT batch, unit, assigned, count FROM dap_batches WHERE task = $1 AND NOT taken ORDER BY id`, task[:])
	if err != nil {
		return nil, fmt.Errorf("reading the batches of task %v: %w", task, err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (leader.Batch, error) {
		b := leader.Batch{Task: task}
		var id []byte
		var unit, assigned, count int64
		err := row.Scan(&id, &unit, &assigned, &count)
		copy(b.ID[:], id)
		b.Window, b.Assigned, b.Count = dap.Time(unit), uint64(assigned), uint64(count)
		return b, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the batches of task %v: %w", task, err)
	}
	return all, nil
}

// ForgetLosses implements [leader.Store].
func (s *Leader) ForgetLosses(ctx context.Context, task dap.TaskID, before dap.Time) error {
	err := s.change(ctx, task, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM dap_losses WHERE task = $1 AND unit < $2`, task[:], number(uint64(before)))
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting losses of task %v: %w", task, err)
	}
	return nil
}

// ForgetBatches implements [leader.Store].
func (s *Leader) ForgetBatches(ctx context.Context, task dap.TaskID, before dap.Time) error {
	err := s.change(ctx, task, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM dap_batches WHERE task = $1 AND taken AND unit < $2`, task[:], number(uint64(before)))
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting batches of task %v: %w", task, err)
	}
	return nil
}
