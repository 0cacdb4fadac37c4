package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"

	"github.com/shoal-project/shoal/metric/task"
)

// A draw returns the answer of one person.
type draw func(*rand.Rand) any

// errWord reports that a distribution does not fit what is drawn.
func errWord(s spec, what string, words ...string) error {
	if s.length != nil {
		return fmt.Errorf("a length has a meaning for lists only, this is %s", what)
	}
	return fmt.Errorf("%s has no meaning for %s; want one of %v", s.word, what, words)
}

// drawField returns the draw of a field of a record: values as an app records them.
func drawField(f *task.Field, s spec) (draw, error) {
	if f.Kind == task.List {
		return drawList(f, s)
	}
	return drawScalar(f.Kind, f, int(f.Max), s)
}

func drawScalar(kind task.Kind, f *task.Field, most int, s spec) (draw, error) {
	switch kind {
	case task.String:
		return drawText(f.Name, most, s)
	case task.Enum:
		pick, err := drawChoice(f.Values, s)
		return func(r *rand.Rand) any { return f.Values[pick(r)] }, err
	case task.Int:
		n, err := drawNumber(float64(f.Low), float64(f.High), s)
		return func(r *rand.Rand) any { return int64(math.Round(n(r))) }, err
	case task.Bool:
		p, err := drawYes(s)
		return func(r *rand.Rand) any { return r.Float64() < p }, err
	case task.Set:
		members, err := drawMembers(f.Values, s)
		return func(r *rand.Rand) any { return members(r) }, err
	}
	return nil, fmt.Errorf("a field of kind %d cannot be simulated", kind)
}

func drawList(f *task.Field, s spec) (draw, error) {
	length := [2]int{1, min(5, int(f.Max))}
	if s.length != nil {
		length, s.length = *s.length, nil
	}
	if length[1] > int(f.Max) {
		return nil, fmt.Errorf("%d elements, the record takes %d", length[1], f.Max)
	}
	element, err := drawScalar(f.Elem, f, int(f.MaxStr), s)
	return func(r *rand.Rand) any {
		list := make([]any, length[0]+r.IntN(length[1]-length[0]+1))
		for i := range list {
			list[i] = element(r)
		}
		return list
	}, err
}

// drawText draws from words that are given, or from invented ones.
func drawText(name string, most int, s spec) (draw, error) {
	switch {
	case s.length != nil:
	case s.word == "constant", s.word == "weights":
		for _, p := range s.pairs {
			if len(p.value) > most {
				return nil, fmt.Errorf("value %q has %d bytes, the record takes %d", p.value, len(p.value), most)
			}
		}
		pick := weighted(s.pairs)
		return func(r *rand.Rand) any { return s.pairs[pick(r)].value }, nil
	case s.word == "zipf", s.word == "uniform":
		if err := s.args(1, 2, 0); err != nil {
			return nil, err
		}
		n := int(s.numbers[0])
		if n < 1 || n > 1<<20 {
			return nil, fmt.Errorf("%s: %g values, want 1 to %d", s.word, s.numbers[0], 1<<20)
		}
		if len(word(name, n-1, most)) > most {
			return nil, fmt.Errorf("%s: %d different values do not fit into %d bytes", s.word, n, most)
		}
		pick := ranked(n, s)
		return func(r *rand.Rand) any { return word(name, pick(r), most) }, nil
	}
	return nil, errWord(s, "text", "zipf N EXPONENT", "uniform N", "weights VALUE=WEIGHT, ...", "constant VALUE")
}

// word invents the value of a rank: "program 1", or the number alone where that
// is too long.
func word(name string, rank, most int) string {
	number := strconv.Itoa(rank + 1)
	if w := name + " " + number; len(w) <= most {
		return w
	}
	return number
}

// drawChoice draws the index of one of values.
func drawChoice(values []string, s spec) (func(*rand.Rand) int, error) {
	switch {
	case s.length != nil:
	case s.word == "constant", s.word == "weights":
		weights := make([]pair, len(values))
		for _, p := range s.pairs {
			i := slices.Index(values, p.value)
			if i < 0 {
				return nil, fmt.Errorf("%q is not one of the values %q", p.value, values[:min(len(values), 8)])
			}
			weights[i].weight = p.weight
		}
		return weighted(weights), nil
	case s.word == "zipf", s.word == "uniform":
		if err := s.args(0, 2, 0); err != nil {
			return nil, err
		}
		if len(s.numbers) == 1 && s.word == "zipf" { // the exponent alone: the number of values is known
			s.numbers = []float64{0, s.numbers[0]}
		}
		return ranked(len(values), s), nil
	}
	return nil, errWord(s, "one of several values", "weights VALUE=WEIGHT, ...", "zipf EXPONENT", "uniform", "constant VALUE")
}

