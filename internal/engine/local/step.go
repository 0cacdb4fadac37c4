package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine"
)

// ioSize is what is read or written at once where memory allows.
const ioSize = 1 << 20

// step is one call of CountByKey, SemiJoin or SortBy while it runs.
type step struct {
	ctx     context.Context //nolint:containedctx // of the call
	engine  *Engine
	memory  []byte // all that the step may use
	workers int
	out     durable.File
	spill   *spill
}

// run makes the dataset out by work, which returns its number of rows. want is
// the memory that the step can use, maxWidth the widest row it handles.
func (e *Engine) run(ctx context.Context, out string, columns []engine.Column, want int64, maxWidth int, work func(*step) (int64, error)) error {
	if err := e.fits(maxWidth); err != nil {
		return err
	}
	if err := e.enter(ctx); err != nil {
		return err
	}
	defer func() { <-e.sem }()
	d, f, err := e.take(out, columns)
	if err != nil {
		return err
	}
	s := &step{ctx: ctx, engine: e, out: f, spill: &spill{engine: e}, memory: e.allocate(want), workers: e.workers}
	rows, err := work(s)
	err = errors.Join(err, s.spill.remove(), f.Close())
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return errors.Join(err, e.drop(out, d))
	}
	e.publish(d, rows)
	return nil
}

// fits refuses rows that are too wide for the memory.
func (e *Engine) fits(width int) error {
	if int64(width)*16 > e.memory {
		return fmt.Errorf("rows of %d bytes need MemoryBytes of at least %d", width, width*16)
	}
	return nil
}

// enter waits until no other step runs.
func (e *Engine) enter(ctx context.Context) error {
	select {
	case e.sem <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		<-e.sem
		return err
	}
	return nil
}

// allocate returns the slab, enlarged if the step can use more. Old slabs are
// garbage for a while: they are powers of two below a sixteenth of the memory,
// so that all together, and the largest, stay within it.
func (e *Engine) allocate(want int64) []byte {
	size := int64(1 << 10)
	for size < want && size <= e.memory/32 {
		size *= 2
	}
	if size < want {
		size = e.whole()
	}
	if int64(len(e.slab)) < size {
		e.slab = nil
		e.slab = make([]byte, size)
	}
	return e.slab
}

// whole is the largest slab: half of the memory, because Go lets garbage grow to as
// much as is in use before it collects.
func (e *Engine) whole() int64 { return e.memory / 2 }

// each runs work on the step's workers, each with its number and an equal part
// of the memory, of at least least bytes.
func (s *step) each(least int, work func(ctx context.Context, worker int, memory []byte) error) error {
	workers := max(1, min(s.workers, len(s.memory)/max(1, least)))
	part := len(s.memory) / workers
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			memory := s.memory[i*part : (i+1)*part : (i+1)*part]
			if err := work(ctx, i, memory); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// spill is the temporary file of a step, made when it is first needed.
type spill struct {
	engine *Engine
	used   atomic.Int64 // bytes given away

	mu   sync.Mutex // guards all below
	file durable.File
	path string
}

// run is a sorted run of rows in a spill file.
type run struct {
	off, end int64
}

// open returns the file, and the offset of size bytes in it for the caller.
func (s *spill) open(size int64) (durable.File, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		s.engine.mu.Lock()
		s.path = s.engine.newPath(spillSuffix)
		s.engine.mu.Unlock()
		f, err := s.engine.fs.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, 0, err
		}
		s.file = f
	}
	return s.file, s.used.Add(size) - size, nil
}

func (s *spill) remove() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := errors.Join(s.file.Close(), s.engine.removeFile(s.path))
	s.file = nil
	return err
}

// output writes rows to a range of a file through a buffer.
type output struct {
	file durable.File
	off  int64
	buf  []byte
}

// room returns width bytes to be filled in with the next row.
func (o *output) room(width int) ([]byte, error) {
	if len(o.buf)+width > cap(o.buf) {
		if err := o.flush(); err != nil {
			return nil, err
		}
	}
	n := len(o.buf)
	o.buf = o.buf[:n+width]
	return o.buf[n:], nil
}

func (o *output) flush() error {
	if len(o.buf) == 0 {
		return nil
	}
	_, err := o.file.WriteAt(o.buf, o.off)
	o.off += int64(len(o.buf))
	o.buf = o.buf[:0]
	return err
}
