package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine"
)

// bufferSize is the buffer of a Writer or Reader.
const bufferSize = 64 << 10

// bufferRows returns how many rows of a width fit into size bytes, at least one.
func bufferRows(size, width int) int { return max(1, size/width) }

// Create starts a dataset.
func (e *Engine) Create(ctx context.Context, name string, columns []engine.Column) (engine.Writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	columns = slices.Clone(columns)
	d, f, err := e.take(name, columns)
	if err != nil {
		return nil, fmt.Errorf("creating: %w", err)
	}
	buf := make([]byte, 0, d.width*bufferRows(bufferSize, d.width))
	return &writer{ctx: ctx, engine: e, name: name, dataset: d, file: f, buf: buf}, nil
}

type writer struct {
	ctx     context.Context //nolint:containedctx // of the Create call: its end aborts the dataset
	engine  *Engine
	name    string
	dataset *dataset
	file    durable.File
	buf     []byte
	written int64
	err     error // of an earlier call
	ended   bool
}

var errEnded = errors.New("writer is closed")

// Write adds rows.
func (w *writer) Write(rows []byte) error {
	if w.ended && w.err == nil {
		return errEnded
	}
	if w.err != nil {
		return w.err
	}
	if len(rows)%w.dataset.width != 0 {
		return w.fail(fmt.Errorf("%d bytes are no whole number of rows of %d", len(rows), w.dataset.width))
	}
	for len(rows) > 0 {
		if len(w.buf) == 0 && len(rows) >= cap(w.buf) {
			return w.flush(rows)
		}
		n := min(len(rows), cap(w.buf)-len(w.buf))
		w.buf = append(w.buf, rows[:n]...)
		rows = rows[n:]
		if len(w.buf) == cap(w.buf) {
			if err := w.flush(w.buf); err != nil {
				return err
			}
			w.buf = w.buf[:0]
		}
	}
	return nil
}

func (w *writer) flush(b []byte) error {
	if err := w.ctx.Err(); err != nil {
		return w.fail(err)
	}
	if _, err := w.file.WriteAt(b, w.written); err != nil {
		return w.fail(err)
	}
	w.written += int64(len(b))
	return nil
}

func (w *writer) fail(err error) error {
	w.err = fmt.Errorf("writing dataset %q: %w", w.name, err)
	w.Abort()
	return w.err
}

// Close completes the dataset.
func (w *writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if w.ended {
		return errEnded
	}
	if err := w.flush(w.buf); err != nil {
		return err
	}
	w.ended, w.buf = true, nil
	if err := w.file.Close(); err != nil {
		w.err = errors.Join(fmt.Errorf("writing dataset %q: %w", w.name, err), w.engine.drop(w.name, w.dataset))
		return w.err
	}
	w.engine.publish(w.dataset, w.written/int64(w.dataset.width))
	return nil
}

// Abort drops the dataset.
func (w *writer) Abort() {
	if w.ended {
		return
	}
	w.ended, w.buf = true, nil
	// The caller is giving up; what cannot be removed now Close will sweep.
	_ = w.file.Close()
	_ = w.engine.drop(w.name, w.dataset)
}

// Open reads a dataset.
func (e *Engine) Open(ctx context.Context, name string) (engine.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d, err := e.lookup(name)
	if err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	f, err := e.fs.OpenFile(d.path, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("opening dataset %q: %w", name, err)
	}
	if d.buckets != nil {
		return e.openBuckets(ctx, name, d, f), nil
	}
	buf := make([]byte, d.width*bufferRows(bufferSize, d.width))
	return &reader{
		ctx: ctx, name: name, dataset: d, file: f,
		rows: section{file: f, end: d.rows * int64(d.width), buf: buf},
	}, nil
}

type reader struct {
	ctx     context.Context //nolint:containedctx // of the Open call
	name    string
	dataset *dataset
	file    durable.File
	rows    section
}

// Columns describes the rows.
func (r *reader) Columns() []engine.Column { return slices.Clone(r.dataset.columns) }

// Rows is the number of rows.
func (r *reader) Rows() int64 { return r.dataset.rows }

// Next returns the next row.
func (r *reader) Next() ([]byte, error) {
	row, err := r.rows.next(r.ctx, r.dataset.width)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("reading dataset %q: %w", r.name, err)
	}
	return row, err
}

// Close frees the reader's resources.
func (r *reader) Close() error { return r.file.Close() }

// section reads a range of a file row by row.
type section struct {
	file     durable.File
	off, end int64  // the range that is not in buf yet
	buf      []byte // whole rows
	rest     []byte // part of buf that was not returned yet
}

// next returns the next row, valid until the call after, or io.EOF.
func (s *section) next(ctx context.Context, width int) ([]byte, error) {
	if len(s.rest) == 0 {
		if err := s.fill(ctx); err != nil {
			return nil, err
		}
	}
	row := s.rest[:width:width]
	s.rest = s.rest[width:]
	return row, nil
}

func (s *section) fill(ctx context.Context) error {
	if s.off == s.end {
		return io.EOF
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	n := min(int64(len(s.buf)), s.end-s.off)
	if err := readFull(s.file, s.buf[:n], s.off); err != nil {
		return err
	}
	s.off += n
	s.rest = s.buf[:n]
	return nil
}

// readFull reads len(b) bytes at off, which the file must have.
func readFull(f io.ReaderAt, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("file is too short: %w", err)
}
