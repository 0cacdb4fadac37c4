package cost

import (
	"fmt"
	"math"
	"strings"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

// A Spend is what one metric costs each client that takes part, in one unit of
// its guarantee: an epoch, or a salt window.
type Spend struct {
	Metric  string
	Point   dp.Guarantee
	Whole   dp.Concentrated
	Seconds uint64 // of a unit
}

// SpendOf returns what a task costs a client in one unit, with delta for one
// unit where the mechanism needs one. Its epsilon is infinite where the task has
// no noise, or where none holds at delta. It assumes that no client exceeds its
// caps.
func SpendOf(t *task.Task, delta float64) (Spend, error) {
	s := Spend{
		Metric: t.Metric, Seconds: unitSeconds(t),
		Point: dp.Guarantee{Epsilon: math.Inf(1), Delta: delta}, Whole: dp.Concentrated{Rho: math.Inf(1)},
	}
	if t.Method == task.Aggregate {
		q, err := t.Aggregation.Measure()
		if err != nil {
			return Spend{}, fmt.Errorf("cost of %q: %w", t.Metric, err)
		}
		l1, l2, ok := vdaf.Sensitivity(q.Instance())
		if ok {
			s.Point, s.Whole = t.Aggregation.Noise.Guarantee(l1, l2, delta), t.Aggregation.Noise.Concentrated(l1, l2)
		}
		return s, nil
	}
	if t.Threshold.Kind != task.NoisyDrop || t.HasSecond() {
		return s, nil // exact counts are released, or nothing is proven, see CurveOf
	}
	rule, err := t.Threshold.Rule()
	if err != nil {
		return Spend{}, fmt.Errorf("cost of %q: %w", t.Metric, err)
	}
	total, err := Total(t)
	if err != nil {
		return Spend{}, err
	}
	b := capsOf(t).budget(PerEpoch)
	curve, err := dp.Released(rule, total, b.share())
	if err != nil {
		return Spend{}, fmt.Errorf("cost of %q: %w", t.Metric, err)
	}
	if eps, err := curve.Epsilon(delta); err == nil {
		s.Point = dp.Guarantee{Epsilon: eps, Delta: delta}
	}
	s.Whole = dp.ReleasedRho(rule, total, b.share())
	return s, nil
}

// unitSeconds is how long the unit of a task's guarantee is.
func unitSeconds(t *task.Task) uint64 {
	return uint64(t.EpochSeconds) * uint64(max(1, t.Crowd.SaltEpochs))
}

// Units returns how many units can begin in a number of days.
func (s Spend) Units(days uint64) uint64 {
	return (days*86400 + s.Seconds - 1) / max(1, s.Seconds)
}

// A Sum is what all releases of some metrics cost one client in a number of
// days, except those that have no bound.
type Sum struct {
	Days  uint64    `json:"days"`
	Basic Guarantee `json:"basic"` // by basic composition
	Zero  Guarantee `json:"zcdp"`  // by zero-concentrated composition
	// Without are the metrics whose releases have no bound, for want of noise.
	Without []string `json:"without_bound,omitempty"`
}

// SumOf adds up spends over a number of days. The delta of a sum is that of its
// parts, but at least delta where zero-concentrated composition needs one.
func SumOf(days uint64, delta float64, spends ...Spend) Sum {
	var basic dp.Guarantee
	var zero dp.Concentrated
	out := Sum{Days: days}
	for _, s := range spends {
		if math.IsInf(s.Point.Epsilon, 1) {
			out.Without = append(out.Without, s.Metric)
			continue
		}
		n := s.Units(days)
		basic = dp.Compose(basic, s.Point.Times(n))
		zero = zero.Plus(s.Whole.Times(n))
	}
	at := max(basic.Delta, delta)
	out.Basic = Guarantee{Figure(basic.Epsilon), Figure(basic.Delta)}
	out.Zero = Guarantee{Figure(zero.Epsilon(at)), Figure(at)}
	return out
}

// Best returns the smaller of the two epsilons. It is infinite if a metric has
// no bound.
func (s Sum) Best() Guarantee {
	if len(s.Without) > 0 {
		return Guarantee{Figure(math.Inf(1)), 1}
	}
	if s.Zero.Epsilon < s.Basic.Epsilon {
		return s.Zero
	}
	return s.Basic
}

// String states the sum.
func (s Sum) String() string {
	without := ""
	if len(s.Without) > 0 {
		without = "no bound, for nothing holds for " + strings.Join(s.Without, ", ")
		if s.Basic.Epsilon == 0 {
			return without
		}
		without += "; of the others: "
	}
	out := without + s.Basic.String() + " by basic composition"
	if s.Zero.Epsilon < s.Basic.Epsilon {
		out += "; " + s.Zero.String() + " by zero-concentrated composition"
	}
	return out
}

// MonthDays is the shorter of the periods of [Sums].
const MonthDays = 30

const yearDays = 365

// Delta is the delta at which Gaussian noise and sums are stated.
const Delta = 1e-6

// Sums adds up a month and a year.
func Sums(spends ...Spend) []Sum {
	return []Sum{SumOf(MonthDays, Delta, spends...), SumOf(yearDays, Delta, spends...)}
}

// Period names the period of a sum.
func (s Sum) Period() string {
	if s.Days == yearDays {
		return "a year"
	}
	return fmt.Sprintf("%d days", s.Days)
}

// SumsText states sums for people, a line each, with what they assume.
func SumsText(all []Sum) string {
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "%s of all metrics together: %s; %s\n", s.Period(), s.String(), dp.Assumption)
	}
	return b.String()
}
