package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/store/column"
)

// change makes a change of the node whose claim the store is seen with, in a
// transaction that checks the claim.
func (s *Leader) change(ctx context.Context, do func(*sql.Tx) error) error {
	return transact(ctx, s.db, func(tx *sql.Tx) error {
		var token uint64
		err := tx.QueryRowContext(ctx, `SELECT token FROM dap_nodes WHERE node = ?`, s.claim.Node).Scan(&token)
		if err != nil && !isNoRows(err) {
			return err
		}
		if token == 0 || token != s.claim.Token {
			return leader.ErrFenced
		}
		return do(tx)
	})
}

// As implements [leader.Store].
func (s *Leader) As(c leader.Claim) leader.Store { return &Leader{s.aggregator, c} }

// newestClaim returns the claim that a node had last, the zero one if it had none.
func newestClaim(ctx context.Context, tx *sql.Tx, node string) (leader.Claim, error) {
	c := leader.Claim{Node: node}
	var until int64
	err := tx.QueryRowContext(ctx, `SELECT disk, token, until FROM dap_nodes WHERE node = ?`, node).Scan(&c.Disk, &c.Token, &until)
	if isNoRows(err) {
		return c, nil
	}
	c.Until = column.Time(until)
	return c, err
}

func storeClaim(ctx context.Context, tx *sql.Tx, c leader.Claim) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO dap_nodes (node, disk, token, until) VALUES (?, ?, ?, ?)
		ON CONFLICT (node) DO UPDATE SET disk = excluded.disk, token = excluded.token, until = excluded.until`,
		c.Node, c.Disk, int64(c.Token), column.Seconds(c.Until))
	return err
}

// Claim implements [leader.Store].
func (s *Leader) Claim(ctx context.Context, c leader.Claim, now time.Time) (leader.Claim, error) {
	err := transact(ctx, s.db, func(tx *sql.Tx) error {
		have, err := newestClaim(ctx, tx, c.Node)
		if err != nil {
			return err
		}
		if have.Disk != c.Disk && have.Until.After(now) {
			return &leader.HeldError{Node: c.Node, Until: have.Until}
		}
		c.Token = have.Token + 1
		return storeClaim(ctx, tx, c)
	})
	if err != nil {
		return leader.Claim{}, fmt.Errorf("claiming node %q: %w", c.Node, err)
	}
	return c, nil
}

// Renew implements [leader.Store].
func (s *Leader) Renew(ctx context.Context, c leader.Claim) error {
	err := changed(s.db.ExecContext(ctx, `UPDATE dap_nodes SET until = ? WHERE node = ? AND token = ?`, column.Seconds(c.Until), c.Node, int64(c.Token)))
	if isConflict(err) {
		err = leader.ErrFenced
	}
	if err != nil {
		return fmt.Errorf("renewing the claim on node %q: %w", c.Node, err)
	}
	return nil
}

// Nodes implements [leader.Store].
func (s *Leader) Nodes(ctx context.Context) ([]leader.Claim, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT node, disk, token, until FROM dap_nodes
		UNION ALL SELECT DISTINCT node, '', 0, 0 FROM dap_logs WHERE node NOT IN (SELECT node FROM dap_nodes) ORDER BY node`)
	if err != nil {
		return nil, fmt.Errorf("reading nodes: %w", err)
	}
	defer rows.Close()
	var all []leader.Claim
	for rows.Next() {
		var c leader.Claim
		var until int64
		if err := rows.Scan(&c.Node, &c.Disk, &c.Token, &until); err != nil {
			return nil, fmt.Errorf("reading nodes: %w", err)
		}
		c.Until = column.Time(until)
		all = append(all, c)
	}
	return all, rows.Err()
}

