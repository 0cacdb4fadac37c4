package metric

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/shoal-project/shoal/metric/task"
)

const million = 1_000_000

// fieldKeys are the keys of a field, whatever its type.
func fieldKeys() []string {
	return []string{"type", "max", "of", "max_string", "values", "range", "buckets", "flip", "replace", "sensitive"}
}

// keysOf are the keys that a type uses; those of the first list are required.
func keysOf(kind task.Kind) (required, optional []string) {
	switch kind {
	case task.String:
		return []string{"max"}, nil
	case task.Enum:
		return []string{"values"}, []string{"replace"}
	case task.Int:
		return []string{"range"}, []string{"buckets"}
	case task.Bool:
		return nil, []string{"flip"}
	case task.Set:
		return []string{"values"}, []string{"flip"}
	}
	return nil, nil
}

// elementKeys are the keys that a list uses for its elements' type.
func elementKeys(elem task.Kind) (required, optional []string) {
	if elem == task.String {
		return []string{"max_string"}, nil
	}
	return keysOf(elem)
}

// record reads the schema. It returns whether all fields were understood.
func (r *reader) record(m *Metric, n ast.Node) bool {
	t := r.table(n, "record")
	if t == nil {
		return false
	}
	if len(t.keys) < 1 || len(t.keys) > 64 {
		r.failAt(t.at, "record: %d fields, want 1 to 64", len(t.keys))
		return false
	}
	ok := true
	for _, name := range t.keys {
		if !task.ValidField(name) {
			r.failAt(t.places[name], "field %q: want a name of 1 to 64 of a-z, 0-9 and '_'", name)
			ok = false
		}
		f, sensitive, good := r.field(name, t.values[name])
		ok = ok && good
		m.task.Schema = append(m.task.Schema, f)
		m.sensitive = append(m.sensitive, sensitive)
		m.fieldAt = append(m.fieldAt, t.places[name])
		m.example = append(m.example, nil)
	}
	return ok
}

func (r *reader) field(name string, n ast.Node) (f task.Field, sensitive, ok bool) {
	what := fmt.Sprintf("field %q", name)
	before := len(r.problems)
	f.Name = name
	t := r.table(n, what, fieldKeys()...)
	if t == nil || !r.need(t, what, "type") {
		return f, false, false
	}
	kinds := []task.Kind{task.String, task.Enum, task.Int, task.Bool, task.Set, task.List}
	f.Kind, ok = r.kind(t.values["type"], what+": type", kinds)
	if !ok {
		return f, false, false
	}
	required, optional := keysOf(f.Kind)
	if f.Kind == task.List {
		if !r.need(t, what, "of") {
			return f, false, false
		}
		f.Elem, ok = r.kind(t.values["of"], what+": of", []task.Kind{task.String, task.Enum, task.Int})
		if !ok {
			return f, false, false
		}
		required, optional = elementKeys(f.Elem)
		required = append([]string{"of", "max"}, required...)
	}
	r.need(t, what, required...)
	for _, key := range t.keys {
		if key != "type" && key != "sensitive" && !slices.Contains(required, key) && !slices.Contains(optional, key) {
			r.failAt(t.places[key], "%s: key %q has no meaning for this type; remove it", what, key)
		}
	}
	r.fieldValues(&f, t, what)
	if v := t.values["sensitive"]; v != nil {
		sensitive = r.boolean(v, what+": sensitive")
	}
	return f, sensitive, len(r.problems) == before
}

func (r *reader) kind(n ast.Node, what string, allowed []task.Kind) (task.Kind, bool) {
	words := make([]string, len(allowed))
	for i, k := range allowed {
		words[i] = k.String()
	}
	word, ok := r.oneOf(n, what, words...)
	if !ok {
		return 0, false
	}
	return allowed[slices.Index(words, word)], true
}

func (r *reader) fieldValues(f *task.Field, t *table, what string) {
	if v := t.values["max"]; v != nil {
		most := int64(16384)
		if f.Kind == task.List {
			most = 4096
		}
		x, _ := r.integer(v, what+": max", 1, most)
		f.Max = uint16(x)
	}
	if v := t.values["max_string"]; v != nil {
		x, _ := r.integer(v, what+": max_string", 1, 16384)
		f.MaxStr = uint16(x)
	}
	if v := t.values["values"]; v != nil {
		r.values(f, v, what)
	}
	if v := t.values["range"]; v != nil && r.valueRange(f, v, what+": range") {
		if b := t.values["buckets"]; b != nil {
			r.buckets(f, b, what+": buckets")
		}
	}
	if v := t.values["flip"]; v != nil {
		f.Flip = r.probability(v, what+": flip", million/2-1)
	}
	if v := t.values["replace"]; v != nil {
		f.Flip = r.probability(v, what+": replace", million)
	}
}

func (r *reader) values(f *task.Field, n ast.Node, what string) {
	words, ok := r.words(n, what+": values")
	if !ok {
		return
	}
	low, high := 2, 1<<15
	if f.Kind == task.Set {
		low, high = 1, 64
	}
	if len(words) < low || len(words) > high {
		r.fail(n, "%s: %d values, want %d to %d", what, len(words), low, high)
	}
	seen := map[string]bool{}
	for _, w := range words {
		if seen[w] {
			r.fail(n, "%s: value %q stands twice", what, w)
		}
		if len(w) > 128 {
			r.fail(n, "%s: a value of %d bytes, want at most 128", what, len(w))
		}
		seen[w] = true
	}
	f.Values = words
}

