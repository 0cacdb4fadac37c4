package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/metric/task"
)

// A Query selects what to export.
type Query struct {
	Metric string
	Task   *task.ID    // only of this task; needed if tasks of one metric differ in their columns
	Epoch  *task.Epoch // only of this epoch; nil means all
	Table  string      // the table's name; "" is the first one that a batch has
}

// Select returns the batches that a query asks for and whose tables are kept, in
// the order of the catalogue.
func Select(ctx context.Context, c Catalogue, q Query) ([]Batch, error) {
	all, err := of(ctx, c, q)
	if err != nil {
		return nil, err
	}
	return q.choose(all), nil
}

// choose returns the batches that are asked for and kept.
func (q Query) choose(all []Batch) []Batch {
	return slices.DeleteFunc(slices.Clone(all), func(b Batch) bool {
		unnamed := b.Damaged != nil && b.Metric == "" && q.Task != nil // it is known by its task alone
		return !b.Kept || b.Metric != q.Metric && !unnamed ||
			q.Task != nil && b.Task != *q.Task || q.Epoch != nil && b.Epoch != *q.Epoch
	})
}

// Export writes the rows of a table, of all batches that the query asks for one
// after the other, each with its task and version, see [SeriesColumns]. The same
// query on the same catalogue gives the same bytes. Epochs whose file is damaged are
// left out, and named by an error with a [*Partial] after all others were written.
func Export(ctx context.Context, c Catalogue, w io.Writer, f Format, q Query) error {
	if err := export(ctx, c, w, f, q); err != nil {
		return fmt.Errorf("exporting %q: %w", q.Metric, err)
	}
	return nil
}

func export(ctx context.Context, c Catalogue, w io.Writer, f Format, q Query) error {
	all, err := OfMetric(ctx, c, q.Metric) // versions are those of a metric's tasks
	if err != nil {
		return err
	}
	versions, batches := Versions(all), q.choose(all)
	if len(batches) == 0 {
		return errors.New("nothing has been released")
	}
	i := slices.IndexFunc(batches, func(b Batch) bool { return b.Damaged == nil })
	if i < 0 {
		_, damaged := new(Checker).Whole(batches, q.Table)
		return &Partial{damaged}
	}
	tables := batches[i].Tables
	if q.Table == "" && len(tables) > 0 {
		q.Table = tables[0].Name
	}
	first, ok := Find(tables, q.Table)
	if !ok {
		return fmt.Errorf("no such table: want %s", names(tables))
	}
	batches, damaged := new(Checker).Whole(batches, q.Table)
	if len(batches) == 0 {
		return &Partial{damaged}
	}
	columns := slices.Concat(first.Columns, SeriesColumns(first.Columns))
	open := NewRowWriter
	if task.IsRehearsal(q.Metric) {
		open = newMarked
	}
	out, err := open(w, f, q.Table, columns)
	if err != nil {
		return err
	}
	for _, b := range batches {
		if info, ok := Find(b.Tables, q.Table); !ok || !reflect.DeepEqual(info.Columns, first.Columns) {
			return errors.New("tasks of this metric have different columns: name one task")
		}
		for row, err := range b.Rows(q.Table) {
			if err == nil {
				err = out.Write(append(row, b.Task.String(), versions[b.Task]))
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
		}
	}
	if err := out.Close(); err != nil || len(damaged) == 0 {
		return err
	}
	return &Partial{damaged}
}

// A marked writer adds a column that states, in each row, that the answers were
// invented: a file may be all that somebody gets to see.
type marked struct {
	RowWriter
	row Row
}

func newMarked(w io.Writer, f Format, table string, columns []Column) (RowWriter, error) {
	mark := Column{Name: "rehearsal", Type: Boolean}
	for slices.ContainsFunc(columns, func(c Column) bool { return c.Name == mark.Name }) {
		mark.Name += "_" // a field of the record is called so
	}
	out, err := NewRowWriter(w, f, table, append(slices.Clone(columns), mark))
	return &marked{RowWriter: out}, err
}

func (m *marked) Write(row Row) error {
	m.row = append(append(m.row[:0], row...), true)
	return m.RowWriter.Write(m.row)
}

// names lists the names of tables for an error.
func names(tables []Table) string {
	var list []string
	for _, t := range tables {
		list = append(list, t.Name)
	}
	return strings.Join(list, ", ")
}
