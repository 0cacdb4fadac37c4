package encoder

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"

	"github.com/shoal-project/shoal/metric/task"
)

// scrub reads from v the fields of the schema and nothing else, and returns
// them validated and coarsened.
func (e *Encoder) scrub(v any) (task.Record, error) {
	schema := e.task.Schema
	get, err := fieldsOf(v, schema)
	if err != nil {
		return nil, err
	}
	record := make(task.Record, len(schema))
	for i := range schema {
		f := &schema[i]
		value := indirect(get(i))
		if !value.IsValid() {
			return nil, fmt.Errorf("field %q is missing", f.Name)
		}
		if record[i], err = convert(f, f.Kind, value); err != nil {
			return nil, fmt.Errorf("field %q: %w", f.Name, err)
		}
	}
	if _, err := schema.Encode(record); err != nil { // validates lengths, ranges and values
		return nil, err
	}
	return record, nil
}

// fieldsOf returns a function that gives the value of the schema's field i, not
// valid where v has none.
func fieldsOf(v any, schema task.Schema) (func(i int) reflect.Value, error) {
	if record, ok := v.(task.Record); ok {
		if len(record) != len(schema) {
			return nil, fmt.Errorf("a record of %d values for a schema of %d fields", len(record), len(schema))
		}
		return func(i int) reflect.Value { return reflect.ValueOf(record[i]) }, nil
	}
	value := indirect(reflect.ValueOf(v))
	switch {
	case !value.IsValid():
		return nil, errors.New("nothing to record")
	case value.Kind() == reflect.Struct:
		return structFields(value, schema)
	case value.Kind() == reflect.Map && value.Type().Key().Kind() == reflect.String:
		key := value.Type().Key()
		return func(i int) reflect.Value {
			return value.MapIndex(reflect.ValueOf(schema[i].Name).Convert(key))
		}, nil
	}
	return nil, fmt.Errorf("a %v: want a map from strings, a struct with shoal tags, or a task.Record", value.Type())
}

func structFields(value reflect.Value, schema task.Schema) (func(i int) reflect.Value, error) {
	found := make([]reflect.Value, len(schema))
	for k := range value.NumField() {
		field := value.Type().Field(k)
		name, tagged := field.Tag.Lookup("shoal")
		if !tagged || name == "-" {
			continue
		}
		i := schema.Index(name)
		switch {
		case i < 0:
			return nil, fmt.Errorf("struct field %s has the tag %q, which the schema does not know", field.Name, name)
		case !field.IsExported():
			return nil, fmt.Errorf("struct field %s has a tag but is not exported", field.Name)
		case found[i].IsValid():
			return nil, fmt.Errorf("two struct fields have the tag %q", name)
		}
		found[i] = value.Field(k)
	}
	return func(i int) reflect.Value { return found[i] }, nil
}

// indirect follows pointers and interfaces to the value below, which is not
// valid if one of them is nil.
func indirect(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return v
}

// convert turns v into the form that values of the kind have in a record.
// Integers are coarsened.
func convert(f *task.Field, kind task.Kind, v reflect.Value) (task.Value, error) {
	switch kind {
	case task.String, task.Enum:
		if v.Kind() != reflect.String {
			return nil, wrongType(kind, v)
		}
		return v.String(), nil
	case task.Bool:
		if v.Kind() != reflect.Bool {
			return nil, wrongType(kind, v)
		}
		return v.Bool(), nil
	case task.Int:
		n, err := integer(v)
		if err != nil {
			return nil, err
		}
		if n < f.Low || n > f.High {
			return nil, fmt.Errorf("out of range %d to %d", f.Low, f.High)
		}
		return f.Bucket(n)
	case task.Set:
		return set(f, v)
	}
	return list(f, v)
}

func wrongType(kind task.Kind, v reflect.Value) error {
	return fmt.Errorf("a %v does not fit %v", v.Type(), kind)
}

func integer(v reflect.Value) (int64, error) {
	switch {
	case v.CanInt():
		return v.Int(), nil
	case v.CanUint():
		if v.Uint() > math.MaxInt64 {
			return 0, errors.New("out of range")
		}
		return int64(v.Uint()), nil
	case v.CanFloat():
		// Below 2^53 every integer is a float of its own.
		if x := v.Float(); x == math.Trunc(x) && math.Abs(x) <= 1<<53 {
			return int64(x), nil
		}
		return 0, errors.New("not an integer")
	}
	return 0, wrongType(task.Int, v)
}

func set(f *task.Field, v reflect.Value) (task.Value, error) {
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		return setOf(f, v.Len(), func(i int) (reflect.Value, bool) { return v.Index(i), true })
	case reflect.Map:
		keys := v.MapKeys()
		return setOf(f, len(keys), func(i int) (reflect.Value, bool) {
			present := indirect(v.MapIndex(keys[i]))
			return keys[i], present.Kind() == reflect.Bool && present.Bool()
		})
	}
	if v.CanUint() {
		return v.Uint(), nil
	}
	return nil, wrongType(task.Set, v)
}

func setOf(f *task.Field, n int, at func(int) (reflect.Value, bool)) (task.Value, error) {
	var bits uint64
	for i := range n {
		name, present := at(i)
		name = indirect(name)
		if name.Kind() != reflect.String {
			return nil, errors.New("its elements are not names")
		}
		k := slices.Index(f.Values, name.String())
		if k < 0 {
			return nil, errors.New("holds what is not one of its values")
		}
		if present {
			bits |= 1 << k
		}
	}
	return bits, nil
}

func list(f *task.Field, v reflect.Value) (task.Value, error) {
	if v.Kind() != reflect.Slice && v.Kind() != reflect.Array {
		return nil, wrongType(task.List, v)
	}
	if v.Len() > int(f.Max) {
		return nil, fmt.Errorf("%d elements, want at most %d", v.Len(), f.Max)
	}
	out := make([]task.Value, v.Len())
	for i := range out {
		element := indirect(v.Index(i))
		if !element.IsValid() {
			return nil, fmt.Errorf("element %d is missing", i+1)
		}
		var err error
		if out[i], err = convert(f, f.Elem, element); err != nil {
			return nil, fmt.Errorf("element %d: %w", i+1, err)
		}
	}
	return out, nil
}
