package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/store/column"
)

// A rowReader is a database or a transaction.
type rowReader interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// ledgerRow is a ledger's row and its head without marks.
type ledgerRow struct {
	id int64
	ledger.Head
}

// ledgerOf reads a task's ledger. It fails with [ledger.ErrNotBegun].
func ledgerOf(ctx context.Context, q rowReader, task dap.TaskID) (ledgerRow, error) {
	var r ledgerRow
	err := q.QueryRowContext(ctx, `SELECT id, window, shards, generation, watermark FROM dap_ledgers WHERE task = ?`, task[:]).
		Scan(&r.id, &r.Layout.Window, &r.Layout.Shards, &r.Generation, &r.Watermark)
	if isNoRows(err) {
		err = ledger.ErrNotBegun
	}
	return r, err
}

// ledgerAt reads a task's ledger, which must have a generation.
func ledgerAt(ctx context.Context, tx *sql.Tx, task dap.TaskID, generation uint64) (ledgerRow, error) {
	r, err := ledgerOf(ctx, tx, task)
	if err == nil && r.Generation != generation {
		err = ledger.ErrConflict
	}
	return r, err
}

// Begin implements [ledger.Store].
func (a *aggregator) Begin(ctx context.Context, task dap.TaskID, l ledger.Layout) (ledger.Layout, error) {
	if err := l.Validate(); err != nil {
		return ledger.Layout{}, err
	}
	if l.Window > math.MaxInt64 {
		return ledger.Layout{}, errors.New("ledger window out of range")
	}
	var r ledgerRow
	err := transact(ctx, a.db, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO dap_ledgers (task, window, shards, generation, watermark) VALUES (?, ?, ?, 0, 0)
			ON CONFLICT DO NOTHING`, task[:], int64(l.Window), l.Shards)
		if err != nil {
			return err
		}
		r, err = ledgerOf(ctx, tx, task)
		return err
	})
	if err != nil {
		return ledger.Layout{}, fmt.Errorf("beginning the ledger of task %v: %w", task, err)
	}
	return r.Layout, nil
}

// Head implements [ledger.Store].
func (a *aggregator) Head(ctx context.Context, task dap.TaskID, since uint64) (ledger.Head, error) {
	var r ledgerRow
	err := transact(ctx, a.db, func(tx *sql.Tx) error { // one state of both tables
		var err error
		if r, err = ledgerOf(ctx, tx, task); err != nil {
			return err
		}
		r.Marks, err = marksOf(ctx, tx, r.id, since)
		return err
	})
	if err != nil {
		return ledger.Head{}, fmt.Errorf("reading the ledger of task %v: %w", task, err)
	}
	return r.Head, nil
}

func marksOf(ctx context.Context, tx *sql.Tx, id int64, since uint64) ([]ledger.Mark, error) {
	rows, err := tx.QueryContext(ctx, `SELECT generation, mode, config FROM dap_marks WHERE ledger = ? AND generation > ? ORDER BY generation`,
		id, int64(min(since, math.MaxInt64)))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []ledger.Mark
	for rows.Next() {
		var m ledger.Mark
		if err := rows.Scan(&m.Generation, &m.Selector.Mode, &m.Selector.Config); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, rows.Err()
}

// Blocks implements [ledger.Store].
func (a *aggregator) Blocks(ctx context.Context, task dap.TaskID, page ledger.Page, after uint32) ([]ledger.Block, error) {
	all, err := a.blocks(ctx, task, page, after)
	if err != nil {
		return nil, fmt.Errorf("reading page %v of task %v: %w", page, task, err)
	}
	return all, nil
}

func (a *aggregator) blocks(ctx context.Context, task dap.TaskID, page ledger.Page, after uint32) ([]ledger.Block, error) {
	r, err := ledgerOf(ctx, a.db, task)
	if err != nil {
		return nil, err
	}
	if page.Window > math.MaxInt64 {
		return nil, errors.New("window out of range")
	}
	rows, err := a.db.QueryContext(ctx, `SELECT seq, ids FROM dap_blocks WHERE ledger = ? AND window = ? AND shard = ? AND seq > ? ORDER BY seq`,
		r.id, int64(page.Window), page.Shard, after)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []ledger.Block
	for ids := 0; ids < ledger.ReadIDs && rows.Next(); {
		b := ledger.Block{Page: page}
		if err := rows.Scan(&b.Seq, &b.IDs); err != nil {
			return nil, err
		}
		all = append(all, b)
		ids += len(b.IDs) / ledger.IDSize
	}
	return all, rows.Err()
}

// Block implements [ledger.Store].
func (a *aggregator) Block(ctx context.Context, task dap.TaskID, page ledger.Page, seq uint32) (ledger.Block, error) {
	b := ledger.Block{Page: page, Seq: seq}
	err := a.db.QueryRowContext(ctx, `SELECT ids FROM dap_blocks WHERE ledger = (SELECT id FROM dap_ledgers WHERE task = ?) AND window = ? AND shard = ? AND seq = ?`,
		task[:], int64(min(page.Window, math.MaxInt64)), page.Shard, seq).Scan(&b.IDs)
	if isNoRows(err) {
		err = ledger.ErrConflict
	}
	if err != nil {
		return ledger.Block{}, fmt.Errorf("reading block %d of page %v of task %v: %w", seq, page, task, err)
	}
	return b, nil
}

// Last implements [ledger.Store].
func (a *aggregator) Last(ctx context.Context, task dap.TaskID, page ledger.Page) (last uint32, err error) {
	err = a.db.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM dap_blocks WHERE ledger = (SELECT id FROM dap_ledgers WHERE task = ?) AND window = ? AND shard = ?`,
		task[:], int64(min(page.Window, math.MaxInt64)), page.Shard).Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("reading page %v of task %v: %w", page, task, err)
	}
	return last, nil
}

