package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/store/column"
)

// A querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}

// ledgerRow is a ledger's row and its head without marks.
type ledgerRow struct {
	id int64
	ledger.Head
}

// A lock is how a ledger's row is locked until the transaction ends.
type lock string

const (
	unlocked  lock = ""
	shared    lock = " FOR SHARE"  // commits: many at once
	exclusive lock = " FOR UPDATE" // alone, after the commits that are under way
)

const selectLedger = `SELECT id, span, shards, generation, watermark FROM dap_ledgers WHERE task = $1`

func scanLedger(row pgx.Row) (ledgerRow, error) {
	var r ledgerRow
	var span, generation, watermark int64
	var shards int32
	err := row.Scan(&r.id, &span, &shards, &generation, &watermark)
	if isNoRows(err) {
		return r, ledger.ErrNotBegun
	}
	r.Layout = ledger.Layout{Window: dap.Duration(span), Shards: uint16(shards)}
	r.Generation, r.Watermark = uint64(generation), dap.Time(watermark)
	return r, err
}

// ledgerOf reads a task's ledger. It fails with [ledger.ErrNotBegun].
func ledgerOf(ctx context.Context, q querier, task dap.TaskID, l lock) (ledgerRow, error) {
	return scanLedger(q.QueryRow(ctx, selectLedger+string(l), task[:]))
}

// ledgerAt locks a task's ledger, which must have a generation.
func ledgerAt(ctx context.Context, tx pgx.Tx, task dap.TaskID, generation uint64, l lock) (ledgerRow, error) {
	r, err := ledgerOf(ctx, tx, task, l)
	if err == nil && r.Generation != generation {
		err = ledger.ErrConflict
	}
	return r, err
}

// step makes a step of a task's ledger in a transaction. What lost against others
// is a conflict.
func (a *aggregator) step(ctx context.Context, what string, task dap.TaskID, do func(pgx.Tx) error) error {
	err := transact(forTask(ctx, task), a.pool, do)
	if contended(err) {
		err = fmt.Errorf("%w: %w", ledger.ErrConflict, err)
	}
	if err != nil {
		return fmt.Errorf("%s the ledger of task %v: %w", what, task, err)
	}
	return nil
}

// Begin implements [ledger.Store].
func (a *aggregator) Begin(ctx context.Context, task dap.TaskID, l ledger.Layout) (ledger.Layout, error) {
	if err := l.Validate(); err != nil {
		return ledger.Layout{}, err
	}
	if l.Window > math.MaxInt64 {
		return ledger.Layout{}, errors.New("ledger window out of range")
	}
	_, err := a.pool.Exec(forTask(ctx, task), `INSERT INTO dap_ledgers (task, span, shards, generation, watermark) VALUES ($1, $2, $3, 0, 0)
		ON CONFLICT DO NOTHING`, task[:], int64(l.Window), int32(l.Shards))
	if err != nil {
		return ledger.Layout{}, fmt.Errorf("beginning the ledger of task %v: %w", task, err)
	}
	r, err := ledgerOf(ctx, a.pool, task, unlocked)
	if err != nil {
		return ledger.Layout{}, fmt.Errorf("beginning the ledger of task %v: %w", task, err)
	}
	return r.Layout, nil
}

// Head implements [ledger.Store].
func (a *aggregator) Head(ctx context.Context, task dap.TaskID, since uint64) (ledger.Head, error) {
	var r ledgerRow
	// One state of both tables.
	err := a.pool.read(ctx, func(tx pgx.Tx) error {
		var b pgx.Batch
		b.Queue(selectLedger, task[:])
		b.Queue(`SELECT m.generation, m.mode, m.config FROM dap_marks m JOIN dap_ledgers l ON l.id = m.ledger
			WHERE l.task = $1 AND m.generation > $2 ORDER BY m.generation`, task[:], int64(min(since, math.MaxInt64)))
		results := tx.SendBatch(ctx, &b)
		defer results.Close()
		var err error
		if r, err = scanLedger(results.QueryRow()); err != nil {
			return err
		}
		rows, err := results.Query()
		if err != nil {
			return err
		}
		r.Marks, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (ledger.Mark, error) {
			var m ledger.Mark
			var generation int64
			var mode int16
			err := row.Scan(&generation, &mode, &m.Selector.Config)
			m.Generation, m.Selector.Mode = uint64(generation), dap.BatchMode(mode)
			return m, err
		})
		return err
	})
	if err != nil {
		return ledger.Head{}, fmt.Errorf("reading the ledger of task %v: %w", task, err)
	}
	return r.Head, nil
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
	r, err := ledgerOf(ctx, a.pool, task, unlocked)
	if err != nil {
		return nil, err
	}
	if page.Window > math.MaxInt64 {
		return nil, errors.New("window out of range")
	}
	// Of 256 rows, so many that the IDs before the last of them are below the limit.
	rows, err := a.pool.Query(ctx, `SELECT seq, ids FROM (
			SELECT seq, ids, sum(length(ids)) OVER (ORDER BY seq) - length(ids) AS before FROM (
				SELECT seq, ids FROM dap_blocks WHERE ledger = $1 AND page = $2 AND shard = $3 AND seq > $4 ORDER BY seq LIMIT 256) AS next) AS sized
		WHERE before < $5 ORDER BY seq`,
		r.id, int64(page.Window), int16(page.Shard), int64(after), int64(ledger.ReadIDs*ledger.IDSize))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (ledger.Block, error) {
		b := ledger.Block{Page: page}
		var seq int64
		err := row.Scan(&seq, &b.IDs)
		b.Seq = uint32(seq)
		return b, err
	})
}

