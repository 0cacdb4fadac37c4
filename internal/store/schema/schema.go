// Package schema brings a role's database up to date by numbered migrations, whatever
// the database is. A migration that was released is never changed or renumbered; a
// test of internal/house compares their digests.
//
// # Security
//
// A database remembers whose it is and refuses to serve another role: the two halves
// of a task must not be in one place. A database of a newer program is refused, too.
package schema

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A Tx is an open transaction.
type Tx interface {
	// Exec runs a statement.
	Exec(ctx context.Context, statement string, args ...any) error
	// Row reads the one row of a query into dest.
	Row(ctx context.Context, query string, dest ...any) error
	// Script runs several statements.
	Script(ctx context.Context, text string) error
}

// A Dialect is how databases differ.
type Dialect struct {
	Arg      string // the placeholder of a statement's only argument
	Strict   string // follows the columns of a table
	RandomID string // an expression: 32 random hexadecimal digits
	Noun     string // what belongs to a role: a file, a schema
}

// Steps returns the files of a role's migrations, those of the folders migrations/ROLE
// and, for leader and helper, migrations/aggregator, by their numbers, which are not
// given twice.
func Steps(files fs.FS, role string) ([]string, error) {
	steps, err := fs.Glob(files, path.Join("migrations", role, "*.sql"))
	if err != nil {
		return nil, err
	}
	if role == "leader" || role == "helper" {
		shared, err := fs.Glob(files, "migrations/aggregator/*.sql")
		if err != nil {
			return nil, err
		}
		steps = append(steps, shared...)
	}
	slices.SortFunc(steps, func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })
	return steps, nil
}

// Migrate applies the steps that a database has not seen, and gives it an ID if it
// has none. The transaction must exclude others that do the same.
func Migrate(ctx context.Context, tx Tx, d Dialect, files fs.FS, role string) error {
	steps, err := Steps(files, role)
	if err != nil {
		return err
	}
	version, err := Version(ctx, tx, d, role)
	if err != nil {
		return err
	}
	if version > len(steps) {
		return fmt.Errorf("the %s has version %d, this program knows only %d: run a newer one", d.Noun, version, len(steps))
	}
	for _, step := range steps[version:] {
		text, err := fs.ReadFile(files, step)
		if err != nil {
			return err
		}
		if err := tx.Script(ctx, string(text)); err != nil {
			return fmt.Errorf("migration %s: %w", path.Base(step), err)
		}
	}
	if err := identify(ctx, tx, d); err != nil || version == len(steps) {
		return err
	}
	return tx.Exec(ctx, `UPDATE shoal SET version = `+d.Arg, len(steps))
}

// Version returns how many steps a database has seen, 0 for a new one, and refuses
// that of another role.
func Version(ctx context.Context, tx Tx, d Dialect, role string) (int, error) {
	if err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS shoal (role TEXT NOT NULL, version INTEGER NOT NULL)`+d.Strict); err != nil {
		return 0, err
	}
	if err := tx.Exec(ctx, `INSERT INTO shoal SELECT `+d.Arg+`, 0 WHERE NOT EXISTS (SELECT 1 FROM shoal)`, role); err != nil {
		return 0, err
	}
	var have string
	var version int
	if err := tx.Row(ctx, `SELECT role, version FROM shoal`, &have, &version); err != nil {
		return 0, err
	}
	if have != role {
		return 0, fmt.Errorf("the %s belongs to a %s: give every role a %[1]s of its own", d.Noun, have)
	}
	return version, nil
}

// identify gives a database that has no ID a random one, by which its organisation
// knows it from an empty one of the same name.
func identify(ctx context.Context, tx Tx, d Dialect) error {
	if err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS installation (id TEXT NOT NULL)`+d.Strict); err != nil {
		return err
	}
	return tx.Exec(ctx, `INSERT INTO installation SELECT `+d.RandomID+` WHERE NOT EXISTS (SELECT 1 FROM installation)`)
}
