package plan_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/plan"
)

// settings are keys of a metric with values as Go has them.
type settings struct {
	keys map[string]any
	bad  []string
}

func (s *settings) Has(key string) bool      { return s.keys[key] != nil }
func (s *settings) Is(key, word string) bool { return s.keys[key] == word }

func (s *settings) Fail(key, format string, args ...any) {
	s.bad = append(s.bad, key+" "+fmt.Sprintf(format, args...))
}

func (s *settings) Need(keys ...string) bool {
	for _, k := range keys {
		if !s.Has(k) {
			s.Fail(k, "missing")
		}
	}
	return len(s.bad) == 0
}

func (s *settings) Word(key string, allowed ...string) (string, bool) {
	word, _ := s.keys[key].(string)
	if !slices.Contains(allowed, word) {
		s.Fail(key, "want one of %s", strings.Join(allowed, ", "))
		return "", false
	}
	return word, true
}

func (s *settings) Integer(key string, usual, _, _ int64) int64 {
	if n, ok := s.keys[key].(int); ok {
		return int64(n)
	}
	return usual
}

func (s *settings) Number(key string, _, _ float64) float64 {
	x, _ := s.keys[key].(float64)
	return x
}

func (s *settings) Increasing(key string, _ int) []int64 {
	list, _ := s.keys[key].([]int64)
	return list
}

func (s *settings) Distinct(key string, _, _, _ int) []string {
	list, _ := s.keys[key].([]string)
	return list
}

func (s *settings) Among(key string, values []string) {
	if word, _ := s.keys[key].(string); !slices.Contains(values, word) {
		s.Fail(key, "not a value")
	}
}

func (s *settings) Numbers(key string, _ int, _, _ float64) []float64 {
	list, _ := s.keys[key].([]float64)
	return list
}

// written is each kind as metrics.yaml writes it, with an example and its ordinary
// size.
func written() map[uint8]struct {
	keys     map[string]any
	want     kind.Kind
	example  any
	ordinary float64
	values   []any     // of several clients
	truth    []float64 // the rows of their result
} {
	type keys = map[string]any
	type w = struct {
		keys     map[string]any
		want     kind.Kind
		example  any
		ordinary float64
		values   []any
		truth    []float64
	}
	words := []string{"a", "b", "c"}
	return map[uint8]w{
		1:  {keys{"type": "count"}, kind.Count{Max: 1}, nil, 0, []any{int64(1), int64(0)}, []float64{1}},
		2:  {keys{"type": "sum", "max": 9}, kind.Sum{Max: 9}, 4.0, 4, []any{int64(20), int64(1)}, []float64{21}},
		3:  {keys{"type": "mean", "max": 9}, kind.Mean{Max: 9}, 4.0, 4, []any{int64(2), int64(5)}, []float64{3.5}},
		4:  {keys{"type": "histogram", "buckets": []int64{0, 5}}, kind.Histogram{Bounds: []int64{0, 5}}, -4.0, 4, []any{int64(0), int64(9), int64(5)}, []float64{0, 1, 2}},
		5:  {keys{"type": "histogram", "categories": words}, kind.Categories{Labels: words}, "b", 0, []any{"c", "a", "c"}, []float64{1, 0, 2}},
		6:  {keys{"type": "multihot", "labels": words, "max": 2}, kind.Multihot{Labels: words, Max: 2}, "b", 0, []any{[]string{"a", "b"}, []string{"b"}}, []float64{1, 2, 0}},
		7:  {keys{"type": "vector", "length": 2, "max": 9}, kind.Vector{Length: 2, Max: 9}, []float64{1, 3}, 3, []any{[]uint64{1, 2}, []uint64{3, 40}}, []float64{4, 42}},
		8:  {keys{"type": "vector", "length": 2, "total": 9}, kind.Bounded{Length: 2, Max: 9}, []float64{1, 3}, 4, []any{[]uint64{1, 2}}, []float64{1, 2}},
		9:  {keys{"type": "gradient", "length": 2, "bound": 1.5}, kind.LInfGradient{Length: 2, Bound: 1.5, Bits: 16}, []float64{-1, 0.5}, 1, []any{[]float64{-1, 2}}, []float64{-1, 2}},
		10: {keys{"type": "gradient", "length": 2, "bound": 1.5, "norm": "l1", "bits": 8}, kind.L1Gradient{Length: 2, Bound: 1.5, Bits: 8}, []float64{-1, 0.5}, 1.5, []any{[]float64{-1, 2}}, []float64{-1, 2}},
	}
}

// TestKinds: every kind is written, has words and error bars, and adds up to what its
// values are.
func TestKinds(t *testing.T) {
	cases := written()
	for _, k := range kind.All() {
		c, ok := cases[kind.Number(k)]
		if !ok {
			t.Errorf("%v has no case here", k)
			continue
		}
		s := &settings{keys: c.keys}
		got, ok := plan.Read(s)
		if !ok || len(s.bad) > 0 || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v is read as %#v, %v", k, got, s.bad)
			continue
		}
		words, err := plan.Of(got)
		if err != nil {
			t.Errorf("%v: %v", k, err)
			continue
		}
		c.keys["example"] = c.example
		if ordinary, err := plan.ReadExample(got, s); c.example != nil && (err != nil || ordinary != c.ordinary || len(s.bad) > 0) {
			t.Errorf("%v: the example is %g, %v, %v", k, ordinary, err, s.bad)
		}
		for name, text := range map[string]string{"value": words.Value(), "several": words.Several(), "nothing": words.Nothing(), "ordinary": words.Ordinary(4)} {
			if text == "" || strings.Contains(text, "%!") {
				t.Errorf("%v: %s is %q", k, name, text)
			}
		}
		for _, bar := range words.Bars(10, 100) {
			if !(bar.Noise > 0) || !(bar.Sampling > 0) || math.IsInf(bar.Noise+bar.Sampling, 0) || bar.Figure == "" {
				t.Errorf("%v: %+v", k, bar)
			}
		}
		rows := make([]float64, got.Rows())
		for _, v := range c.values {
			words.Add(rows, v)
		}
		for i, want := range c.truth {
			if x := words.Truth(rows, len(c.values), i); x != want {
				t.Errorf("%v: row %d is %g, want %g", k, i, x, want)
			}
		}
	}
	if len(cases) != len(kind.All()) {
		t.Errorf("%d cases for %d kinds", len(cases), len(kind.All()))
	}
}

// TestReadRefuses: what does not belong together is named.
func TestReadRefuses(t *testing.T) {
	for want, keys := range map[string]map[string]any{
		"want one of count, sum, mean, histogram, vector, multihot, gradient": {"type": "minimum"},
		"max missing": {"type": "sum"},
		"labels labels: has no meaning for type: sum": {"type": "sum", "max": 1, "labels": []string{"a"}},
		"histogram has either buckets or categories":  {"type": "histogram"},
		"vector has either max or total":              {"type": "vector", "length": 1, "max": 1, "total": 1},
		"norm want one of linf, l1":                   {"type": "gradient", "length": 1, "bound": 1.0, "norm": "l2"},
	} {
		s := &settings{keys: keys}
		plan.Read(s)
		if got := strings.Join(s.bad, "; "); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", keys, got, want)
		}
	}
}
