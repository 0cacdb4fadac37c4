package message

import (
	"fmt"
	"slices"

	"github.com/shoal-project/shoal/metric/task"
)

// FromTask describes the record of a crowd task as a schema, so that Lint can
// read it. A string in the crowd counts as a title, any other as free text; a
// set as as many choices as it has values, a list as as many fields as it may
// have elements. For a fragmented record it describes the whole record, which
// is more than one report holds.
func FromTask(t *task.Task) Schema {
	s := Schema{Name: t.Metric, Version: 1, About: t.Question}
	for i := range t.Schema {
		f := &t.Schema[i]
		covered := t.Crowd.Kind == task.Payload || t.Crowd.Kind == task.Attributes && slices.Contains(t.Crowd.Fields, uint8(i))
		for _, g := range fromField(f, covered) {
			s.Fields = append(s.Fields, g)
			if covered {
				s.Crowd = append(s.Crowd, g.Name)
			}
		}
	}
	return s
}

func fromField(f *task.Field, covered bool) []Field {
	one := Field{Name: f.Name}
	switch f.Kind {
	case task.String:
		one.Kind = Text
		if covered {
			one.Kind = Title
		}
	case task.Enum:
		one.Kind, one.Values = Choice, f.Values
	case task.Bool:
		one.Kind, one.Values = Choice, []string{"false", "true"}
	case task.Int:
		one.Kind, one.Low, one.High = Number, f.Low, f.High
		if len(f.Buckets) > 0 {
			one = Field{Name: f.Name, Kind: Bucket, Bounds: f.Buckets}
		}
	case task.Set:
		return repeat(f.Name, len(f.Values), Field{Kind: Choice, Values: []string{"absent", "present"}})
	case task.List:
		elem := *f
		elem.Kind, elem.Elem = f.Elem, 0
		return repeat(f.Name, int(f.Max), fromField(&elem, covered)[0])
	}
	return []Field{one}
}

// repeat makes n fields of one, up to as many as no message may have anyway.
func repeat(name string, n int, one Field) []Field {
	fields := make([]Field, min(n, 64))
	for i := range fields {
		fields[i] = one
		fields[i].Name = fmt.Sprintf("%s.%d", name, i)
	}
	return fields
}