// Sums implements [ledger.Store].
func (a *aggregator) Sums(ctx context.Context, task dap.TaskID, s dap.BatchSelector) ([]ledger.Sum, error) {
	r, err := ledgerOf(ctx, a.db, task)
	if err != nil {
		return nil, fmt.Errorf("reading a batch of task %v: %w", task, err)
	}
	all, err := sumsOf(ctx, a.db, r.id, s, true)
	if err != nil {
		return nil, fmt.Errorf("reading a batch of task %v: %w", task, err)
	}
	return all, nil
}

// batchWhere is the condition for the parts of a batch, with its arguments.
func batchWhere(id int64, s dap.BatchSelector) (string, []any, error) {
	first, last, batch, err := column.Parts(s)
	return `ledger = ? AND unit BETWEEN ? AND ? AND batch = ?`, []any{id, first, last, batch}, err
}

// sumsOf reads the parts of a batch, with or without their totals.
func sumsOf(ctx context.Context, q rowReader, id int64, s dap.BatchSelector, totals bool) ([]ledger.Sum, error) {
	where, args, err := batchWhere(id, s)
	if err != nil {
		return nil, err
	}
	sealed := `sealed`
	if !totals {
		sealed = `NULL`
	}
	rows, err := q.QueryContext(ctx, `SELECT unit, batch, part, rev, latest, `+sealed+` FROM dap_sums WHERE `+where+` ORDER BY unit, batch, part`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []ledger.Sum
	for rows.Next() {
		var sum ledger.Sum
		var batch []byte
		if err := rows.Scan(&sum.Place.Bucket.Unit, &batch, &sum.Place.Part, &sum.Rev, &sum.Latest, &sum.Total); err != nil {
			return nil, err
		}
		copy(sum.Place.Bucket.Batch[:], batch)
		all = append(all, sum)
	}
	return all, rows.Err()
}

// Commit implements [ledger.Store].
func (a *aggregator) Commit(ctx context.Context, c ledger.Change) error {
	if err := c.Check(); err != nil {
		return err
	}
	err := transact(ctx, a.db, func(tx *sql.Tx) error { return commitChange(ctx, tx, &c) })
	if err != nil {
		return fmt.Errorf("committing to the ledger of task %v: %w", c.Task, err)
	}
	return nil
}

// commitChange makes a checked change within a transaction.
func commitChange(ctx context.Context, tx *sql.Tx, c *ledger.Change) error {
	r, err := ledgerAt(ctx, tx, c.Task, c.Generation)
	if err != nil {
		return err
	}
	for i := range c.Blocks {
		b := &c.Blocks[i]
		// The number must follow the page's last one.
		result, err := tx.ExecContext(ctx, `INSERT INTO dap_blocks (ledger, window, shard, seq, ids) SELECT ?1, ?2, ?3, ?4, ?5
			WHERE ?4 - 1 = (SELECT coalesce(max(seq), 0) FROM dap_blocks WHERE ledger = ?1 AND window = ?2 AND shard = ?3)`,
			r.id, int64(b.Page.Window), b.Page.Shard, b.Seq, b.IDs)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, ledger.ErrConflict)
		}
	}
	for _, d := range c.Deltas {
		if err := addDelta(ctx, tx, r.id, d, c.Merge); err != nil {
			return err
		}
	}
	if c.Spent != nil {
		return commitChange(ctx, tx, c.Spent)
	}
	return nil
}

