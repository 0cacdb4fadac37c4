package plan

import (
	"math"
	"slices"

	"github.com/shoal-project/shoal/metric/task"
)

// MostExact is how many values an Int without buckets may take outside the crowd.
const MostExact = 16

// Outside returns the indexes of the fields that no crowd covers.
func Outside(t *task.Task) []int {
	var out []int
	for i := range t.Schema {
		second := slices.Contains(t.Protection.Second.Fields, uint8(i))
		if t.Crowd.Kind != task.Payload && !second && !slices.Contains(t.Crowd.Fields, uint8(i)) {
			out = append(out, i)
		}
	}
	return out
}

// IsText reports whether the field takes values that no list bounds.
func IsText(f *task.Field) bool {
	return f.Kind == task.String || f.Kind == task.List && f.Elem == task.String
}

// IsExact reports whether the field takes more than [MostExact] exact numbers.
func IsExact(f *task.Field) bool {
	number := f.Kind == task.Int || f.Kind == task.List && f.Elem == task.Int
	return number && len(f.Buckets) == 0 && (f.Options() == 0 || f.Options() > MostExact)
}

// LooseBits returns the base-2 logarithm of how many different contents a
// report can have beside its crowd: a bound on the joint entropy of what the
// threshold does not protect, whatever the population. Fields whose text or
// exact numbers were accepted by name are not counted again. For a fragmented
// record it is the largest fragment that counts. Of two crowds the second counts as beside
// the first: both are large, yet one client alone may be in both.
func LooseBits(t *task.Task) float64 {
	rule := &t.Fragment
	kept, apart := 0.0, 0.0
	for _, i := range Outside(t) {
		f := &t.Schema[i]
		if IsText(f) || IsExact(f) {
			continue
		}
		whole := fieldBits(f, int(f.Max))
		switch {
		case rule.Kind == task.Whole || slices.Contains(rule.Keep, uint8(i)):
			kept += whole
		case rule.Kind == task.Fields:
			apart = max(apart, whole+math.Log2(float64(len(t.Schema)-len(rule.Keep))))
		case rule.Kind == task.Pairs:
			apart = 2 * optionBits(f)
		case rule.Kind == task.Tuples:
			apart = float64(rule.M) * optionBits(f)
		default:
			chunks := (len(f.Values) + int(rule.M) - 1) / int(max(1, rule.M))
			apart = float64(rule.M) + math.Log2(float64(chunks))
		}
	}
	return kept + apart + secondBits(t)
}

// secondBits is what the second crowd of a report tells beside the first.
func secondBits(t *task.Task) float64 {
	if t.Protection.Second.Kind == task.OfElements {
		return optionBits(&t.Schema[t.Fragment.Field])
	}
	bits := 0.0
	for _, i := range t.Protection.Second.Fields {
		if f := &t.Schema[i]; !slices.Contains(t.Crowd.Fields, i) {
			bits += fieldBits(f, int(f.Max))
		}
	}
	return bits
}

// fieldBits is the logarithm of the number of values of a field with at most n
// elements.
func fieldBits(f *task.Field, n int) float64 {
	if f.Kind != task.List {
		return optionBits(f)
	}
	b := optionBits(f)
	if b == 0 {
		return math.Log2(float64(n + 1))
	}
	if b*float64(n) > 1000 {
		return b * float64(n)
	}
	total := 0.0
	for k := range n + 1 {
		total += math.Exp2(b * float64(k))
	}
	return math.Log2(total)
}

func optionBits(f *task.Field) float64 {
	if f.Kind == task.Set {
		return float64(len(f.Values))
	}
	if o := f.Options(); o > 0 {
		return math.Log2(float64(o))
	}
	return 64
}
