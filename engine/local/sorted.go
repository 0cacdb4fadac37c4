package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/engine"
	"github.com/shoal-project/shoal/internal/durable"
)

// CreateSorted starts a dataset whose rows are sorted. It is a step: others wait
// until the Writer is closed or aborted.
//
// Rows are gathered in the engine's memory and written as sorted runs, which a
// Reader merges: each row is written once and read once.
func (e *Engine) CreateSorted(ctx context.Context, name string, columns []engine.Column, by []string) (engine.Writer, error) {
	columns = slices.Clone(columns)
	w, err := e.createSorted(ctx, name, columns, by)
	if err != nil {
		return nil, fmt.Errorf("creating sorted dataset %q: %w", name, err)
	}
	return w, nil
}

func (e *Engine) createSorted(ctx context.Context, name string, columns []engine.Column, by []string) (*sortedWriter, error) {
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
	if err := e.enter(ctx); err != nil {
		return nil, err
	}
	d, f, err := e.take(name, columns)
	if err != nil {
		<-e.turn
		return nil, err
	}
	w := &sortedWriter{ctx: ctx, engine: e, name: name, dataset: d, layout: l, file: f}
	w.divide(e.allocate(int64(w.least())))
	return w, nil
}

// sortedWriter gathers rows in one part of the memory while those of the other are
// sorted and written.
type sortedWriter struct {
	ctx     context.Context // of the CreateSorted call: its end aborts the dataset
	engine  *Engine
	name    string
	dataset *dataset
	layout  layout
	file    durable.File // of the runs

	parts   []*part
	current int
	written int64 // bytes of the runs
	runs    []run

	err   error // of an earlier call
	ended bool
}

// A part is the memory of a run.
type part struct {
	plan   sortPlan
	memory []byte
	rows   []byte // within memory, as they are sorted

	done sync.WaitGroup
	err  error // of the run before; valid after done
}

// least is the memory with which a writer begins: it grows with the rows.
func (w *sortedWriter) least() int { return 8 * (w.dataset.width + entrySize) }

// divide gives the memory to parts: to two, so that sorting goes on beside, once
// the memory is all that there is.
func (w *sortedWriter) divide(memory []byte) {
	n := 1
	if w.engine.workers > 1 && w.engine.isWhole(memory) {
		n = 2
	}
	w.parts, w.current = nil, 0
	size := len(memory) / n
	for i := range n {
		p := &part{memory: memory[i*size : (i+1)*size]}
		p.plan = planSort(size, w.dataset.width)
		p.rows = p.memory[p.plan.buffer:][:0]
		w.parts = append(w.parts, p)
	}
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
	for ; len(rows) > 0; rows = rows[width:] {
		p := w.parts[w.current]
		if len(p.rows) == p.plan.rows*width {
			if err := w.full(); err != nil {
				return w.fail(err)
			}
			p = w.parts[w.current]
		}
		n := len(p.rows)
		p.rows = p.rows[:n+width]
		if w.layout.identity {
			copy(p.rows[n:], rows[:width])
		} else {
			w.layout.toSorted(p.rows[n:], rows[:width])
		}
	}
	return nil
}

// full makes room for rows: by more memory, or by a run that goes to the disk.
func (w *sortedWriter) full() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	p := w.parts[w.current]
	if !w.engine.isWhole(p.memory) && len(w.parts) == 1 {
		old := p.rows
		w.divide(w.engine.allocate(4 * int64(len(p.memory))))
		p = w.parts[0]
		p.rows = p.rows[:len(old)]
		copy(p.rows, old)
		return nil
	}
	w.flush(p)
	w.current = (w.current + 1) % len(w.parts)
	p = w.parts[w.current]
	p.done.Wait()
	return p.err
}

// flush sorts a part and writes it as a run, beside what goes on.
func (w *sortedWriter) flush(p *part) {
	rows, r := p.rows, run{w.written, w.written + int64(len(p.rows))}
	w.runs = append(w.runs, r)
	w.written = r.end
	p.done.Go(func() {
		p.err = w.writeRun(p, rows, layout{identity: true}, w.file, r.off)
		p.rows = p.rows[:0]
	})
}

func (w *sortedWriter) writeRun(p *part, rows []byte, l layout, file durable.File, off int64) error {
	width := w.dataset.width
	n := len(rows) / width
	sorted := sortRows(rows, width, p.memory[p.plan.buffer+len(rows):])
	return writeSorted(w.ctx, &sorted, n, l, output{file, off, p.plan.io(p.memory)[:0]})
}

func (w *sortedWriter) wait() error {
	var errs []error
	for _, p := range w.parts {
		p.done.Wait()
		errs = append(errs, p.err)
	}
	return errors.Join(errs...)
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
	w.ended = true
	if err := w.file.Close(); err != nil {
		w.err = errors.Join(fmt.Errorf("writing dataset %q: %w", w.name, err), w.engine.drop(w.name, w.dataset))
	} else {
		w.engine.publish(w.dataset, rows)
	}
	w.release()
	return w.err
}

