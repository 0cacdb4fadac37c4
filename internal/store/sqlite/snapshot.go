package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// Snapshot writes a consistent copy of a database file to a new file, also while
// another process uses it. What was deleted is not in the copy.
func Snapshot(ctx context.Context, name, to string) error {
	if _, err := os.Stat(name); err != nil {
		return fmt.Errorf("copying a store: %w", err)
	}
	if err := createPrivate(to); err != nil {
		return fmt.Errorf("copying a store: %w", err)
	}
	pragmas := url.Values{"_pragma": {"busy_timeout(10000)"}, "mode": {"rw"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: filepath.ToSlash(name)}).EscapedPath()+"?"+pragmas.Encode())
	if err != nil {
		return fmt.Errorf("copying the store %s: %w", name, err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, to); err != nil {
		return fmt.Errorf("copying the store %s: %w", name, err)
	}
	return nil
}
