package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/shoal-project/shoal/internal/durable"
)

// errDamaged means that a file holds what no version of this package has written.
var errDamaged = errors.New("the store is damaged")

// IsDamaged reports whether an error of a store means that its file is damaged: it
// cannot be read as a database, or not as one of this package.
func IsDamaged(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		code := e.Code() & 0xff // without what extended codes add
		return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
	}
	return errors.Is(err, errDamaged)
}

// inspectLimit is the size in bytes up to which [Inspect] reads a file through when
// a server starts. It takes about a second for that much.
const inspectLimit = 128 << 20

// Inspect looks whether the database in a file is whole. Up to 128 MiB it reads all of
// it, larger ones only if all is set. It returns an error that [IsDamaged] reports if
// the file is damaged, and nil if there is no file. The content of rows has no
// checksums: what is changed there is found when it is used, if at all.
func Inspect(ctx context.Context, name string, all bool) error {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if err := inspectHeader(name, info.Size()); err != nil {
		return fmt.Errorf("inspecting the store %s: %w", name, err)
	}
	pragmas := url.Values{"_pragma": {"busy_timeout(10000)"}, "mode": {"rw"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: filepath.ToSlash(name)}).EscapedPath()+"?"+pragmas.Encode())
	if err != nil {
		return fmt.Errorf("inspecting the store %s: %w", name, err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	query := `SELECT count(*) FROM sqlite_schema`
	if all || info.Size() <= inspectLimit {
		query = `PRAGMA quick_check(1)`
	}
	var answer string
	if err := db.QueryRowContext(ctx, query).Scan(&answer); err != nil {
		return fmt.Errorf("inspecting the store %s: %w", name, err)
	}
	if query != `SELECT count(*) FROM sqlite_schema` && answer != "ok" {
		return fmt.Errorf("inspecting the store %s: %w: %s", name, errDamaged, answer)
	}
	return nil
}

// inspectHeader checks what SQLite takes for a new or a shorter database: the magic, and
// the size in pages (https://www.sqlite.org/fileformat2.html, section 1.3), which may be
// behind only as long as there is a write-ahead log.
func inspectHeader(name string, size int64) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 100)
	if _, err := io.ReadFull(f, head); err != nil || string(head[:16]) != "SQLite format 3\x00" {
		return fmt.Errorf("%w: it is no SQLite database", errDamaged)
	}
	page := int64(binary.BigEndian.Uint16(head[16:]))
	if page == 1 {
		page = 1 << 16
	}
	if log, err := os.Stat(name + "-wal"); err == nil && log.Size() > 0 {
		return nil
	}
	if want := page * int64(binary.BigEndian.Uint32(head[28:])); size < want || page == 0 {
		return fmt.Errorf("%w: it has %d bytes, of %d", errDamaged, size, want)
	}
	return nil
}

// SetAside renames a damaged database, and what is beside it, so that a new one can
// take its name, and returns the name that it has now.
func SetAside(name string) (string, error) {
	to := name + ".damaged"
	for i := 2; ; i++ {
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		}
		to = fmt.Sprintf("%s.damaged-%d", name, i)
	}
	for _, suffix := range []string{"-wal", "-shm", ""} { // the database last: it is there until all is done
		if err := os.Rename(name+suffix, to+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("setting a damaged store aside: %w", err)
		}
	}
	return to, durable.OS().SyncDir(filepath.Dir(name))
}

// exactly scans a blob of the length of the array that it is a slice of.
type exactly []byte

// Scan implements [sql.Scanner].
func (e exactly) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok || len(b) != len(e) {
		return fmt.Errorf("%w: a value has %d bytes, want %d", errDamaged, len(b), len(e))
	}
	copy(e, b)
	return nil
}