// DropNode implements [leader.Store].
func (s *Leader) DropNode(ctx context.Context, node string, now time.Time) (leader.Dropped, error) {
	d := leader.Dropped{Node: node, At: now.UTC().Truncate(time.Second)}
	err := transact(ctx, s.db, func(tx *sql.Tx) error {
		c, err := newestClaim(ctx, tx, node)
		if err != nil {
			return err
		}
		if c.Until.After(now) {
			return &leader.HeldError{Node: node, Until: c.Until}
		}
		c.Disk, c.Until = "", time.Time{}
		c.Token++
		if err := storeClaim(ctx, tx, c); err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, `SELECT
			(SELECT count(*) FROM dap_logs l WHERE node = ?1 AND (state <> ?2 OR EXISTS (SELECT 1 FROM dap_jobs j WHERE j.task = l.task AND j.log = l.number))),
			(SELECT count(*) FROM dap_logs WHERE node = ?1 AND state = ?3),
			(SELECT coalesce(sum(records), 0) FROM dap_logs WHERE node = ?1 AND state <> ?2) + (SELECT coalesce(sum(reports), 0) FROM dap_jobs WHERE node = ?1)`,
			node, leader.LogDone, leader.LogOpen).Scan(&d.Logs, &d.Open, &d.Reports)
		if err != nil {
			return err
		}
		for _, statement := range []string{
			`UPDATE dap_batches SET assigned = assigned - (SELECT sum(reports) FROM dap_jobs j WHERE j.node = ?1 AND j.task = dap_batches.task AND j.batch = dap_batches.batch)
				WHERE (task, batch) IN (SELECT task, batch FROM dap_jobs WHERE node = ?1)`,
			`DELETE FROM dap_jobs WHERE node = ?1`,
			`DELETE FROM dap_logs WHERE node = ?1`,
		} {
			if _, err := tx.ExecContext(ctx, statement, node); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO dap_drops (node, at, logs, open, reports) VALUES (?, ?, ?, ?, ?)`,
			node, column.Seconds(d.At), d.Logs, d.Open, int64(d.Reports))
		return err
	})
	if err != nil {
		return leader.Dropped{}, fmt.Errorf("dropping node %q: %w", node, err)
	}
	return d, nil
}

// Drops implements [leader.Store].
func (s *Leader) Drops(ctx context.Context) ([]leader.Dropped, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT node, at, logs, open, reports FROM dap_drops ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("reading what was given up: %w", err)
	}
	defer rows.Close()
	var all []leader.Dropped
	for rows.Next() {
		var d leader.Dropped
		var at int64
		if err := rows.Scan(&d.Node, &at, &d.Logs, &d.Open, &d.Reports); err != nil {
			return nil, fmt.Errorf("reading what was given up: %w", err)
		}
		d.At = column.Time(at)
		all = append(all, d)
	}
	return all, rows.Err()
}

// Holders implements [leader.Store].
func (s *Leader) Holders(ctx context.Context, c leader.Collection) ([]leader.Holder, error) {
	var start, end int64
	if c.Interval.Duration > 0 {
		var err error
		if start, end, err = column.Span(c.Interval); err != nil {
			return nil, err
		}
	}
	rows, err := s.db.QueryContext(ctx, `SELECT h.node, sum(h.logs), sum(h.jobs), coalesce((SELECT until FROM dap_nodes n WHERE n.node = h.node), 0) FROM (
			SELECT node, 1 AS logs, 0 AS jobs FROM dap_logs WHERE task = ?1 AND number <= ?2 AND state <> ?3
			UNION ALL SELECT node, 0, 1 FROM dap_jobs WHERE task = ?1
				AND CASE WHEN ?5 > ?4 THEN span_start < ?5 AND ?4 < span_end ELSE length(?6) > 0 AND batch = ?6 END
		) h GROUP BY h.node ORDER BY h.node`, c.Task[:], int64(c.Upto), leader.LogDone, start, end, column.Batch(&c.Batch))
	if err != nil {
		return nil, fmt.Errorf("reading what collection job %v of task %v waits for: %w", c.ID, c.Task, err)
	}
	defer rows.Close()
	var all []leader.Holder
	for rows.Next() {
		var h leader.Holder
		var until int64
		if err := rows.Scan(&h.Node, &h.Logs, &h.Jobs, &until); err != nil {
			return nil, fmt.Errorf("reading what collection job %v of task %v waits for: %w", c.ID, c.Task, err)
		}
		h.Until = column.Time(until)
		all = append(all, h)
	}
	return all, rows.Err()
}

// first fails with [leader.ErrBusy] while another collection job of the
// leader-selected mode waits longer.
func first(ctx context.Context, tx *sql.Tx, c *leader.Collection) error {
	if c.Batch == (dap.BatchID{}) {
		return nil
	}
	var ahead int
	err := tx.QueryRowContext(ctx, `SELECT count(*) FROM dap_collections WHERE task = ?1 AND state = ?2 AND interval_end = interval_start
		AND id < (SELECT id FROM dap_collections WHERE task = ?1 AND job = ?3)`, c.Task[:], leader.Waiting, c.ID[:]).Scan(&ahead)
	if err == nil && ahead > 0 {
		return leader.ErrBusy
	}
	return err
}

func addLosses(ctx context.Context, tx *sql.Tx, task dap.TaskID, all []leader.Loss) error {
	for _, l := range all {
		_, err := tx.ExecContext(ctx, `INSERT INTO dap_losses (task, unit, reports) VALUES (?, ?, ?)
			ON CONFLICT (task, unit) DO UPDATE SET reports = reports + excluded.reports`, task[:], int64(min(l.Unit, math.MaxInt64)), int64(l.Reports))
		if err != nil {
			return err
		}
	}
	return nil
}

// Losses implements [leader.Store].
func (s *Leader) Losses(ctx context.Context, task dap.TaskID, i dap.Interval) (n uint64, err error) {
	start, end, err := column.Span(i)
	if err == nil {
		err = s.db.QueryRowContext(ctx, `SELECT coalesce(sum(reports), 0) FROM dap_losses WHERE task = ? AND unit >= ? AND unit < ?`, task[:], start, end).Scan(&n)
	}
	if err != nil {
		return 0, fmt.Errorf("reading the losses of task %v: %w", task, err)
	}
	return n, nil
}