// drawNumber draws a number from low to high; what lies outside becomes the
// nearest end.
func drawNumber(low, high float64, s spec) (func(*rand.Rand) float64, error) {
	clamp := func(f func(*rand.Rand) float64) func(*rand.Rand) float64 {
		return func(r *rand.Rand) float64 { return min(max(f(r), low), high) }
	}
	switch {
	case s.length != nil:
	case s.word == "constant", s.word == "weights":
		numbers := make([]float64, len(s.pairs))
		for i, p := range s.pairs {
			x, err := strconv.ParseFloat(p.value, 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %q is not a number", s.word, p.value)
			}
			if x < low || x > high {
				return nil, fmt.Errorf("%s: %g is not from %g to %g", s.word, x, low, high)
			}
			numbers[i] = x
		}
		pick := weighted(s.pairs)
		return func(r *rand.Rand) float64 { return numbers[pick(r)] }, nil
	case s.word == "uniform" && len(s.numbers) == 0:
		s.numbers = []float64{low, high}
		fallthrough
	case s.word == "uniform":
		if err := s.args(2, 2, math.Inf(-1)); err != nil {
			return nil, err
		}
		a, b := s.numbers[0], s.numbers[1]
		if a > b {
			return nil, fmt.Errorf("uniform: %g is above %g", a, b)
		}
		return clamp(func(r *rand.Rand) float64 { return a + r.Float64()*(b-a) }), nil
	case s.word == "normal":
		if err := s.args(2, 2, math.Inf(-1)); err != nil {
			return nil, err
		}
		if s.numbers[1] < 0 {
			return nil, fmt.Errorf("normal: deviation %g is below 0", s.numbers[1])
		}
		return clamp(func(r *rand.Rand) float64 { return s.numbers[0] + s.numbers[1]*r.NormFloat64() }), nil
	case s.word == "exponential":
		if err := s.args(1, 1, 0); err != nil {
			return nil, err
		}
		return clamp(func(r *rand.Rand) float64 { return s.numbers[0] * r.ExpFloat64() }), nil
	case s.word == "zipf":
		if err := s.args(1, 2, 0); err != nil {
			return nil, err
		}
		n := int(min(s.numbers[0], 1<<20))
		if n < 1 {
			return nil, fmt.Errorf("zipf: %g values, want 1 or more", s.numbers[0])
		}
		pick := ranked(n, s)
		return clamp(func(r *rand.Rand) float64 { return low + float64(pick(r)) }), nil
	}
	return nil, errWord(s, "a number", "normal MEAN DEVIATION", "uniform LOW HIGH", "exponential MEAN", "zipf N EXPONENT", "weights NUMBER=WEIGHT, ...", "constant NUMBER")
}

func drawYes(s spec) (float64, error) {
	if s.length != nil || s.word != "chance" {
		return 0, errWord(s, "yes or no", "chance PROBABILITY")
	}
	return s.probability()
}

// drawMembers draws a subset of values.
func drawMembers(values []string, s spec) (func(*rand.Rand) []string, error) {
	chances := make([]float64, len(values))
	switch {
	case s.length != nil:
		return nil, errWord(s, "a set")
	case s.word == "each":
		p, err := s.probability()
		if err != nil {
			return nil, err
		}
		for i := range chances {
			chances[i] = p
		}
	case s.word == "chances":
		for _, p := range s.pairs {
			i := slices.Index(values, p.value)
			if i < 0 {
				return nil, fmt.Errorf("%q is not one of the values %q", p.value, values[:min(len(values), 8)])
			}
			if p.weight > 1 {
				return nil, fmt.Errorf("chances: %q: %g is not a probability from 0 to 1", p.value, p.weight)
			}
			chances[i] = p.weight
		}
	default:
		return nil, errWord(s, "a set of values", "each PROBABILITY", "chances VALUE=PROBABILITY, ...")
	}
	return func(r *rand.Rand) []string {
		in := []string{}
		for i, p := range chances {
			if r.Float64() < p {
				in = append(in, values[i])
			}
		}
		return in
	}, nil
}

// ranked draws ranks from 0 by a Zipf law whose exponent is the second number of
// s, 1 without one; or uniformly.
func ranked(n int, s spec) func(*rand.Rand) int {
	if s.word == "uniform" {
		return func(r *rand.Rand) int { return r.IntN(n) }
	}
	exponent := 1.0
	if len(s.numbers) == 2 {
		exponent = s.numbers[1]
	}
	weights := make([]pair, n)
	for i := range weights {
		weights[i].weight = math.Pow(float64(i+1), -exponent)
	}
	return weighted(weights)
}

// weighted draws indexes by weight.
func weighted(pairs []pair) func(*rand.Rand) int {
	sums := make([]float64, len(pairs))
	sum := 0.0
	for i, p := range pairs {
		sum += p.weight
		sums[i] = sum
	}
	return func(r *rand.Rand) int {
		x := r.Float64() * sum
		return min(sort.Search(len(sums), func(i int) bool { return sums[i] > x }), len(sums)-1)
	}
}
