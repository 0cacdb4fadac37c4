// Package engine is the batch engine of the crowd route: three relational
// steps over named datasets of fixed-width rows, and a writer that sorts.
//
// The steps are all that moves rows between partitions, and therefore between
// machines: counting by key, keeping the rows whose key is in a list, and
// sorting. Everything that opens, draws or decides is Go code between them, so
// an engine holds no randomness and no protocol, and every engine gives the
// same rows for the same input; package enginetest checks that. Package
// internal/engine/local runs them on one machine in bounded memory.
//
//	w, err := e.Create(ctx, "reports", []engine.Column{{Name: "crowd", Width: 16}, {Name: "row", Width: 200}})
//	// w.Write(rows), w.Close()
//	err = e.CountByKey(ctx, "reports", "crowd", "counts")
//	err = e.SemiJoin(ctx, "reports", "crowd", "kept", "released")
//	err = e.SortBy(ctx, "released", []string{"crowd"}, "sorted")
//
// Security: datasets are intermediate results. An engine removes them on
// request, and all of them at its end, but does not overwrite the storage below.
// Time and memory use depend on the data: an engine is not oblivious.
package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// CountColumn is the name of the second column that CountByKey makes: the
// number of rows as 8 bytes, big endian ([Count] reads it).
const CountColumn = "count"

// MaxRowWidth bounds the bytes of a row.
const MaxRowWidth = 1 << 20

// MaxNameLen bounds the bytes of the name of a dataset or column.
const MaxNameLen = 128

var (
	// ErrNotFound is returned if a dataset or column does not exist.
	ErrNotFound = errors.New("not found")
	// ErrExists is returned if a dataset of that name exists already.
	ErrExists = errors.New("already exists")
)

// A Column is a field of a fixed number of bytes.
type Column struct {
	Name  string // letters, digits, '-', '_', '.'; unique in its dataset
	Width int    // bytes, at least 1
}

// An Engine holds named datasets and makes new ones from them.
//
// Names are 1 to [MaxNameLen] letters, digits, '-', '_' and '.', and do not
// start with a dot. Column names obey the same rule.
// A dataset exists, whole, from the moment its Writer's Close or the step that
// makes it has returned nil. A step that fails, or whose context ends, leaves
// no output behind and no change in its input. Making a dataset whose name is
// taken gives ErrExists.
//
// Datasets are not durable: after a crash of the engine they are made again
// from the batch's segments.
//
// Calls may run concurrently. A dataset may be read by several readers and
// steps at once; removing it while one of them runs is the caller's mistake and
// may make that one fail.
type Engine interface {
	// Create starts a dataset. The columns follow each other in a row in the
	// order given.
	Create(ctx context.Context, name string, columns []Column) (Writer, error)
	// CreateSorted starts a dataset whose rows are given in any order: Create and
	// SortBy at once.
	CreateSorted(ctx context.Context, name string, columns []Column, by []string) (Writer, error)
	// Open reads a dataset from its first row on.
	Open(ctx context.Context, name string) (Reader, error)
	// CountByKey counts the rows of in for each value of the column key. out
	// has the columns key and CountColumn, and is sorted by key, bytewise. key
	// must not be called CountColumn itself.
	CountByKey(ctx context.Context, in, key, out string) error
	// SemiJoin keeps those rows of in whose column col has a value that
	// occurs in the first column of keys, which must be as wide. Each row that
	// is kept appears as often as in the input, however often its value occurs
	// in keys. The order of out is unspecified.
	SemiJoin(ctx context.Context, in, col, keys, out string) error
	// SortBy sorts the rows of in, bytewise by the columns given in turn, and
	// rows that are equal there bytewise as a whole. The result is therefore
	// the same whatever the order of in. No columns means the whole row.
	SortBy(ctx context.Context, in string, columns []string, out string) error
	// Remove removes datasets. That one does not exist is not an error.
	Remove(ctx context.Context, names ...string) error
}

// A Writer fills a new dataset. It is used by one goroutine.
type Writer interface {
	// Write adds rows: any whole number of rows, one after the other. It keeps
	// no reference to rows.
	Write(rows []byte) error
	// Close completes the dataset. After an error of Write or Close there is
	// no dataset, and the space is free again.
	Close() error
	// Abort drops the dataset. After Close, or a second time, it does
	// nothing, so that it may be deferred.
	Abort()
}

// A Reader reads a dataset once. It is used by one goroutine.
type Reader interface {
	// Columns describes the rows.
	Columns() []Column
	// Rows is the number of rows of the dataset.
	Rows() int64
	// Next returns the next row, or io.EOF after the last. The slice is valid
	// until the next call.
	Next() ([]byte, error)
	// Close frees the reader's resources.
	Close() error
}

// A Scratcher is an engine that lends storage in which bytes are read and written at
// any place, for batches that are larger than memory.
type Scratcher interface {
	// Scratch makes empty storage under a name like that of a dataset, which must not
	// be taken. Remove gives it up, after Close.
	Scratch(ctx context.Context, name string) (Scratch, error)
}

// Scratch is storage for intermediate results. Its methods may be called by several
// goroutines at once, except Close.
type Scratch interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
}

// RowWidth is the sum of the columns' widths.
func RowWidth(columns []Column) int {
	width := 0
	for _, c := range columns {
		width += c.Width
	}
	return width
}

// Find returns where the column called name begins in a row, and its width.
func Find(columns []Column, name string) (int, int, error) {
	at := 0
	for _, c := range columns {
		if c.Name == name {
			return at, c.Width, nil
		}
		at += c.Width
	}
	return 0, 0, fmt.Errorf("column %q: %w", name, ErrNotFound)
}

// Count reads the second column of a row that CountByKey made.
func Count(row []byte) int64 {
	return int64(binary.BigEndian.Uint64(row[len(row)-8:]))
}

// CheckName returns an error for a name that no dataset or column may have.
func CheckName(name string) error {
	if name == "" || len(name) > MaxNameLen || name[0] == '.' {
		return fmt.Errorf("name %q: want 1 to %d characters, the first not a dot", name, MaxNameLen)
	}
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '-' && c != '_' && c != '.' {
			return fmt.Errorf("name %q: only letters, digits, '-', '_' and '.' are allowed", name)
		}
	}
	return nil
}

// CheckColumns returns an error for columns that no dataset may have.
func CheckColumns(columns []Column) error {
	if len(columns) == 0 {
		return errors.New("a dataset needs at least one column")
	}
	seen := map[string]bool{}
	width := 0
	for _, c := range columns {
		if err := CheckName(c.Name); err != nil {
			return fmt.Errorf("column %w", err)
		}
		if seen[c.Name] {
			return fmt.Errorf("column %q appears twice", c.Name)
		}
		seen[c.Name] = true
		if c.Width < 1 || c.Width > MaxRowWidth-width {
			return fmt.Errorf("column %q: width %d: want at least 1, and at most %d for the whole row", c.Name, c.Width, MaxRowWidth)
		}
		width += c.Width
	}
	return nil
}
