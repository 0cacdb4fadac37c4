package analyzer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/metric/task"
)

// A layout is how the records of a task become rows: which columns there are,
// and which of them belong to which field.
type layout struct {
	task    *task.Task
	epoch   int64    // the value of the column "epoch"
	columns []Column // of the records table
	first   []int    // index of each field's first column
	crowd   []int    // indexes of the fields that make a crowd
}

// newLayout gives a field one column, and a set one boolean column a member,
// called field_member.
func newLayout(t *task.Task, e task.Epoch) *layout {
	l := &layout{task: t, epoch: t.Start(e).UnixMilli(), crowd: crowdFields(t)}
	l.columns = []Column{{Name: "epoch", Type: Timestamp}}
	for _, f := range t.Schema {
		l.first = append(l.first, len(l.columns))
		if f.Kind != task.Set {
			l.add(Column{Name: f.Name, Type: typeOf(f), List: f.Kind == task.List, Field: f.Name})
			continue
		}
		for _, v := range f.Values {
			l.add(Column{Name: f.Name + "_" + plain(v), Type: Boolean, Field: f.Name, Value: v})
		}
	}
	return l
}

// add appends a column under a name that no other column has.
func (l *layout) add(c Column) {
	name := c.Name
	taken := func(have Column) bool { return have.Name == c.Name }
	for n := 2; slices.ContainsFunc(l.columns, taken); n++ {
		c.Name = fmt.Sprintf("%s_%d", name, n)
	}
	l.columns = append(l.columns, c)
}

// plain makes of a value a part of a name that needs no quotes in SQL.
func plain(value string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, value)
}

func typeOf(f task.Field) ColumnType {
	kind := f.Kind
	if kind == task.List {
		kind = f.Elem
	}
	switch kind {
	case task.Int:
		return Integer
	case task.Bool:
		return Boolean
	default:
		return Text
	}
}

// width is how many columns field i has.
func (l *layout) width(i int) int {
	if f := l.task.Schema[i]; f.Kind == task.Set {
		return len(f.Values)
	}
	return 1
}

// row turns a record into a row of the records table.
func (l *layout) row(rec task.Record) Row {
	row := make(Row, len(l.columns))
	row[0] = l.epoch
	for i, v := range rec {
		l.put(row[l.first[i]:][:l.width(i)], v)
	}
	return row
}

// put writes the value of one field into its columns. Members of a set that
// lie outside a chunk stay absent.
func (l *layout) put(columns Row, v task.Value) {
	switch x := v.(type) {
	case nil:
	case uint64:
		putBits(columns, x)
	case task.SetChunk:
		width := int(l.task.Fragment.M)
		start := int(x.Index) * width
		putBits(columns[start:min(start+width, len(columns))], x.Bits)
	case []task.Value:
		list := make([]any, len(x))
		for i, item := range x {
			list[i] = item
		}
		columns[0] = list
	default:
		columns[0] = x
	}
}

// reduce takes the detail out of a record and its row.
func (l *layout) reduce(rec task.Record, row Row) {
	for _, i := range l.task.Protection.Detail {
		rec[i] = nil
		clear(row[l.first[i]:][:l.width(int(i))])
	}
}

func putBits(columns Row, bits uint64) {
	for i := range columns {
		columns[i] = bits>>i&1 == 1
	}
}

// crowdColumns are the columns that name a crowd in the other tables.
func (l *layout) crowdColumns() []Column {
	columns := []Column{l.columns[0]}
	for _, i := range l.crowd {
		columns = append(columns, l.columns[l.first[i]:][:l.width(i)]...)
	}
	return columns
}

// crowdOf returns what names the crowd of a record: the record of the crowd's fields
// alone, encoded.
func (l *layout) crowdOf(rec task.Record) ([]byte, error) {
	only := make(task.Record, len(rec))
	for _, i := range l.crowd {
		only[i] = rec[i]
	}
	return l.task.Schema.Encode(only)
}

// crowdValues returns the values of the crowd columns of the other tables.
func (l *layout) crowdValues(key string) (Row, error) {
	rec, err := l.task.Schema.Decode([]byte(key))
	if err != nil {
		return nil, err
	}
	row := l.row(rec)
	values := Row{l.epoch}
	for _, i := range l.crowd {
		values = append(values, row[l.first[i]:][:l.width(i)]...)
	}
	return values, nil
}
