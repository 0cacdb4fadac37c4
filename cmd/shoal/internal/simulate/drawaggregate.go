package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/shoal-project/shoal/metric/plan"
	"github.com/shoal-project/shoal/metric/task"
)

// drawAggregate returns the draw of a person's answer to an aggregate question:
// an int64, a string, a []string, a []uint64 or a []float64. Numbers may go
// beyond the question's bounds, as those of people do; the device cuts them.
func drawAggregate(a *task.Aggregation, s spec) (draw, error) {
	const most = 1 << 50
	whole := func(low float64) (draw, error) {
		n, err := drawNumber(low, most, s)
		return func(r *rand.Rand) any { return int64(math.Round(n(r))) }, err
	}
	words, err := plan.Of(a.Kind)
	if err != nil {
		return nil, err
	}
	labels := make([]string, a.Kind.Rows())
	for i := range labels {
		labels[i] = a.Kind.Label(i)
	}
	switch words.Input() {
	case plan.Event:
		return drawEvent(s)
	case plan.Amount:
		if s.word == "chance" {
			return drawEvent(s)
		}
		return whole(0)
	case plan.Natural:
		return whole(0)
	case plan.Number:
		return whole(-most)
	case plan.Label:
		pick, err := drawChoice(labels, s)
		return func(r *rand.Rand) any { return labels[pick(r)] }, err
	case plan.Labels:
		members, err := drawMembers(labels, s)
		return func(r *rand.Rand) any { return members(r) }, err
	case plan.Wholes:
		numbers, err := drawVector(len(labels), 0, s)
		return func(r *rand.Rand) any {
			out := make([]uint64, len(labels))
			for i, x := range numbers(r) {
				out[i] = uint64(math.Round(max(x, 0)))
			}
			return out
		}, err
	case plan.Reals:
		numbers, err := drawVector(len(labels), -most, s)
		return func(r *rand.Rand) any { return numbers(r) }, err
	}
	return nil, fmt.Errorf("a %v cannot be simulated", a.Kind)
}

// drawEvent draws 1 or 0.
func drawEvent(s spec) (draw, error) {
	p, err := drawYes(s)
	return func(r *rand.Rand) any {
		if r.Float64() < p {
			return int64(1)
		}
		return int64(0)
	}, err
}

// drawVector draws the elements one by one: all from one distribution, or each
// around its own mean with a deviation of a third of it.
func drawVector(length int, low float64, s spec) (func(*rand.Rand) []float64, error) {
	if s.word != "elements" {
		n, err := drawNumber(low, 1<<50, s)
		return func(r *rand.Rand) []float64 {
			out := make([]float64, length)
			for i := range out {
				out[i] = n(r)
			}
			return out
		}, err
	}
	if err := s.args(1, length, low); err != nil {
		return nil, err
	}
	return func(r *rand.Rand) []float64 {
		out := make([]float64, length)
		for i, mean := range s.numbers {
			out[i] = max(low, mean+math.Abs(mean)/3*r.NormFloat64())
		}
		return out
	}, nil
}
