package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/store/column"
)

// lockClaim keeps the node's name from being taken until the transaction ends, if
// the token is the newest. A name that is being taken is waited for.
const lockClaim = `SELECT 1 FROM dap_nodes WHERE node = $1 AND token = $2 FOR SHARE`

// fence queues the check of the claim that the store is seen with.
func (s *Leader) fence(b *pgx.Batch) {
	b.Queue(lockClaim, s.claim.Node, number(s.claim.Token)).QueryRow(func(row pgx.Row) error {
		var one int
		err := row.Scan(&one)
		if isNoRows(err) {
			return leader.ErrFenced
		}
		return err
	})
}

// fenced makes the check by itself.
func (s *Leader) fenced(ctx context.Context, q querier) error {
	var token int64
	err := q.QueryRow(ctx, `SELECT token FROM dap_nodes WHERE node = $1`, s.claim.Node).Scan(&token)
	if err == nil && uint64(token) == s.claim.Token {
		return nil
	}
	if err == nil || isNoRows(err) {
		return leader.ErrFenced
	}
	return err
}

// As implements [leader.Store].
func (s *Leader) As(c leader.Claim) leader.Store { return &Leader{aggregator: s.aggregator, claim: c} }

// takeName locks a node's name against all that the node changes, and returns its
// newest claim, of token 0 if it had none.
func takeName(ctx context.Context, tx pgx.Tx, node string) (leader.Claim, error) {
	var b pgx.Batch
	b.Queue(`INSERT INTO dap_nodes (node, disk, token) VALUES ($1, '', 0) ON CONFLICT DO NOTHING`, node)
	b.Queue(`INSERT INTO dap_leases (node, token, until) VALUES ($1, 0, 0) ON CONFLICT DO NOTHING`, node)
	if err := send(ctx, tx, &b); err != nil {
		return leader.Claim{}, err
	}
	c := leader.Claim{Node: node}
	var token, until int64
	if err := tx.QueryRow(ctx, `SELECT disk, token FROM dap_nodes WHERE node = $1 FOR UPDATE`, node).Scan(&c.Disk, &token); err != nil {
		return leader.Claim{}, err
	}
	if err := tx.QueryRow(ctx, `SELECT until FROM dap_leases WHERE node = $1 FOR UPDATE`, node).Scan(&until); err != nil {
		return leader.Claim{}, err
	}
	c.Token, c.Until = uint64(token), column.Time(until)
	return c, nil
}

func storeClaim(ctx context.Context, tx pgx.Tx, c leader.Claim) error {
	var b pgx.Batch
	b.Queue(`UPDATE dap_nodes SET disk = $2, token = $3 WHERE node = $1`, c.Node, c.Disk, number(c.Token))
	b.Queue(`UPDATE dap_leases SET token = $2, until = $3 WHERE node = $1`, c.Node, number(c.Token), column.Seconds(c.Until))
	return send(ctx, tx, &b)
}

// Claim implements [leader.Store].
func (s *Leader) Claim(ctx context.Context, c leader.Claim, now time.Time) (leader.Claim, error) {
	err := s.transact(ctx, func(tx pgx.Tx) error {
		have, err := takeName(ctx, tx, c.Node)
		if err != nil {
			return err
		}
		if have.Disk != c.Disk && have.Until.After(now) {
			return &leader.HeldError{Node: c.Node, Until: have.Until}
		}
		if err := formerClaim(ctx, tx, c.Node); err != nil {
			return err
		}
		c.Token = have.Token + 1
		return storeClaim(ctx, tx, c)
	})
	if err != nil {
		return leader.Claim{}, fmt.Errorf("claiming node %q: %w", c.Node, err)
	}
	return c, nil
}

