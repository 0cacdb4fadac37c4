package simulate

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A spec is a distribution as it is written: a word, and numbers or weighted
// values. docs/reference/metrics.md lists the words.
type spec struct {
	word    string
	numbers []float64
	pairs   []pair // of "weights", "chances" and "constant", whose weight is 1
	length  *[2]int
}

// pair is a value with a weight or a chance.
type pair struct {
	value  string
	weight float64
}

// maxNumbers bounds what one distribution may list.
const maxNumbers = 1 << 15

// parseSpec reads a distribution.
func parseSpec(text string) (spec, error) {
	text = strings.TrimSpace(text)
	if length, of, ok := strings.Cut(text, " of "); ok {
		low, high, isRange := strings.Cut(length, " to ")
		if !isRange {
			high = low
		}
		a, err1 := strconv.Atoi(strings.TrimSpace(low))
		b, err2 := strconv.Atoi(strings.TrimSpace(high))
		if err1 == nil && err2 == nil {
			if a < 0 || b < a || b > maxNumbers {
				return spec{}, fmt.Errorf("%q: %d to %d is not a range of lengths", text, a, b)
			}
			s, err := parseSpec(of)
			if err == nil && s.length != nil {
				err = fmt.Errorf("%q: a list of lists", text)
			}
			s.length = &[2]int{a, b}
			return s, err
		}
	}
	word, rest, _ := strings.Cut(text, " ")
	s := spec{word: word}
	var err error
	switch word {
	case "constant":
		if rest = strings.TrimSpace(rest); rest == "" {
			return s, fmt.Errorf("%q: constant needs a value", text)
		}
		s.pairs = []pair{{rest, 1}}
	case "weights", "chances":
		s.pairs, err = parsePairs(rest)
	case "uniform", "normal", "exponential", "zipf", "chance", "each", "elements":
		s.numbers, err = parseNumbers(rest)
	default:
		return s, fmt.Errorf("%q: unknown distribution %q; want constant, weights, chances, uniform, normal, exponential, zipf, chance, each or elements", text, word)
	}
	if err != nil {
		return s, fmt.Errorf("%q: %w", text, err)
	}
	return s, nil
}

// parsePairs reads "dark=70, light=30".
func parsePairs(text string) ([]pair, error) {
	var out []pair
	sum := 0.0
	for part := range strings.SplitSeq(text, ",") {
		i := strings.LastIndex(part, "=")
		if i < 0 {
			return nil, fmt.Errorf("%q: want value=weight", strings.TrimSpace(part))
		}
		w, err := strconv.ParseFloat(strings.TrimSpace(part[i+1:]), 64)
		if err != nil || w < 0 || w > 1e12 {
			return nil, fmt.Errorf("%q: want a weight from 0 to 1e12", strings.TrimSpace(part))
		}
		out = append(out, pair{strings.TrimSpace(part[:i]), w})
		sum += w
	}
	if len(out) > maxNumbers {
		return nil, fmt.Errorf("%d values, want at most %d", len(out), maxNumbers)
	}
	if sum == 0 {
		return nil, fmt.Errorf("all weights are 0")
	}
	return out, nil
}

// parseNumbers reads numbers between spaces or commas.
func parseNumbers(text string) ([]float64, error) {
	var out []float64
	for _, f := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		x, err := strconv.ParseFloat(f, 64)
		if err != nil || math.IsNaN(x) || math.Abs(x) > 1e15 {
			return nil, fmt.Errorf("%q is not a number from -1e15 to 1e15", f)
		}
		out = append(out, x)
	}
	if len(out) > maxNumbers {
		return nil, fmt.Errorf("%d numbers, want at most %d", len(out), maxNumbers)
	}
	return out, nil
}

// args checks how many numbers there are, and their least value.
func (s spec) args(low, high int, least float64) error {
	if len(s.numbers) < low || len(s.numbers) > high {
		return fmt.Errorf("%s: %d numbers, want %s", s.word, len(s.numbers), between(low, high))
	}
	for _, x := range s.numbers {
		if x < least {
			return fmt.Errorf("%s: %g is below %g", s.word, x, least)
		}
	}
	return nil
}

func between(low, high int) string {
	if low == high {
		return strconv.Itoa(low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}

// probability returns the one number of a chance.
func (s spec) probability() (float64, error) {
	if err := s.args(1, 1, 0); err != nil {
		return 0, err
	}
	if s.numbers[0] > 1 {
		return 0, fmt.Errorf("%s: %g is not a probability from 0 to 1", s.word, s.numbers[0])
	}
	return s.numbers[0], nil
}
