package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/metric/task"
)

// querier is what a database and a transaction have in common.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// stated reads what a hop has stated of a task.
func stated(ctx context.Context, q querier, id task.ID) (esa.Coverage, error) {
	var c esa.Coverage
	var text []byte
	err := q.QueryRowContext(ctx, `SELECT coverage FROM stated WHERE task = ?`, id[:]).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("reading what is stated of task %v: %w", id, err)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("%w: what is stated of task %v: %w", errDamaged, id, err)
	}
	return c, nil
}

// learn merges what a hop states of a task with what it has stated before. What says
// nothing new writes nothing.
func learn(ctx context.Context, db *sql.DB, id task.ID, c esa.Coverage) error {
	err := transact(ctx, db, func(tx *sql.Tx) error {
		have, err := stated(ctx, tx, id)
		if err != nil {
			return err
		}
		merged := have.Merge(c)
		if merged.Equal(have) {
			return nil
		}
		text, err := json.Marshal(merged)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO stated (task, coverage, changes) VALUES (?, ?, 1)
			ON CONFLICT DO UPDATE SET coverage = excluded.coverage, changes = changes + 1`, id[:], string(text))
		return err
	})
	if err != nil {
		return fmt.Errorf("storing what is stated of task %v: %w", id, err)
	}
	return nil
}

// Learn implements [analyzer.Store].
func (s *Analyzer) Learn(ctx context.Context, id task.ID, c esa.Coverage) error {
	return learn(ctx, s.db, id, c)
}

// Stated implements [analyzer.Store].
func (s *Analyzer) Stated(ctx context.Context, id task.ID) (esa.Coverage, error) {
	return stated(ctx, s.db, id)
}

// StatedChanges implements [analyzer.Store].
func (s *Analyzer) StatedChanges(ctx context.Context) (map[task.ID]int64, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT task, changes FROM stated`)
	if err != nil {
		return nil, fmt.Errorf("reading what is stated: %w", err)
	}
	defer rows.Close()
	all := map[task.ID]int64{}
	for rows.Next() {
		var id task.ID
		var n int64
		if err := rows.Scan(exactly(id[:]), &n); err != nil {
			return nil, fmt.Errorf("reading what is stated: %w", err)
		}
		all[id] = n
	}
	return all, rows.Err()
}

// Learn implements [shuffler.Store].
func (s *Shuffler) Learn(ctx context.Context, id task.ID, c esa.Coverage) error {
	return learn(ctx, s.db, id, c)
}

// Stated implements [shuffler.Store].
func (s *Shuffler) Stated(ctx context.Context, id task.ID) (esa.Coverage, error) {
	return stated(ctx, s.db, id)
}

// History implements [shuffler.Store].
func (s *Shuffler) History(ctx context.Context) (h shuffler.History, known bool, err error) {
	err = transact(ctx, s.db, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT since, through FROM history`).Scan(&h.Since, &h.Through)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		known = true
		if h.Gaps, err = gaps(ctx, tx); err != nil {
			return err
		}
		h.Sent, err = sent(ctx, tx)
		return err
	})
	if err != nil {
		return shuffler.History{}, false, fmt.Errorf("reading the history: %w", err)
	}
	return h, known, nil
}

func gaps(ctx context.Context, tx *sql.Tx) ([]shuffler.Gap, error) {
	rows, err := tx.QueryContext(ctx, `SELECT place, after, until, task FROM gaps ORDER BY place`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []shuffler.Gap
	for rows.Next() {
		var g shuffler.Gap
		if err := rows.Scan(&g.Place, &g.After, &g.Until, exactly(g.Task[:])); err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, rows.Err()
}

func sent(ctx context.Context, tx *sql.Tx) (map[task.ID][32]byte, error) {
	rows, err := tx.QueryContext(ctx, `SELECT task, digest FROM sent`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[task.ID][32]byte{}
	for rows.Next() {
		var id task.ID
		var digest [32]byte
		if err := rows.Scan(exactly(id[:]), exactly(digest[:])); err != nil {
			return nil, err
		}
		all[id] = digest
	}
	return all, rows.Err()
}

// Keep implements [shuffler.Store].
func (s *Shuffler) Keep(ctx context.Context, h shuffler.History) error {
	err := transact(ctx, s.db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO history (id, since, through) VALUES (1, ?, ?)
			ON CONFLICT DO UPDATE SET since = excluded.since, through = excluded.through`, h.Since, h.Through); err != nil {
			return err
		}
		for _, g := range h.Gaps {
			if _, err := tx.ExecContext(ctx, `INSERT INTO gaps (place, after, until, task) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, g.Place, g.After, g.Until, g.Task[:]); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM gaps WHERE until < ?`, h.Since); err != nil {
			return err
		}
		for id, digest := range h.Sent {
			if _, err := tx.ExecContext(ctx, `INSERT INTO sent (task, digest) VALUES (?, ?) ON CONFLICT DO UPDATE SET digest = excluded.digest`, id[:], digest[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("storing the history: %w", err)
	}
	return nil
}