// formerClaim fails while a process of a version that has no leases runs with the
// node's name: it holds an advisory lock.
func formerClaim(ctx context.Context, tx pgx.Tx, node string) error {
	var free bool
	err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(hashtextextended(current_schema() || ' ' || $1, $2))`, node, int64(migrationLock)).Scan(&free)
	if err == nil && !free {
		err = fmt.Errorf("%w: a process of an earlier version runs with this name: end it first", leader.ErrHeld)
	}
	return err
}

// Renew implements [leader.Store].
func (s *Leader) Renew(ctx context.Context, c leader.Claim) error {
	tag, err := s.pool.Exec(ctx, `UPDATE dap_leases SET until = $3 WHERE node = $1 AND token = $2 AND token > 0`, c.Node, number(c.Token), column.Seconds(c.Until))
	if err == nil {
		err = only(leader.ErrFenced)(tag)
	}
	if err != nil {
		return fmt.Errorf("renewing the claim on node %q: %w", c.Node, err)
	}
	return nil
}

// Nodes implements [leader.Store].
func (s *Leader) Nodes(ctx context.Context) ([]leader.Claim, error) {
	rows, err := s.pool.Query(ctx, `SELECT node, disk, token, until FROM dap_nodes JOIN dap_leases USING (node, token)
		UNION ALL SELECT DISTINCT node, '', 0::bigint, 0::bigint FROM dap_logs WHERE node NOT IN (SELECT node FROM dap_nodes)`)
	if err != nil {
		return nil, fmt.Errorf("reading nodes: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (leader.Claim, error) {
		var c leader.Claim
		var token, until int64
		err := row.Scan(&c.Node, &c.Disk, &token, &until)
		c.Token, c.Until = uint64(token), column.Time(until)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading nodes: %w", err)
	}
	slices.SortFunc(all, func(a, b leader.Claim) int { return strings.Compare(a.Node, b.Node) }) // in no locale
	return all, nil
}

// DropNode implements [leader.Store].
func (s *Leader) DropNode(ctx context.Context, node string, now time.Time) (leader.Dropped, error) {
	d := leader.Dropped{Node: node, At: now.UTC().Truncate(time.Second)}
	err := s.transact(ctx, func(tx pgx.Tx) error {
		c, err := takeName(ctx, tx, node)
		if err != nil {
			return err
		}
		if c.Until.After(now) {
			return &leader.HeldError{Node: node, Until: c.Until}
		}
		if err := formerClaim(ctx, tx, node); err != nil {
			return err
		}
		c.Disk, c.Until = "", time.Time{}
		c.Token++
		if err := storeClaim(ctx, tx, c); err != nil {
			return err
		}
		return dropLogs(ctx, tx, &d)
	})
	if err != nil {
		return leader.Dropped{}, fmt.Errorf("dropping node %q: %w", node, err)
	}
	return d, nil
}

// dropLogs removes what a node has, and counts it.
func dropLogs(ctx context.Context, tx pgx.Tx, d *leader.Dropped) error {
	// In order, as all that change several tasks.
	_, err := tx.Exec(ctx, `SELECT 1 FROM dap_intakes WHERE task IN (SELECT task FROM dap_logs WHERE node = $1) ORDER BY task FOR UPDATE`, d.Node)
	if err != nil {
		return err
	}
	var reports int64
	err = tx.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM dap_logs l WHERE node = $1 AND (state <> $2 OR EXISTS (SELECT 1 FROM dap_jobs j WHERE j.task = l.task AND j.log = l.number))),
		(SELECT count(*) FROM dap_logs WHERE node = $1 AND state = $3),
		((SELECT coalesce(sum(records), 0) FROM dap_logs WHERE node = $1 AND state <> $2) + (SELECT coalesce(sum(reports), 0) FROM dap_jobs WHERE node = $1))::bigint`,
		d.Node, int16(leader.LogDone), int16(leader.LogOpen)).Scan(&d.Logs, &d.Open, &reports)
	if err != nil {
		return err
	}
	d.Reports = uint64(reports)
	var b pgx.Batch
	b.Queue(`UPDATE dap_batches b SET assigned = assigned - j.reports
		FROM (SELECT task, batch, sum(reports)::bigint AS reports FROM dap_jobs WHERE node = $1 GROUP BY task, batch) j
		WHERE b.task = j.task AND b.batch = j.batch`, d.Node)
	b.Queue(`DELETE FROM dap_jobs WHERE node = $1`, d.Node)
	b.Queue(`DELETE FROM dap_logs WHERE node = $1`, d.Node)
	b.Queue(`INSERT INTO dap_drops (node, at, logs, open, reports) VALUES ($1, $2, $3, $4, $5)`, d.Node, column.Seconds(d.At), int64(d.Logs), int64(d.Open), reports)
	return send(ctx, tx, &b)
}

