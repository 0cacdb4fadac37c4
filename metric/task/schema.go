package task

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/shoal-project/shoal/internal/printable"
)

// Scale of [Field.Flip].
const million = 1_000_000

// validate checks the fields one by one and their names together.
func (s Schema) validate() error {
	if len(s) < 1 || len(s) > maxFields {
		return fmt.Errorf("schema: %d fields, want 1 to %d", len(s), maxFields)
	}
	for i, f := range s {
		if !ValidField(f.Name) {
			return fmt.Errorf("schema: field %d: name %q: want 1 to 64 of a-z, 0-9 and '_'", i, f.Name)
		}
		if slices.ContainsFunc(s[:i], func(o Field) bool { return o.Name == f.Name }) {
			return fmt.Errorf("schema: field %q stands twice", f.Name)
		}
		if err := f.validate(); err != nil {
			return fmt.Errorf("schema: field %q: %w", f.Name, err)
		}
	}
	return nil
}

// Index returns the position of the field called name, or -1.
func (s Schema) Index(name string) int {
	return slices.IndexFunc(s, func(f Field) bool { return f.Name == name })
}

// validate checks that what the kind needs is there and that the rest is zero:
// one schema has one encoding.
func (f *Field) validate() error {
	rest := *f
	rest.Name, rest.Kind = "", 0
	var err error
	switch f.Kind {
	case String:
		err = f.validateLength("maximum", &rest.Max, maxString)
	case Enum:
		err = errors.Join(f.validateValues(2, maxValues), f.validateFlip(million))
		rest.Values, rest.Flip = nil, 0
	case Int:
		err = f.validateRange()
		rest.Low, rest.High, rest.Buckets = 0, 0, nil
	case Bool:
		err = f.validateFlip(million/2 - 1)
		rest.Flip = 0
	case Set:
		err = errors.Join(f.validateValues(1, maxSetValues), f.validateFlip(million/2-1))
		rest.Values, rest.Flip = nil, 0
	case List:
		err = f.validateList(&rest)
	default:
		return fmt.Errorf("unknown kind %d", f.Kind)
	}
	if err != nil {
		return err
	}
	if !rest.zero() {
		return errors.New("a setting that its kind does not use is not zero")
	}
	return nil
}

func (f *Field) zero() bool {
	return f.Elem == 0 && f.Max == 0 && f.MaxStr == 0 && len(f.Values) == 0 &&
		f.Low == 0 && f.High == 0 && len(f.Buckets) == 0 && f.Flip == 0
}

// validateList checks a list and clears in rest what lists use.
func (f *Field) validateList(rest *Field) error {
	if err := f.validateLength("maximum", &rest.Max, maxElements); err != nil {
		return err
	}
	rest.Elem = 0
	switch f.Elem {
	case String:
		return f.validateLength("maximum of an element", &rest.MaxStr, maxString)
	case Enum:
		rest.Values, rest.Flip = nil, 0
		return errors.Join(f.validateValues(2, maxValues), f.validateFlip(million))
	case Int:
		rest.Low, rest.High, rest.Buckets = 0, 0, nil
		return f.validateRange()
	}
	return fmt.Errorf("a list of kind %d, want strings, enums or ints", f.Elem)
}

// validateLength checks a length in place and clears it.
func (f *Field) validateLength(what string, n *uint16, most uint16) error {
	if *n < 1 || *n > most {
		return fmt.Errorf("%s %d, want 1 to %d", what, *n, most)
	}
	*n = 0
	return nil
}

func (f *Field) validateFlip(most uint32) error {
	if f.Flip > most {
		return fmt.Errorf("flip probability %d/%d, want at most %d/%d", f.Flip, million, most, million)
	}
	return nil
}

func (f *Field) validateValues(low, high int) error {
	if len(f.Values) < low || len(f.Values) > high {
		return fmt.Errorf("%d values, want %d to %d", len(f.Values), low, high)
	}
	seen := make(map[string]bool, len(f.Values))
	for _, v := range f.Values {
		if err := printable.Check("a value", v, 1, maxValue); err != nil {
			return err
		}
		if seen[v] {
			return fmt.Errorf("value %q stands twice", v)
		}
		seen[v] = true
	}
	return nil
}

