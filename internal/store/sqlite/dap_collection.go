package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/store/column"
)

const collectionColumns = `task, job, rev, state, created, request, interval_start, interval_end, batch, upto, count, checksum, location,
	attempts, due, response, problem, detail, lost`

// collectionValues are the columns of a collection job from rev on.
func collectionValues(c *leader.Collection) ([]any, error) {
	var start, end int64
	if c.Interval.Duration > 0 {
		var err error
		if start, end, err = column.Span(c.Interval); err != nil {
			return nil, err
		}
	}
	return []any{
		int64(c.Rev), c.State, column.Seconds(c.Created), column.Blob(c.Request), start, end, column.Batch(&c.Batch), int64(c.Upto), int64(c.Count), c.Checksum[:],
		c.Location, c.Attempts, column.Seconds(c.Due), column.Blob(c.Response), string(c.Problem), c.Detail, int64(c.Lost),
	}, nil
}

func scanCollection(scan func(...any) error) (leader.Collection, error) {
	var c leader.Collection
	var task, job, batch, checksum []byte
	var created, start, end, due int64
	err := scan(&task, &job, &c.Rev, &c.State, &created, &c.Request, &start, &end, &batch, &c.Upto, &c.Count, &checksum, &c.Location,
		&c.Attempts, &due, &c.Response, &c.Problem, &c.Detail, &c.Lost)
	if err != nil {
		return leader.Collection{}, err
	}
	copy(c.Task[:], task)
	copy(c.ID[:], job)
	copy(c.Batch[:], batch)
	copy(c.Checksum[:], checksum)
	c.Created, c.Due = column.Time(created), column.Time(due)
	if end > start {
		c.Interval = dap.Interval{Start: dap.Time(start), Duration: dap.Duration(end - start)}
	}
	if len(c.Response) == 0 {
		c.Response = nil
	}
	return c, nil
}

// CreateCollection implements [leader.Store].
func (s *Leader) CreateCollection(ctx context.Context, c leader.Collection) (leader.Collection, bool, error) {
	c.Rev = 1
	values, err := collectionValues(&c)
	if err != nil {
		return leader.Collection{}, false, err
	}
	fresh := false
	err = s.change(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO dap_collections (`+collectionColumns+`)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, append([]any{c.Task[:], c.ID[:]}, values...)...)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if fresh = n == 1; fresh {
			return nil
		}
		c, err = readCollection(ctx, tx, c.Task, c.ID)
		return err
	})
	if err != nil {
		return leader.Collection{}, false, fmt.Errorf("creating a collection job of task %v: %w", c.Task, err)
	}
	return c, fresh, nil
}

func readCollection(ctx context.Context, q rowReader, task dap.TaskID, id dap.CollectionJobID) (leader.Collection, error) {
	c, err := scanCollection(q.QueryRowContext(ctx, `SELECT `+collectionColumns+` FROM dap_collections WHERE task = ? AND job = ?`, task[:], id[:]).Scan)
	if isNoRows(err) {
		err = leader.ErrUnknown
	}
	return c, err
}

// Collection implements [leader.Store].
func (s *Leader) Collection(ctx context.Context, task dap.TaskID, id dap.CollectionJobID) (leader.Collection, error) {
	c, err := readCollection(ctx, s.db, task, id)
	if err != nil {
		return leader.Collection{}, fmt.Errorf("reading collection job %v of task %v: %w", id, task, err)
	}
	return c, nil
}

