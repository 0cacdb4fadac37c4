package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
)

func (s *Server) openAnalyzer(ctx context.Context) (role, error) {
	h, err := s.newCrowdHost(task.Analyzer)
	if err != nil {
		return nil, err
	}
	h.routes = []publicRoute{batchRoute, statementRoute, {name: "keys", pattern: "GET /keys/analyzer", admit: forKeys, limit: shortExchange}}
	h.routes = append(h.routes, credentialRoutes(task.Analyzer)...)
	store, err := sqlite.OpenAnalyzer(ctx, s.config.analyzerStore())
	if err != nil {
		return nil, err
	}
	h.build = func(ctx context.Context, tasks []*task.Task, keys shuffler.Keys) (member, error) {
		return s.newAnalyzer(ctx, h, store, tasks, keys)
	}
	h.waiting = func(ctx context.Context) ([]pending, error) { return analyzerWaiting(ctx, store) }
	h.look = analyzerHealth
	if err := h.open(ctx, store); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (s *Server) newAnalyzer(ctx context.Context, h *crowdHost, store analyzer.Store, tasks []*task.Task, keys shuffler.Keys) (member, error) {
	issuer, err := s.newIssuer(task.Analyzer, h.dir, tasks)
	if err != nil {
		return nil, err
	}
	return analyzer.New(ctx, analyzer.Config{
		Issuer: issuer,
		Store:  store, FS: s.o.FS, Dir: s.config.analyzerDir(), Engine: h.engine,
		Clock: s.o.Clock, Identity: s.identity.Public(), Keys: keys, Tasks: tasks,
		MaxBatch: int64(s.config.Batches.MaxBytes),
		Workers:  s.config.Batches.Workers, Metrics: analyzerMetrics{s.metrics, s.analyzerBatch}, Lost: s.lost(task.Analyzer),
		Memory: int64(s.config.Batches.Memory), Retry: s.o.RetryBatches,
	})
}

// analyzerWaiting lists the batches that are not released.
func analyzerWaiting(ctx context.Context, store analyzer.Store) ([]pending, error) {
	all, err := store.In(ctx, analyzer.Received)
	if err != nil {
		return nil, err
	}
	found := make([]pending, 0, len(all))
	for _, b := range all {
		found = append(found, pending{b.Task, b.Epoch, b.State.String(), true})
	}
	return found, nil
}

func analyzerHealth(m member, h *Health) {
	st := m.(*analyzer.Analyzer).Status()
	if st.Aside > 0 {
		h.Reasons = append(h.Reasons, fmt.Sprintf(whySetAside, st.Aside))
	}
	if lost := st.LostCredentials; len(lost) > 0 {
		h.Reasons = append(h.Reasons, fmt.Sprintf(whyCredentials, len(lost), lost[0]))
	}
	h.figure("batches_set_aside", float64(st.Aside))
	h.cut(st.CutCredentials)
	h.figure("credential_periods_lost", float64(len(st.LostCredentials)))
}

// analyzerMetrics counts what an analyzer reports.
type analyzerMetrics struct {
	m     *metrics
	batch func(analyzer.State, *analyzer.Manifest) // called for each batch
}

const analyzerLabel = "analyzer"

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

func (s *Server) analyzerBatch(state analyzer.State, m *analyzer.Manifest) {
	if state == analyzer.Released && m != nil {
		s.o.Logger.Info("a batch was released", "role", task.Analyzer, "metric", m.Metric, "epoch", m.Epoch)
	}
}
