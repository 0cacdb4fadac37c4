package release

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"reflect"
	"time"

	"github.com/parquet-go/parquet-go"
)

// A ColumnType is the type of a column's values in a table.
type ColumnType string

// The types, with the Go type of a [Row]'s value.
const (
	Text      ColumnType = "text"      // string
	Integer   ColumnType = "integer"   // int64
	Boolean   ColumnType = "boolean"   // bool
	Real      ColumnType = "real"      // float64
	Timestamp ColumnType = "timestamp" // int64: milliseconds since the Unix epoch, UTC

	// Those of queries' results only, which no released table has.
	Instant ColumnType = "instant" // time.Time in UTC, to the microsecond
	Nested  ColumnType = "nested"  // json.RawMessage
)

// A Column describes one column of a released table.
type Column struct {
	Name string     `json:"name"`
	Type ColumnType `json:"type"`
	// List reports that a value is a list of Type: []any.
	List bool `json:"list,omitempty"`
	// Field is the field of the task's schema that the column comes from, and
	// Value the column's member of the set, or the enum's value.
	Field string `json:"field,omitempty"`
	Value string `json:"value,omitempty"`
}

// A Row holds one value a column. Nil means absent.
type Row []any

// orderedGroup is a Parquet group whose columns are in the order given, where
// the library's own sorts them by name.
type orderedGroup struct {
	parquet.Group
	fields []parquet.Field
}

func (g orderedGroup) Fields() []parquet.Field { return g.fields }

// GoType is asked for by the library but never used with rows of values.
func (g orderedGroup) GoType() reflect.Type { return reflect.TypeFor[struct{}]() }

type orderedField struct {
	parquet.Node
	name string
}

func (f orderedField) Name() string { return f.name }

func (f orderedField) Value(base reflect.Value) reflect.Value { return base }

func schemaOf(name string, columns []Column) *parquet.Schema {
	g := orderedGroup{Group: parquet.Group{}}
	for _, c := range columns {
		node := nodeOf(c)
		g.Group[c.Name] = node
		g.fields = append(g.fields, orderedField{node, c.Name})
	}
	return parquet.NewSchema(name, g)
}

func nodeOf(c Column) parquet.Node {
	var leaf parquet.Node
	switch c.Type {
	case Text:
		leaf = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
	case Integer:
		leaf = parquet.Int(64)
	case Boolean:
		leaf = parquet.Leaf(parquet.BooleanType)
	case Real:
		leaf = parquet.Leaf(parquet.DoubleType)
	case Timestamp:
		leaf = parquet.Timestamp(parquet.Millisecond)
	case Instant:
		leaf = parquet.Timestamp(parquet.Microsecond)
	case Nested:
		leaf = parquet.JSON()
	}
	leaf = parquet.Compressed(leaf, &parquet.Zstd)
	if c.List {
		return parquet.Repeated(leaf)
	}
	return parquet.Optional(leaf)
}

// rowsPerGroup bounds the memory that a table writer holds.
const rowsPerGroup = 1 << 17

// A Writer writes rows to a Parquet file. Equal rows give equal bytes.
type Writer struct {
	columns []Column
	w       *parquet.Writer //nolint:staticcheck // its successor wants a Go type for the rows; ours are known at run time
	rows    int64
	row     parquet.Row
}

// NewWriter returns a writer of a table of this name. Close it to have a file.
func NewWriter(w io.Writer, name string, columns []Column) *Writer {
	return &Writer{columns: columns, w: parquet.NewWriter(w, schemaOf(name, columns),
		parquet.CreatedBy("shoal", "1", ""), parquet.MaxRowsPerRowGroup(rowsPerGroup))}
}

// Write appends a row.
func (t *Writer) Write(row Row) error { return t.WriteTimes(row, 1) }

// equalRows is how many equal rows are handed over at once.
const equalRows = 64

// WriteTimes appends n equal rows.
func (t *Writer) WriteTimes(row Row, n int) error {
	if len(row) != len(t.columns) {
		return fmt.Errorf("row has %d values for %d columns", len(row), len(t.columns))
	}
	t.row = t.row[:0]
	for i, v := range row {
		if !t.columns[i].List {
			t.row = append(t.row, leafValue(v, 0, i))
			continue
		}
		list, _ := v.([]any)
		if len(list) == 0 {
			t.row = append(t.row, parquet.Value{}.Level(0, 0, i))
		}
		for j, item := range list {
			t.row = append(t.row, leafValue(item, min(j, 1), i))
		}
	}
	var rows [equalRows]parquet.Row
	for i := range min(n, equalRows) {
		rows[i] = t.row
	}
	for ; n > 0; n -= equalRows {
		t.rows += int64(min(n, equalRows))
		if _, err := t.w.WriteRows(rows[:min(n, equalRows)]); err != nil {
			return err
		}
	}
	return nil
}

func leafValue(v any, repetition, column int) parquet.Value {
	switch x := v.(type) {
	case nil:
		return parquet.Value{}.Level(repetition, 0, column)
	case time.Time:
		v = x.UnixMicro()
	case json.RawMessage:
		v = string(x)
	}
	return parquet.ValueOf(v).Level(repetition, 1, column)
}

// Close writes the file's footer.
func (t *Writer) Close() error { return t.w.Close() }

// Read yields the rows of a Parquet file with the given columns.
func Read(r io.ReaderAt, size int64, columns []Column) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		file, err := parquet.OpenFile(r, size)
		if err != nil {
			yield(nil, fmt.Errorf("opening table: %w", err))
			return
		}
		if have := len(file.Schema().Columns()); have != len(columns) {
			yield(nil, fmt.Errorf("table has %d columns, want %d", have, len(columns)))
			return
		}
		for _, group := range file.RowGroups() {
			if !readGroup(group, columns, yield) {
				return
			}
		}
	}
}

func readGroup(group parquet.RowGroup, columns []Column, yield func(Row, error) bool) bool {
	rows := group.Rows()
	defer rows.Close()
	buf := make([]parquet.Row, 256)
	for {
		n, err := rows.ReadRows(buf)
		for _, raw := range buf[:n] {
			if !yield(rowOf(raw, columns), nil) {
				return false
			}
		}
		if err == io.EOF {
			return true
		}
		if err != nil {
			yield(nil, fmt.Errorf("reading table: %w", err))
			return false
		}
	}
}

func rowOf(raw parquet.Row, columns []Column) Row {
	row := make(Row, len(columns))
	for _, v := range raw {
		i := v.Column()
		switch {
		case columns[i].List && row[i] == nil && v.IsNull():
			row[i] = []any{}
		case columns[i].List:
			list, _ := row[i].([]any)
			row[i] = append(list, goValue(v, columns[i].Type))
		default:
			row[i] = goValue(v, columns[i].Type)
		}
	}
	return row
}

func goValue(v parquet.Value, t ColumnType) any {
	if v.IsNull() {
		return nil
	}
	switch t {
	case Text:
		return string(v.ByteArray())
	case Boolean:
		return v.Boolean()
	case Real:
		return v.Double()
	default:
		return v.Int64()
	}
}
