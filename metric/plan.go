package metric

import (
	"fmt"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/plan"
	"github.com/shoal-project/shoal/metric/task"
)

// Plan foretells each metric for a population, with the given parties or those
// of the file, as [File.Build] takes them; one shuffler is assumed where neither
// names any.
func (f *File) Plan(parties []task.Party, p plan.Population) (*plan.Plan, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	out := &plan.Plan{File: f.Path, Owner: f.Owner}
	for _, m := range f.Metrics {
		owner, stand := placeholder(m.task.Method)
		hops := f.hopsOf(m, parties)
		if len(hops) == 0 {
			hops = stand
		}
		t, err := m.compile(owner, hops, f.beside(parties))
		if err != nil {
			return nil, fmt.Errorf("planning metric %s: %w", m.Name, err)
		}
		if m.aggregate {
			one, err := plan.Aggregate(t, m.acceptedRisks(), p)
			if err != nil {
				return nil, fmt.Errorf("planning metric %s: %w", m.Name, err)
			}
			out.Aggregates = append(out.Aggregates, one)
			continue
		}
		one, err := plan.Crowd(t, m.notes(), p)
		if err != nil {
			return nil, fmt.Errorf("planning metric %s: %w", m.Name, err)
		}
		out.Metrics = append(out.Metrics, one)
	}
	var err error
	out.Assumes = dp.Assumption
	out.Sums, err = f.Sums()
	return out, err
}

// notes are what the file adds to the task.
func (m *Metric) notes() plan.Notes {
	return plan.Notes{Sensitive: m.sensitive, Example: m.example, Declared: m.declared, Accepted: m.acceptedRisks()}
}

func (m *Metric) acceptedRisks() []plan.Accepted {
	var out []plan.Accepted
	for _, risk := range risks() {
		if reason := m.accepted[risk]; reason != "" {
			out = append(out, plan.Accepted{Risk: string(risk), Reason: reason})
		}
	}
	if m.hardening.off {
		out = append(out, plan.Accepted{Risk: "the quorum is not hardened", Reason: m.hardening.because})
	}
	return out
}

// Sums returns what all metrics of the file together cost a client that takes
// part in all of them, in 30 days and in a year.
func (f *File) Sums() ([]cost.Sum, error) {
	var all []cost.Spend
	for _, m := range f.Metrics {
		owner, stand := placeholder(m.task.Method)
		t, err := m.compile(owner, stand, beside{randomness: f.Randomness})
		if err != nil {
			return nil, fmt.Errorf("adding up metric %s: %w", m.Name, err)
		}
		s, err := plan.Spend(t, m.declared)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return cost.Sums(all...), nil
}
