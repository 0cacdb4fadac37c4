package plan

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// What several kinds share.

const (
	addUp    = "they add up, to the maximum at most"
	cutEach  = "they add up element by element, each cut to its range"
	shrink   = "they add up, and shrink together to the bound"
	oneOf    = "one of them, each with the same chance"
	ownRange = `a range of its own, "no value"`
)

// integers is a kind whose values are integers.
type integers struct{}

func (integers) Quantisation() float64 { return 0 }

// zero is a kind of which a client without a value counts as zero.
type zero struct{}

func (zero) Nothing() string { return "zero" }

// rows is a kind whose result is several numbers.
type rows struct{}

func (rows) Title() string { return "" }

// added is a kind whose result is the sum of the clients' contributions.
type added struct{}

func (added) Truth(rows []float64, _, row int) float64 { return rows[row] }

// numbered is a kind whose values are numbers that the result adds up.
type numbered struct{}

func (numbered) Add(rows []float64, v any)  { rows[0] += float64(v.(int64)) }
func (numbered) example(s Settings) float64 { return math.Abs(s.Number("example", -1e18, 1e18)) }

// loose is a kind that has no bound which an example must come near.
type loose struct{}

func (loose) Tight() (key string, bound float64) { return "", 0 }

func largest(numbers []float64) float64 {
	out := 0.0
	for _, x := range numbers {
		out = max(out, math.Abs(x))
	}
	return out
}

func total(numbers []float64) float64 {
	out := 0.0
	for _, x := range numbers {
		out += math.Abs(x)
	}
	return out
}

// vectorExample reads the elements of an example.
func vectorExample(s Settings, length uint32) []float64 {
	return s.Numbers("example", int(length), -1e30, 1e30)
}

// addWords counts each word in the row of its label.
func addWords(rows []float64, labels []string, words ...string) {
	for _, w := range words {
		rows[slices.Index(labels, w)]++
	}
}

// wholes is a kind whose values are vectors of integers.
type wholes struct{}

func (wholes) Input() Input { return Wholes }
func (wholes) Unit() string { return "in all" }

func (wholes) Add(rows []float64, v any) {
	for i, x := range v.([]uint64) {
		rows[i] += float64(x)
	}
}

func (wholes) bars(wide float64, n int, top float64) []Bar {
	return each("each element of the sum", "each element for one client", wide, n, top)
}

// reals is a kind whose values are vectors of real numbers.
type reals struct{}

func (reals) Input() Input  { return Reals }
func (reals) Unit() string  { return "" }
func (reals) Most() float64 { return 0 }

func (reals) Add(rows []float64, v any) {
	for i, x := range v.([]float64) {
		rows[i] += x
	}
}

func (reals) bars(wide float64, n int, bound float64) []Bar {
	return each("each element of the sum", "each element of the mean", wide, n, 2*bound)
}

// gradientNeeds and gradientMay are the keys of gradients.
func gradientNeeds() []string { return []string{"length", "bound"} }
func gradientMay() []string   { return []string{"bits", "norm"} }

// gradientSettings reads the settings of gradients.
func gradientSettings(s Settings) (length uint32, bound float64, bits uint8) {
	length = readLength(s)
	bits = uint8(s.Integer("bits", 16, 1, 32))
	bound = s.Number("bound", 1e-30, 1e30)
	if s.Has("norm") {
		s.Word("norm", "linf", "l1")
	}
	return length, bound, bits
}

func readLength(s Settings) uint32 { return uint32(s.Integer("length", 0, 1, mostLength)) }

func readMax(s Settings, key string, usual int64) uint64 {
	return uint64(s.Integer(key, usual, 1, mostInteger))
}

// humped gives each range a number, and those in the middle the largest weights.
func humped(bounds []int64) string {
	parts := []string{fmt.Sprintf("%d=1", bounds[0]-1)}
	for i, b := range bounds {
		parts = append(parts, fmt.Sprintf("%d=%d", b, 1+min(i+1, len(bounds)-i-1)))
	}
	return "weights " + strings.Join(parts, ", ")
}