// Collections implements [leader.Store].
func (s *Leader) Collections(ctx context.Context) ([]leader.Collection, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT `+collectionColumns+` FROM dap_collections WHERE state IN (?, ?) ORDER BY id`, leader.Waiting, leader.Draining)
	if err != nil {
		return nil, fmt.Errorf("reading collection jobs: %w", err)
	}
	defer rows.Close()
	var all []leader.Collection
	for rows.Next() {
		c, err := scanCollection(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("reading collection jobs: %w", err)
		}
		all = append(all, c)
	}
	return all, rows.Err()
}

// replaceCollection stores a collection job over the same revision, if check
// allows what is there to become it.
func replaceCollection(ctx context.Context, tx *sql.Tx, c *leader.Collection, check func(from leader.CollectionState) error) error {
	var from leader.CollectionState
	err := tx.QueryRowContext(ctx, `SELECT state FROM dap_collections WHERE task = ? AND job = ? AND rev = ?`, c.Task[:], c.ID[:], int64(c.Rev)).Scan(&from)
	if isNoRows(err) {
		return leader.ErrConflict
	}
	if err != nil {
		return err
	}
	if err := check(from); err != nil {
		return err
	}
	next := *c
	next.Rev++
	values, err := collectionValues(&next)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE dap_collections SET rev = ?, state = ?, created = ?, request = ?, interval_start = ?, interval_end = ?, batch = ?,
		upto = ?, count = ?, checksum = ?, location = ?, attempts = ?, due = ?, response = ?, problem = ?, detail = ?, lost = ? WHERE task = ? AND job = ?`,
		append(values, c.Task[:], c.ID[:])...)
	return err
}

// UpdateCollection implements [leader.Store].
func (s *Leader) UpdateCollection(ctx context.Context, c leader.Collection) error {
	err := s.change(ctx, func(tx *sql.Tx) error {
		return replaceCollection(ctx, tx, &c, func(from leader.CollectionState) error { return leader.CheckUpdate(from, c.State) })
	})
	if err != nil {
		return fmt.Errorf("updating collection job %v of task %v: %w", c.ID, c.Task, err)
	}
	return nil
}

// Drain implements [leader.Store].
func (s *Leader) Drain(ctx context.Context, c leader.Collection) error {
	err := s.change(ctx, func(tx *sql.Tx) error {
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
		return changed(tx.ExecContext(ctx, `UPDATE dap_batches SET taken = 1 WHERE task = ? AND batch = ? AND taken = 0`, c.Task[:], c.Batch[:]))
	})
	if err != nil {
		return fmt.Errorf("freezing the batch of collection job %v of task %v: %w", c.ID, c.Task, err)
	}
	return nil
}

// settled fails with [leader.ErrBusy] while something may still add to the batch
// of a collection job.
func settled(ctx context.Context, tx *sql.Tx, c *leader.Collection) error {
	var start, end int64
	if c.Interval.Duration > 0 {
		var err error
		if start, end, err = column.Span(c.Interval); err != nil {
			return err
		}
	}
	batch := column.Batch(&c.Batch)
	var logs, jobs, others int
	err := tx.QueryRowContext(ctx, `SELECT
		(SELECT count(*) FROM dap_logs WHERE task = ?1 AND number <= ?2 AND state <> ?3),
		(SELECT count(*) FROM dap_jobs WHERE task = ?1
			AND CASE WHEN ?5 > ?4 THEN span_start < ?5 AND ?4 < span_end ELSE length(?6) > 0 AND batch = ?6 END),
		(SELECT count(*) FROM dap_collections WHERE task = ?1 AND state = ?7 AND job <> ?8
			AND CASE WHEN ?5 > ?4 THEN interval_start < ?5 AND ?4 < interval_end ELSE length(?6) > 0 AND batch = ?6 END)`,
		c.Task[:], int64(c.Upto), leader.LogDone, start, end, batch, leader.Draining, c.ID[:]).Scan(&logs, &jobs, &others)
	if err == nil && logs+jobs+others > 0 {
		return leader.ErrBusy
	}
	return err
}

// EndCollection implements [leader.Store].
func (s *Leader) EndCollection(ctx context.Context, c leader.Collection, mark ledger.Collection) error {
	err := s.change(ctx, func(tx *sql.Tx) error {
		if err := replaceCollection(ctx, tx, &c, leader.Draining.Must); err != nil {
			return err
		}
		return collectBatch(ctx, tx, &mark)
	})
	if err != nil {
		return fmt.Errorf("ending collection job %v of task %v: %w", c.ID, c.Task, err)
	}
	return nil
}

// ForgetCollections implements [leader.Store].
func (s *Leader) ForgetCollections(ctx context.Context, task dap.TaskID, before time.Time) error {
	err := s.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM dap_collections WHERE task = ? AND due < ? AND state NOT IN (?, ?)`,
			task[:], column.Seconds(before), leader.Waiting, leader.Draining)
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting collection jobs of task %v: %w", task, err)
	}
	return nil
}