// Drops implements [leader.Store].
func (s *Leader) Drops(ctx context.Context) ([]leader.Dropped, error) {
	rows, err := s.pool.Query(ctx, `SELECT node, at, logs, open, reports FROM dap_drops ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("reading what was given up: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (leader.Dropped, error) {
		var d leader.Dropped
		var at, reports int64
		err := row.Scan(&d.Node, &at, &d.Logs, &d.Open, &reports)
		d.At, d.Reports = column.Time(at), uint64(reports)
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what was given up: %w", err)
	}
	return all, nil
}

// Holders implements [leader.Store].
func (s *Leader) Holders(ctx context.Context, c leader.Collection) ([]leader.Holder, error) {
	start, end, err := collectionSpan(&c)
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, `SELECT h.node, sum(h.logs), sum(h.jobs), coalesce((SELECT until FROM dap_leases l WHERE l.node = h.node), 0) FROM (
			SELECT node, 1 AS logs, 0 AS jobs FROM dap_logs WHERE task = $1 AND number <= $2 AND state <> $3
			UNION ALL SELECT node, 0, 1 FROM dap_jobs WHERE task = $1
				AND CASE WHEN $5::bigint > $4::bigint THEN span_start < $5 AND $4 < span_end ELSE length($6::bytea) > 0 AND batch = $6 END
		) h GROUP BY h.node`, c.Task[:], number(c.Upto), int16(leader.LogDone), start, end, column.Batch(&c.Batch))
	if err != nil {
		return nil, fmt.Errorf("reading what collection job %v of task %v waits for: %w", c.ID, c.Task, err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (leader.Holder, error) {
		var h leader.Holder
		var until int64
		err := row.Scan(&h.Node, &h.Logs, &h.Jobs, &until)
		h.Until = column.Time(until)
		return h, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what collection job %v of task %v waits for: %w", c.ID, c.Task, err)
	}
	slices.SortFunc(all, func(a, b leader.Holder) int { return strings.Compare(a.Node, b.Node) })
	return all, nil
}

// first fails with [leader.ErrBusy] while another collection job of the
// leader-selected mode waits longer.
func first(ctx context.Context, tx pgx.Tx, c *leader.Collection) error {
	if c.Batch == (dap.BatchID{}) {
		return nil
	}
	var ahead int
	err := tx.QueryRow(ctx, `SELECT count(*) FROM dap_collections WHERE task = $1 AND state = $2 AND interval_end = interval_start
		AND id < (SELECT id FROM dap_collections WHERE task = $1 AND job = $3)`, c.Task[:], int16(leader.Waiting), c.ID[:]).Scan(&ahead)
	if err == nil && ahead > 0 {
		return leader.ErrBusy
	}
	return err
}

func addLosses(ctx context.Context, tx pgx.Tx, task dap.TaskID, all []leader.Loss) error {
	var b pgx.Batch
	for _, l := range slices.SortedFunc(slices.Values(all), func(a, b leader.Loss) int { return cmp.Compare(a.Unit, b.Unit) }) { // so that none waits for another's
		b.Queue(`INSERT INTO dap_losses AS l (task, unit, reports) VALUES ($1, $2, $3)
			ON CONFLICT (task, unit) DO UPDATE SET reports = l.reports + excluded.reports`, task[:], number(uint64(l.Unit)), number(l.Reports))
	}
	return send(ctx, tx, &b)
}

// Losses implements [leader.Store].
func (s *Leader) Losses(ctx context.Context, task dap.TaskID, i dap.Interval) (uint64, error) {
	var n int64
	start, end, err := column.Span(i)
	if err == nil {
		err = s.pool.QueryRow(ctx, `SELECT coalesce(sum(reports), 0)::bigint FROM dap_losses WHERE task = $1 AND unit >= $2 AND unit < $3`, task[:], start, end).Scan(&n)
	}
	if err != nil {
		return 0, fmt.Errorf("reading the losses of task %v: %w", task, err)
	}
	return uint64(n), nil
}
