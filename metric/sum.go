package metric

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
	if t.Threshold.Kind != task.NoisyDrop {
		return s, nil // exact counts are released
	}
	rule, err := Threshold(t.Threshold)
	if err != nil {
		return Spend{}, fmt.Errorf("cost of %q: %w", t.Metric, err)
	}
	total, err := Total(t)
	if err != nil {
		return Spend{}, err
	}
	b := capsOf(t).budget(PerEpochScope)
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

// units is how many units can begin in a number of days.
func (s Spend) units(days uint64) uint64 {
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
		n := s.units(days)
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

func (s Sum) text() string {
	without := ""
	if len(s.Without) > 0 {
		without = "no bound, for nothing holds for " + strings.Join(s.Without, ", ")
		if s.Basic.Epsilon == 0 {
			return without
		}
		without += "; of the others: "
	}
	out := without + s.Basic.text() + " by basic composition"
	if s.Zero.Epsilon < s.Basic.Epsilon {
		out += "; " + s.Zero.text() + " by zero-concentrated composition"
	}
	return out
}

// The periods over which plans add up.
const (
	monthDays = 30
	yearDays  = 365
)

// sums adds up a month and a year.
func sums(spends ...Spend) []Sum {
	return []Sum{SumOf(monthDays, aggregateDelta, spends...), SumOf(yearDays, aggregateDelta, spends...)}
}

func periodText(days uint64) string {
	if days == yearDays {
		return "a year"
	}
	return fmt.Sprintf("%d days", days)
}

// Sums returns what all metrics of the file together cost a client that takes
// part in all of them, in 30 days and in a year.
func (f *File) Sums() ([]Sum, error) {
	var all []Spend
	for _, m := range f.Metrics {
		owner, stand := placeholder(m.task.Method)
		t, err := m.compile(owner, stand)
		if err != nil {
			return nil, fmt.Errorf("adding up metric %s: %w", m.Name, err)
		}
		s, err := m.spend(t)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return sums(all...), nil
}

// spend is [SpendOf] at the delta at which the plan states the metric.
func (m *Metric) spend(t *task.Task) (Spend, error) {
	if m.aggregate {
		return SpendOf(t, aggregateDelta)
	}
	delta, err := m.planDelta(t)
	if err != nil {
		return Spend{}, err
	}
	return SpendOf(t, delta)
}

// SumsText states sums for people, a line each, with what they assume.
func SumsText(all []Sum) string {
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "%s of all metrics together: %s; %s\n", periodText(s.Days), s.text(), dp.Assumption)
	}
	return b.String()
}
