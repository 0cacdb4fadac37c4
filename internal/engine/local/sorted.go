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

// CreateSorted starts a dataset whose rows are sorted.
//
// Rows are kept in memory. Once it is full they are distributed to buckets, ranges
// of the order, and a Reader sorts bucket after bucket: each row is written once and
// read once.
func (e *Engine) CreateSorted(ctx context.Context, name string, columns []engine.Column, by []string) (engine.Writer, error) {
	columns = slices.Clone(columns)
	w, err := e.createSorted(ctx, name, columns, by)
	if err != nil {
		return nil, fmt.Errorf("creating sorted dataset %q: %w", name, err)
	}
	return w, nil
}

func (e *Engine) createSorted(ctx context.Context, name string, columns []engine.Column, by []string) (*sortedWriter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := engine.CheckColumns(columns); err != nil {
		return nil, err
	}
	l, err := newLayout(columns, by)
	if err != nil {
		return nil, err
	}
	if err := e.fits(engine.RowWidth(columns)); err != nil {
		return nil, err
	}
	d, f, err := e.take(name, columns)
	if err != nil {
		return nil, err
	}
	w := &sortedWriter{ctx: ctx, engine: e, name: name, dataset: d, layout: l, file: f}
	w.hold(min(w.share(), max(w.least(), bufferSize)))
	return w, nil
}

// sortedWriter keeps rows in memory, and distributes them to buckets once there are
// too many.
type sortedWriter struct {
	ctx     context.Context //nolint:containedctx // of the CreateSorted call: its end aborts the dataset
	engine  *Engine
	name    string
	dataset *dataset
	layout  layout
	file    durable.File

	memory []byte
	plan   sortPlan
	rows   []byte  // within memory, as they are sorted
	spread *spread // once the memory has been full

	err   error // of an earlier call
	ended bool
}

// least is the memory without which a writer cannot work.
func (w *sortedWriter) least() int { return 8 * (w.dataset.width + entrySize) }

// share is the most memory that a writer uses.
func (w *sortedWriter) share() int { return max(w.least(), int(w.engine.memory/sortedShare)) }

// sortedShare is the part of the engine's memory that a Writer which sorts may use.
const sortedShare = 8

// hold takes memory of a size for the rows.
func (w *sortedWriter) hold(size int) {
	w.memory = make([]byte, size)
	w.plan = planSort(size, w.dataset.width)
	w.rows = append(w.memory[w.plan.buffer:w.plan.buffer], w.rows...)
}

// Write adds rows.
func (w *sortedWriter) Write(rows []byte) error {
	if w.ended && w.err == nil {
		return errEnded
	}
	if w.err != nil {
		return w.err
	}
	width := w.dataset.width
	if len(rows)%width != 0 {
		return w.fail(fmt.Errorf("%d bytes are no whole number of rows of %d", len(rows), width))
	}
	if err := w.ctx.Err(); err != nil {
		return w.fail(err)
	}
	for len(rows) > 0 {
		if w.spread != nil {
			if err := w.spread.write(rows, &w.layout); err != nil {
				return w.fail(err)
			}
			return nil
		}
		n := min(w.plan.rows*width-len(w.rows), len(rows))
		if n == 0 {
			if err := w.full(); err != nil {
				return w.fail(err)
			}
			continue
		}
		w.keep(rows[:n])
		rows = rows[n:]
	}
	return nil
}

// keep adds rows to those in memory.
func (w *sortedWriter) keep(rows []byte) {
	if w.layout.identity {
		w.rows = append(w.rows, rows...)
		return
	}
	width := w.dataset.width
	for ; len(rows) > 0; rows = rows[width:] {
		n := len(w.rows)
		w.rows = w.rows[:n+width]
		w.layout.toSorted(w.rows[n:], rows[:width])
	}
}

// full makes room for rows: by more memory, or by buckets.
func (w *sortedWriter) full() error {
	if len(w.memory) < w.share() {
		w.hold(min(w.share(), 4*len(w.memory)))
		return nil
	}
	sorted := w.sorted()
	n := len(w.rows) / w.dataset.width
	count, buffer := bucketsOf(len(w.memory), w.dataset.width)
	splits := newSplitters(&sorted, n, min(count, n))
	if err := writeSorted(w.ctx, &sorted, n, layout{identity: true}, output{w.file, 0, w.plan.io(w.memory)[:0]}); err != nil {
		return err
	}
	w.spread = newSpread(w.file, w.dataset.width, splits, w.memory, buffer)
	w.spread.begin(n)
	w.rows = nil
	return nil
}

// sorted sorts the rows in memory.
func (w *sortedWriter) sorted() sorter {
	return sortRows(w.rows, w.dataset.width, w.memory[w.plan.buffer+len(w.rows):])
}