func addDelta(ctx context.Context, tx *sql.Tx, id int64, d ledger.Delta, merge func(ledger.Place, []byte) ([]byte, error)) error {
	var row int64
	var old []byte
	err := tx.QueryRowContext(ctx, `SELECT id, sealed FROM dap_sums WHERE ledger = ? AND unit = ? AND batch = ? AND part = ?`,
		id, int64(d.Place.Bucket.Unit), column.Batch(&d.Place.Bucket.Batch), d.Place.Part).Scan(&row, &old)
	fresh := isNoRows(err)
	if err != nil && !fresh {
		return err
	}
	sealed, err := merge(d.Place, old)
	if err != nil {
		return err
	}
	if fresh {
		_, err = tx.ExecContext(ctx, `INSERT INTO dap_sums (ledger, unit, batch, part, rev, latest, sealed) VALUES (?, ?, ?, ?, 1, ?, ?)`,
			id, int64(d.Place.Bucket.Unit), column.Batch(&d.Place.Bucket.Batch), d.Place.Part, int64(d.Latest), sealed)
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE dap_sums SET rev = rev + 1, latest = max(latest, ?), sealed = ? WHERE id = ?`, int64(d.Latest), sealed, row)
	return err
}

// Collect implements [ledger.Store].
func (a *aggregator) Collect(ctx context.Context, c ledger.Collection) error {
	err := transact(ctx, a.db, func(tx *sql.Tx) error { return collectBatch(ctx, tx, &c) })
	if err != nil {
		return fmt.Errorf("collecting from the ledger of task %v: %w", c.Task, err)
	}
	return nil
}

// collectBatch makes a collection within a transaction.
func collectBatch(ctx context.Context, tx *sql.Tx, c *ledger.Collection) error {
	r, err := ledgerAt(ctx, tx, c.Task, c.Generation)
	if err != nil {
		return err
	}
	sums, err := sumsOf(ctx, tx, r.id, c.Selector, false)
	if err != nil {
		return err
	}
	if !c.Match(sums) {
		return ledger.ErrConflict
	}
	where, args, err := batchWhere(r.id, c.Selector)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM dap_sums WHERE `+where, args...); err != nil {
		return err
	}
	_, last, batch, err := ledger.Range(c.Selector)
	if err != nil {
		return err
	}
	end := sql.NullInt64{Int64: int64(last), Valid: batch == nil}
	_, err = tx.ExecContext(ctx, `INSERT INTO dap_marks (ledger, generation, mode, config, last) VALUES (?, ?, ?, ?, ?)`,
		r.id, int64(c.Generation)+1, c.Selector.Mode, c.Selector.Config, end)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE dap_ledgers SET generation = generation + 1 WHERE id = ?`, r.id)
	return err
}

// Evict implements [ledger.Store].
func (a *aggregator) Evict(ctx context.Context, task dap.TaskID, generation uint64, watermark dap.Time) error {
	err := transact(ctx, a.db, func(tx *sql.Tx) error {
		r, err := ledgerAt(ctx, tx, task, generation)
		if err != nil || watermark <= r.Watermark {
			return err
		}
		if watermark > math.MaxInt64 {
			return errors.New("watermark out of range")
		}
		for _, do := range []struct {
			text string
			at   int64
		}{
			{`DELETE FROM dap_blocks WHERE ledger = ? AND window < ?`, int64(uint64(watermark) / uint64(r.Layout.Window))},
			{`DELETE FROM dap_sums AS s WHERE ledger = ?1 AND latest < ?2 AND NOT EXISTS (
				SELECT 1 FROM dap_sums WHERE ledger = ?1 AND unit = s.unit AND batch = s.batch AND latest >= ?2)`, int64(watermark)},
			{`DELETE FROM dap_marks WHERE ledger = ? AND last < ?`, int64(watermark)},
			{`UPDATE dap_ledgers SET generation = generation + 1, watermark = ?2 WHERE id = ?1`, int64(watermark)},
		} {
			if _, err := tx.ExecContext(ctx, do.text, r.id, do.at); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("evicting from the ledger of task %v: %w", task, err)
	}
	return nil
}

// Compact implements [ledger.Store].
func (a *aggregator) Compact(ctx context.Context, task dap.TaskID, c ledger.Compaction) error {
	if err := c.Check(); err != nil {
		return err
	}
	at := c.Page()
	err := transact(ctx, a.db, func(tx *sql.Tx) error {
		r, err := ledgerOf(ctx, tx, task)
		if err != nil {
			return err
		}
		page := []any{r.id, int64(at.Window), at.Shard}
		const replaced = `FROM dap_blocks WHERE ledger = ? AND window = ? AND shard = ? AND seq > ? AND seq <= ?`
		var n, last, end int
		err = tx.QueryRowContext(ctx, `SELECT count(*), coalesce(max(seq), 0) `+replaced, append(page, c.After, c.Last)...).Scan(&n, &last)
		if err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM dap_blocks WHERE ledger = ? AND window = ? AND shard = ?`, page...).Scan(&end)
		if err != nil {
			return err
		}
		if n != c.Count || last != int(c.Last) || c.Appends() && int(c.Blocks[0].Seq) != end+1 {
			return ledger.ErrConflict
		}
		if _, err := tx.ExecContext(ctx, `DELETE `+replaced, append(page, c.After, c.Last)...); err != nil {
			return err
		}
		for i := range c.Blocks {
			_, err := tx.ExecContext(ctx, `INSERT INTO dap_blocks (ledger, window, shard, seq, ids) VALUES (?, ?, ?, ?, ?)`,
				append(page, c.Blocks[i].Seq, c.Blocks[i].IDs)...)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("compacting page %v of task %v: %w", at, task, err)
	}
	return nil
}