// finish writes what is in memory, and returns the number of rows.
func (w *sortedWriter) finish() (int64, error) {
	width := int64(w.dataset.width)
	p := w.parts[w.current]
	if len(w.runs) == 0 { // all are there
		return int64(len(p.rows)) / width, w.writeRun(p, p.rows, w.layout, w.file, 0)
	}
	if len(p.rows) > 0 {
		w.flush(p)
	}
	if err := w.wait(); err != nil {
		return 0, err
	}
	rows := w.written / width
	s := &step{ctx: w.ctx, engine: w.engine, memory: w.engine.slab, workers: w.engine.workers}
	s.spill = &spill{engine: w.engine, file: w.file}
	s.spill.used.Store(w.written)
	limit := fanIn(w.engine.readMemory(), w.dataset.width)
	runs, err := s.mergeDown(w.runs, w.dataset.width, limit, func() emit { return emitRow })
	w.dataset.runs, w.dataset.layout = runs, w.layout
	return rows, err
}

// Abort drops the dataset.
func (w *sortedWriter) Abort() {
	if w.ended {
		return
	}
	w.ended = true
	_ = w.wait()
	// The caller is giving up; what cannot be removed now Close will sweep.
	_ = w.file.Close()
	_ = w.engine.drop(w.name, w.dataset)
	w.release()
}

// release lets other steps have the memory.
func (w *sortedWriter) release() {
	w.parts = nil
	<-w.engine.turn
}

// readMemory bounds what reading a dataset of several runs takes.
func (e *Engine) readMemory() int { return int(e.memory / 8) }

// merging returns the rows of a dataset of several runs in order.
func (e *Engine) merging(ctx context.Context, file durable.File, d *dataset) (*merger, error) {
	memory := max(min(e.readMemory(), len(d.runs)*4*bufferSize), len(d.runs)*d.width)
	return newMerger(ctx, file, d.runs, d.width, make([]byte, memory))
}

// runsReader merges runs in a goroutine, some blocks ahead of the reader.
type runsReader struct {
	name    string
	dataset *dataset
	file    durable.File
	cancel  context.CancelFunc
	blocks  chan block // closed at the end
	free    chan []byte
	ended   sync.WaitGroup

	now  block
	rest []byte
}

// A block is rows as they are stored, or what ended the merge.
type block struct {
	rows []byte
	err  error
}

const blocksAhead = 2

func (e *Engine) openRuns(ctx context.Context, name string, d *dataset, f durable.File) (*runsReader, error) {
	m, err := e.merging(ctx, f, d)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &runsReader{
		name: name, dataset: d, file: f, cancel: cancel,
		blocks: make(chan block, blocksAhead), free: make(chan []byte, blocksAhead+2),
	}
	for range blocksAhead + 2 {
		r.free <- make([]byte, 0, d.width*bufferRows(bufferSize, d.width))
	}
	r.ended.Go(func() { r.merge(ctx, m) })
	return r, nil
}

// merge fills blocks until the end of the rows or of the reader.
func (r *runsReader) merge(ctx context.Context, m *merger) {
	defer close(r.blocks)
	for {
		buf := <-r.free
		var err error
		for len(buf)+r.dataset.width <= cap(buf) {
			var row []byte
			if row, err = m.next(); err != nil {
				break
			}
			n := len(buf)
			buf = buf[:n+r.dataset.width]
			r.dataset.layout.toStored(buf[n:], row)
		}
		select {
		case r.blocks <- block{buf, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// Columns describes the rows.
func (r *runsReader) Columns() []engine.Column { return slices.Clone(r.dataset.columns) }

// Rows is the number of rows.
func (r *runsReader) Rows() int64 { return r.dataset.rows }

// Next returns the next row.
func (r *runsReader) Next() ([]byte, error) {
	for len(r.rest) == 0 {
		if r.now.err == io.EOF {
			return nil, io.EOF
		}
		if r.now.err != nil {
			return nil, fmt.Errorf("reading dataset %q: %w", r.name, r.now.err)
		}
		if r.now.rows != nil {
			r.free <- r.now.rows[:0]
		}
		next, ok := <-r.blocks
		if !ok {
			next.err = context.Canceled // of the reader itself
		}
		r.now, r.rest = next, next.rows
	}
	row := r.rest[:r.dataset.width:r.dataset.width]
	r.rest = r.rest[r.dataset.width:]
	return row, nil
}

// Close frees the reader's resources.
func (r *runsReader) Close() error {
	r.cancel()
	for range r.blocks { // until the goroutine has ended
	}
	r.ended.Wait()
	return r.file.Close()
}

// openInput opens the rows of a dataset as one file, which it makes first where
// they are in runs. The file is gone once it is closed.
func (s *step) openInput(d *dataset) (durable.File, error) {
	f, err := s.engine.fs.OpenFile(d.path, os.O_RDONLY, 0)
	if err != nil || d.runs == nil {
		return f, err
	}
	defer f.Close()
	t, err := s.temporary(func(_ *step, to durable.File) (int64, error) {
		m, err := s.engine.merging(s.ctx, f, d)
		if err != nil {
			return 0, err
		}
		out := &output{file: to, buf: make([]byte, 0, d.width*bufferRows(bufferSize, d.width))}
		for {
			row, err := m.next()
			if err == io.EOF {
				return d.rows, out.flush()
			}
			if err != nil {
				return 0, err
			}
			dst, err := out.room(d.width)
			if err != nil {
				return 0, err
			}
			d.layout.toStored(dst, row)
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