func (r *reader) valueRange(f *task.Field, n ast.Node, what string) bool {
	ends, ok := r.sequence(n, what)
	if !ok {
		return false
	}
	if len(ends) != 2 {
		r.fail(n, "%s: want [lowest, highest]", what)
		return false
	}
	low, ok1 := r.integer(ends[0], what, math.MinInt64, math.MaxInt64)
	high, ok2 := r.integer(ends[1], what, math.MinInt64, math.MaxInt64)
	if !ok1 || !ok2 {
		return false
	}
	if low > high {
		r.fail(n, "%s: from %d to %d is empty; write the lower end first", what, low, high)
		return false
	}
	f.Low, f.High = low, high
	return true
}

// maxBuckets is how many buckets a task takes.
const maxBuckets = 1024

// buckets reads lower bounds, "every N" or "powers of N".
func (r *reader) buckets(f *task.Field, n ast.Node, what string) {
	if rule, ok := plainText(n); ok {
		bounds, err := bucketRule(rule, f.Low, f.High)
		if err != nil {
			r.fail(n, "%s: %v", what, err)
		}
		f.Buckets = bounds
		return
	}
	nodes, ok := r.sequence(n, what)
	if !ok {
		return
	}
	if len(nodes) < 1 || len(nodes) > maxBuckets {
		r.fail(n, "%s: %d bounds, want 1 to %d", what, len(nodes), maxBuckets)
		return
	}
	for i, x := range nodes {
		b, ok := r.integer(x, what, f.Low, f.High)
		if !ok {
			return
		}
		if i == 0 && b != f.Low {
			r.fail(x, "%s: the first bound is %d; begin with the range's low end, %d", what, b, f.Low)
			return
		}
		if i > 0 && b <= f.Buckets[i-1] {
			r.fail(x, "%s: %d does not come after %d; write the bounds in order", what, b, f.Buckets[i-1])
			return
		}
		f.Buckets = append(f.Buckets, b)
	}
}

// bucketRule spells out the lower bounds that a rule in words means.
func bucketRule(rule string, low, high int64) ([]int64, error) {
	step, isEvery := strings.CutPrefix(rule, "every ")
	base, isPowers := strings.CutPrefix(rule, "powers of ")
	var next func(int64) (int64, bool)
	switch {
	case isEvery:
		n, err := strconv.ParseInt(step, 10, 64)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q: want every N, N from 1", rule)
		}
		next = func(b int64) (int64, bool) { return b + n, b <= math.MaxInt64-n }
	case isPowers:
		n, err := strconv.ParseInt(base, 10, 64)
		if err != nil || n < 2 || low < 0 {
			return nil, fmt.Errorf("%q: want powers of N, N from 2, and a range that begins at 0 or above", rule)
		}
		next = func(b int64) (int64, bool) { return nextPower(b, n) }
	default:
		return nil, fmt.Errorf("%q: want a list of lower bounds, every N, or powers of N", rule)
	}
	bounds := []int64{low}
	for b, ok := next(low); ok && b <= high; b, ok = next(b) {
		if len(bounds) == maxBuckets {
			return nil, fmt.Errorf("%q makes more than %d buckets of %d to %d; coarsen it", rule, maxBuckets, low, high)
		}
		bounds = append(bounds, b)
	}
	return bounds, nil
}

// nextPower returns the least power of n above b, and whether it fits.
func nextPower(b, n int64) (int64, bool) {
	p := int64(1)
	for p <= b {
		if p > math.MaxInt64/n {
			return 0, false
		}
		p *= n
	}
	return p, true
}

// probability reads a decimal of at most six places into millionths.
func (r *reader) probability(n ast.Node, what string, most uint32) uint32 {
	v, ok := r.number(n, what, 0, float64(most)/million)
	if !ok {
		return 0
	}
	p := math.Round(v * million)
	if math.Abs(v*million-p) > 1e-6 {
		r.fail(n, "%s: %s; want at most six decimal places", what, describe(n))
	}
	return uint32(p)
}

// exampleOf reads a record that an app might make, to show what becomes of it.
func (r *reader) exampleOf(m *Metric, n ast.Node) {
	var names []string
	for _, f := range m.task.Schema {
		names = append(names, f.Name)
	}
	t := r.table(n, "example", names...)
	if t == nil {
		return
	}
	for i := range m.task.Schema {
		f := &m.task.Schema[i]
		v := t.values[f.Name]
		if v == nil {
			r.failAt(t.at, "example: field %q is missing", f.Name)
			continue
		}
		what := fmt.Sprintf("example: field %q", f.Name)
		if f.Kind != task.List {
			m.example[i] = r.exampleValue(f, f.Kind, f.Max, v, what)
			continue
		}
		nodes, ok := r.sequence(v, what)
		if ok && len(nodes) > int(f.Max) {
			r.fail(v, "%s: %d elements, want at most %d", what, len(nodes), f.Max)
		}
		elems := []any{}
		for _, x := range nodes {
			elems = append(elems, r.exampleValue(f, f.Elem, f.MaxStr, x, what))
		}
		m.example[i] = elems
	}
}

func (r *reader) exampleValue(f *task.Field, kind task.Kind, most uint16, n ast.Node, what string) any {
	switch kind {
	case task.String:
		s, _ := r.text(n, what, 0, int(most))
		return s
	case task.Enum:
		s, _ := r.oneOf(n, what, f.Values...)
		return s
	case task.Int:
		x, _ := r.integer(n, what, f.Low, f.High)
		return x
	case task.Bool:
		b := r.boolean(n, what)
		return b
	}
	words, _ := r.words(n, what)
	for _, w := range words {
		if !slices.Contains(f.Values, w) {
			r.fail(n, "%s: %q is not one of its values", what, w)
		}
	}
	return words
}
