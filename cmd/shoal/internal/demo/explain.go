package demo

import (
	"fmt"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/cost"
)

// explain prints what was promised.
func (s *Stage) explain(r *Result) error {
	t, err := s.task.Threshold.Rule()
	if err != nil {
		return err
	}
	r.Privacy = append(r.Privacy, "threshold: "+fmt.Sprint(t)+"; "+dp.Assumptions(t))
	total, err := cost.Total(s.task)
	if err != nil {
		return err
	}
	r.Privacy = append(r.Privacy, fmt.Sprintf("a batch is released if %v; of its totals only that number is published", total))
	const delta = 1e-6
	for _, c := range []struct {
		scope cost.Scope
		what  string
	}{{cost.PerCrowd, "one report of a person"}, {cost.PerEpoch, fmt.Sprintf("all %d reports that a person may send in an epoch", s.task.PerEpoch)}} {
		curve, err := cost.CurveOf(s.task, c.scope)
		if err != nil {
			return err
		}
		eps, err := curve.Epsilon(delta)
		if err != nil {
			continue // no epsilon reaches delta: there is nothing to promise
		}
		r.Privacy = append(r.Privacy, fmt.Sprintf("%s: epsilon %s at delta %s, computed exactly, for all that is published: which crowds appear, how large they are, and the total; %s", c.what, dp.Figure(eps), dp.Figure(delta), dp.Assumption))
		if s.task.PerEpoch == 1 {
			break
		}
	}
	for _, f := range s.task.Schema {
		if f.Flip > 0 {
			p := float64(f.Flip) / 1e6
			r.Privacy = append(r.Privacy, fmt.Sprintf("%s: each bit is flipped with probability %g on the device: deniability (epsilon %s a bit), not protection", f.Name, p, dp.Figure(dp.LocalEpsilonFlip(p))))
		}
	}
	return nil
}
