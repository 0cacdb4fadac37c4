package local

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine"
)

// SortBy sorts rows. While they are being sorted the sort columns come first
// in each row, so that the order is that of the bytes of the whole row.
func (e *Engine) SortBy(ctx context.Context, in string, columns []string, out string) error {
	d, err := e.lookup(in)
	if err != nil {
		return fmt.Errorf("sorting: %w", err)
	}
	l, err := newLayout(d.columns, columns)
	if err != nil {
		return fmt.Errorf("sorting %q: %w", in, err)
	}
	want := d.rows*int64(d.width+entrySize)*5/4 + 4*bufferSize                     // an eighth goes to the buffers
	err = e.run(ctx, out, d.columns, want, d.width, func(s *step) (int64, error) { //nolint:contextcheck // a step holds the context that it runs under
		return d.rows, s.sortInto(d, l, s.out)
	})
	if err != nil {
		return fmt.Errorf("sorting %q into %q: %w", in, out, err)
	}
	return nil
}

// layout is the order of columns in which rows are sorted: pieces of the row as
// it is stored, in the order in which they count.
type layout struct {
	pieces   []piece
	identity bool
}

type piece struct{ stored, sorted, size int }

func newLayout(columns []engine.Column, by []string) (layout, error) {
	var l layout
	sorted := 0
	add := func(stored, size int) {
		l.pieces = append(l.pieces, piece{stored, sorted, size})
		sorted += size
	}
	for i, name := range by {
		if slices.Contains(by[:i], name) {
			continue
		}
		stored, size, err := engine.Find(columns, name)
		if err != nil {
			return layout{}, err
		}
		add(stored, size)
	}
	stored := 0
	for _, c := range columns {
		if !slices.Contains(by, c.Name) {
			add(stored, c.Width)
		}
		stored += c.Width
	}
	l.identity = !slices.ContainsFunc(l.pieces, func(p piece) bool { return p.stored != p.sorted })
	return l, nil
}

func (l *layout) toSorted(dst, row []byte) {
	for _, p := range l.pieces {
		copy(dst[p.sorted:p.sorted+p.size], row[p.stored:])
	}
}

func (l *layout) toStored(dst, row []byte) {
	for _, p := range l.pieces {
		copy(dst[p.stored:p.stored+p.size], row[p.sorted:])
	}
}

// sortInto writes the rows of d to out, sorted by l and stored as they were.
func (s *step) sortInto(d *dataset, l layout, out durable.File) error {
	in, err := s.openInput(d)
	if err != nil {
		return err
	}
	defer in.Close()
	runs, err := s.sortRuns(in, d, l, out)
	if err != nil || runs == nil {
		return err
	}
	return s.mergeSorted(runs, d.width, l, out)
}

// sortRuns sorts as many rows at a time as there is memory for, on all workers.
// If that is all of them they go to out, and it returns no runs.
func (s *step) sortRuns(in io.ReaderAt, d *dataset, l layout, out durable.File) ([]run, error) {
	width := d.width
	plan := planSort(len(s.memory)/s.workers, width)
	single := planSort(len(s.memory), width)
	if plan.rows < 2 || d.rows <= int64(min(plan.rows, 1<<14)) {
		s = s.with(1)
		plan = single
	}
	if d.rows == 0 {
		return nil, nil
	}
	chunks := (d.rows + int64(plan.rows) - 1) / int64(plan.rows)
	if chunks > 1 {
		// Equal chunks, a whole number for each worker.
		chunks = (chunks + int64(s.workers) - 1) / int64(s.workers) * int64(s.workers)
	} else {
		chunks = min(int64(s.workers), d.rows)
	}
	chunk := (d.rows + chunks - 1) / chunks
	var mu sync.Mutex
	var runs []run
	var next atomic.Int64
	err := s.each(0, func(ctx context.Context, _ int, memory []byte) error {
		for ctx.Err() == nil {
			first := (next.Add(1) - 1) * chunk
			if first >= d.rows {
				return nil
			}
			n := int(min(chunk, d.rows-first))
			sorted, err := loadSorted(in, first, n, width, l, plan, memory)
			if err != nil {
				return err
			}
			file, off, stored := out, int64(0), l
			if int64(n) < d.rows {
				size := int64(n) * int64(width)
				if file, off, err = s.spill.open(size); err != nil {
					return err
				}
				stored = layout{identity: true}
				mu.Lock()
				runs = append(runs, run{off, off + size})
				mu.Unlock()
			}
			if err := writeSorted(ctx, &sorted, n, stored, output{file, off, plan.io(memory)[:0]}); err != nil {
				return err
			}
		}
		return nil
	})
	return runs, err
}

// with returns the step with another number of workers.
func (s *step) with(workers int) *step {
	return &step{s.ctx, s.engine, s.memory, workers, s.out, s.spill}
}

// sortPlan divides the memory of a worker.
type sortPlan struct {
	rows   int // that are sorted at a time
	buffer int // bytes to read and write with, whole rows
}

func planSort(memory, width int) sortPlan {
	buffer := bufferRows(min(ioSize, memory/8), width) * width
	return sortPlan{rows: min(maxSortRows, (memory-buffer)/(width+entrySize)), buffer: buffer}
}

func (p sortPlan) io(memory []byte) []byte { return memory[:p.buffer:p.buffer] }

// loadSorted reads n rows and sorts them.
func loadSorted(in io.ReaderAt, first int64, n, width int, l layout, p sortPlan, memory []byte) (sorter, error) {
	rows := memory[p.buffer:][:n*width]
	entries := memory[p.buffer+n*width:]
	off := first * int64(width)
	if l.identity {
		if err := readFull(in, rows, off); err != nil {
			return sorter{}, err
		}
		return sortRows(rows, width, entries), nil
	}
	for done := 0; done < len(rows); {
		block := p.io(memory)[:min(p.buffer, len(rows)-done)]
		if err := readFull(in, block, off+int64(done)); err != nil {
			return sorter{}, err
		}
		for i := 0; i < len(block); i += width {
			l.toSorted(rows[done+i:done+i+width], block[i:i+width])
		}
		done += len(block)
	}
	return sortRows(rows, width, entries), nil
}

// writeSorted writes sorted rows in their stored layout.
func writeSorted(ctx context.Context, s *sorter, n int, l layout, out output) error {
	for i := range n {
		dst, err := out.room(s.width)
		if err != nil {
			return err
		}
		if l.identity {
			copy(dst, s.row(i))
		} else {
			l.toStored(dst, s.row(i))
		}
		if i%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return out.flush()
}
