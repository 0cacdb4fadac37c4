package segment

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/journal"
)

const (
	filePerm = 0o600
	dirPerm  = 0o700
)

// A Log is an open log. Its methods are safe for concurrent use.
type Log struct {
	fs         durable.FS
	dir        string
	maxSegment int64
	maxRecord  int
	maxPending int
	random     io.Reader

	durable atomic.Int64  // records
	splits  atomic.Int64  // tries of Split
	wake    chan struct{} // holds one token while a batch may be waiting
	quit    chan struct{} // closed by Close
	stopped chan struct{} // closed when the committer has ended

	mu       sync.Mutex // guards all below; never held during I/O
	next     *batch     // collects what the next commit writes
	spare    []byte     // buffer for the batch after it
	ended    bool       // no more records: Seal was called
	closed   bool
	segments []*segment // the list and its elements, oldest first
	sealed   bool       // the end is durable
	digest   [sha256.Size]byte

	writing    sync.Mutex // held while files are written; guards all below
	active     *active    // the segment that grows, or nil
	nextNumber uint64
	note       *note // what is acknowledged; nil before the first segment, or if it cannot be written
}

// batch is a group of records that are written together.
type batch struct {
	buf     []byte // framed records without checksums
	records int64
	taken   chan struct{} // closed when the next batch is open
	done    chan struct{} // closed when err is final
	err     error
}

func newBatch(buf []byte) *batch {
	return &batch{buf: buf[:0], taken: make(chan struct{}), done: make(chan struct{})}
}

// Open opens the log in the directory dir, which it makes if it is missing. It
// reads all records through, finishes what a crash interrupted, and reports
// what it found. A full disk does not keep it from opening.
func Open(dir string, o Options) (*Log, Recovery, error) {
	l, err := newLog(dir, o)
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("opening log %s: %w", dir, err)
	}
	if err := l.fs.MkdirAll(dir, dirPerm); err != nil {
		return nil, Recovery{}, fmt.Errorf("opening log: %w", diskError(err))
	}
	r, err := l.load()
	if err != nil {
		return nil, r, fmt.Errorf("opening log %s: %w", dir, err)
	}
	go l.commitLoop()
	return l, r, nil
}

func newLog(dir string, o Options) (*Log, error) {
	if o.FS == nil {
		return nil, errors.New("no file system given")
	}
	if o.MaxSegment < 0 || o.MaxPending < 0 || o.MaxRecord < 0 || o.MaxRecord > maxRecordLimit {
		return nil, fmt.Errorf("MaxSegment %d, MaxRecord %d, MaxPending %d: out of range", o.MaxSegment, o.MaxRecord, o.MaxPending)
	}
	if o.MaxSegment == 0 {
		o.MaxSegment = 64 << 20
	}
	if o.MaxRecord == 0 {
		o.MaxRecord = 1 << 20
	}
	if o.MaxPending == 0 {
		o.MaxPending = 8 << 20
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	return &Log{
		fs: o.FS, dir: dir, maxSegment: o.MaxSegment, maxRecord: o.MaxRecord, maxPending: o.MaxPending, random: o.Rand,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), stopped: make(chan struct{}),
		next: newBatch(nil),
	}, nil
}

func (l *Log) path(number uint64, suffix string) string {
	return filepath.Join(l.dir, fileName(number, suffix))
}

// Append adds a record and returns nil when it is durable. The record is copied
// and may be reused afterwards. If ctx ends while Append waits for the disk, it
// returns the context's error, and the record may or may not become durable.
func (l *Log) Append(ctx context.Context, record []byte) error {
	if len(record) > l.maxRecord {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(record), l.maxRecord)
	}
	b, err := l.reserve(ctx, frameSize+len(record))
	if err != nil {
		return err
	}
	b.add(record)
	l.mu.Unlock()
	return l.wait(ctx, b)
}

// AppendAll is Append for several records, which keep their order; those of
// others may come between them. After an error any first part of them may be in
// the log.
func (l *Log) AppendAll(ctx context.Context, records [][]byte) error {
	for _, r := range records {
		if len(r) > l.maxRecord {
			return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(r), l.maxRecord)
		}
	}
	for len(records) > 0 {
		b, err := l.reserve(ctx, frameSize+len(records[0]))
		if err != nil {
			return err
		}
		for len(records) > 0 && (b.records == 0 || len(b.buf)+frameSize+len(records[0]) <= l.maxPending) {
			b.add(records[0])
			records = records[1:]
		}
		l.mu.Unlock()
		if err := l.wait(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// reserve returns the batch that has room for n bytes. On success l.mu is held.
func (l *Log) reserve(ctx context.Context, n int) (*batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for {
		l.mu.Lock()
		if err := l.refusal(); err != nil {
			l.mu.Unlock()
			return nil, err
		}
		b := l.next
		if b.records == 0 {
			l.signal()
			return b, nil
		}
		if len(b.buf)+n <= l.maxPending {
			return b, nil
		}
		l.mu.Unlock()
		select {
		case <-b.taken:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// refusal is called with l.mu held.
func (l *Log) refusal() error {
	if l.ended {
		return ErrSealed
	}
	if l.closed {
		return ErrClosed
	}
	return nil
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (b *batch) add(record []byte) {
	b.buf = append(journal.Begin(b.buf, len(record)), record...)
	b.records++
}

func (l *Log) wait(ctx context.Context, b *batch) error {
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
	}
	select {
	case <-b.done:
		return b.err
	default:
		return ctx.Err()
	}
}

// Len returns the number of durable records.
func (l *Log) Len() int64 { return l.durable.Load() }

// Close writes what waits and leaves the files to a later Open. It may be
// called again, and returns the error of the sealing of the last file, which
// has cost no records: the next Open does it.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	close(l.quit)
	<-l.stopped

	l.writing.Lock()
	defer l.writing.Unlock()
	defer l.closeNote()
	l.commitPending()
	if l.active == nil {
		return nil
	}
	// Saves the next Open the copying.
	err := l.finish()
	if l.active != nil {
		err = errors.Join(err, l.active.file.Close())
		l.active = nil
	}
	return err
}

// Remove destroys the log in dir, which must not be open. Calling it again after
// a crash or an error removes the rest; no log is not an error.
func Remove(fsys durable.FS, dir string) error { return durable.RemoveAll(fsys, dir) }
