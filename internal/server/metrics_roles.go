package server

import (
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/leader"
)

const (
	leaderLabel    = string(LeaderRole)
	helperLabel    = string(HelperRole)
	collectorLabel = string(CollectorRole)
)

// leaderMetrics counts what a leader reports.
type leaderMetrics struct{ m *metrics }

// Upload counts one report at intake.
func (l leaderMetrics) Upload(e dap.ReportError) {
	if e == 0 {
		l.m.reports.WithLabelValues(leaderLabel, "accepted").Inc()
		return
	}
	l.m.rejects.WithLabelValues(leaderLabel, e.String()).Inc()
}

// Rejected counts one report that was accepted and could not be aggregated.
func (l leaderMetrics) Rejected(e dap.ReportError) {
	l.m.rejects.WithLabelValues(leaderLabel, e.String()).Inc()
}

// Aggregated counts the reports of a job.
func (l leaderMetrics) Aggregated(reports int) {
	l.m.reports.WithLabelValues(leaderLabel, "aggregated").Add(float64(reports))
}

// Lost counts reports that were accepted and are given up.
func (l leaderMetrics) Lost(cause leader.LossCause, reports int) {
	l.m.lost.WithLabelValues(leaderLabel, cause.String()).Add(float64(reports))
}

// Job counts an attempt at a job.
func (l leaderMetrics) Job(o leader.JobOutcome) {
	l.m.jobs.WithLabelValues(leaderLabel, o.String()).Inc()
}

// Collection counts a collection job that has come to a state.
func (l leaderMetrics) Collection(s leader.CollectionState) {
	l.m.batches.WithLabelValues(leaderLabel, s.String()).Inc()
}

// helperMetrics counts what a helper reports. Tasks are not labels: how many
// reports each has must not be visible on a page of operations.
type helperMetrics struct{ m *metrics }

// Reports counts the reports of a job.
func (h helperMetrics) Reports(_ dap.TaskID, causes map[dap.ReportError]int) {
	for cause, n := range causes {
		if cause == 0 {
			h.m.reports.WithLabelValues(helperLabel, "aggregated").Add(float64(n))
			continue
		}
		h.m.rejects.WithLabelValues(helperLabel, cause.String()).Add(float64(n))
	}
	h.m.jobs.WithLabelValues(helperLabel, "handled").Inc()
}

// Repeated counts a request that was answered before.
func (h helperMetrics) Repeated(dap.TaskID) {
	h.m.jobs.WithLabelValues(helperLabel, "repeated").Inc()
}

// Share counts a batch.
func (h helperMetrics) Share(dap.TaskID) {
	h.m.batches.WithLabelValues(helperLabel, "collected").Inc()
}

// Refused counts a request that is refused as a whole.
func (h helperMetrics) Refused(_ *dap.TaskID, why helper.Refusal) {
	h.m.jobs.WithLabelValues(helperLabel, why.String()).Inc()
}

// Took observes the time that a job took.
func (h helperMetrics) Took(d time.Duration, _ int) {
	h.m.batchSeconds.WithLabelValues(helperLabel, "job").Observe(d.Seconds())
}

// collectorMetrics counts what a collector reports.
type collectorMetrics struct {
	m   *metrics
	ask func(collector.State) // called for each ask
}

// Ask counts an ask that has come to a state.
func (c collectorMetrics) Ask(s collector.State) {
	c.m.batches.WithLabelValues(collectorLabel, s.String()).Inc()
	c.ask(s)
}

// Request counts a request to a leader.
func (c collectorMetrics) Request(outcome string) {
	c.m.jobs.WithLabelValues(collectorLabel, outcome).Inc()
}
