//go:build duckdb && cgo

package duckdb

import (
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	engine "github.com/duckdb/duckdb-go/v2"
)

// A reader turns a value of the driver into what goes into a line.
type reader func(driver.Value) any

// readers returns the columns of a result and how to read them.
func readers(rows driver.Rows) ([]Column, []reader, error) {
	types, ok := rows.(driver.RowsColumnTypeDatabaseTypeName)
	if !ok {
		return nil, nil, errors.New("the driver has changed: rows without types")
	}
	names := rows.Columns()
	columns, read := make([]Column, len(names)), make([]reader, len(names))
	for i, name := range names {
		columns[i].Name = name
		columns[i].Type, read[i] = readerOf(types.ColumnTypeDatabaseTypeName(i))
	}
	return columns, read, nil
}

func readerOf(name string) (Type, reader) {
	base, _, _ := strings.Cut(name, "(")
	if strings.HasSuffix(name, "]") {
		base = "LIST"
	}
	switch base {
	case "BOOLEAN":
		return Boolean, func(v driver.Value) any { return v }
	case "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER":
		return Integer, func(v driver.Value) any { return v }
	case "UBIGINT", "HUGEINT", "UHUGEINT", "BIGNUM":
		return huge, func(v driver.Value) any { return v }
	case "FLOAT", "DOUBLE", "DECIMAL":
		return Real, readReal
	case "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMPTZ":
		return Timestamp, readTime
	case "LIST", "ARRAY", "STRUCT", "MAP", "UNION", "JSON":
		return Nested, func(v driver.Value) any { return nested(v) }
	case "DATE":
		return Varchar, layout(time.DateOnly)
	case "TIME":
		return Varchar, layout("15:04:05.999999")
	case "TIMETZ":
		return Varchar, layout("15:04:05.999999-07:00")
	case "UUID":
		return Varchar, readUUID
	}
	return Varchar, readText
}

func readReal(v driver.Value) any {
	switch x := v.(type) {
	case float64:
		return realJSON(x)
	case float32:
		f, _ := strconv.ParseFloat(strconv.FormatFloat(float64(x), 'g', -1, 32), 64) // 0.1, not 0.10000000149
		return realJSON(f)
	case engine.Decimal:
		return realJSON(x.Float64())
	}
	return nil
}

// realJSON is what parseReal reads.
func realJSON(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return f
}

func readTime(v driver.Value) any {
	if t, ok := v.(time.Time); ok {
		return t.UnixMicro()
	}
	return nil
}

func layout(form string) reader {
	return func(v driver.Value) any {
		if t, ok := v.(time.Time); ok {
			return t.Format(form)
		}
		return readText(v)
	}
}

func readUUID(v driver.Value) any {
	b, ok := v.([]byte)
	if !ok || len(b) != 16 {
		return readText(v)
	}
	u := engine.UUID(b)
	return u.String()
}

func readText(v driver.Value) any {
	switch x := v.(type) {
	case string:
		return x
	case []byte:
		return `\x` + hex.EncodeToString(x)
	case engine.Interval:
		return fmt.Sprintf("%d months %d days %s", x.Months, x.Days, time.Duration(x.Micros)*time.Microsecond)
	case fmt.Stringer:
		return x.String()
	}
	return fmt.Sprint(v)
}

// nested turns lists, structs and maps into what package json can write.
func nested(v any) any {
	switch x := v.(type) {
	case nil, bool, string, int8, int16, int32, int64, uint8, uint16, uint32, uint64, *big.Int:
		return x
	case float64:
		return realJSON(x)
	case float32:
		return readReal(x)
	case engine.Decimal:
		return realJSON(x.Float64())
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	case []any:
		out := make([]any, len(x))
		for i, item := range x {
			out[i] = nested(item)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, item := range x {
			out[k] = nested(item)
		}
		return out
	case engine.Map:
		out := make(map[string]any, len(x))
		for k, item := range x {
			out[fmt.Sprint(nested(k))] = nested(item)
		}
		return out
	case engine.OrderedMap:
		out := make(map[string]any, x.Len())
		for i, k := range x.Keys() {
			out[fmt.Sprint(nested(k))] = nested(x.Values()[i])
		}
		return out
	case engine.Union:
		return nested(x.Value)
	}
	return readText(v)
}

// memory reports whether err means that the limit of memory was reached.
func memory(err error) bool {
	e, ok := errors.AsType[*engine.Error](err)
	return ok && e.Type == engine.ErrorTypeOutOfMemory || strings.Contains(err.Error(), "Out of Memory")
}

// explain makes of an engine's error one that the author of the query can use.
func explain(err error) error {
	text := strings.TrimSpace(err.Error())
	switch {
	case memory(err):
		text = "the query needs more memory than it may have: make it smaller with WHERE, LIMIT or GROUP BY"
	case strings.Contains(text, "multi-statement"):
		text = "one statement at a time"
	case strings.Contains(text, "disabled by configuration"), strings.Contains(text, "external access"), strings.Contains(text, "Permission Error"):
		text += "\nOnly released tables can be read: no files, network, extensions or settings."
	case strings.Contains(text, "Catalog Error: Table with name"):
		text += "\nThe tables there are: shoal query --tables"
	}
	return &Error{text}
}
