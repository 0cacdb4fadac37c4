package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
)

// A Shuffler is a [shuffler.Store] in one SQLite file.
type Shuffler struct{ db *sql.DB }

var _ shuffler.Store = (*Shuffler)(nil)

// OpenShuffler opens a shuffler's file, creating it if it is not there.
func OpenShuffler(ctx context.Context, name string) (*Shuffler, error) {
	db, err := open(ctx, name, "shuffler")
	if err != nil {
		return nil, err
	}
	s := &Shuffler{db}
	// A crash may have come between forgetting a seed and emptying the log.
	if err := s.truncateLog(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("opening shuffler store %s: %w", name, err)
	}
	return s, nil
}

// Close closes the file.
func (s *Shuffler) Close() error { return s.db.Close() }

const shufflerColumns = `SELECT task, epoch, state, into_epoch, batch, seed, input, output, counts FROM batches`

// liveBatches is answered by the index batches_live alone: it holds no batch that
// is destroyed (state 7).
const liveBatches = shufflerColumns + ` WHERE state <> 7 ORDER BY task, epoch`

// Installation returns the random ID that the file was given when it was created.
func (s *Shuffler) Installation(ctx context.Context) (string, error) { return installation(ctx, s.db) }

// Batches implements [shuffler.Store].
func (s *Shuffler) Batches(ctx context.Context) ([]shuffler.Batch, error) {
	return s.batches(ctx, shufflerColumns+` ORDER BY task, epoch`)
}

// Live implements [shuffler.Store].
func (s *Shuffler) Live(ctx context.Context) ([]shuffler.Batch, error) {
	return s.batches(ctx, liveBatches)
}

// Batch implements [shuffler.Store].
func (s *Shuffler) Batch(ctx context.Context, k shuffler.Key) (shuffler.Batch, error) {
	if k.Epoch > math.MaxInt64 {
		return shuffler.Batch{}, nil
	}
	all, err := s.batches(ctx, shufflerColumns+` WHERE task = ? AND epoch = ?`, k.Task[:], int64(k.Epoch))
	if err != nil || len(all) == 0 {
		return shuffler.Batch{}, err
	}
	return all[0], nil
}

func (s *Shuffler) batches(ctx context.Context, query string, args ...any) ([]shuffler.Batch, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading batches: %w", err)
	}
	defer rows.Close()
	var all []shuffler.Batch
	for rows.Next() {
		b, err := scanBatch(rows)
		if err != nil {
			return nil, fmt.Errorf("reading batches: %w", err)
		}
		all = append(all, b)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading batches: %w", err)
	}
	return all, nil
}

func scanBatch(rows *sql.Rows) (shuffler.Batch, error) {
	var b shuffler.Batch
	var seed, counts []byte
	err := rows.Scan(exactly(b.Task[:]), &b.Epoch, &b.State, &b.Into, exactly(b.ID[:]), &seed, exactly(b.Input[:]), exactly(b.Output[:]), &counts)
	if err != nil {
		return shuffler.Batch{}, err
	}
	if err := json.Unmarshal(counts, &b.Counts); err != nil {
		return shuffler.Batch{}, fmt.Errorf("%w: counts of epoch %d: %w", errDamaged, b.Epoch, err)
	}
	if seed != nil {
		if err := exactly(b.Seed[:]).Scan(seed); err != nil {
			return shuffler.Batch{}, fmt.Errorf("seed of epoch %d: %w", b.Epoch, err)
		}
	}
	return b, nil
}

// Apply implements [shuffler.Store].
func (s *Shuffler) Apply(ctx context.Context, changes ...shuffler.Change) error {
	forgets := false
	err := transact(ctx, s.db, func(tx *sql.Tx) error {
		for _, c := range changes {
			if err := c.Check(); err != nil {
				return err
			}
			if err := apply(ctx, tx, c); err != nil {
				return fmt.Errorf("epoch %d of task %v: %w", c.To.Epoch, c.To.Task, err)
			}
			forgets = forgets || c.To.Seed == dp.Seed{} && c.From != shuffler.None
		}
		return nil
	})
	if err == nil && forgets {
		err = s.truncateLog(ctx)
	}
	if err != nil {
		return fmt.Errorf("storing batches: %w", err)
	}
	return nil
}

func apply(ctx context.Context, tx *sql.Tx, c shuffler.Change) error {
	b := c.To
	if b.Epoch > math.MaxInt64 || b.Into > math.MaxInt64 {
		return errors.New("epoch out of range")
	}
	counts, err := json.Marshal(b.Counts)
	if err != nil {
		return err
	}
	var seed []byte
	if (b.Seed != dp.Seed{}) {
		seed = b.Seed[:]
	}
	var result sql.Result
	if c.From == shuffler.None {
		result, err = tx.ExecContext(ctx, `INSERT INTO batches (task, epoch, state, into_epoch, batch, seed, input, output, counts)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			b.Task[:], int64(b.Epoch), b.State, int64(b.Into), b.ID[:], seed, b.Input[:], b.Output[:], string(counts))
	} else {
		result, err = tx.ExecContext(ctx, `UPDATE batches SET state = ?, into_epoch = ?, batch = ?, seed = ?, input = ?, output = ?, counts = ?
			WHERE task = ? AND epoch = ? AND state = ?`,
			b.State, int64(b.Into), b.ID[:], seed, b.Input[:], b.Output[:], string(counts), b.Task[:], int64(b.Epoch), c.From)
	}
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return shuffler.ErrConflict
}

// truncateLog empties the write-ahead log, which may still hold pages with
// seeds that the database itself has overwritten.
func (s *Shuffler) truncateLog(ctx context.Context) error {
	var busy, pages, moved int
	if err := s.db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &moved); err != nil {
		return fmt.Errorf("emptying the write-ahead log: %w", err)
	}
	if busy != 0 {
		return errors.New("emptying the write-ahead log: another process is reading the file")
	}
	return nil
}
