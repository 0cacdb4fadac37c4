package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
)

// What holds where neither the connection string nor the server's configuration
// (postgresql.conf, ALTER ROLE, ALTER DATABASE) sets anything.
const (
	defaultConns   = 10 // of a pool; pool_max_conns
	leastConns     = 4
	connectTimeout = 10 * time.Second // connect_timeout
	clientGrace    = 15 * time.Second // beyond statement_timeout, for a server that does not answer at all
)

// sessionDefaults are settings of the server for our sessions, where their source
// is "default". The keepalives let the server notice a client that is gone.
var sessionDefaults = map[string]string{
	"statement_timeout":                   "30s",
	"lock_timeout":                        "5s",
	"idle_in_transaction_session_timeout": "30s",
	"tcp_keepalives_idle":                 "15",
	"tcp_keepalives_interval":             "5",
	"tcp_keepalives_count":                "4",
}

// ErrUnavailable means that the database cannot be reached, does not answer in
// time, or that another transaction holds a lock for too long. Nothing is half
// done: try again later.
var ErrUnavailable = errors.New("database unavailable")

// ErrOutcome means that the connection was lost while a transaction was being
// committed: all of it has happened or nothing. Read what is stored, or repeat
// the step, which then changes nothing a second time.
var ErrOutcome = errors.New("outcome of a commit unknown")

// A database is a pool of connections in which nothing waits for ever. One task
// cannot occupy all of it, see [lanes].
type database struct {
	*pgxpool.Pool
	lanes *lanes
	limit atomic.Int64 // of a statement or transaction on our side, in nanoseconds; 0: none
	down  fault
}

// connect opens the pool that a connection string describes.
func connect(ctx context.Context, connection string) (*database, error) {
	config, err := pgxpool.ParseConfig(connection)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(connection, "pool_max_conns") {
		config.MaxConns = max(defaultConns, config.MaxConns)
	}
	if config.MaxConns < leastConns {
		return nil, fmt.Errorf("pool_max_conns is %d, the least is %d: one connection may be held by a node's claim and others wait for locks", config.MaxConns, leastConns)
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	dialer := &net.Dialer{
		Timeout:         config.ConnConfig.ConnectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4},
	}
	config.ConnConfig.DialFunc = dialer.DialContext
	d := &database{lanes: newLanes(int(config.MaxConns))}
	config.AfterConnect = d.prepare
	if d.Pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	return d, nil
}

