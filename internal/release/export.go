package release

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// A Format is a way to write a table.
type Format string

// The formats.
const (
	CSV     Format = "csv"     // RFC 4180 with a header; absent values are empty, lists are JSON; text as [Spreadsheet] writes it
	JSON    Format = "json"    // an array of objects, one a line
	Parquet Format = "parquet" // one file with the table's columns
)

// ParseFormat reads a format's name.
func ParseFormat(s string) (Format, error) {
	if f := Format(s); slices.Contains([]Format{CSV, JSON, Parquet}, f) {
		return f, nil
	}
	return "", fmt.Errorf("format %q: want csv, json or parquet", s)
}

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
	open := newRowWriter
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
	rowWriter
	row Row
}

func newMarked(w io.Writer, f Format, table string, columns []Column) (rowWriter, error) {
	mark := Column{Name: "rehearsal", Type: Boolean}
	for slices.ContainsFunc(columns, func(c Column) bool { return c.Name == mark.Name }) {
		mark.Name += "_" // a field of the record is called so
	}
	out, err := newRowWriter(w, f, table, append(slices.Clone(columns), mark))
	return &marked{rowWriter: out}, err
}

func (m *marked) Write(row Row) error {
	m.row = append(append(m.row[:0], row...), true)
	return m.rowWriter.Write(m.row)
}

// names lists the names of tables for an error.
func names(tables []Table) string {
	var list []string
	for _, t := range tables {
		list = append(list, t.Name)
	}
	return strings.Join(list, ", ")
}

// A rowWriter writes rows in one format.
type rowWriter interface {
	Write(Row) error
	Close() error
}

func newRowWriter(w io.Writer, f Format, name string, columns []Column) (rowWriter, error) {
	switch f {
	case CSV:
		out := &csvWriter{csv.NewWriter(w), columns, make([]string, len(columns))}
		for i, c := range columns {
			out.fields[i] = c.Name
		}
		return out, out.w.Write(out.fields)
	case JSON:
		return &jsonWriter{w: bufio.NewWriter(w), columns: columns}, nil
	case Parquet:
		return NewWriter(w, name, columns), nil
	}
	return nil, fmt.Errorf("unknown format %q", f)
}

type csvWriter struct {
	w       *csv.Writer
	columns []Column
	fields  []string
}

func (c *csvWriter) Write(row Row) error {
	for i, v := range row {
		text, err := csvValue(v, c.columns[i])
		if err != nil {
			return err
		}
		c.fields[i] = text
	}
	return c.w.Write(c.fields)
}

func (c *csvWriter) Close() error {
	c.w.Flush()
	return c.w.Error()
}

func csvValue(v any, c Column) (string, error) {
	switch x := v.(type) {
	case nil:
		return "", nil
	case string:
		return Spreadsheet(x), nil
	case bool:
		return strconv.FormatBool(x), nil
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64), nil
	case int64:
		if c.Type == Timestamp {
			return instant(x), nil
		}
		return strconv.FormatInt(x, 10), nil
	}
	b, err := json.Marshal(v)
	return Visible(string(b)), err // it begins with a bracket
}

func instant(millis int64) string { return time.UnixMilli(millis).UTC().Format(time.RFC3339) }

type jsonWriter struct {
	w       *bufio.Writer
	columns []Column
	started bool
}

func (j *jsonWriter) Write(row Row) error {
	lead := "[\n{"
	if j.started {
		lead = ",\n{"
	}
	j.started = true
	j.w.WriteString(lead) // a bufio.Writer keeps its first error for Close
	for i, v := range row {
		if i > 0 {
			j.w.WriteByte(',')
		}
		if x, ok := v.(int64); ok && j.columns[i].Type == Timestamp {
			v = instant(x)
		}
		name, err := json.Marshal(j.columns[i].Name)
		if err != nil {
			return err
		}
		value, err := json.Marshal(v)
		if err != nil {
			return err
		}
		j.w.Write(name)
		j.w.WriteByte(':')
		j.w.Write(JSONText(value))
	}
	return j.w.WriteByte('}')
}

func (j *jsonWriter) Close() error {
	if !j.started {
		j.w.WriteByte('[')
	}
	j.w.WriteString("\n]\n")
	return j.w.Flush()
}
