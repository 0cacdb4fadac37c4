package analyzer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
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

// A pairNumbering is a numbering for reports of two crowds: a record stays if the fields of
// each of its crowds are those of more than half of the marks with that crowd's number.
type pairNumbering struct {
	*numbering
	rows  uint64 // of the batch, whether they are records or not
	wrong bitset // rows of another crowd than most with a number
	marks []byte // scratch
}

// bitset is a set of numbers of rows.
type bitset []uint64

func (s bitset) has(n uint64) bool { return s[n/64]>>(n%64)&1 != 0 }
func (s bitset) add(n uint64)      { s[n/64] |= 1 << (n % 64) }

// rowWidth is the bytes of the number of a row.
const rowWidth = 8

// writeBlindedPairs is writeBlinded for a task with a second crowd. The records come in an
// order that reveals nothing.
func (a *Analyzer) writeBlindedPairs(ctx context.Context, h *hosted, b Batch, batch *esa.Batch, l *layout, c *counter, w *release.Writer, counts *outcome) error {
	n := &pairNumbering{numbering: a.numbering(h, b)}
	marks, records := n.name+"-marks", n.name+"-records"
	if err := a.config.Engine.Remove(ctx, marks, records); err != nil { // of an attempt that failed
		return err
	}
	err := n.open(ctx, batch, counts, marks, records)
	if err == nil {
		err = n.compare(ctx, marks)
	}
	if err == nil {
		err = n.write(ctx, records, l, c, w, counts)
	}
	named(counts.exact.Invalid, WrongCrowd, n.numbering.wrong)
	return errors.Join(err, a.config.Engine.Remove(context.WithoutCancel(ctx), marks, records))
}

// open opens the rows of the batch in parallel and writes two datasets: of each record its
// marks (number and material of each crowd), and its payload.
func (n *pairNumbering) open(ctx context.Context, batch *esa.Batch, counts *outcome, marksName, recordsName string) error {
	e := n.a.config.Engine
	marks, err := e.CreateSorted(ctx, marksName, []engine.Column{
		{Name: "number", Width: crowdWidth}, {Name: "crowd", Width: crowdWidth}, {Name: "row", Width: rowWidth},
	}, []string{"number", "crowd"})
	if err != nil {
		return err
	}
	defer marks.Abort()
	records, err := e.CreateSorted(ctx, recordsName, []engine.Column{
		{Name: "order", Width: orderWidth}, {Name: "row", Width: rowWidth}, {Name: "payload", Width: int(n.h.task.PayloadSize)},
	}, []string{"order"})
	if err != nil {
		return err
	}
	defer records.Abort()
	header := batch.Header()
	open := hop.Tagged(hop.OpenMany(n.h.opener.Load(), n.h.task, n.epoch), header.TagsSize(n.h.task))
	var invalid [esa.NumCauses + 1]uint64
	for r, err := range hop.Opened(batch.Rows(), n.a.config.Workers, open, n.pair) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		counts.exact.Received++
		if r.cause != 0 {
			invalid[r.cause]++
		} else if err := n.add(marks, records, &r); err != nil {
			return err
		}
		n.rows++
	}
	counts.exact.Invalid = byCause(invalid)
	return errors.Join(marks.Close(), records.Close())
}

// An openedPair is a row that has been opened.
type openedPair struct {
	cause  esa.Cause
	marks  [esa.MaxCrowds][2 * crowdWidth]byte // number and crowd of each
	record []byte                              // order and padded payload
}

func (n *pairNumbering) pair(o esa.Opened) openedPair {
	if o.Cause != 0 {
		return openedPair{cause: o.Cause}
	}
	record, err := n.h.task.Decode(o.Next)
	if err != nil {
		return openedPair{cause: esa.CauseSchema}
	}
	materials, err := esa.CrowdMaterials(n.h.task, o.Next, record)
	if err != nil {
		return openedPair{cause: esa.CauseSchema}
	}
	padded, err := task.Pad(o.Next, int(n.h.task.PayloadSize))
	if err != nil {
		return openedPair{cause: esa.CauseSchema}
	}
	var p openedPair
	for i, number := range []esa.CrowdTag{o.Crowd, o.Second.Crowd} {
		crowd := sha256.Sum256(materials[i])
		copy(p.marks[i][:], number[:])
		copy(p.marks[i][crowdWidth:], crowd[:])
	}
	order := sha256.Sum256(append(n.seed[:], o.Report...))
	p.record = append(append(make([]byte, 0, orderWidth+len(padded)), order[:orderWidth]...), padded...)
	return p
}

// add writes the rows of a record.
func (n *pairNumbering) add(marks, records engine.Writer, p *openedPair) error {
	n.marks = n.marks[:0]
	for i := range p.marks {
		n.marks = binary.BigEndian.AppendUint64(append(n.marks, p.marks[i][:]...), n.rows)
	}
	if err := marks.Write(n.marks); err != nil {
		return err
	}
	n.marks = append(n.marks[:0], p.record[:orderWidth]...)
	n.marks = binary.BigEndian.AppendUint64(n.marks, n.rows)
	return records.Write(append(n.marks, p.record[orderWidth:]...))
}

// compare finds the rows of which a crowd is not that of most with its number.
func (n *pairNumbering) compare(ctx context.Context, marks string) error {
	n.wrong = make(bitset, (n.rows+63)/64)
	ahead, err := n.a.config.Engine.Open(ctx, marks)
	if err != nil {
		return err
	}
	defer ahead.Close()
	rows, err := n.a.config.Engine.Open(ctx, marks)
	if err != nil {
		return err
	}
	defer rows.Close()
	look := lookahead{rows: ahead}
	for {
		most, total, err := look.next()
		if err == io.EOF {
			return nil
		}
		for ; err == nil && total > 0; total-- {
			var row []byte
			if row, err = rows.Next(); err == nil && (most == nil || !bytes.Equal(row[crowdWidth:2*crowdWidth], most)) {
				n.wrong.add(binary.BigEndian.Uint64(row[2*crowdWidth:]))
			}
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("reading the rows of a crowd: %w", unexpectedEnd(err))
		}
	}
}

// write writes the records that stay.
func (n *pairNumbering) write(ctx context.Context, records string, l *layout, c *counter, w *release.Writer, counts *outcome) error {
	rows, err := n.a.config.Engine.Open(ctx, records)
	if err != nil {
		return err
	}
	defer rows.Close()
	for d, err := range hop.Parallel(n.staying(rows), n.a.config.Workers, n.decode(l)) {
		if err == nil {
			err = errors.Join(ctx.Err(), d.err)
		}
		if err != nil {
			return err
		}
		if _, err := c.add(d.record, d.row, 1); err != nil {
			return err
		}
		counts.published.Records++
		if err := w.Write(d.row); err != nil {
			return err
		}
	}
	return nil
}

// staying yields the padded payloads of the records that stay.
func (n *pairNumbering) staying(rows engine.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for {
			row, err := rows.Next()
			switch {
			case err == io.EOF:
				return
			case err != nil:
				yield(nil, err)
				return
			case n.wrong.has(binary.BigEndian.Uint64(row[orderWidth:])):
				n.numbering.wrong++
			case !yield(row[orderWidth+rowWidth:], nil):
				return
			}
		}
	}
}
