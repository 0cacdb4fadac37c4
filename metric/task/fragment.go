package task

import (
	"fmt"
	"slices"
)

// Encode returns the payload of one fragment, unpadded, after checking that it
// has the shape that the task's [Fragment] rule gives: which fields are
// present, how long a list is, which bits of a chunk may be set.
func (t *Task) Encode(fragment Record) ([]byte, error) {
	if err := t.checkShape(fragment); err != nil {
		return nil, err
	}
	return t.Schema.Encode(fragment)
}

// Decode reads what [Task.Encode] writes. A report that fails here is invalid,
// and only itself.
func (t *Task) Decode(payload []byte) (Record, error) {
	rec, err := t.Schema.Decode(payload)
	if err != nil {
		return nil, err
	}
	if err := t.checkShape(rec); err != nil {
		return nil, err
	}
	return rec, nil
}

func (t *Task) checkShape(rec Record) error {
	if len(rec) != len(t.Schema) {
		return &PayloadError{Why: fmt.Sprintf("%d values for %d fields", len(rec), len(t.Schema))}
	}
	if err := t.checkStratum(rec); err != nil {
		return err
	}
	apart := 0
	for i, v := range rec {
		f := &t.Schema[i]
		if v == nil && t.isDetail(i) {
			continue
		}
		if t.Fragment.Kind == Whole || slices.Contains(t.Fragment.Keep, uint8(i)) {
			if why := wholeValue(v); why != "" {
				return &PayloadError{Field: f.Name, Why: why}
			}
			continue
		}
		if v == nil {
			continue
		}
		apart++
		if why := t.partValue(f, v); why != "" {
			return &PayloadError{Field: f.Name, Why: why}
		}
	}
	if t.Fragment.Kind != Whole && apart != 1 {
		return &PayloadError{Why: fmt.Sprintf("a fragment with %d fields beside those it keeps, want 1", apart)}
	}
	return nil
}

// wholeValue returns what is wrong with v as a value that is not broken up.
func wholeValue(v Value) string {
	if v == nil {
		return "absent"
	}
	if _, ok := v.(SetChunk); ok {
		return "a chunk of a set that is not broken up"
	}
	return ""
}

// partValue returns what is wrong with v as a part of the field f.
func (t *Task) partValue(f *Field, v Value) string {
	var want int
	switch t.Fragment.Kind {
	case Bits:
		return t.chunk(f, v)
	case Pairs:
		want = 2
	case Tuples:
		want = int(t.Fragment.M)
	default:
		return wholeValue(v)
	}
	if elems, ok := v.([]Value); ok && len(elems) != want {
		return fmt.Sprintf("%d elements, want %d", len(elems), want)
	}
	return ""
}

func (t *Task) chunk(f *Field, v Value) string {
	c, ok := v.(SetChunk)
	if !ok {
		return "a set that should be broken up"
	}
	width := int(t.Fragment.M)
	left := len(f.Values) - int(c.Index)*width
	if left <= 0 {
		return "chunk beyond the set"
	}
	if n := min(width, left); n < 64 && c.Bits>>n != 0 {
		return "bits beyond the chunk"
	}
	return ""
}