// Block implements [ledger.Store].
func (a *aggregator) Block(ctx context.Context, task dap.TaskID, page ledger.Page, seq uint32) (ledger.Block, error) {
	b := ledger.Block{Page: page, Seq: seq}
	err := a.pool.QueryRow(ctx, `SELECT ids FROM dap_blocks WHERE ledger = (SELECT id FROM dap_ledgers WHERE task = $1) AND page = $2 AND shard = $3 AND seq = $4`,
		task[:], int64(min(page.Window, math.MaxInt64)), int16(page.Shard), int64(seq)).Scan(&b.IDs)
	if isNoRows(err) {
		err = ledger.ErrConflict
	}
	if err != nil {
		return ledger.Block{}, fmt.Errorf("reading block %d of page %v of task %v: %w", seq, page, task, err)
	}
	return b, nil
}

// Last implements [ledger.Store].
func (a *aggregator) Last(ctx context.Context, task dap.TaskID, page ledger.Page) (uint32, error) {
	var last int64
	err := a.pool.QueryRow(ctx, `SELECT coalesce(max(seq), 0) FROM dap_blocks WHERE ledger = (SELECT id FROM dap_ledgers WHERE task = $1) AND page = $2 AND shard = $3`,
		task[:], int64(min(page.Window, math.MaxInt64)), int16(page.Shard)).Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("reading page %v of task %v: %w", page, task, err)
	}
	return uint32(last), nil
}

// Sums implements [ledger.Store].
func (a *aggregator) Sums(ctx context.Context, task dap.TaskID, s dap.BatchSelector) ([]ledger.Sum, error) {
	r, err := ledgerOf(ctx, a.pool, task, unlocked)
	if err != nil {
		return nil, fmt.Errorf("reading a batch of task %v: %w", task, err)
	}
	all, err := sumsOf(ctx, a.pool, r.id, s, `sealed`)
	if err != nil {
		return nil, fmt.Errorf("reading a batch of task %v: %w", task, err)
	}
	return all, nil
}

// batchWhere is the condition for the parts of a batch, with its arguments.
func batchWhere(id int64, s dap.BatchSelector) (string, []any, error) {
	first, last, batch, err := column.Parts(s)
	return `ledger = $1 AND unit BETWEEN $2 AND $3 AND batch = $4`, []any{id, first, last, batch}, err
}

// sumsOf reads the parts of a batch, with the column sealed as their totals.
func sumsOf(ctx context.Context, q querier, id int64, s dap.BatchSelector, sealed string) ([]ledger.Sum, error) {
	where, args, err := batchWhere(id, s)
	if err != nil {
		return nil, err
	}
	rows, err := q.Query(ctx, `SELECT unit, batch, part, rev, latest, `+sealed+` FROM dap_sums WHERE `+where+` ORDER BY unit, batch, part`, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanSum)
}

func scanSum(row pgx.CollectableRow) (ledger.Sum, error) {
	var s ledger.Sum
	var unit, rev, latest int64
	var part int16
	var batch []byte
	err := row.Scan(&unit, &batch, &part, &rev, &latest, &s.Total)
	s.Place.Bucket.Unit, s.Place.Part = dap.Time(unit), uint8(part)
	copy(s.Place.Bucket.Batch[:], batch)
	s.Rev, s.Latest = uint64(rev), dap.Time(latest)
	return s, err
}

