package analyzer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// A numbering holds the records of one batch to the crowds that were counted, where
// nobody can recompute the tag under which: the last shuffler gives each crowd a number,
// at random, and a record stays if its crowd fields are those of more than half of the
// records with its number. The rows are grouped by a sort on the disk.
type numbering struct {
	a     *Analyzer
	h     *hosted
	epoch task.Epoch
	name  string // of the dataset
	seed  [32]byte
	wrong uint64 // records of another crowd than most with their number
}

// writeBlinded is writeRecords for a task with blinded crowds. The rows of a crowd are
// adjacent, in an order that reveals nothing.
func (a *Analyzer) writeBlinded(ctx context.Context, h *hosted, b Batch, batch *esa.Batch, l *layout, c *counter, w *release.Writer, counts *outcome) error {
	n := a.numbering(h, b)
	if err := a.config.Engine.Remove(ctx, n.name); err != nil { // of an attempt that failed
		return err
	}
	err := n.open(ctx, batch, counts)
	if err == nil {
		err = n.write(ctx, l, c, w, counts)
	}
	named(counts.exact.Invalid, WrongCrowd, n.wrong)
	return errors.Join(err, a.config.Engine.Remove(context.WithoutCancel(ctx), n.name))
}

func (a *Analyzer) numbering(h *hosted, b Batch) *numbering {
	return &numbering{a: a, h: h, epoch: b.Epoch, name: fmt.Sprintf("analyzer-%x-%d-numbered", b.Task[:8], b.Epoch), seed: b.Digest}
}

// columns are the crowd's number, the digest of the crowd's material, the position of the
// row in its crowd, and the padded payload.
func (n *numbering) columns() []engine.Column {
	return []engine.Column{
		{Name: "number", Width: crowdWidth},
		{Name: "crowd", Width: crowdWidth},
		{Name: "order", Width: orderWidth},
		{Name: "payload", Width: int(n.h.task.PayloadSize)},
	}
}

// open opens the rows of the batch in parallel and writes the dataset. A row that is not
// a record costs only itself.
func (n *numbering) open(ctx context.Context, batch *esa.Batch, counts *outcome) error {
	w, err := n.a.config.Engine.CreateSorted(ctx, n.name, n.columns(), []string{"number", "crowd", "order"})
	if err != nil {
		return err
	}
	defer w.Abort()
	header := batch.Header()
	open := hop.Tagged(hop.OpenMany(n.h.opener.Load(), n.h.task, n.epoch), header.TagsSize(n.h.task))
	var invalid [esa.NumCauses + 1]uint64
	for r, err := range hop.Opened(batch.Rows(), n.a.config.Workers, open, n.row) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		counts.exact.Received++
		if r.cause != 0 {
			invalid[r.cause]++
			continue
		}
		if err := w.Write(r.row); err != nil {
			return err
		}
	}
	counts.exact.Invalid = byCause(invalid)
	return w.Close()
}

// row returns the row of an opened report.
func (n *numbering) row(o esa.Opened) shared {
	if o.Cause != 0 {
		return shared{cause: o.Cause}
	}
	record, err := n.h.task.Decode(o.Next)
	if err != nil {
		return shared{cause: esa.CauseSchema}
	}
	material, err := esa.CrowdMaterial(n.h.task, o.Next, record)
	if err != nil {
		return shared{cause: esa.CauseSchema}
	}
	padded, err := task.Pad(o.Next, int(n.h.task.PayloadSize))
	if err != nil {
		return shared{cause: esa.CauseSchema}
	}
	crowd := sha256.Sum256(material)
	order := sha256.Sum256(append(n.seed[:], o.Report...))
	row := make([]byte, 0, 2*crowdWidth+orderWidth+len(padded))
	row = append(append(row, o.Crowd[:]...), crowd[:crowdWidth]...)
	return shared{row: append(append(row, order[:orderWidth]...), padded...)}
}

// write writes the records that stay.
func (n *numbering) write(ctx context.Context, l *layout, c *counter, w *release.Writer, counts *outcome) error {
	ahead, err := n.a.config.Engine.Open(ctx, n.name)
	if err != nil {
		return err
	}
	defer ahead.Close()
	rows, err := n.a.config.Engine.Open(ctx, n.name)
	if err != nil {
		return err
	}
	defer rows.Close()
	var small uint64
	for d, err := range hop.Parallel(n.stay(ahead, rows), n.a.config.Workers, n.decode(l)) {
		if err == nil {
			err = errors.Join(ctx.Err(), d.err)
		}
		if err != nil {
			return err
		}
		kept, err := c.add(d.record, d.row, 1)
		if err != nil {
			return err
		}
		if !kept {
			small++
			continue
		}
		counts.published.Records++
		if err := w.Write(d.row); err != nil {
			return err
		}
	}
	named(counts.exact.Invalid, SmallCrowd, small)
	return nil
}

type numbered struct {
	record task.Record
	row    Row
	err    error
}

// decode returns the function that reads a payload of the dataset.
func (n *numbering) decode(l *layout) func([]byte) numbered {
	return func(padded []byte) numbered {
		payload, err := task.Unpad(padded)
		if err != nil {
			return numbered{err: err}
		}
		record, err := n.h.task.Decode(payload)
		if err != nil {
			return numbered{err: err}
		}
		return numbered{record: record, row: l.row(record)}
	}
}

// stay yields the padded payloads that stay. Two readers go through the same rows, the
// first one a number ahead of the other, so that memory does not grow with a crowd.
func (n *numbering) stay(ahead, rows engine.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		look := lookahead{rows: ahead}
		for {
			most, total, err := look.next()
			if err == io.EOF {
				return
			}
			for ; err == nil && total > 0; total-- {
				var row []byte
				if row, err = rows.Next(); err != nil {
					break
				}
				if most == nil || !bytes.Equal(row[crowdWidth:2*crowdWidth], most) {
					n.wrong++
				} else if !yield(row[2*crowdWidth+orderWidth:], nil) {
					return
				}
			}
			if err != nil {
				yield(nil, fmt.Errorf("reading the rows of a crowd: %w", unexpectedEnd(err)))
				return
			}
		}
	}
}

func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// A lookahead finds for each number, in order, the crowd of more than half of its rows.
type lookahead struct {
	rows engine.Reader
	row  []byte // the first one of the next number
}

// next returns the crowd, or nil, and the number of rows; [io.EOF] after the last number.
func (l *lookahead) next() (most []byte, total int, err error) {
	if l.row == nil {
		if l.row, err = l.read(); err != nil {
			return nil, 0, err
		}
	}
	number := l.row[:crowdWidth]
	run, runLength, mostLength := []byte(nil), 0, 0
	for l.row != nil && bytes.Equal(l.row[:crowdWidth], number) {
		if crowd := l.row[crowdWidth:]; !bytes.Equal(run, crowd) {
			run, runLength = crowd, 0
		}
		runLength++
		total++
		if runLength > mostLength {
			most, mostLength = run, runLength
		}
		if l.row, err = l.read(); err != nil && err != io.EOF {
			return nil, 0, err
		}
	}
	if 2*mostLength <= total {
		most = nil
	}
	return most, total, nil
}

// read returns number and crowd of the next row; nil with [io.EOF].
func (l *lookahead) read() ([]byte, error) {
	row, err := l.rows.Next()
	if err != nil {
		return nil, err
	}
	return bytes.Clone(row[:2*crowdWidth]), nil
}
