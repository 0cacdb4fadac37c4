package kind

import (
	"fmt"
	"math"
	"strings"
)

// What the kinds that are vectors share.

// addIntegers adds a vector of integers from 0, element by element.
func (t *Tally) addIntegers(v any) error {
	ints, ok := integers(v)
	if !ok {
		return t.misuse("a %T is no vector of whole numbers from 0", v)
	}
	if len(ints) != len(t.ints) {
		return t.misuse("%d elements, want %d", len(ints), len(t.ints))
	}
	for i, x := range ints {
		t.ints[i] = saturate(t.ints[i], x)
	}
	return nil
}

// addReals adds a vector of numbers, element by element.
func (t *Tally) addReals(v any) error {
	reals, ok := realsOf(v)
	if !ok {
		return t.misuse("a %T is no vector of numbers", v)
	}
	if len(reals) != len(t.reals) {
		return t.misuse("%d elements, want %d", len(reals), len(t.reals))
	}
	next := make([]float64, len(reals))
	for i, x := range reals {
		next[i] = t.reals[i] + x
		if math.IsNaN(next[i]) || math.IsInf(next[i], 0) {
			return t.misuse("element %d is no finite number", i)
		}
	}
	t.reals = next
	return nil
}

// shown is how many elements or labels of a tally are spelled out.
const shown = 8

// vectorText writes the first elements.
func vectorText[T uint64 | float64](v []T) string {
	var parts []string
	for _, x := range v[:min(len(v), shown)] {
		parts = append(parts, fmt.Sprintf("%.4g", float64(x)))
	}
	if len(v) > shown {
		parts = append(parts, fmt.Sprintf("... %d in all", len(v)))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