func (f *Field) validateRange() error {
	if f.Low > f.High {
		return fmt.Errorf("range from %d to %d is empty", f.Low, f.High)
	}
	if len(f.Buckets) > maxBuckets {
		return fmt.Errorf("%d buckets, want at most %d", len(f.Buckets), maxBuckets)
	}
	for i, b := range f.Buckets {
		if i == 0 && b != f.Low {
			return fmt.Errorf("first bucket begins at %d, want the range's low end %d", b, f.Low)
		}
		if i > 0 && f.Buckets[i-1] >= b || b > f.High {
			return fmt.Errorf("bucket %d: bounds must increase strictly and end by %d", b, f.High)
		}
	}
	return nil
}

// Bucket returns the value to which v is coarsened: the greatest bucket bound
// that is not above it, or v itself without buckets. A v out of range is an
// error.
func (f *Field) Bucket(v int64) (int64, error) {
	if v < f.Low || v > f.High {
		return 0, fmt.Errorf("field %q: %d is out of range %d to %d", f.Name, v, f.Low, f.High)
	}
	if len(f.Buckets) == 0 {
		return v, nil
	}
	i, found := slices.BinarySearch(f.Buckets, v)
	if found {
		return v, nil
	}
	return f.Buckets[i-1], nil
}

// Options returns how many values an element of the field can take: 0 for
// strings, and where the number exceeds 2^64-1.
func (f *Field) Options() uint64 {
	kind := f.Kind
	if kind == List {
		kind = f.Elem
	}
	switch kind {
	case Enum:
		return uint64(len(f.Values))
	case Int:
		if len(f.Buckets) > 0 {
			return uint64(len(f.Buckets))
		}
		return uint64(f.High-f.Low) + 1
	case Bool:
		return 2
	case Set:
		if len(f.Values) < 64 {
			return 1 << len(f.Values)
		}
	}
	return 0
}

// width returns how many bytes hold the numbers from 0 to most.
func width(most uint64) int { return max(1, (bits.Len64(most)+7)/8) }

// elementSize returns the longest encoding of one element of the given kind.
func (f *Field) elementSize(kind Kind, maxString uint16) int {
	switch kind {
	case String:
		return width(uint64(maxString)) + int(maxString)
	case Enum:
		return width(uint64(len(f.Values) - 1))
	case Int:
		return width(f.span())
	case Bool:
		return 1
	case Set:
		return 1 + (len(f.Values)+7)/8
	}
	return 0
}

// span returns the greatest number that encodes an Int on the wire.
func (f *Field) span() uint64 {
	if len(f.Buckets) > 0 {
		return uint64(len(f.Buckets) - 1)
	}
	return uint64(f.High) - uint64(f.Low)
}

// size returns the longest encoding of a field with at most n elements.
func (f *Field) size(n int) int {
	if f.Kind == List {
		return width(uint64(f.Max)) + n*f.elementSize(f.Elem, f.MaxStr)
	}
	return f.elementSize(f.Kind, f.Max)
}

// MaxPayload returns the exact upper bound, in bytes, of an encoded fragment
// before padding.
func (t *Task) MaxPayload() int {
	kept, greatest := 0, 0
	for i := range t.Schema {
		f := &t.Schema[i]
		switch {
		case t.Fragment.Kind == Whole || slices.Contains(t.Fragment.Keep, uint8(i)):
			kept += f.size(int(f.Max))
		case t.Fragment.Kind == Fields:
			greatest = max(greatest, f.size(int(f.Max)))
		case i != int(t.Fragment.Field):
		case t.Fragment.Kind == Pairs:
			greatest = f.size(2)
		case t.Fragment.Kind == Tuples:
			greatest = f.size(int(t.Fragment.M))
		default:
			greatest = f.size(int(f.Max))
		}
	}
	return (len(t.Schema)+7)/8 + kept + greatest
}
