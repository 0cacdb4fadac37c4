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
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shoal-project/shoal/dap"
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

// stepsOf returns the files of a role's migrations by their numbers, which are not
// given twice. Leader and helper have those of an aggregator in common.
func stepsOf(role string) ([]string, error) {
	steps, err := fs.Glob(migrations, path.Join("migrations", role, "*.sql"))
	if err != nil {
		return nil, err
	}
	if role == "leader" || role == "helper" {
		shared, err := fs.Glob(migrations, "migrations/aggregator/*.sql")
		if err != nil {
			return nil, err
		}
		steps = append(steps, shared...)
	}
	slices.SortFunc(steps, func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })
	return steps, nil
}

// migrate brings the schema to the newest version in one transaction, while
// other processes wait.
func migrate(ctx context.Context, pool *database, role string) error {
	steps, err := stepsOf(role)
	if err != nil {
		return err
	}
	return transactLong(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(migrationLock)); err != nil {
			return err
		}
		version, err := schemaVersion(ctx, tx, role)
		if err != nil {
			return err
		}
		if version > len(steps) {
			return fmt.Errorf("the schema has version %d, this program knows only %d: run a newer one", version, len(steps))
		}
		for _, step := range steps[version:] {
			text, err := migrations.ReadFile(step)
			if err != nil {
				return err
			}
			if _, err := tx.Conn().PgConn().Exec(ctx, string(text)).ReadAll(); err != nil {
				return fmt.Errorf("migration %s: %w", path.Base(step), err)
			}
		}
		if err := identify(ctx, tx); err != nil || version == len(steps) {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE shoal SET version = $1`, len(steps))
		return err
	})
}

// identify gives a schema that has no ID a random one, by which its organisation
// knows it from an empty one of the same name.
func identify(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS installation (id text NOT NULL)`); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO installation SELECT replace(gen_random_uuid()::text, '-', '') WHERE NOT EXISTS (SELECT 1 FROM installation)`)
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

// schemaVersion returns how many migrations the schema has seen, and refuses a
// schema of another role.
func schemaVersion(ctx context.Context, tx pgx.Tx, role string) (int, error) {
	if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS shoal (role text NOT NULL, version integer NOT NULL)`); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO shoal SELECT $1, 0 WHERE NOT EXISTS (SELECT 1 FROM shoal)`, role); err != nil {
		return 0, err
	}
	var have string
	var version int
	if err := tx.QueryRow(ctx, `SELECT role, version FROM shoal`).Scan(&have, &version); err != nil {
		return 0, err
	}
	if have != role {
		return 0, fmt.Errorf("the schema belongs to a %s: give every role one of its own", have)
	}
	return version, nil
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
