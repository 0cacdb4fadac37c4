package local

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine"
)

// readShare is the part of the engine's memory that a Reader which sorts may use.
const readShare = 4

// bucketMemory is what a bucket that a Reader sorts may need: there is room for one
// that is read and at least two that are being sorted.
func (e *Engine) bucketMemory() int { return int(e.memory / readShare / 3) }

// sortedReader sorts buckets in goroutines, some ahead of the one that is read.
type sortedReader struct {
	ctx     context.Context //nolint:containedctx // of the Open call, ends with Close
	cancel  context.CancelFunc
	name    string
	dataset *dataset
	file    durable.File
	memory  int // bytes that each bucket may need

	order   chan chan loaded // of the buckets in turn; closed at the end
	free    chan []byte
	working sync.WaitGroup

	now loaded
	at  int
	row []byte // as it is stored
	err error
}

// A loaded bucket is in memory and sorted, or is read as it is.
type loaded struct {
	memory []byte
	sorted sorter
	rows   int
	stream *section
	err    error
}

func (e *Engine) openBuckets(ctx context.Context, name string, d *dataset, f durable.File) *sortedReader {
	ctx, cancel := context.WithCancel(ctx)
	r := &sortedReader{ctx: ctx, cancel: cancel, name: name, dataset: d, file: f, row: make([]byte, d.width)}
	for i := range d.buckets {
		if b := &d.buckets[i]; !b.sorted {
			r.memory = max(r.memory, int(b.rows(d.width))*(d.width+entrySize))
		}
	}
	ahead := min(e.workers, 3*e.bucketMemory()/max(r.memory, 1)-1)
	r.order, r.free = make(chan chan loaded, ahead+1), make(chan []byte, ahead+1)
	for range ahead + 1 {
		r.free <- nil
	}
	r.working.Go(r.work)
	return r
}

// work loads bucket after bucket as there is memory.
func (r *sortedReader) work() {
	defer close(r.order)
	for i := range r.dataset.buckets {
		var memory []byte
		select {
		case memory = <-r.free:
		case <-r.ctx.Done():
			return
		}
		c := make(chan loaded, 1)
		r.order <- c
		r.working.Go(func() { c <- r.load(&r.dataset.buckets[i], memory) })
	}
}

// load reads a bucket and sorts it.
func (r *sortedReader) load(b *bucket, memory []byte) loaded {
	width := r.dataset.width
	l := loaded{memory: memory}
	if b.sorted {
		buf := make([]byte, width*bufferRows(bufferSize, width))
		l.stream = &section{file: r.file, off: b.extents[0].off, end: b.extents[0].end, buf: buf}
		return l
	}
	if l.memory == nil {
		l.memory = make([]byte, r.memory)
	}
	l.rows = int(b.rows(width))
	rows := l.memory[:l.rows*width]
	if _, err := b.in(r.file).ReadAt(rows, 0); err != nil && len(rows) > 0 {
		l.err = err
		return l
	}
	l.sorted = sortRows(rows, width, l.memory[len(rows):])
	return l
}

// Columns describes the rows.
func (r *sortedReader) Columns() []engine.Column { return slices.Clone(r.dataset.columns) }

// Rows is the number of rows.
func (r *sortedReader) Rows() int64 { return r.dataset.rows }

// Next returns the next row.
func (r *sortedReader) Next() ([]byte, error) {
	if r.at == r.now.rows && r.err == nil {
		row, err := r.advance()
		if err != nil && err != io.EOF {
			err = fmt.Errorf("reading dataset %q: %w", r.name, err)
		}
		if row != nil || err != nil {
			r.err = err
			return row, err
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	row := r.now.sorted.row(r.at)
	r.at++
	return r.stored(row), nil
}

// stored returns a row as it is stored.
func (r *sortedReader) stored(row []byte) []byte {
	if r.dataset.layout.identity {
		return row[:len(row):len(row)]
	}
	r.dataset.layout.toStored(r.row, row)
	return r.row
}

// advance returns the next row of a bucket that is read as it is, or makes the next
// bucket the current one and returns none.
func (r *sortedReader) advance() ([]byte, error) {
	for {
		if r.now.stream != nil {
			row, err := r.now.stream.next(r.ctx, r.dataset.width)
			if err == nil {
				return r.stored(row), nil
			}
			if err != io.EOF {
				return nil, err
			}
		}
		if err := r.ctx.Err(); err != nil {
			return nil, err
		}
		if r.now.memory != nil || r.now.stream != nil {
			r.free <- r.now.memory
		}
		r.now, r.at = loaded{}, 0
		c, ok := <-r.order
		if !ok {
			if err := r.ctx.Err(); err != nil {
				return nil, err
			}
			return nil, io.EOF
		}
		r.now = <-c
		if r.now.err != nil || r.now.rows > 0 {
			return nil, r.now.err
		}
	}
}

// Close frees the reader's resources.
func (r *sortedReader) Close() error {
	r.cancel()
	for range r.order { // until the goroutine has ended
	}
	r.working.Wait()
	return r.file.Close()
}
