package server

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/metric/task"
)

// obliviousCounts is a collector of what relay and gateway count by themselves, so that
// nothing beside them has to see a request.
type obliviousCounts struct {
	desc *prometheus.Desc

	mu      sync.Mutex
	sources []obliviousSource
}

type obliviousSource struct {
	role   task.Role
	counts func() map[string]uint64
}

// add adds a source of counts by outcome.
func (c *obliviousCounts) add(r task.Role, counts func() map[string]uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sources = append(c.sources, obliviousSource{r, counts})
}

// Describe implements [prometheus.Collector].
func (c *obliviousCounts) Describe(all chan<- *prometheus.Desc) { all <- c.desc }

// Collect implements [prometheus.Collector].
func (c *obliviousCounts) Collect(all chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sources {
		for outcome, n := range s.counts() {
			all <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(n), s.role.String(), outcomeLabel(outcome))
		}
	}
}

// outcomeLabel is the label of an outcome: the last part of a problem's type.
func outcomeLabel(outcome string) string {
	where, kind := "", outcome
	if rest, ok := strings.CutPrefix(outcome, "inner "); ok {
		where, kind = "inner_", rest
	}
	if name, ok := (problem.Problem{Type: kind}).Name(); ok {
		kind = name
	} else if i := strings.LastIndexAny(kind, "#/"); i >= 0 {
		kind = kind[i+1:]
	}
	return where + kind
}
