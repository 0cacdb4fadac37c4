package demo

import (
	"fmt"
	"slices"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/plan"
	"github.com/shoal-project/shoal/metric/task"
)

// explain prints what was promised, and what each party of this very run could
// see.
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
	s.whoSaw(r)
	return nil
}

// whoSaw adds to what each party can see the figures of this run.
func (s *Stage) whoSaw(r *Result) {
	sight := func(t *task.Task, who, figures string) {
		i := slices.IndexFunc(plan.Views(t), func(v plan.View) bool { return v.Who == who })
		v := plan.Views(t)[i]
		if figures != "" {
			figures = " (here " + figures + ")"
		}
		r.Sees = append(r.Sees, Sight{v.Who, v.Sees + figures, v.Never()})
	}
	size := esa.ReportSize(s.task, esa.X25519)
	sight(s.task, "device", "")
	sight(s.task, "relay", fmt.Sprintf("%d devices", r.People))
	sight(s.task, "shuffler", fmt.Sprintf("%d requests, reports of %d bytes", r.Sent, size))
	sight(s.task, "analyzer", fmt.Sprintf("%d records in %d crowds; %d crowds were suppressed", r.Analyzer.Records, len(r.Released), r.Suppressed.Crowds))
	if len(r.Sums) == 0 {
		return
	}
	t := s.aggregates[0]
	sight(t, "leader", fmt.Sprintf("%d reports a question", r.Sums[0].Reports))
	sight(t, "helper", "")
	sight(t, "collector", fmt.Sprintf("sums over %d people", r.Sums[0].Reports))
}
