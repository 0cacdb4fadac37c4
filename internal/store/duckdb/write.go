package duckdb

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"github.com/shoal-project/shoal/internal/release"
)

// A Format is a way to write a result.
type Format string

// The formats.
const (
	Text    Format = "text"    // aligned columns for people; long values are cut, control characters shown as \x1b
	CSV     Format = "csv"     // RFC 4180 with a header; NULL is empty; text as [release.Spreadsheet] writes it
	JSON    Format = "json"    // an array of objects, one a line
	Parquet Format = "parquet" // one file
)

// Write writes the rows of the result, and nothing that shows whether it is
// truncated.
func (r *Result) Write(w io.Writer, f Format) error {
	b := bufio.NewWriterSize(w, 1<<16)
	write, ok := map[Format]func(io.Writer) error{Text: r.text, CSV: r.csv, JSON: r.json, Parquet: r.parquet}[f]
	if !ok {
		return fmt.Errorf("writing a result: unknown format %q", f)
	}
	if err := write(b); err != nil {
		return fmt.Errorf("writing a result as %s: %w", f, err)
	}
	return b.Flush()
}

// Numeric reports whether a column holds numbers.
func (c Column) Numeric() bool { return c.Type == Integer || c.Type == Real }

// plain writes a value exactly. NULL is empty.
func plain(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case int64:
		return strconv.FormatInt(x, 10)
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	case bool:
		return strconv.FormatBool(x)
	case time.Time:
		return x.Format(time.RFC3339Nano)
	case json.RawMessage:
		return string(x)
	}
	return fmt.Sprint(v)
}

// Show writes a value for people: numbers with up to seven digits, times to the
// second, no control characters, and no more than most runes.
func Show(v any, most int) string {
	var s string
	switch x := v.(type) {
	case float64:
		s = strconv.FormatFloat(x, 'g', 7, 64)
		if whole := strconv.FormatFloat(x, 'f', 0, 64); x > -1e15 && x < 1e15 && (x >= 1e6 || x <= -1e6) {
			s = whole
		}
	case time.Time:
		s = strings.TrimSuffix(x.Format("2006-01-02 15:04:05"), " 00:00:00")
	default:
		s = plain(v)
	}
	return truncate(release.Visible(s), most)
}

func truncate(s string, most int) string {
	if most <= 0 || utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// Plan returns what EXPLAIN has drawn, if the result is that.
func (r *Result) Plan() (string, bool) {
	if len(r.Columns) != 2 || r.Columns[0].Name != "explain_key" || len(r.Rows) == 0 {
		return "", false
	}
	var b strings.Builder
	for _, row := range r.Rows {
		for line := range strings.Lines(plain(row[1])) {
			b.WriteString(release.Visible(strings.TrimRight(line, "\r\n")) + "\n")
		}
	}
	return strings.TrimSpace(b.String()), true
}

// widest is how many runes of a value the text format shows.
const widest = 60

func (r *Result) text(w io.Writer) error {
	if plan, ok := r.Plan(); ok {
		_, err := fmt.Fprintln(w, plan)
		return err
	}
	cells := make([][]string, 0, len(r.Rows)+1)
	names := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		names[i] = truncate(release.Visible(c.Name), widest)
	}
	cells = append(cells, names)
	for _, row := range r.Rows {
		shown := make([]string, len(row))
		for i, v := range row {
			shown[i] = Show(v, widest)
		}
		cells = append(cells, shown)
	}
	width := make([]int, len(r.Columns))
	for _, row := range cells {
		for i, s := range row {
			width[i] = max(width[i], utf8.RuneCountInString(s))
		}
	}
	rule := make([]string, len(width))
	for i, n := range width {
		rule[i] = strings.Repeat("-", n)
	}
	for i, row := range cells {
		r.line(w, row, width)
		if i == 0 {
			r.line(w, rule, width)
		}
	}
	return nil // a bufio.Writer keeps its first error for Flush
}

