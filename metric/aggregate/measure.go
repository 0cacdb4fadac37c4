package aggregate

import (
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/metric/task"
)

// The measurements of a tally, cut back to the question's bounds.

func (t *Tally) sum() uint64 { return min(t.ints[0], t.q.a.Max) }

// mean is the mean of the client's values, rounded up with the probability of its
// fraction, so that it is unbiased, and the weight. It fails where rand does.
func (t *Tally) mean(rand io.Reader) ([]uint64, error) {
	if t.n == 0 {
		return []uint64{0, 0}, nil
	}
	m, rest := t.ints[0]/t.n, t.ints[0]%t.n
	if rest > 0 {
		x, err := below(rand, t.n)
		if err != nil {
			return nil, fmt.Errorf("rounding the mean of %d values: %w", t.n, err)
		}
		if x < rest {
			m++
		}
	}
	return []uint64{min(m, t.q.a.Max), t.q.a.Max}, nil
}

func (t *Tally) bucket() int {
	if t.n == 0 {
		return t.q.buckets() - 1 // "no value", if there is such a bucket; see Said
	}
	return int(t.ints[0])
}

func (t *Tally) labels() []bool {
	out := make([]bool, len(t.q.a.Labels))
	for i := range out {
		out[i] = t.has(i)
	}
	return out
}

// total returns the sum of the elements.
func (t *Tally) total() *big.Int {
	sum := new(big.Int)
	for _, x := range t.ints {
		sum.Add(sum, new(big.Int).SetUint64(x))
	}
	return sum
}

func (t *Tally) vectorFits() bool {
	if t.q.a.Kind == task.Vector {
		return slices.Max(t.ints) <= t.q.a.Max
	}
	return t.total().Cmp(new(big.Int).SetUint64(t.q.a.Max)) <= 0
}

func (t *Tally) vector() []uint64 {
	out := slices.Clone(t.ints)
	if t.vectorFits() {
		return out
	}
	if t.q.a.Kind == task.Vector {
		for i := range out {
			out[i] = min(out[i], t.q.a.Max)
		}
		return out
	}
	limit, sum := new(big.Int).SetUint64(t.q.a.Max), t.total()
	for i, x := range out {
		y := new(big.Int).SetUint64(x)
		out[i] = y.Mul(y, limit).Quo(y, sum).Uint64() // rounded down: the sum stays within the limit
	}
	return out
}

func (t *Tally) norm() float64 {
	sum := 0.0
	for _, x := range t.reals {
		sum += math.Abs(x)
	}
	return sum
}

func (t *Tally) gradientFits() bool {
	if t.q.a.Kind == task.L1Gradient {
		return t.norm() <= t.q.a.Bound
	}
	return !slices.ContainsFunc(t.reals, func(x float64) bool { return math.Abs(x) > t.q.a.Bound })
}

func (t *Tally) gradient() []float64 {
	out := slices.Clone(t.reals)
	if t.gradientFits() {
		return out
	}
	bound := t.q.a.Bound
	if t.q.a.Kind == task.LInfGradient {
		for i, x := range out {
			out[i] = max(-bound, min(bound, x))
		}
		return out
	}
	// In two steps, since the norm may be infinite; a little less than the bound,
	// since the sum of rounded products may exceed it.
	largest := 0.0
	for _, x := range out {
		largest = max(largest, math.Abs(x))
	}
	norm := 0.0
	for i, x := range out {
		out[i] = x / largest
		norm += math.Abs(out[i])
	}
	factor := bound / norm * (1 - 1e-9)
	for i := range out {
		out[i] *= factor
	}
	return out
}

// String describes what the tally counts for, to the person whose data it is.
func (t *Tally) String() string {
	a := &t.q.a
	if t.n == 0 {
		return "nothing so far: counts as " + t.q.nothing()
	}
	switch a.Kind {
	case task.Count, task.Sum:
		return fmt.Sprint(t.sum())
	case task.Mean:
		return fmt.Sprintf("%.6g, the mean of %d", float64(t.ints[0])/float64(t.n), t.n)
	case task.Histogram, task.Categories:
		text := t.q.Label(t.bucket())
		if t.n > 1 {
			text += fmt.Sprintf(", one of %d values", t.n)
		}
		return text
	case task.Multihot:
		var in []string
		for i, l := range a.Labels {
			if t.has(i) {
				in = append(in, l)
			}
		}
		if len(in) > shown {
			in = append(in[:shown], fmt.Sprintf("... %d in all", len(in)))
		}
		return "{" + strings.Join(in, ", ") + "}"
	case task.Vector, task.Bounded:
		return vectorText(t.vector())
	}
	return vectorText(t.gradient())
}

// nothing describes how a client without a value counts.
func (q *Question) nothing() string {
	switch q.a.Kind {
	case task.Histogram, task.Categories:
		return "\"no value\""
	case task.Mean:
		return "nobody"
	case task.Multihot:
		return "{}"
	}
	return "0"
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
