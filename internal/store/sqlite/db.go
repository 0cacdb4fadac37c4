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
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
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

// migrate brings the schema to the newest version in one transaction.
func migrate(ctx context.Context, db *sql.DB, role string) error {
	steps, err := stepsOf(role)
	if err != nil {
		return err
	}
	return transact(ctx, db, func(tx *sql.Tx) error {
		version, err := schemaVersion(ctx, tx, role)
		if err != nil {
			return err
		}
		if version > len(steps) {
			return fmt.Errorf("its schema has version %d, this program knows only %d: run a newer one", version, len(steps))
		}
		for _, step := range steps[version:] {
			text, err := migrations.ReadFile(step)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, string(text)); err != nil {
				return fmt.Errorf("migration %s: %w", path.Base(step), err)
			}
		}
		if _, err = tx.ExecContext(ctx, `UPDATE shoal SET version = ?`, len(steps)); err != nil {
			return err
		}
		return identify(ctx, tx)
	})
}

// identify gives a file that has no ID a random one, by which its organisation
// knows it from an empty file of the same name.
func identify(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS installation (id TEXT NOT NULL) STRICT`); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO installation SELECT lower(hex(randomblob(16))) WHERE NOT EXISTS (SELECT 1 FROM installation)`)
	return err
}

// installation returns the file's ID.
func installation(ctx context.Context, db *sql.DB) (string, error) {
	var id string
	if err := db.QueryRowContext(ctx, `SELECT id FROM installation`).Scan(&id); err != nil {
		return "", fmt.Errorf("reading the store's ID: %w", err)
	}
	return id, nil
}

// schemaVersion returns how many migrations the file has seen, and refuses a
// file of another role.
func schemaVersion(ctx context.Context, tx *sql.Tx, role string) (int, error) {
	if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS shoal (role TEXT NOT NULL, version INTEGER NOT NULL) STRICT`); err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO shoal SELECT ?, 0 WHERE NOT EXISTS (SELECT 1 FROM shoal)`, role); err != nil {
		return 0, err
	}
	var have string
	var version int
	if err := tx.QueryRowContext(ctx, `SELECT role, version FROM shoal`).Scan(&have, &version); err != nil {
		return 0, err
	}
	if have != role {
		return 0, fmt.Errorf("the file belongs to a %s: give every role a file of its own", have)
	}
	return version, nil
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
