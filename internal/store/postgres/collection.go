package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/store/column"
)

const collectionColumns = `task, job, rev, state, created, request, interval_start, interval_end, batch, upto, count, checksum, location,
	attempts, due, response, problem, detail, lost`

// collectionValues are the columns of a collection job.
func collectionValues(c *leader.Collection) ([]any, error) {
	start, end, err := collectionSpan(c)
	if err != nil {
		return nil, err
	}
	return []any{
		c.Task[:], c.ID[:], number(c.Rev), int16(c.State), column.Seconds(c.Created), column.Blob(c.Request), start, end, column.Batch(&c.Batch), number(c.Upto),
		number(c.Count), c.Checksum[:], []byte(c.Location), int64(c.Attempts), column.Seconds(c.Due), column.Blob(c.Response), []byte(c.Problem), []byte(c.Detail), number(c.Lost),
	}, nil
}

// collectionSpan is the interval of a collection job, 0 and 0 without one.
func collectionSpan(c *leader.Collection) (start, end int64, err error) {
	if c.Interval.Duration == 0 {
		return 0, 0, nil
	}
	return column.Span(c.Interval)
}

func scanCollection(row pgx.CollectableRow) (leader.Collection, error) {
	var c leader.Collection
	var task, job, batch, checksum, location, problem, detail []byte
	var rev, created, start, end, upto, count, due, lost int64
	var state int16
	err := row.Scan(&task, &job, &rev, &state, &created, &c.Request, &start, &end, &batch, &upto, &count, &checksum, &location,
		&c.Attempts, &due, &c.Response, &problem, &detail, &lost)
	copy(c.Task[:], task)
	copy(c.ID[:], job)
	copy(c.Batch[:], batch)
	copy(c.Checksum[:], checksum)
	c.Rev, c.State, c.Upto, c.Count, c.Lost = uint64(rev), leader.CollectionState(state), uint64(upto), uint64(count), uint64(lost)
	c.Location, c.Problem, c.Detail = string(location), dap.ProblemType(problem), string(detail)
	c.Created, c.Due = column.Time(created), column.Time(due)
	if end > start {
		c.Interval = dap.Interval{Start: dap.Time(start), Duration: dap.Duration(end - start)}
	}
	if len(c.Response) == 0 {
		c.Response = nil
	}
	return c, err
}

// collectionsOf reads the collection jobs that a condition selects, the oldest
// first.
func collectionsOf(ctx context.Context, q querier, where string, args ...any) ([]leader.Collection, error) {
	rows, err := q.Query(ctx, `SELECT `+collectionColumns+` FROM dap_collections WHERE `+where+` ORDER BY id`, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanCollection)
}

// CreateCollection implements [leader.Store].
func (s *Leader) CreateCollection(ctx context.Context, c leader.Collection) (leader.Collection, bool, error) {
	c.Rev = 1
	values, err := collectionValues(&c)
	if err != nil {
		return leader.Collection{}, false, err
	}
	fresh := false
	err = s.change(ctx, c.Task, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `INSERT INTO dap_collections (`+collectionColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) ON CONFLICT DO NOTHING`, values...)
		fresh = err == nil && tag.RowsAffected() == 1
		return err
	})
	if err != nil {
		return leader.Collection{}, false, fmt.Errorf("creating a collection job of task %v: %w", c.Task, err)
	}
	if fresh {
		return c, true, nil
	}
	have, err := s.Collection(ctx, c.Task, c.ID)
	return have, false, err
}

// Collection implements [leader.Store].
func (s *Leader) Collection(ctx context.Context, task dap.TaskID, id dap.CollectionJobID) (leader.Collection, error) {
	all, err := collectionsOf(ctx, s.pool, `task = $1 AND job = $2`, task[:], id[:])
	if err == nil && len(all) == 0 {
		err = leader.ErrUnknown
	}
	if err != nil {
		return leader.Collection{}, fmt.Errorf("reading collection job %v of task %v: %w", id, task, err)
	}
	return all[0], nil
}

// Collections implements [leader.Store].
func (s *Leader) Collections(ctx context.Context) ([]leader.Collection, error) {
	all, err := collectionsOf(ctx, s.pool, `state IN ($1, $2)`, int16(leader.Waiting), int16(leader.Draining))
	if err != nil {
		return nil, fmt.Errorf("reading collection jobs: %w", err)
	}
	return all, nil
}

// replaceCollection stores a collection job over the same revision, if check
// allows what is there to become it.
func replaceCollection(ctx context.Context, tx pgx.Tx, c *leader.Collection, check func(from leader.CollectionState) error) error {
	var from int16
	err := tx.QueryRow(ctx, `SELECT state FROM dap_collections WHERE task = $1 AND job = $2 AND rev = $3 FOR UPDATE`,
		c.Task[:], c.ID[:], number(c.Rev)).Scan(&from)
	if isNoRows(err) {
		return leader.ErrConflict
	}
	if err != nil {
		return err
	}
	if err := check(leader.CollectionState(from)); err != nil {
		return err
	}
	next := *c
	next.Rev++
	values, err := collectionValues(&next)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE dap_collections SET rev = $3, state = $4, created = $5, request = $6, interval_start = $7, interval_end = $8, batch = $9,
		upto = $10, count = $11, checksum = $12, location = $13, attempts = $14, due = $15, response = $16, problem = $17, detail = $18, lost = $19
		WHERE task = $1 AND job = $2`, values...)
	return err
}

