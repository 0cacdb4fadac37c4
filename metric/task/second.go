package task

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// A SecondCrowd is a rule by which each report is in two crowds: it goes on if it stays in
// both (Prochlo paper, section 5.5). The last shuffler counts both over all reports of a
// batch before it drops any.
type SecondCrowd struct {
	Kind   SecondKind
	Fields []uint8 // OfFields: indexes into the schema, strictly increasing
}

// A SecondKind is what makes a report's second crowd.
type SecondKind uint8

// The kinds.
const (
	NoSecond SecondKind = 0 // each report is in one crowd
	// OfElements wants pairs of a list's elements (Fragment.Kind Pairs), and the list
	// among the fields of the crowd: its two elements are the two crowds, each with the
	// other fields of the crowd. A pair of equal elements is in one.
	OfElements SecondKind = 1
	OfFields   SecondKind = 2 // the values of Fields are the second crowd
)

// HasSecond reports whether each report is counted in two crowds.
func (t *Task) HasSecond() bool { return t.Protection.Second.Kind != NoSecond }

func (c *SecondCrowd) unused() bool { return c.Kind == NoSecond && len(c.Fields) == 0 }

// CrowdsOf returns the records whose encodings name the crowds of a fragment: one for each
// crowd, with the crowd's fields alone. Both may be equal. It fails if a field of a crowd is
// not in the fragment. The task's crowds are of the kind Attributes.
func (t *Task) CrowdsOf(fragment Record) ([]Record, error) {
	first, err := t.only(fragment, t.Crowd.Fields)
	if err != nil {
		return nil, err
	}
	switch t.Protection.Second.Kind {
	case OfFields:
		second, err := t.only(fragment, t.Protection.Second.Fields)
		return []Record{first, second}, err
	case OfElements:
		pair, ok := first[t.Fragment.Field].([]Value)
		if !ok || len(pair) != pairLength {
			return nil, fmt.Errorf("the crowd's field %q is no pair", t.Schema[t.Fragment.Field].Name)
		}
		second := slices.Clone(first)
		first[t.Fragment.Field], second[t.Fragment.Field] = pair[:1:1], pair[1:]
		return []Record{first, second}, nil
	}
	return []Record{first}, nil
}

const pairLength = 2

// only returns the record with the given fields alone.
func (t *Task) only(rec Record, fields []uint8) (Record, error) {
	out := make(Record, len(rec))
	for _, i := range fields {
		if rec[i] == nil {
			return nil, fmt.Errorf("the crowd's field %q is not in it", t.Schema[i].Name)
		}
		out[i] = rec[i]
	}
	return out, nil
}

func (t *Task) validateSecond() error {
	s := &t.Protection.Second
	if s.unused() {
		return nil
	}
	switch {
	case t.Method != Crowd || t.Crowd.Kind != Attributes:
		return errors.New("second_crowd: only crowds of attributes have a second one")
	case t.Crowd.SaltEpochs > 1:
		return fmt.Errorf("second_crowd: %d epochs share a salt, want 1", t.Crowd.SaltEpochs)
	case t.Encoding.Kind == Quorum:
		return errors.New("second_crowd: a quorum is of one crowd")
	case t.PerCrowd != t.PerEpoch:
		return fmt.Errorf("second_crowd: %d reports a client and crowd, want the %d of an epoch: a client cannot count two crowds apart", t.PerCrowd, t.PerEpoch)
	case t.Protection.CredentialEpochs > 0 && !t.Protection.Blinded:
		return errors.New("second_crowd: credentials want blinded crowds, or a limit of one crowd would hold in the first alone")
	}
	switch s.Kind {
	case OfElements:
		if len(s.Fields) != 0 {
			return errors.New("second_crowd: that of elements names no fields")
		}
		if t.Fragment.Kind != Pairs || !slices.Contains(t.Crowd.Fields, t.Fragment.Field) {
			return errors.New("second_crowd: that of elements wants pairs, of a list that is a field of the crowd")
		}
		return nil
	case OfFields:
		return t.validateSecondFields()
	}
	return fmt.Errorf("second_crowd: unknown kind %d", s.Kind)
}

func (t *Task) validateSecondFields() error {
	fields := t.Protection.Second.Fields
	if err := t.validIndexes("second_crowd", fields); err != nil {
		return err
	}
	if len(fields) == 0 || slices.Equal(fields, t.Crowd.Fields) {
		return errors.New("second_crowd: want fields, and others than those of the first")
	}
	return t.inEveryFragment("second_crowd", fields)
}

func (c *SecondCrowd) marshal(b *cryptobyte.Builder) {
	b.AddUint8(uint8(c.Kind))
	add8(b, c.Fields)
}

func (c *SecondCrowd) unmarshal(s *cryptobyte.String) bool {
	var fields cryptobyte.String
	if !s.ReadUint8((*uint8)(&c.Kind)) || !s.ReadUint8LengthPrefixed(&fields) {
		return false
	}
	c.Fields = append([]uint8(nil), fields...)
	return c.Kind != NoSecond
}
