package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"

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
	switch a.Kind {
	case task.Count:
		if s.word == "chance" || a.Max == 1 {
			p, err := drawYes(s)
			return func(r *rand.Rand) any {
				if r.Float64() < p {
					return int64(1)
				}
				return int64(0)
			}, err
		}
		return whole(0)
	case task.Sum, task.Mean:
		return whole(0)
	case task.Histogram:
		return whole(-most)
	case task.Categories:
		pick, err := drawChoice(a.Labels, s)
		return func(r *rand.Rand) any { return a.Labels[pick(r)] }, err
	case task.Multihot:
		members, err := drawMembers(a.Labels, s)
		return func(r *rand.Rand) any { return members(r) }, err
	case task.Vector, task.Bounded:
		numbers, err := drawVector(a, 0, s)
		return func(r *rand.Rand) any {
			out := make([]uint64, a.Length)
			for i, x := range numbers(r) {
				out[i] = uint64(math.Round(max(x, 0)))
			}
			return out
		}, err
	case task.LInfGradient, task.L1Gradient:
		numbers, err := drawVector(a, -most, s)
		return func(r *rand.Rand) any { return numbers(r) }, err
	}
	return nil, fmt.Errorf("a %v cannot be simulated", a.Kind)
}

// drawVector draws the elements one by one: all from one distribution, or each
// around its own mean with a deviation of a third of it.
func drawVector(a *task.Aggregation, low float64, s spec) (func(*rand.Rand) []float64, error) {
	if s.word != "elements" {
		n, err := drawNumber(low, 1<<50, s)
		return func(r *rand.Rand) []float64 {
			out := make([]float64, a.Length)
			for i := range out {
				out[i] = n(r)
			}
			return out
		}, err
	}
	if err := s.args(1, int(a.Length), low); err != nil {
		return nil, err
	}
	return func(r *rand.Rand) []float64 {
		out := make([]float64, a.Length)
		for i, mean := range s.numbers {
			out[i] = max(low, mean+math.Abs(mean)/3*r.NormFloat64())
		}
		return out
	}, nil
}
