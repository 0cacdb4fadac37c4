package task

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// Strata: a task may name fields that are detail. A client sends them if its person has
// agreed to that; without, it sends its record in plain form, without them. Both forms are
// of one size, and only the analyzer can tell them apart (Prochlo paper, section 2.2).

// HasDetail reports whether the task's records have two forms.
func (t *Task) HasDetail() bool { return len(t.Protection.Detail) > 0 }

// Detailed reports whether a record, or a fragment of one, has the detail of the task.
func (t *Task) Detailed(rec Record) bool {
	return t.HasDetail() && rec[t.Protection.Detail[0]] != nil
}

// Plain returns the plain form of a record: the same without detail.
func (t *Task) Plain(rec Record) Record {
	plain := slices.Clone(rec)
	for _, i := range t.Protection.Detail {
		plain[i] = nil
	}
	return plain
}

// checkStratum refuses a record that has a part of the detail.
func (t *Task) checkStratum(rec Record) error {
	for _, i := range t.Protection.Detail {
		if (rec[i] != nil) != t.Detailed(rec) {
			return &PayloadError{Field: t.Schema[i].Name, Why: "a part of the detail, want all of it or none"}
		}
	}
	return nil
}

func (t *Task) isDetail(i int) bool { return slices.Contains(t.Protection.Detail, uint8(i)) }

func (t *Task) validateDetail() error {
	fields := t.Protection.Detail
	if !t.HasDetail() {
		return nil
	}
	if t.Method != Crowd || t.Encoding.Kind == Quorum {
		return errors.New("detail: only records of crowds without a quorum have detail")
	}
	if err := t.validIndexes("detail", fields); err != nil {
		return err
	}
	if t.Crowd.Kind == Payload {
		return errors.New("detail: with the whole report as the crowd detail would be a crowd of its own")
	}
	for _, i := range fields {
		if slices.Contains(t.Crowd.Fields, i) || slices.Contains(t.Protection.Second.Fields, i) {
			return fmt.Errorf("detail: field %q is in the crowd", t.Schema[i].Name)
		}
		if t.Fragment.Kind != Whole && !slices.Contains(t.Fragment.Keep, i) {
			return fmt.Errorf("detail: field %q does not stand in every fragment; keep it", t.Schema[i].Name)
		}
	}
	if len(fields) == len(t.Schema) {
		return errors.New("detail: all fields are detail, so that the plain form is empty")
	}
	return nil
}

func (p *Protection) marshalDetail(b *cryptobyte.Builder) { add8(b, p.Detail) }

func (p *Protection) unmarshalDetail(s *cryptobyte.String) bool {
	var fields cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&fields) || fields.Empty() {
		return false
	}
	p.Detail = append([]uint8(nil), fields...)
	return true
}