// prepare sets a new session's settings, unless the operator has.
func (d *database) prepare(ctx context.Context, c *pgx.Conn) error {
	var names, values []string
	for name, value := range sessionDefaults {
		names, values = append(names, name), append(values, value)
	}
	_, err := c.Exec(ctx, `SELECT set_config(s.name, v.value, false) FROM pg_settings s JOIN unnest($1::text[], $2::text[]) AS v (name, value) USING (name)
		WHERE s.source = 'default'`, names, values)
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`)
	if err != nil {
		return err
	}
	var milliseconds int64
	if err := c.QueryRow(ctx, `SELECT setting::bigint FROM pg_settings WHERE name = 'statement_timeout'`).Scan(&milliseconds); err != nil {
		return err
	}
	limit := time.Duration(milliseconds) * time.Millisecond
	if limit > 0 {
		limit += clientGrace
	}
	d.limit.Store(int64(limit))
	return nil
}

// bound limits a statement or transaction on our side: the server's own limits do
// nothing while it is cut off or stopped.
func (d *database) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := time.Duration(d.limit.Load())
	if limit == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}

// outcome notes how an operation went and returns its error, which matches
// [ErrUnavailable] if it may succeed later. ctx is the caller's context: what that
// ends is not the database's fault.
func (d *database) outcome(ctx context.Context, err error) error {
	switch {
	case err == nil || answered(err):
		d.down.clear()
		return err
	case ctx.Err() != nil:
		return err
	case blocked(err): // the server is there: the lanes know the task
		d.down.clear()
		return fmt.Errorf("%w: waited too long for a lock or an answer: %w", ErrUnavailable, err)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		err = fmt.Errorf("%w: no answer in %v", ErrUnavailable, time.Duration(d.limit.Load()))
	case lost(err):
		d.Reset() // others of its age are as dead
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	d.down.set(err)
	return err
}

// Exec makes a statement; with a context of [forTask] in the task's lane.
func (d *database) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	var tag pgconn.CommandTag
	err := d.in(ctx, func(ctx context.Context) (err error) {
		tag, err = d.Pool.Exec(ctx, query, args...)
		return err
	})
	return tag, err
}

// Query reads rows.
func (d *database) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	bounded, cancel := d.bound(ctx)
	rows, err := d.Pool.Query(bounded, query, args...)
	if err != nil {
		cancel()
		return rows, d.outcome(ctx, err)
	}
	return &boundedRows{Rows: rows, done: func(err error) error { cancel(); return d.outcome(ctx, err) }}, nil
}

// QueryRow reads one row.
func (d *database) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	bounded, cancel := d.bound(ctx)
	return boundedRow{d.Pool.QueryRow(bounded, query, args...), func(err error) error {
		cancel()
		return d.outcome(ctx, err)
	}}
}

// boundedRows ends its limit of time when it is closed.
type boundedRows struct {
	pgx.Rows
	done func(error) error
	err  error
	once bool
}

// Close implements [pgx.Rows].
func (r *boundedRows) Close() {
	r.Rows.Close()
	if !r.once {
		r.once = true
		r.err = r.done(r.Rows.Err())
	}
}

// Next implements [pgx.Rows].
func (r *boundedRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Err implements [pgx.Rows].
func (r *boundedRows) Err() error {
	if r.once {
		return r.err
	}
	return r.Rows.Err()
}

type boundedRow struct {
	row  pgx.Row
	done func(error) error
}

// Scan implements [pgx.Row].
func (r boundedRow) Scan(dest ...any) error { return r.done(r.row.Scan(dest...)) }

// in runs one operation within its task's lane and the limit of time.
func (d *database) in(ctx context.Context, do func(context.Context) error) error {
	task, ok := taskOf(ctx)
	if !ok {
		bounded, cancel := d.bound(ctx)
		defer cancel()
		return d.outcome(ctx, do(bounded))
	}
	if err := d.lanes.enter(ctx, task); err != nil {
		return err
	}
	bounded, cancel := d.bound(ctx)
	defer cancel()
	err := do(bounded)
	d.lanes.leave(task, blocked(err) || ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded))
	return d.outcome(ctx, err)
}

type taskKey struct{}

// forTask marks what is done with a context as a change of a task.
func forTask(ctx context.Context, task dap.TaskID) context.Context {
	return context.WithValue(ctx, taskKey{}, task)
}

func taskOf(ctx context.Context) (dap.TaskID, bool) {
	id, ok := ctx.Value(taskKey{}).(dap.TaskID)
	return id, ok
}

// A transaction that a lost connection has ended is tried so often, with pauses from the
// first to the longest: a server that restarts kills all connections.
const (
	attempts     = 4
	firstPause   = 200 * time.Millisecond
	longestPause = time.Second
)

// transact runs do in a transaction and commits it if do returns nil. What a lost
// connection ends before the commit is tried again, so do may run several times.
func transact(ctx context.Context, d *database, do func(pgx.Tx) error) error {
	return d.in(ctx, func(ctx context.Context) error {
		for n := 1; ; n++ {
			err := d.attempt(ctx, do)
			if err == nil || n == attempts || !lost(err) || errors.Is(err, ErrOutcome) || ctx.Err() != nil {
				return err
			}
			d.Reset()
			if clock.Sleep(ctx, clock.System(), clock.Backoff(n, firstPause, longestPause)) != nil {
				return err
			}
		}
	})
}

// read runs do in a transaction that reads one state of the database.
func (d *database) read(ctx context.Context, do func(pgx.Tx) error) error {
	return d.in(ctx, func(ctx context.Context) error {
		return pgx.BeginTxFunc(ctx, d.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, do)
	})
}

// attempt makes one attempt of a transaction.
func (d *database) attempt(ctx context.Context, do func(pgx.Tx) error) error {
	tx, err := d.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		// Should this fail the connection is closed, and the server rolls back.
		_ = tx.Rollback(context.WithoutCancel(ctx))
		return err
	}
	err = tx.Commit(ctx)
	if err == nil || answered(err) || errors.Is(err, pgx.ErrTxCommitRollback) || errors.Is(err, pgx.ErrTxClosed) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrOutcome, err)
}

// codeOf is the SQLSTATE of a server's error, "" for any other.
func codeOf(err error) string {
	if failure, ok := errors.AsType[*pgconn.PgError](err); ok {
		return failure.Code
	}
	return ""
}

// blocked reports whether a statement has waited too long: for a lock, or for its
// end. The server has cancelled it, and the transaction has changed nothing.
func blocked(err error) bool {
	const lockTimeout, cancelled = "55P03", "57014"
	code := codeOf(err)
	return code == lockTimeout || code == cancelled
}

// lost reports whether an error means that there is no connection, or no longer:
// the server is away, starts, stops, or has ended the session.
func lost(err error) bool {
	if code := codeOf(err); code != "" {
		const tooMany, idleInTransaction, idleSession = "53300", "25P03", "57P05"
		return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "57P0") || code == tooMany || code == idleInTransaction || code == idleSession
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed")
}

// answered reports whether an error is an answer of the server to a statement, or
// no error of the database at all.
func answered(err error) bool {
	return !lost(err) && !blocked(err) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}
