package duckdb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/shoal-project/shoal/internal/release"
)

// A Type is the type of a result's column.
type Type string

// The types, with the Go type of their values. Nil is NULL.
const (
	Varchar   Type = "text"      // string; also dates, intervals and whatever has no type here
	Integer   Type = "integer"   // int64
	Real      Type = "real"      // float64; also decimals
	Boolean   Type = "boolean"   // bool
	Timestamp Type = "timestamp" // time.Time in UTC
	Nested    Type = "nested"    // json.RawMessage: lists, structs, maps

	huge Type = "huge" // integers of more than 64 bits, until it is known what they hold
)

// A Column is a column of a result. Names are unique in it.
type Column struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
}

// A Result is what a query returned.
type Result struct {
	Columns []Column
	Rows    [][]any
	// Truncated reports that there are more rows than the limits let out.
	Truncated bool
	// Damaged are files that the query might have read and that are not what was
	// released: their epochs are not in its tables.
	Damaged []*release.Damage
}

// unique renames columns that have the name of an earlier one.
func unique(columns []Column) []Column {
	taken := map[string]bool{}
	for i := range columns {
		columns[i].Name = free(columns[i].Name, taken)
		taken[columns[i].Name] = true
	}
	return columns
}

// parse reads one row as the worker wrote it.
func (r *Result) parse(line json.RawMessage) ([]any, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(line, &raw); err != nil {
		return nil, err
	}
	if len(raw) != len(r.Columns) {
		return nil, fmt.Errorf("row of %d values for %d columns", len(raw), len(r.Columns))
	}
	row := make([]any, len(raw))
	for i, v := range raw {
		var err error
		if row[i], err = parseValue(r.Columns[i].Type, v); err != nil {
			return nil, fmt.Errorf("column %q: %w", r.Columns[i].Name, err)
		}
	}
	return row, nil
}

func parseValue(t Type, raw json.RawMessage) (any, error) {
	if bytes.Equal(raw, []byte("null")) {
		return nil, nil
	}
	switch t {
	case Integer:
		return strconv.ParseInt(string(raw), 10, 64)
	case huge:
		return string(raw), nil
	case Real:
		return parseReal(raw)
	case Boolean:
		return strconv.ParseBool(string(raw))
	case Timestamp:
		micros, err := strconv.ParseInt(string(raw), 10, 64)
		return time.UnixMicro(micros).UTC(), err
	case Nested:
		return raw, nil
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err
}

// parseReal reads a number, or as a string one that JSON cannot represent.
func parseReal(raw json.RawMessage) (float64, error) {
	if raw[0] != '"' {
		return strconv.ParseFloat(string(raw), 64)
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return 0, err
	}
	return strconv.ParseFloat(s, 64)
}

// settle makes of huge columns integers if all values are, otherwise text. SUM
// of an integer column is huge, and nearly always fits.
func (r *Result) settle() {
	for i := range r.Columns {
		if r.Columns[i].Type != huge {
			continue
		}
		r.Columns[i].Type = Varchar
		if r.fits(i) {
			r.Columns[i].Type = Integer
			for _, row := range r.Rows {
				if s, ok := row[i].(string); ok {
					row[i], _ = strconv.ParseInt(s, 10, 64) // fits has tried it
				}
			}
		}
	}
}

func (r *Result) fits(i int) bool {
	for _, row := range r.Rows {
		if s, ok := row[i].(string); ok {
			if _, err := strconv.ParseInt(s, 10, 64); err != nil {
				return false
			}
		}
	}
	return true
}