// UpdateCollection implements [leader.Store].
func (s *Leader) UpdateCollection(ctx context.Context, c leader.Collection) error {
	err := s.change(ctx, c.Task, func(tx pgx.Tx) error {
		return replaceCollection(ctx, tx, &c, func(from leader.CollectionState) error { return leader.CheckUpdate(from, c.State) })
	})
	if err != nil {
		return fmt.Errorf("updating collection job %v of task %v: %w", c.ID, c.Task, err)
	}
	return nil
}

// Drain implements [leader.Store].
func (s *Leader) Drain(ctx context.Context, c leader.Collection) error {
	err := s.alone(ctx, c.Task, func(tx pgx.Tx) error {
		if err := replaceCollection(ctx, tx, &c, leader.Waiting.Must); err != nil {
			return err
		}
		if err := settled(ctx, tx, &c); err != nil {
			return err
		}
		if err := first(ctx, tx, &c); err != nil {
			return err
		}
		if c.Batch == (dap.BatchID{}) {
			return nil
		}
		tag, err := tx.Exec(ctx, `UPDATE dap_batches SET taken = true WHERE task = $1 AND batch = $2 AND NOT taken`, c.Task[:], c.Batch[:])
		if err != nil {
			return err
		}
		return only(leader.ErrConflict)(tag)
	})
	if err != nil {
		return fmt.Errorf("freezing the batch of collection job %v of task %v: %w", c.ID, c.Task, err)
	}
	return nil
}

// settled fails with [leader.ErrBusy] while something may still add to the batch
// of a collection job. Nothing can be added meanwhile: the task is locked, and a
// job that ends now is replaced by those that follow it in one step.
func settled(ctx context.Context, tx pgx.Tx, c *leader.Collection) error {
	start, end, err := collectionSpan(c)
	if err != nil {
		return err
	}
	var logs, jobs, others int
	err = tx.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM dap_logs WHERE task = $1 AND number <= $2 AND state <> $3),
		(SELECT count(*) FROM dap_jobs WHERE task = $1
			AND CASE WHEN $5::bigint > $4::bigint THEN span_start < $5 AND $4 < span_end ELSE length($6::bytea) > 0 AND batch = $6 END),
		(SELECT count(*) FROM dap_collections WHERE task = $1 AND state = $7 AND job <> $8
			AND CASE WHEN $5::bigint > $4::bigint THEN interval_start < $5 AND $4 < interval_end ELSE length($6::bytea) > 0 AND batch = $6 END)`,
		c.Task[:], number(c.Upto), int16(leader.LogDone), start, end, column.Batch(&c.Batch), int16(leader.Draining), c.ID[:]).Scan(&logs, &jobs, &others)
	if err == nil && logs+jobs+others > 0 {
		return leader.ErrBusy
	}
	return err
}

// EndCollection implements [leader.Store].
func (s *Leader) EndCollection(ctx context.Context, c leader.Collection, mark ledger.Collection) error {
	return s.step(ctx, fmt.Sprintf("ending collection job %v and collecting from", c.ID), c.Task, func(tx pgx.Tx) error {
		var b pgx.Batch
		s.fence(&b)
		if err := send(ctx, tx, &b); err != nil {
			return err
		}
		if err := replaceCollection(ctx, tx, &c, leader.Draining.Must); err != nil {
			return err
		}
		return collectBatch(ctx, tx, &mark)
	})
}

// ForgetCollections implements [leader.Store].
func (s *Leader) ForgetCollections(ctx context.Context, task dap.TaskID, before time.Time) error {
	err := s.change(ctx, task, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM dap_collections WHERE task = $1 AND due < $2 AND state NOT IN ($3, $4)`,
			task[:], column.Seconds(before), int16(leader.Waiting), int16(leader.Draining))
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting collection jobs of task %v: %w", task, err)
	}
	return nil
}
