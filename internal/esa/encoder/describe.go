package encoder

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/shoal-project/shoal/metric/task"
)

// A Description puts into words what a payload holds: for people, to show them
// what leaves their device.
type Description []FieldText

// A FieldText is one field that a fragment holds.
type FieldText struct {
	Name  string
	Value string // free of control characters
	Noise string // what randomised response does to such a value; empty: nothing
}

// Describe returns the words for a payload or for the plain form of one
// ([Fragment].Plain), whose difference is what randomised response has done.
func (e *Encoder) Describe(payload []byte) (Description, error) {
	record, err := e.task.Decode(payload)
	if err != nil {
		return nil, fmt.Errorf("describing a fragment of %q: %w", e.task.Metric, err)
	}
	var out Description
	for i, v := range record {
		if v == nil {
			continue
		}
		f := &e.task.Schema[i]
		out = append(out, FieldText{Name: f.Name, Value: e.text(f, v), Noise: noiseText(f)})
	}
	return out, nil
}

// String returns one line: name=value, separated by commas.
func (d Description) String() string {
	parts := make([]string, len(d))
	for i, f := range d {
		parts[i] = f.Name + "=" + f.Value
	}
	return strings.Join(parts, ", ")
}

func (e *Encoder) text(f *task.Field, v task.Value) string {
	switch x := v.(type) {
	case string:
		return strconv.Quote(x)
	case bool:
		return strconv.FormatBool(x)
	case int64:
		return rangeText(f, x)
	case uint64:
		return setText(f.Values, x)
	case task.SetChunk:
		from := int(x.Index) * int(e.task.Fragment.M)
		to := min(len(f.Values), from+int(e.task.Fragment.M))
		return setText(f.Values[from:to], x.Bits) + " of " + setText(f.Values[from:to], math.MaxUint64)
	case []task.Value:
		parts := make([]string, len(x))
		for i, element := range x {
			parts[i] = e.text(f, element)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprintf("a %T", v)
}

// rangeText returns the range of a coarsened integer.
func rangeText(f *task.Field, low int64) string {
	high := low
	for i, b := range f.Buckets {
		if b != low {
			continue
		}
		high = f.High
		if i+1 < len(f.Buckets) {
			high = f.Buckets[i+1] - 1
		}
	}
	if low == high {
		return strconv.FormatInt(low, 10)
	}
	return fmt.Sprintf("%d to %d", low, high)
}

func setText(values []string, bits uint64) string {
	var parts []string
	for i, name := range values {
		if bits>>i&1 == 1 {
			parts = append(parts, strconv.Quote(name))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func noiseText(f *task.Field) string {
	if f.Flip == 0 {
		return ""
	}
	p := strconv.FormatFloat(float64(f.Flip)/million, 'f', -1, 64)
	switch f.Kind {
	case task.Bool:
		return "flipped with probability " + p
	case task.Set:
		return "each of its bits flipped with probability " + p
	case task.List:
		return fmt.Sprintf("each element replaced with probability %s by a random one of %d values", p, len(f.Values))
	}
	return fmt.Sprintf("replaced with probability %s by a random one of %d values", p, len(f.Values))
}