func (r *Result) line(w io.Writer, cells []string, width []int) {
	var b strings.Builder
	for i, s := range cells {
		if i > 0 {
			b.WriteString("  ")
		}
		gap := strings.Repeat(" ", width[i]-utf8.RuneCountInString(s))
		if r.Columns[i].Numeric() {
			s = gap + s
		} else {
			s += gap
		}
		b.WriteString(s)
	}
	fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
}

// csvText is plain, except for text that a spreadsheet or a terminal would act on.
func csvText(v any) string {
	switch v.(type) {
	case string:
		return release.Spreadsheet(plain(v))
	case json.RawMessage:
		return release.Visible(plain(v))
	}
	return plain(v)
}

func (r *Result) csv(w io.Writer) error {
	c := csv.NewWriter(w)
	fields := make([]string, len(r.Columns))
	for i, column := range r.Columns {
		fields[i] = release.Spreadsheet(column.Name)
	}
	err := c.Write(fields)
	for _, row := range r.Rows {
		for i, v := range row {
			fields[i] = csvText(v)
		}
		if err == nil {
			err = c.Write(fields)
		}
	}
	c.Flush()
	if err != nil {
		return err
	}
	return c.Error()
}

func (r *Result) json(w io.Writer) error {
	names := make([][]byte, len(r.Columns))
	for i, c := range r.Columns {
		names[i], _ = json.Marshal(c.Name) // a string never fails
	}
	lead := "[\n{"
	for _, row := range r.Rows {
		io.WriteString(w, lead)
		lead = ",\n{"
		for i, v := range row {
			if i > 0 {
				io.WriteString(w, ",")
			}
			if f, ok := v.(float64); ok {
				v = realJSON(f)
			}
			value, err := json.Marshal(v)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%s:%s", release.JSONText(names[i]), release.JSONText(value))
		}
		io.WriteString(w, "}")
	}
	if len(r.Rows) == 0 {
		io.WriteString(w, "[")
	}
	_, err := io.WriteString(w, "\n]\n")
	return err
}

// schema is a Parquet group whose columns keep their order; the library's own
// sorts them.
type schema struct {
	parquet.Group
	fields []parquet.Field
}

func (s schema) Fields() []parquet.Field { return s.fields }

// GoType is asked for by the library but never used with rows of values.
func (s schema) GoType() reflect.Type { return reflect.TypeFor[struct{}]() }

type field struct {
	parquet.Node
	name string
}

func (f field) Name() string { return f.name }

func (f field) Value(base reflect.Value) reflect.Value { return base }

func (r *Result) parquet(w io.Writer) error {
	s := schema{Group: parquet.Group{}}
	for _, c := range r.Columns {
		node := parquet.Optional(parquet.Compressed(leaf(c.Type), &parquet.Zstd))
		s.Group[c.Name] = node
		s.fields = append(s.fields, field{node, c.Name})
	}
	out := parquet.NewWriter(w, parquet.NewSchema("result", s), parquet.CreatedBy("shoal", "1", ""))
	row := make(parquet.Row, len(r.Columns))
	for _, values := range r.Rows {
		for i, v := range values {
			row[i] = parquetValue(v, i)
		}
		if _, err := out.WriteRows([]parquet.Row{row}); err != nil {
			return err
		}
	}
	return out.Close()
}

func leaf(t Type) parquet.Node {
	switch t {
	case Integer:
		return parquet.Int(64)
	case Real:
		return parquet.Leaf(parquet.DoubleType)
	case Boolean:
		return parquet.Leaf(parquet.BooleanType)
	case Timestamp:
		return parquet.Timestamp(parquet.Microsecond)
	case Nested:
		return parquet.JSON()
	}
	return parquet.String()
}

func parquetValue(v any, column int) parquet.Value {
	switch x := v.(type) {
	case nil:
		return parquet.Value{}.Level(0, 0, column)
	case time.Time:
		v = x.UnixMicro()
	case json.RawMessage:
		v = string(x)
	}
	return parquet.ValueOf(v).Level(0, 1, column)
}
