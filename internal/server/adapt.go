package server

import (
	"time"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
)

// shufflerMetrics counts what a shuffler reports.
type shufflerMetrics struct {
	m     *metrics
	batch func(shuffler.State) // called for each batch
}

const shufflerLabel = string(ShufflerRole)

// Report counts one report at intake.
func (s shufflerMetrics) Report(o shuffler.Outcome) {
	if o == shuffler.Accepted {
		s.m.reports.WithLabelValues(shufflerLabel, "accepted").Inc()
		return
	}
	s.m.rejects.WithLabelValues(shufflerLabel, o.String()).Inc()
}

// Batch counts a batch and, once it is processed, its reports.
func (s shufflerMetrics) Batch(state shuffler.State, c esa.Counts) {
	s.m.batches.WithLabelValues(shufflerLabel, state.String()).Inc()
	s.batch(state)
	if state != shuffler.Processed && state != shuffler.Discarded {
		return
	}
	add := func(outcome string, n uint64) {
		s.m.reports.WithLabelValues(shufflerLabel, outcome).Add(float64(n))
	}
	add("duplicate", c.Duplicate)
	add("suppressed", c.SuppressedReports)
	add("dropped", c.Dropped)
	add("released", c.Released)
	for cause := esa.Cause(1); int(cause) <= esa.NumCauses; cause++ {
		if n := c.Invalid[cause]; n > 0 {
			s.m.rejects.WithLabelValues(shufflerLabel, cause.String()).Add(float64(n))
		}
	}
}

// Took observes the time that a batch took.
func (s shufflerMetrics) Took(d time.Duration) {
	s.m.batchSeconds.WithLabelValues(shufflerLabel, "process").Observe(d.Seconds())
}

// analyzerMetrics counts what an analyzer reports.
type analyzerMetrics struct {
	m     *metrics
	batch func(analyzer.State, *analyzer.Manifest) // called for each batch
}

const analyzerLabel = string(AnalyzerRole)

// Batch counts a batch and, once it is released, its records.
func (a analyzerMetrics) Batch(state analyzer.State, manifest *analyzer.Manifest, exact *analyzer.OperatorCounts) {
	a.m.batches.WithLabelValues(analyzerLabel, state.String()).Inc()
	a.batch(state, manifest)
	if state != analyzer.Released || manifest == nil || exact == nil {
		return
	}
	a.m.reports.WithLabelValues(analyzerLabel, "released").Add(float64(manifest.Analyzer.Records))
	for cause, n := range exact.Invalid {
		a.m.rejects.WithLabelValues(analyzerLabel, cause).Add(float64(n))
	}
}

// Took observes the time that a release took.
func (a analyzerMetrics) Took(d time.Duration) {
	a.m.batchSeconds.WithLabelValues(analyzerLabel, "release").Observe(d.Seconds())
}