// Collect implements [ledger.Store].
func (a *aggregator) Collect(ctx context.Context, c ledger.Collection) error {
	return a.step(ctx, "collecting from", c.Task, func(tx pgx.Tx) error { return collectBatch(ctx, tx, &c) })
}

// collectBatch makes a collection within a transaction.
func collectBatch(ctx context.Context, tx pgx.Tx, c *ledger.Collection) error {
	r, err := ledgerAt(ctx, tx, c.Task, c.Generation, exclusive)
	if err != nil {
		return err
	}
	sums, err := sumsOf(ctx, tx, r.id, c.Selector, `NULL::bytea`)
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
	_, last, batch, err := ledger.Range(c.Selector)
	if err != nil {
		return err
	}
	end := sql.NullInt64{Int64: int64(last), Valid: batch == nil}
	config := c.Selector.Config
	if config == nil {
		config = []byte{}
	}
	var b pgx.Batch
	b.Queue(`DELETE FROM dap_sums WHERE `+where, args...)
	b.Queue(`INSERT INTO dap_marks (ledger, generation, mode, config, last) VALUES ($1, $2, $3, $4, $5)`,
		r.id, int64(c.Generation)+1, int16(c.Selector.Mode), config, end)
	b.Queue(`UPDATE dap_ledgers SET generation = generation + 1 WHERE id = $1`, r.id)
	return send(ctx, tx, &b)
}

// Evict implements [ledger.Store].
func (a *aggregator) Evict(ctx context.Context, task dap.TaskID, generation uint64, watermark dap.Time) error {
	return a.step(ctx, "evicting from", task, func(tx pgx.Tx) error {
		r, err := ledgerAt(ctx, tx, task, generation, exclusive)
		if err != nil || watermark <= r.Watermark {
			return err
		}
		if watermark > math.MaxInt64 {
			return errors.New("watermark out of range")
		}
		at := int64(watermark)
		var b pgx.Batch
		b.Queue(`DELETE FROM dap_blocks WHERE ledger = $1 AND page < $2`, r.id, int64(uint64(watermark)/uint64(r.Layout.Window)))
		b.Queue(`DELETE FROM dap_sums s WHERE ledger = $1 AND latest < $2 AND NOT EXISTS (
			SELECT 1 FROM dap_sums o WHERE o.ledger = $1 AND o.unit = s.unit AND o.batch = s.batch AND o.latest >= $2)`, r.id, at)
		b.Queue(`DELETE FROM dap_marks WHERE ledger = $1 AND last < $2`, r.id, at)
		b.Queue(`UPDATE dap_ledgers SET generation = generation + 1, watermark = $2 WHERE id = $1`, r.id, at)
		return send(ctx, tx, &b)
	})
}

// Compact implements [ledger.Store].
func (a *aggregator) Compact(ctx context.Context, task dap.TaskID, c ledger.Compaction) error {
	if err := c.Check(); err != nil {
		return err
	}
	at := c.Page()
	return a.step(ctx, "compacting", task, func(tx pgx.Tx) error {
		r, err := ledgerOf(ctx, tx, task, exclusive)
		if err != nil {
			return err
		}
		where := `ledger = $1 AND page = $2 AND shard = $3 AND seq > $4 AND seq <= $5`
		args := []any{r.id, int64(at.Window), int16(at.Shard), int64(c.After), int64(c.Last)}
		var n int
		var last, end int64
		err = tx.QueryRow(ctx, `SELECT count(*), coalesce(max(seq), 0),
			(SELECT coalesce(max(seq), 0) FROM dap_blocks WHERE ledger = $1 AND page = $2 AND shard = $3) FROM dap_blocks WHERE `+where, args...).Scan(&n, &last, &end)
		if err != nil {
			return err
		}
		if n != c.Count || last != int64(c.Last) || c.Appends() && int64(c.Blocks[0].Seq) != end+1 {
			return ledger.ErrConflict
		}
		var batch pgx.Batch
		batch.Queue(`DELETE FROM dap_blocks WHERE `+where, args...)
		for i := range c.Blocks {
			batch.Queue(`INSERT INTO dap_blocks (ledger, page, shard, seq, ids) VALUES ($1, $2, $3, $4, $5)`,
				r.id, int64(at.Window), int16(at.Shard), int64(c.Blocks[i].Seq), c.Blocks[i].IDs)
		}
		return send(ctx, tx, &batch)
	})
}
