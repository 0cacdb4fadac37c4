package segment

import (
	"context"
	"errors"
	"iter"

	"github.com/shoal-project/shoal/internal/durable"
)

// A Log is an open log. Its methods are safe for concurrent use.
type Log struct{}

// Open opens the log in the directory dir, which it makes if it is missing, and
// repairs what a crash has left.
func Open(dir string, o Options) (*Log, Recovery, error) {
	return nil, Recovery{}, errors.ErrUnsupported
}

// Append adds a record and returns nil when it is durable. The record is copied
// and may be reused afterwards. If ctx ends while Append waits for the disk, it
// returns the context's error, and the record may or may not become durable.
func (l *Log) Append(ctx context.Context, record []byte) error { return errors.ErrUnsupported }

// AppendAll is Append for several records, which stay together in order. After
// an error any first part of them may be in the log.
func (l *Log) AppendAll(ctx context.Context, records [][]byte) error { return errors.ErrUnsupported }

// Seal ends the log, durably: records that wait are written, and later Append
// calls fail with ErrSealed, also after the log is opened again. It may be
// called again, to the same effect, and must be after an error.
func (l *Log) Seal() error { return errors.ErrUnsupported }

// Len returns the number of durable records.
func (l *Log) Len() int64 { return 0 }

// Digest identifies the content of a sealed log: SHA-256 over the digests of
// its segments in order.
func (l *Log) Digest() ([32]byte, error) { return [32]byte{}, errors.ErrUnsupported }

// Records yields the records that are durable when it starts, in order. A slice
// is valid until the next step. Damage that Open has reported is skipped; other
// damage is yielded as a [Damage] error, after which the loop may go on.
func (l *Log) Records() iter.Seq2[[]byte, error] {
	return func(func([]byte, error) bool) {}
}

// Close writes what waits and leaves the files to a later Open.
func (l *Log) Close() error { return errors.ErrUnsupported }

// Remove destroys the log in dir, which must not be open. Calling it again after
// a crash or an error removes the rest; no log is not an error.
func Remove(fsys durable.FS, dir string) error { return durable.RemoveAll(fsys, dir) }
