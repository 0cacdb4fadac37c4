package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/store/column"
)

// Commit implements [ledger.Store].
func (a *aggregator) Commit(ctx context.Context, c ledger.Change) error {
	if err := c.Check(); err != nil {
		return err
	}
	return a.step(ctx, "committing to", c.Task, func(tx pgx.Tx) error {
		var b pgx.Batch
		if err := commitChange(ctx, tx, &c, &b); err != nil {
			return err
		}
		return send(ctx, tx, &b)
	})
}

// commitChange makes a checked change within a transaction, except for writes that
// it leaves in last: the caller adds its own and sends them. Whether the change
// conflicts is known before, in one round trip.
func commitChange(ctx context.Context, tx pgx.Tx, c *ledger.Change, last *pgx.Batch) error {
	olds, err := appendBlocks(ctx, tx, c)
	if err != nil {
		return err
	}
	for _, d := range c.Deltas {
		old, there := olds[d.Place]
		sealed, err := c.Merge(d.Place, old)
		if err != nil {
			return err
		}
		bucket := d.Place.Bucket
		args := []any{c.Task[:], int64(bucket.Unit), column.Batch(&bucket.Batch), int16(d.Place.Part), int64(d.Latest), sealed}
		if there { // locked
			last.Queue(`UPDATE dap_sums SET rev = rev + 1, latest = greatest(latest, $5), sealed = $6
				WHERE ledger = (SELECT id FROM dap_ledgers WHERE task = $1) AND unit = $2 AND batch = $3 AND part = $4`, args...)
			continue
		}
		last.Queue(`INSERT INTO dap_sums (ledger, unit, batch, part, rev, latest, sealed)
			SELECT id, $2, $3, $4, 1, $5, $6 FROM dap_ledgers WHERE task = $1 ON CONFLICT DO NOTHING`, args...).
			Exec(only(ledger.ErrConflict)) // another transaction was first
	}
	if c.Spent != nil { // after the task's, in every transaction
		return commitChange(ctx, tx, c.Spent, last)
	}
	return nil
}

// appendBlocks locks the ledger, checks its generation, appends the blocks, and
// locks and returns the totals that the deltas add to.
func appendBlocks(ctx context.Context, tx pgx.Tx, c *ledger.Change) (map[ledger.Place][]byte, error) {
	var b pgx.Batch
	b.Queue(selectLedger+string(shared), c.Task[:])
	for i := range c.Blocks {
		block := &c.Blocks[i]
		// The number must follow the page's last one.
		b.Queue(`INSERT INTO dap_blocks (ledger, page, shard, seq, ids)
			SELECT id, $2, $3, $4::bigint, $5 FROM dap_ledgers WHERE task = $1 AND generation = $6 AND $4::bigint - 1 =
				(SELECT coalesce(max(seq), 0) FROM dap_blocks WHERE ledger = id AND page = $2 AND shard = $3)
			ON CONFLICT DO NOTHING`,
			c.Task[:], int64(block.Page.Window), int16(block.Page.Shard), int64(block.Seq), block.IDs, int64(c.Generation))
	}
	if len(c.Deltas) > 0 {
		units, batches, parts := make([]int64, 0, len(c.Deltas)), make([][]byte, 0, len(c.Deltas)), make([]int16, 0, len(c.Deltas))
		for _, d := range c.Deltas {
			units = append(units, int64(d.Place.Bucket.Unit))
			batches = append(batches, column.Batch(&d.Place.Bucket.Batch))
			parts = append(parts, int16(d.Place.Part))
		}
		// In order, so that two transactions never wait for each other.
		b.Queue(`SELECT s.unit, s.batch, s.part, s.rev, s.latest, s.sealed FROM dap_sums s
			JOIN unnest($2::bigint[], $3::bytea[], $4::smallint[]) AS d (unit, batch, part) USING (unit, batch, part)
			WHERE s.ledger = (SELECT id FROM dap_ledgers WHERE task = $1) ORDER BY s.unit, s.batch, s.part FOR UPDATE OF s`,
			c.Task[:], units, batches, parts)
	}
	results := tx.SendBatch(ctx, &b)
	defer results.Close()
	r, err := scanLedger(results.QueryRow())
	if err != nil {
		return nil, err
	}
	if r.Generation != c.Generation {
		return nil, ledger.ErrConflict
	}
	for range c.Blocks {
		tag, err := results.Exec()
		if err != nil {
			return nil, err
		}
		if err := only(ledger.ErrConflict)(tag); err != nil {
			return nil, err
		}
	}
	olds := make(map[ledger.Place][]byte)
	if len(c.Deltas) == 0 {
		return olds, results.Close()
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	sums, err := pgx.CollectRows(rows, scanSum)
	if err != nil {
		return nil, fmt.Errorf("reading totals: %w", err)
	}
	for _, s := range sums {
		olds[s.Place] = s.Total
	}
	return olds, results.Close()
}
