package server

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

// check reports the first floor that a task is below.
func (f FloorsConfig) check(t *task.Task, costs *cost.Cache) error {
	if t.Method == task.Aggregate {
		return f.checkAggregate(t)
	}
	h := t.Threshold
	switch {
	case h.T < f.MinThreshold:
		return fmt.Errorf("threshold %d is below floors.min_threshold (%d)", h.T, f.MinThreshold)
	case t.MinBatch < f.MinBatch:
		return fmt.Errorf("minimum batch %d is below floors.min_batch (%d)", t.MinBatch, f.MinBatch)
	case t.PerEpoch > f.MaxPerEpoch:
		return fmt.Errorf("%d reports a client and salt window are above floors.max_per_epoch (%d)", t.PerEpoch, f.MaxPerEpoch)
	case t.PerCrowd > f.MaxPerCrowd:
		return fmt.Errorf("%d reports a client, crowd and salt window are above floors.max_per_crowd (%d)", t.PerCrowd, f.MaxPerCrowd)
	}
	threshold, err := costs.Threshold(h)
	if err != nil {
		return err
	}
	if threshold.Protects() == dp.ProtectsNothing {
		if f.AllowNaive {
			return nil
		}
		return errors.New("its threshold has no noise and so gives no differential privacy; set floors.allow_naive to accept that")
	}
	privacy, err := costs.Cost(t, cost.PerCrowd, f.MaxDelta)
	if err != nil {
		return err
	}
	if errors.Is(privacy.Err, dp.ErrUnattainable) {
		return fmt.Errorf("threshold %s reaches no delta below %s, floors.max_delta is %g", threshold, dp.Figure(privacy.Curve.Floor()), f.MaxDelta)
	}
	if privacy.Err != nil {
		return privacy.Err
	}
	if privacy.Epsilon > f.MaxEpsilon {
		return fmt.Errorf("threshold %s has epsilon %s at delta %g, floors.max_epsilon is %g", threshold, dp.Figure(privacy.Epsilon), f.MaxDelta, f.MaxEpsilon)
	}
	return nil
}

// checkAggregate reports the first floor that an aggregate task is below.
func (f FloorsConfig) checkAggregate(t *task.Task) error {
	if t.MinBatch < f.MinBatch {
		return fmt.Errorf("minimum batch %d is below floors.min_batch (%d)", t.MinBatch, f.MinBatch)
	}
	if !f.RequireNoise {
		return nil
	}
	noise := t.Aggregation.Noise
	if noise.Mechanism == dp.NoNoise {
		return errors.New("its sums have no noise, which floors.require_noise asks for")
	}
	q, err := t.Aggregation.Measure()
	if err != nil {
		return err
	}
	l1, l2, _ := vdaf.Sensitivity(q.Instance())
	if g := noise.Guarantee(l1, l2, f.MaxDelta); g.Epsilon > f.MaxEpsilon {
		return fmt.Errorf("its noise has epsilon %s at delta %g, floors.max_epsilon is %g", dp.Figure(g.Epsilon), f.MaxDelta, f.MaxEpsilon)
	}
	return nil
}

// checkSums reports the first period in which the metrics of one owner together
// may cost a client more than the floors allow. Of the versions of a metric a
// client takes part in one, so that the costliest counts. A metric without noise
// has no bound; see [FloorsConfig.AllowNaive] and [FloorsConfig.RequireNoise] for
// refusing those.
func (f FloorsConfig) checkSums(tasks []Task, now time.Time, costs *cost.Cache) error {
	limits := []struct {
		days uint64
		most float64
		key  string
	}{{30, f.MaxMonthEpsilon, "max_epsilon_month"}, {365, f.MaxYearEpsilon, "max_epsilon_year"}}
	if f.MaxMonthEpsilon == 0 && f.MaxYearEpsilon == 0 {
		return nil
	}
	owners := map[string]map[string]cost.Spend{}
	for _, t := range tasks {
		if now.Unix() >= t.Task.Expires {
			continue
		}
		spend, err := costs.SpendOf(t.Task, f.MaxDelta)
		if err != nil {
			return err
		}
		owner := task.FormatPublic(t.Task.Owner)
		if owners[owner] == nil {
			owners[owner] = map[string]cost.Spend{}
		}
		have, known := owners[owner][spend.Metric]
		if !known || cost.SumOf(30, f.MaxDelta, have).Best().Epsilon < cost.SumOf(30, f.MaxDelta, spend).Best().Epsilon {
			owners[owner][spend.Metric] = spend
		}
	}
	for owner, spends := range owners {
		all := slices.Collect(maps.Values(spends))
		for _, l := range limits {
			if l.most == 0 {
				continue
			}
			sum := cost.SumOf(l.days, f.MaxDelta, all...)
			if len(sum.Without) > 0 {
				slices.Sort(sum.Without)
				return fmt.Errorf("no epsilon bounds what metric %s of %s tells in %d days, floors.%s is %g", sum.Without[0], owner, l.days, l.key, l.most)
			}
			if best := sum.Best(); float64(best.Epsilon) > l.most {
				return fmt.Errorf("%d metrics of %s together have epsilon %s at delta %s in %d days, floors.%s is %g",
					len(all), owner, dp.Figure(float64(best.Epsilon)), dp.Figure(float64(best.Delta)), l.days, l.key, l.most)
			}
		}
	}
	return nil
}
