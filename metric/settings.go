package metric

import (
	"math"
	"slices"
)

// settings gives the keys of one metric to [plan.Read].
type settings struct {
	r *reader
	t *table
}

func (s settings) Has(key string) bool { return s.t.values[key] != nil }

func (s settings) Is(key, word string) bool {
	text, ok := plainText(s.t.values[key])
	return ok && text == word
}

func (s settings) Fail(key, format string, args ...any) {
	s.r.failAt(s.t.place(key), format, args...)
}

func (s settings) Need(keys ...string) bool { return s.r.need(s.t, "metric", keys...) }

func (s settings) Word(key string, allowed ...string) (string, bool) {
	return s.r.oneOf(s.t.values[key], key, allowed...)
}

func (s settings) Integer(key string, usual, low, high int64) int64 {
	return s.r.integerOr(s.t, key, usual, low, high)
}

func (s settings) Number(key string, low, high float64) float64 {
	x, _ := s.r.number(s.t.values[key], key, low, high)
	return x
}

func (s settings) Increasing(key string, most int) []int64 {
	v := s.t.values[key]
	nodes, ok := s.r.sequence(v, key)
	if !ok {
		return nil
	}
	if len(nodes) < 1 || len(nodes) > most {
		s.r.fail(v, "%s: %d bounds, want 1 to %d", key, len(nodes), most)
		return nil
	}
	var out []int64
	for i, x := range nodes {
		b, ok := s.r.integer(x, key, math.MinInt64, math.MaxInt64)
		if !ok {
			return nil
		}
		if i > 0 && b <= out[i-1] {
			s.r.fail(x, "%s: %d does not come after %d; write the bounds in order", key, b, out[i-1])
			return nil
		}
		out = append(out, b)
	}
	return out
}

func (s settings) Distinct(key string, least, most, bytes int) []string {
	v := s.t.values[key]
	words, ok := s.r.words(v, key)
	if !ok {
		return nil
	}
	if len(words) < least || len(words) > most {
		s.r.fail(v, "%s: %d of them, want %d to %d", key, len(words), least, most)
	}
	seen := map[string]bool{}
	for _, w := range words {
		if seen[w] {
			s.r.fail(v, "%s: %q stands twice", key, w)
		}
		if len(w) > bytes {
			s.r.fail(v, "%s: one of %d bytes, want at most %d", key, len(w), bytes)
		}
		seen[w] = true
	}
	return words
}

func (s settings) Among(key string, values []string) {
	v := s.t.values[key]
	words, _ := s.r.words(v, key)
	for _, w := range words {
		if !slices.Contains(values, w) {
			s.r.fail(v, "%s: %q is not one of the values", key, w)
		}
	}
}

func (s settings) Numbers(key string, most int, low, high float64) []float64 {
	v := s.t.values[key]
	nodes, ok := s.r.sequence(v, key)
	if ok && len(nodes) > most {
		s.r.fail(v, "%s: %d elements, want at most %d; those left out are 0", key, len(nodes), most)
	}
	out := make([]float64, 0, len(nodes))
	for _, x := range nodes {
		y, _ := s.r.number(x, key, low, high)
		out = append(out, y)
	}
	return out
}
