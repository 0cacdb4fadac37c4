package duckdb

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shoal-project/shoal/internal/release"
)

// A Format is a way to write a result: one of a released table, or [Text].
type Format = release.Format

// Text has aligned columns for people; long values are cut, control characters shown
// as \x1b.
const Text Format = "text"

// Write writes the rows of the result, and nothing that shows whether it is
// truncated.
func (r *Result) Write(w io.Writer, f Format) error {
	b := bufio.NewWriterSize(w, 1<<16)
	var err error
	if f == Text {
		err = r.text(b)
	} else {
		err = r.table(b, f)
	}
	if err != nil {
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

// table writes the result in a format of a released table.
func (r *Result) table(w io.Writer, f Format) error {
	columns := make([]release.Column, len(r.Columns))
	for i, c := range r.Columns {
		columns[i] = release.Column{Name: c.Name, Type: columnType(c.Type)}
	}
	out, err := release.NewRowWriter(w, f, "result", columns)
	if err != nil {
		return err
	}
	for _, row := range r.Rows {
		if err := out.Write(row); err != nil {
			return err
		}
	}
	return out.Close()
}

// columnType is what a type of results is called in tables.
func columnType(t Type) release.ColumnType {
	switch t {
	case Integer:
		return release.Integer
	case Real:
		return release.Real
	case Boolean:
		return release.Boolean
	case Timestamp:
		return release.Instant
	case Nested:
		return release.Nested
	default:
		return release.Text
	}
}
