package release

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"
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

// A RowWriter writes rows in one format, those of a released table and those of a
// query alike.
type RowWriter interface {
	// Write adds a row with a value for each column.
	Write(Row) error
	// Close writes what ends the format, and does not close the underlying writer.
	Close() error
}

// NewRowWriter returns a writer of a table. Text, also names of columns, does not act
// on a terminal or a spreadsheet.
func NewRowWriter(w io.Writer, f Format, name string, columns []Column) (RowWriter, error) {
	switch f {
	case CSV:
		out := &csvWriter{csv.NewWriter(w), columns, make([]string, len(columns))}
		for i, c := range columns {
			out.fields[i] = Spreadsheet(c.Name)
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
	case time.Time:
		return x.Format(time.RFC3339Nano), nil
	case json.RawMessage:
		return Visible(string(x)), nil
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
		v = jsonValue(v, j.columns[i])
		name, err := json.Marshal(j.columns[i].Name)
		if err != nil {
			return err
		}
		value, err := json.Marshal(v)
		if err != nil {
			return err
		}
		j.w.Write(JSONText(name))
		j.w.WriteByte(':')
		j.w.Write(JSONText(value))
	}
	return j.w.WriteByte('}')
}

// jsonValue is v as JSON has it. A real that JSON does not have is text.
func jsonValue(v any, c Column) any {
	switch x := v.(type) {
	case int64:
		if c.Type == Timestamp {
			return instant(x)
		}
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return strconv.FormatFloat(x, 'g', -1, 64)
		}
	}
	return v
}

func (j *jsonWriter) Close() error {
	if !j.started {
		j.w.WriteByte('[')
	}
	j.w.WriteString("\n]\n")
	return j.w.Flush()
}
