// Package postgres keeps the state of DAP's aggregators in PostgreSQL, for those
// that run as several processes on several machines.
//
// # Use
//
//	store, err := postgres.OpenHelper(ctx, "postgres://shoal@db.example/helper?sslmode=verify-full")
//
// [OpenLeader] and [OpenHelper] take a connection string of pgx: a URL or
// keywords, completed from the environment (PGHOST and so on) and a file of
// passwords. Each role needs a schema of its own, and remembers that it is that
// role's: give the two halves of a task different servers, they must not trust
// each other. search_path=NAME in the string selects a schema, which must exist.
// The schema is brought up to date by the numbered migrations that the package
// embeds, one process at a time; pool_max_conns bounds the connections, 10 by
// default and 4 at least.
//
// # How it works
//
// The database is dumb: what may be committed is decided in memory and checked
// here by numbers (see package ledger). Commits lock the row of their task's
// ledger FOR SHARE, collection, eviction and compaction lock it FOR UPDATE.
// Deadlocks and serialization failures are reported as conflicts, which callers
// try again.
//
// Nothing waits for ever: statements, locks and open transactions have limits of
// time, which the connection string or the server's configuration can set, and
// connections of which the server does not answer are closed. What is late or cut
// off fails with [ErrUnavailable] and has changed nothing, except with [ErrOutcome]. A
// task has part of the pool only. [Helper.Unready] reports what is wrong.
//
// # Security
//
// Secrets come sealed and are opaque here; the values of columns that are in clear
// are task IDs, report IDs, times in units of the task, and counts. Deleted rows
// stay in the files until VACUUM and the server's archive of its log stays as
// long as its owner keeps it: sealed, so that they die with the storage key.
// Error messages hold no password.
//
// # Limits
//
// Durability is the server's: a commit that was acknowledged survives if the
// server has fsync on. Where a connection has synchronous_commit off, it is set
// on. PostgreSQL 14 or newer; tests run on 15. A pooler between must keep a
// transaction on one connection.
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/store/schema"
)

//go:embed migrations
var migrations embed.FS

// open connects to a role's schema and brings it up to date.
func open(ctx context.Context, connection, role string) (*database, error) {
	pool, err := connect(ctx, connection)
	if err != nil {
		return nil, fmt.Errorf("opening %s store: %w", role, err)
	}
	if err := migrate(ctx, pool, role); err != nil {
		pool.Close()
		return nil, fmt.Errorf("opening %s store: %w", role, err)
	}
	return pool, nil
}

// migrationLock is an advisory lock: the bytes "shoal".
const migrationLock = 0x73686f616c

// dialect is that of PostgreSQL.
var dialect = schema.Dialect{Arg: `$1`, RandomID: `replace(gen_random_uuid()::text, '-', '')`, Noun: "schema"}

// migrate brings the schema to the newest version in one transaction, while
// other processes wait.
func migrate(ctx context.Context, pool *database, role string) error {
	return transactLong(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(migrationLock)); err != nil {
			return err
		}
		return schema.Migrate(ctx, migrating{tx}, dialect, migrations, role)
	})
}

// migrating is a transaction as package schema wants it.
type migrating struct{ tx pgx.Tx }

// Exec implements [schema.Tx].
func (m migrating) Exec(ctx context.Context, statement string, args ...any) error {
	_, err := m.tx.Exec(ctx, statement, args...)
	return err
}

// Row implements [schema.Tx].
func (m migrating) Row(ctx context.Context, query string, dest ...any) error {
	return m.tx.QueryRow(ctx, query).Scan(dest...)
}

// Script implements [schema.Tx].
func (m migrating) Script(ctx context.Context, text string) error {
	_, err := m.tx.Conn().PgConn().Exec(ctx, text).ReadAll()
	return err
}

// transactLong is transact without limits of time, for migrations: they may rewrite
// tables, and wait for another process that does.
func transactLong(ctx context.Context, d *database, do func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, d.Pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true)`); err != nil {
			return err
		}
		return do(tx)
	})
}

// contended reports whether a transaction lost against another and can be tried
// again: it has changed nothing.
func contended(err error) bool {
	const serialization, deadlock = "40001", "40P01"
	code := codeOf(err)
	return code == serialization || code == deadlock
}

// isNoRows reports whether a query had no row.
func isNoRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) }

// only returns a check that a statement has changed one row.
func only(otherwise error) func(pgconn.CommandTag) error {
	return func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() != 1 {
			return otherwise
		}
		return nil
	}
}

// one makes a statement that must change one row of a task.
func (a *aggregator) one(ctx context.Context, task dap.TaskID, otherwise error, query string, args ...any) error {
	tag, err := a.pool.Exec(forTask(ctx, task), query, args...)
	if err != nil {
		return err
	}
	return only(otherwise)(tag)
}

// send makes the statements of a batch, if there are any.
func send(ctx context.Context, tx pgx.Tx, b *pgx.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, b).Close()
}
