package plan

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/metric/task"
)

// A FieldValue is one field of an example, for people.
type FieldValue struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A Sent is one report that an example record makes. Randomised response is
// not applied to it: it would show a value that was never recorded.
type Sent struct {
	Fields  []FieldValue `json:"fields"`
	Crowd   string       `json:"crowd"`   // what makes its crowd, before hashing
	Payload string       `json:"payload"` // hexadecimal, before padding
}

// An Example shows a record before and after encoding.
type Example struct {
	Recorded []FieldValue `json:"recorded"`
	Sent     []Sent       `json:"sent"`  // at most shownFragments
	Total    int          `json:"total"` // reports that the record makes
}

// shownFragments is how many reports of an example are spelled out.
const shownFragments = 3

// exampleFor encodes the example of a record, or one made up from the schema.
func exampleFor(t *task.Task, example []any) (Example, error) {
	var out Example
	rec := make(task.Record, len(t.Schema))
	for i := range t.Schema {
		f := &t.Schema[i]
		raw := example[i]
		if raw == nil {
			raw = madeUp(f)
		}
		out.Recorded = append(out.Recorded, FieldValue{f.Name, rawText(raw)})
		v, err := coarsen(f, raw)
		if err != nil {
			return Example{}, fmt.Errorf("example: %w", err)
		}
		rec[i] = v
	}
	fragments := fragmentsOf(t, rec)
	out.Total = len(fragments)
	if t.Fragment.Cap > 0 {
		out.Total = min(out.Total, int(t.Fragment.Cap))
	}
	out.Total = min(out.Total, int(t.PerEpoch))
	for _, fr := range fragments[:min(out.Total, shownFragments)] {
		b, err := t.Encode(fr)
		if err != nil {
			return Example{}, fmt.Errorf("example: %w", err)
		}
		s := Sent{Payload: hex.EncodeToString(b), Crowd: crowdText(t, fr)}
		for i, v := range fr {
			if v != nil {
				s.Fields = append(s.Fields, FieldValue{t.Schema[i].Name, valueText(&t.Schema[i], v)})
			}
		}
		out.Sent = append(out.Sent, s)
	}
	return out, nil
}

// madeUp returns a value that an app might record.
func madeUp(f *task.Field) any {
	element := func(kind task.Kind, most uint16) any {
		switch kind {
		case task.Enum:
			return f.Values[0]
		case task.Int:
			return f.Low/2 + f.High/2
		}
		return strings.ToValidUTF8("example"[:min(7, most)], "")
	}
	switch f.Kind {
	case task.Bool:
		return true
	case task.Set:
		return f.Values[:min(2, len(f.Values))]
	case task.List:
		var out []any
		for range min(f.Max, 3) {
			out = append(out, element(f.Elem, f.MaxStr))
		}
		return out
	}
	return element(f.Kind, f.Max)
}

// coarsen turns a raw value into one of a record.
func coarsen(f *task.Field, raw any) (task.Value, error) {
	switch x := raw.(type) {
	case int64:
		return f.Bucket(x)
	case []string:
		bits := uint64(0)
		for _, w := range x {
			bits |= 1 << slices.Index(f.Values, w)
		}
		return bits, nil
	case []any:
		out := []task.Value{}
		for _, e := range x {
			v, err := coarsen(f, e)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	}
	return raw, nil
}

// fragmentsOf breaks a record up, all of it and in order; a client draws a
// subset where there is a cap.
func fragmentsOf(t *task.Task, rec task.Record) []task.Record {
	rule := &t.Fragment
	part := func(i int, v task.Value) task.Record {
		out := make(task.Record, len(rec))
		for _, k := range rule.Keep {
			out[k] = rec[k]
		}
		out[i] = v
		return out
	}
	field := int(rule.Field)
	var out []task.Record
	switch rule.Kind {
	case task.Whole:
		return []task.Record{rec}
	case task.Fields:
		for i, v := range rec {
			if !slices.Contains(rule.Keep, uint8(i)) {
				out = append(out, part(i, v))
			}
		}
	case task.Pairs:
		elems := rec[field].([]task.Value)
		for j := range elems {
			for i := range j + 1 {
				out = append(out, part(field, []task.Value{elems[i], elems[j]}))
			}
		}
	case task.Tuples:
		for c := range slices.Chunk(rec[field].([]task.Value), int(rule.M)) {
			if len(c) == int(rule.M) {
				out = append(out, part(field, slices.Clone(c)))
			}
		}
	case task.Bits:
		set := rec[field].(uint64)
		for i := 0; i*int(rule.M) < len(t.Schema[field].Values); i++ {
			out = append(out, part(field, task.SetChunk{Index: uint8(i), Bits: set >> (i * int(rule.M)) & (1<<rule.M - 1)}))
		}
	}
	return out
}

func crowdText(t *task.Task, rec task.Record) string {
	switch t.Crowd.Kind {
	case task.Constant:
		return "the one crowd of all reports"
	case task.Payload:
		return recordText(t, rec)
	}
	crowds, err := t.CrowdsOf(rec)
	if err != nil { // not of a fragment
		return ""
	}
	text := recordText(t, crowds[0])
	if len(crowds) > 1 {
		text += "; and " + recordText(t, crowds[1])
	}
	return text
}

// recordText writes the values of a record that are there.
func recordText(t *task.Task, rec task.Record) string {
	var parts []string
	for i, v := range rec {
		if v != nil {
			parts = append(parts, t.Schema[i].Name+" = "+valueText(&t.Schema[i], v))
		}
	}
	return strings.Join(parts, ", ")
}

// valueText writes a value as it reads in a table.
func valueText(f *task.Field, v task.Value) string {
	switch x := v.(type) {
	case string:
		return fmt.Sprintf("%q", x)
	case int64:
		return bucketText(f, x)
	case uint64:
		return setText(f.Values, x)
	case task.SetChunk:
		return fmt.Sprintf("chunk %d: bits %b", x.Index, x.Bits)
	case []task.Value:
		parts := make([]string, len(x))
		for i, e := range x {
			parts[i] = valueText(f, e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprint(v)
}

// bucketText writes a bucket with the range that it represents.
func bucketText(f *task.Field, low int64) string {
	i, found := slices.BinarySearch(f.Buckets, low)
	if !found {
		return fmt.Sprint(low)
	}
	high := f.High
	if i+1 < len(f.Buckets) {
		high = f.Buckets[i+1] - 1
	}
	if high == low {
		return fmt.Sprint(low)
	}
	return fmt.Sprintf("%d (%d to %d)", low, low, high)
}

func setText(values []string, bits uint64) string {
	var in []string
	for i, v := range values {
		if bits&(1<<i) != 0 {
			in = append(in, v)
		}
	}
	return "{" + strings.Join(in, ", ") + "}"
}

func rawText(raw any) string {
	switch x := raw.(type) {
	case string:
		return fmt.Sprintf("%q", x)
	case []string:
		return "{" + strings.Join(x, ", ") + "}"
	case []any:
		parts := make([]string, len(x))
		for i, e := range x {
			parts[i] = rawText(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprint(raw)
}
