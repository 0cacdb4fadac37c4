// Package sqlite keeps the state of Shoal's roles in SQLite files.
//
// [OpenShuffler] and [OpenAnalyzer] open one file each, for one role: a file
// remembers which role it belongs to and refuses to serve another. Files are
// readable by their owner only and are brought up to date by the numbered
// migrations that the package embeds.
//
// Every transaction is on disk when it returns (write-ahead log,
// synchronous=FULL). Deleted content is overwritten with zeros
// (secure_delete), and when a shuffler forgets a seed the write-ahead log is
// emptied before the call returns.
//
// BUG(shoal): below the file system, flash translation layers and
// copy-on-write file systems may keep older versions of overwritten blocks.
// Where that matters, put the data directory on an encrypted disk.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"github.com/shoal-project/shoal/internal/store/schema"
)

//go:embed migrations
var migrations embed.FS

// open opens the database file name of the given role, creating it if needed.
func open(ctx context.Context, name, role string) (*sql.DB, error) {
	if err := createPrivate(name); err != nil {
		return nil, fmt.Errorf("opening %s store: %w", role, err)
	}
	pragmas := url.Values{"_pragma": {
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)", "foreign_keys(ON)",
	}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: filepath.ToSlash(name)}).EscapedPath()+"?"+pragmas.Encode())
	if err != nil {
		return nil, fmt.Errorf("opening %s store %s: %w", role, name, err)
	}
	db.SetMaxOpenConns(1)
	if err := migrate(ctx, db, role); err != nil {
		db.Close()
		return nil, fmt.Errorf("opening %s store %s: %w", role, name, err)
	}
	return db, nil
}

// createPrivate makes sure that the file exists with no access for others,
// which SQLite would create with the process's default permissions.
func createPrivate(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// dialect is that of SQLite.
var dialect = schema.Dialect{Arg: `?`, Strict: ` STRICT`, RandomID: `lower(hex(randomblob(16)))`, Noun: "file"}

// migrate brings the schema to the newest version in one transaction.
func migrate(ctx context.Context, db *sql.DB, role string) error {
	return transact(ctx, db, func(tx *sql.Tx) error {
		return schema.Migrate(ctx, migrating{tx}, dialect, migrations, role)
	})
}

// migrating is a transaction as package schema wants it.
type migrating struct{ tx *sql.Tx }

// Exec implements [schema.Tx].
func (m migrating) Exec(ctx context.Context, statement string, args ...any) error {
	_, err := m.tx.ExecContext(ctx, statement, args...)
	return err
}

// Row implements [schema.Tx].
func (m migrating) Row(ctx context.Context, query string, dest ...any) error {
	return m.tx.QueryRowContext(ctx, query).Scan(dest...)
}

// Script implements [schema.Tx].
func (m migrating) Script(ctx context.Context, text string) error { return m.Exec(ctx, text) }

// installation returns the file's ID.
func installation(ctx context.Context, db *sql.DB) (string, error) {
	var id string
	if err := db.QueryRowContext(ctx, `SELECT id FROM installation`).Scan(&id); err != nil {
		return "", fmt.Errorf("reading the store's ID: %w", err)
	}
	return id, nil
}

// transact runs do in a transaction and commits it if do returns nil.
func transact(ctx context.Context, db *sql.DB, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		_ = tx.Rollback() // the first error is the one to return
		return err
	}
	return tx.Commit()
}
