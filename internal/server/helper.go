package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/store/postgres"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
)

// A helperStore is what a helper needs of a database.
type helperStore interface {
	helper.Store
	tasks.Store
	io.Closer
	identified
}

func (s *Server) openHelper(ctx context.Context) (role, error) {
	a := s.newAggregator(task.Helper)
	if err := a.startHelper(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *aggregator) startHelper(ctx context.Context) error {
	s := a.server
	store, err := openHelperStore(ctx, s.config)
	if err != nil {
		return err
	}
	a.store = store
	if err := s.confirm(ctx, a.role, store); err != nil {
		return err
	}
	ledgers, err := a.open(ctx, dap.Helper, store, store)
	if err != nil {
		return err
	}
	config := helper.Config{
		Store: store, Registry: a.registry, Ledgers: ledgers, Clock: s.o.Clock, Rand: s.o.Rand, Workers: s.config.Batches.Workers,
		Async: s.config.Aggregates.Async, Metrics: helperMetrics{s.metrics}, Report: func(err error) { s.failed("helper", err) },
	}
	s.config.Helper.limit(&config)
	h, err := helper.New(config)
	if err != nil {
		return err
	}
	a.handler = h.Handler()
	a.run = func(ctx context.Context, _ func(error)) error { return h.Run(ctx) }
	a.tick = func(ctx context.Context) error { return errors.Join(h.Finish(ctx), h.Tick(ctx)) }
	a.look = func(context.Context) Health { return helperHealth(s.o.Clock.Now(), h.Status()) }
	return nil
}

// helperHealth is the health of a helper by its status.
func helperHealth(now time.Time, st helper.Status) Health {
	h := Health{Figures: []Figure{
		{"helper_requests", "running", float64(st.Running)}, {"helper_requests", "queued", float64(st.Queued)}, {"helper_requests", "pending", float64(st.Pending)},
	}}
	if !st.Swept.IsZero() {
		h.figure("helper_sweep_seconds", now.Sub(st.Swept).Seconds())
	}
	if st.Err != nil {
		h.Reasons = []string{fmt.Sprintf(whyStore, task.Helper)}
	}
	return h
}

func openHelperStore(ctx context.Context, c Config) (helperStore, error) {
	if c.Aggregates.Postgres != "" {
		return postgres.OpenHelper(ctx, c.Aggregates.Postgres)
	}
	return sqlite.OpenHelper(ctx, c.aggregatorStore(task.Helper))
}

const helperLabel = "helper"

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
