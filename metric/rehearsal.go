package metric

import (
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// Rehearsal returns a copy of the file whose metrics are rehearsals. If epoch is
// not zero, it replaces the length of all epochs (whole seconds, at least a
// minute), and shortens send delays, clock skew and salt windows to match, so
// that a rehearsal on running servers is over soon. Build reports names that have
// become too long.
func (f *File) Rehearsal(epoch time.Duration) *File {
	out := *f
	out.rehearsal, out.Metrics = true, nil
	for _, m := range f.Metrics {
		c := *m
		c.Name = task.RehearsalPrefix + m.Name
		c.task.Metric = c.Name
		if epoch > 0 {
			c.task.EpochSeconds = uint32(epoch / time.Second)
			c.task.MaxDelay = max(60, min(c.task.MaxDelay, c.task.EpochSeconds))
			c.task.ClockSkew = min(c.task.ClockSkew, 60)
			c.task.Crowd.SaltEpochs = min(c.task.Crowd.SaltEpochs, 1)
			c.task.NotBefore = 0
		}
		out.Metrics = append(out.Metrics, &c)
	}
	return &out
}

// checkRehearsal keeps the names of rehearsals for rehearsals.
func (m *Metric) checkRehearsal(r *reader, rehearsal bool) {
	switch {
	case task.IsRehearsal(m.Name) && !rehearsal:
		r.failAt(m.at.at, "name: %q begins the names of rehearsals, which only simulated clients answer; choose another name", task.RehearsalPrefix)
	case rehearsal && !task.ValidMetric(m.Name):
		r.failAt(m.at.at, "name: a rehearsal of it is called %q, longer than 64 characters; shorten the name", m.Name)
	}
}

// An Ordinary is what the file declares of an ordinary client: what a simulation
// can begin with.
type Ordinary struct {
	// Fields are the fields of the example of a crowd metric, by name; a field
	// without an example is missing. Values are what an app records.
	Fields map[string]any
	// Largest is the largest number of the example of an aggregate metric, or
	// what its elements add up to where the metric bounds that; 0 without one.
	Largest float64
}

// Ordinary returns what the file's example declares of an ordinary client.
func (m *Metric) Ordinary() Ordinary {
	o := Ordinary{Fields: map[string]any{}, Largest: m.ordinary}
	for i, v := range m.example {
		if v != nil {
			o.Fields[m.task.Schema[i].Name] = v
		}
	}
	return o
}

// Task returns the metric compiled, without owner and parties.
func (m *Metric) Task() task.Task { return m.task }