func (w *sortedWriter) fail(err error) error {
	w.err = fmt.Errorf("writing dataset %q: %w", w.name, err)
	w.Abort()
	return w.err
}

// Close completes the dataset.
func (w *sortedWriter) Close() error {
	if w.err != nil {
		return w.err
	}
	if w.ended {
		return errEnded
	}
	rows, err := w.finish()
	if err == nil {
		err = w.ctx.Err()
	}
	if err != nil {
		return w.fail(err)
	}
	w.ended, w.memory, w.rows = true, nil, nil
	if err := w.file.Close(); err != nil {
		w.err = errors.Join(fmt.Errorf("writing dataset %q: %w", w.name, err), w.engine.drop(w.name, w.dataset))
		return w.err
	}
	w.engine.publish(w.dataset, rows)
	return nil
}

// finish writes what is in memory, and returns the number of rows.
func (w *sortedWriter) finish() (int64, error) {
	width := w.dataset.width
	if w.spread == nil { // all are there
		sorted := w.sorted()
		n := len(w.rows) / width
		return int64(n), writeSorted(w.ctx, &sorted, n, w.layout, output{w.file, 0, w.plan.io(w.memory)[:0]})
	}
	if err := w.spread.end(); err != nil {
		return 0, err
	}
	w.memory = nil // buckets that are too large need it
	rows := w.spread.written / int64(width)
	w.dataset.buckets, w.dataset.layout = w.spread.buckets, w.layout
	return rows, w.divide(w.spread.written)
}

// divide sorts the buckets that are too large to be sorted in a Reader's memory. The
// rest of the file, from end on, is free.
func (w *sortedWriter) divide(end int64) error {
	limit := int64(w.engine.bucketMemory())
	width := w.dataset.width
	large := func(b *bucket) bool { return b.rows(width)*int64(width+entrySize) > limit }
	if !slices.ContainsFunc(w.dataset.buckets, func(b bucket) bool { return large(&b) }) {
		return nil
	}
	if err := w.engine.enter(w.ctx); err != nil {
		return err
	}
	defer func() { <-w.engine.sem }()
	for i := range w.dataset.buckets {
		b := &w.dataset.buckets[i]
		if !large(b) {
			continue
		}
		if err := w.sortBucket(b, end); err != nil {
			return err
		}
		end = b.extents[0].end
	}
	return nil
}

// sortBucket writes the rows of a bucket, sorted, to the file at off.
func (w *sortedWriter) sortBucket(b *bucket, off int64) error {
	width := w.dataset.width
	d := &dataset{width: width, rows: b.rows(width)}
	want := d.rows*int64(width+entrySize) + 4*ioSize
	s := &step{ctx: w.ctx, engine: w.engine, memory: w.engine.allocate(want), workers: w.engine.workers, spill: &spill{engine: w.engine}}
	plain, out := layout{identity: true}, shifted{w.file, off}
	runs, err := s.sortRuns(b.in(w.file), d, plain, out)
	if err == nil && runs != nil {
		err = s.mergeSorted(runs, width, plain, out)
	}
	if err := errors.Join(err, s.spill.remove()); err != nil {
		return err
	}
	b.extents, b.sorted = []run{{off, off + d.rows*int64(width)}}, true
	return nil
}

// shifted is a file that is written from an offset on.
type shifted struct {
	durable.File
	off int64
}

func (s shifted) WriteAt(b []byte, off int64) (int, error) { return s.File.WriteAt(b, s.off+off) }

// Abort drops the dataset.
func (w *sortedWriter) Abort() {
	if w.ended {
		return
	}
	w.ended = true
	if w.spread != nil {
		_ = w.spread.end()
	}
	w.memory, w.rows = nil, nil
	// The caller is giving up; what cannot be removed now Close will sweep.
	_ = w.file.Close()
	_ = w.engine.drop(w.name, w.dataset)
}

// openInput opens the rows of a dataset as one file, which it makes first where
// they are in buckets. The file is gone once it is closed.
func (s *step) openInput(d *dataset) (durable.File, error) {
	f, err := s.engine.fs.OpenFile(d.path, os.O_RDONLY, 0)
	if err != nil || d.buckets == nil {
		return f, err
	}
	r := s.engine.openBuckets(s.ctx, "", d, f)
	defer r.Close()
	t, err := s.temporary(func(_ *step, to durable.File) (int64, error) {
		out := &output{file: to, buf: make([]byte, 0, d.width*bufferRows(bufferSize, d.width))}
		for {
			row, err := r.Next()
			if err == io.EOF {
				return d.rows, out.flush()
			}
			if err == nil {
				err = emitRow(out, row)
			}
			if err != nil {
				return 0, err
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return passing{t.file, t}, nil
}

// passing is a file that is removed when it is closed.
type passing struct {
	durable.File
	temporary *temporary
}

func (p passing) Close() error { return p.temporary.close() }
