package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/collector"
)

// A Collector is a [collector.Store] in one SQLite file.
type Collector struct{ db *sql.DB }

var _ collector.Store = (*Collector)(nil)

// OpenCollector opens a collector's file, creating it if it is not there.
func OpenCollector(ctx context.Context, name string) (*Collector, error) {
	db, err := open(ctx, name, "collector")
	if err != nil {
		return nil, err
	}
	return &Collector{db}, nil
}

// Close closes the file.
func (s *Collector) Close() error { return s.db.Close() }

// Installation returns the random ID that the file was given when it was created.
func (s *Collector) Installation(ctx context.Context) (string, error) { return installation(ctx, s.db) }

// Begin implements [collector.Store].
func (s *Collector) Begin(ctx context.Context, task dap.TaskID, at int64) (int64, error) {
	var first int64
	err := transact(ctx, s.db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO begun (task, at) VALUES (?, ?) ON CONFLICT DO NOTHING`, task[:], at); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT at FROM begun WHERE task = ?`, task[:]).Scan(&first)
	})
	if err != nil {
		return 0, fmt.Errorf("beginning task %v: %w", task, err)
	}
	return first, nil
}

// Add implements [collector.Store].
func (s *Collector) Add(ctx context.Context, a collector.Ask) (bool, error) {
	if err := a.Check(collector.None); err != nil {
		return false, err
	}
	if a.Number > math.MaxInt64 {
		return false, errors.New("number of an ask out of range")
	}
	result, err := s.db.ExecContext(ctx, `INSERT INTO asks (ask, task, number, request, created, state, location, missing)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		a.ID[:], a.Task[:], int64(a.Number), a.Request, a.Created, a.State, a.Location, a.Missing)
	if err != nil {
		return false, fmt.Errorf("adding ask %v: %w", a.ID, err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// The columns of an ask, with response and manifest or without.
const (
	askColumns   = `SELECT ask, task, number, request, created, state, location, missing, reason, response, manifest FROM asks`
	askOutline   = `SELECT ask, task, number, request, created, state, location, missing, reason, x'', '' FROM asks`
	asksByTask   = ` ORDER BY task, number, ask`
	asksNewest   = ` ORDER BY number DESC, ask DESC LIMIT ?`
	asReleased   = ` WHERE state IN (3, 4)`
	asUnreleased = ` WHERE state IN (1, 2, 5)`
)

// What is asked for often. States are literals, so that the partial indexes serve.
const (
	asksOpen       = askColumns + ` WHERE state <= 2` + asksByTask
	asksOf         = askOutline + ` WHERE task = ?` + asksNewest
	asksUnreleased = askColumns + ` INDEXED BY asks_unreleased` + asUnreleased + ` AND task = ?` + asksNewest
	asksReleased   = askColumns + ` INDEXED BY asks_released` + asReleased + ` AND task = ? AND number < ?` + asksNewest
	asksNamed      = askColumns + asReleased + ` AND metric = ?` + asksByTask
	asksStamps     = `SELECT metric, count(*) || ' ' || sum(state) FROM asks` + asReleased + ` GROUP BY metric`
	asksDue        = askColumns + ` WHERE state = 3 AND expires > 0 AND expires <= ?`
	asksUndated    = askColumns + ` WHERE state = 3 AND ended = 0` + asksByTask
	asksExpired    = askOutline + ` WHERE state = 4` + asksByTask
	asksAnswered   = `SELECT count(*) FROM (SELECT 1 FROM asks` + asReleased + ` AND task = ? AND digest = ? LIMIT 1)`
	asksSummaries  = `SELECT task, count(*), sum(reports), max(ended) FROM asks INDEXED BY asks_released` + asReleased + ` GROUP BY task ORDER BY task`
	// One step into the index a metric, rather than all of it.
	asksMetrics = `WITH RECURSIVE m (name) AS (
		SELECT min(metric) FROM asks` + asReleased + `
		UNION ALL SELECT (SELECT min(metric) FROM asks` + asReleased + ` AND metric > m.name) FROM m WHERE m.name IS NOT NULL)
		SELECT name FROM m WHERE name IS NOT NULL`
)

// Asks implements [collector.Store].
func (s *Collector) Asks(ctx context.Context) ([]collector.Ask, error) {
	return s.asks(ctx, askColumns+asksByTask)
}

// Open implements [collector.Store].
func (s *Collector) Open(ctx context.Context) ([]collector.Ask, error) { return s.asks(ctx, asksOpen) }

// Of implements [collector.Store].
func (s *Collector) Of(ctx context.Context, id dap.TaskID, most int) ([]collector.Ask, error) {
	return s.newest(ctx, asksOf, id[:], most)
}

// Unreleased implements [collector.Store].
func (s *Collector) Unreleased(ctx context.Context, id dap.TaskID, most int) ([]collector.Ask, error) {
	return s.newest(ctx, asksUnreleased, id[:], most)
}

// Released implements [collector.Store].
func (s *Collector) Released(ctx context.Context, id dap.TaskID, before uint64, most int) ([]collector.Ask, error) {
	return s.newest(ctx, asksReleased, id[:], int64(min(before, math.MaxInt64)), most)
}

// Named implements [collector.Store].
func (s *Collector) Named(ctx context.Context, metric string) ([]collector.Ask, error) {
	return s.asks(ctx, asksNamed, metric)
}

// Due implements [collector.Store].
func (s *Collector) Due(ctx context.Context, now int64) ([]collector.Ask, error) {
	all, err := s.asks(ctx, asksDue, now)
	slices.SortFunc(all, func(a, b collector.Ask) int {
		return cmp.Or(bytes.Compare(a.Task[:], b.Task[:]), cmp.Compare(a.Number, b.Number), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return all, err
}

// Undated implements [collector.Store].
func (s *Collector) Undated(ctx context.Context) ([]collector.Ask, error) {
	return s.asks(ctx, asksUndated)
}

// Expired implements [collector.Store].
func (s *Collector) Expired(ctx context.Context) ([]collector.Ask, error) {
	return s.asks(ctx, asksExpired)
}

// Answered implements [collector.Store].
func (s *Collector) Answered(ctx context.Context, id dap.TaskID, digest string) (bool, error) {
	var n int
	if err := s.db.QueryRowContext(ctx, asksAnswered, id[:], digest).Scan(&n); err != nil {
		return false, fmt.Errorf("looking for an answer: %w", err)
	}
	return n > 0, nil
}

// Stamps implements [collector.Store].
func (s *Collector) Stamps(ctx context.Context) (map[string]string, error) {
	return pairs(ctx, s.db, asksStamps)
}

// Metrics implements [collector.Store].
func (s *Collector) Metrics(ctx context.Context) ([]string, error) {
	return texts(ctx, s.db, asksMetrics)
}

// Summaries implements [collector.Store].
func (s *Collector) Summaries(ctx context.Context) ([]collector.Summary, error) {
	rows, err := s.db.QueryContext(ctx, asksSummaries)
	if err != nil {
		return nil, fmt.Errorf("reading asks: %w", err)
	}
	defer rows.Close()
	var all []collector.Summary
	for rows.Next() {
		var one collector.Summary
		var id []byte
		if err := rows.Scan(&id, &one.Batches, &one.Reports, &one.End); err != nil {
			return nil, fmt.Errorf("reading asks: %w", err)
		}
		one.Task = dap.TaskID(id)
		all = append(all, one)
	}
	return all, rows.Err()
}

// newest is asks of a query that returns the last first.
func (s *Collector) newest(ctx context.Context, query string, args ...any) ([]collector.Ask, error) {
	all, err := s.asks(ctx, query, args...)
	slices.Reverse(all)
	return all, err
}

func (s *Collector) asks(ctx context.Context, query string, args ...any) ([]collector.Ask, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading asks: %w", err)
	}
	defer rows.Close()
	var all []collector.Ask
	for rows.Next() {
		var a collector.Ask
		var response, manifest []byte
		if err := rows.Scan(exactly(a.ID[:]), exactly(a.Task[:]), &a.Number, &a.Request, &a.Created, &a.State, &a.Location, &a.Missing, &a.Reason, &response, &manifest); err != nil {
			return nil, fmt.Errorf("reading asks: %w", err)
		}
		if len(response) > 0 {
			a.Response = response
		}
		if len(manifest) > 0 {
			a.Manifest = manifest
		}
		all = append(all, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading asks: %w", err)
	}
	return all, nil
}

// Advance implements [collector.Store].
func (s *Collector) Advance(ctx context.Context, from collector.State, a collector.Ask) error {
	if err := a.Check(from); err != nil {
		return err
	}
	response := a.Response
	if response == nil {
		response = []byte{}
	}
	args := append([]any{a.State, a.Location, a.Missing, a.Reason, response, string(a.Manifest)}, beside(a.Manifest)...)
	result, err := s.db.ExecContext(ctx, `UPDATE asks SET state = ?, location = ?, missing = ?, reason = ?, response = ?, manifest = ?,
		metric = coalesce(?, metric), reports = coalesce(?, reports), ended = coalesce(?, ended),
		expires = coalesce(?, expires), digest = coalesce(?, digest) WHERE ask = ? AND state = ?`,
		append(args, a.ID[:], from)...)
	if err != nil {
		return fmt.Errorf("storing ask %v: %w", a.ID, err)
	}
	switch n, err := result.RowsAffected(); {
	case err != nil:
		return fmt.Errorf("storing ask %v: %w", a.ID, err)
	case n == 0:
		return fmt.Errorf("storing ask %v: %w", a.ID, collector.ErrConflict)
	}
	return nil
}

// beside returns what of a manifest is kept in columns: metric, reports, end, expiry and
// digest. Of one that cannot be read nothing is known, and the columns stay.
func beside(manifest []byte) []any {
	var m collector.Manifest
	if len(manifest) == 0 || json.Unmarshal(manifest, &m) != nil {
		return make([]any, 5)
	}
	ended, expires := int64(0), int64(0)
	if !m.End.IsZero() {
		ended, expires = m.End.Unix(), m.Expires()
	}
	return []any{m.Metric, int64(min(m.Reports, math.MaxInt64)), ended, expires, m.Digest}
}

// texts returns the first column of a query.
func texts(ctx context.Context, db *sql.DB, query string) ([]string, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("reading names: %w", err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("reading names: %w", err)
		}
		all = append(all, text)
	}
	return all, rows.Err()
}

// pairs returns the second column of a query by the first.
func pairs(ctx context.Context, db *sql.DB, query string) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("reading names: %w", err)
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var key, value string
		if err := rows.Scan(&key, &value); err != nil {
			return nil, fmt.Errorf("reading names: %w", err)
		}
		all[key] = value
	}
	return all, rows.Err()
}
