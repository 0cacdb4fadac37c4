package server

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
)

func (s *Server) openShuffler(ctx context.Context) (role, error) {
	h, err := s.newCrowdHost(task.Shuffler)
	if err != nil {
		return nil, err
	}
	h.routes = []publicRoute{
		{name: routeReport, pattern: reportPattern, admit: (*Server).readFirst, limit: shortExchange, stores: true, pages: true, clients: true, relayed: true},
		{name: "task_keys", pattern: "GET /tasks/{task}/keys", admit: forKeys, limit: shortExchange, pages: true, relayed: true},
		batchRoute, statementRoute,
		{name: "keys", pattern: "GET /keys/shuffler", admit: forKeys, limit: shortExchange},
	}
	h.routes = append(h.routes, credentialRoutes(task.Shuffler)...)
	store, err := sqlite.OpenShuffler(ctx, filepath.Join(s.config.Data, "shuffler.db"))
	if err != nil {
		return nil, err
	}
	h.build = func(ctx context.Context, tasks []*task.Task, keys shuffler.Keys) (member, error) {
		return s.newShuffler(ctx, h, store, tasks, keys)
	}
	h.waiting = func(ctx context.Context) ([]pending, error) { return shufflerWaiting(ctx, h.shuffler(), store) }
	h.look = shufflerHealth
	if err := h.open(ctx, store); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (s *Server) newShuffler(ctx context.Context, h *crowdHost, store shuffler.Store, tasks []*task.Task, keys shuffler.Keys) (member, error) {
	issuer, err := s.newIssuer(task.Shuffler, h.dir, tasks)
	if err != nil {
		return nil, err
	}
	return shuffler.New(ctx, shuffler.Config{
		Issuer: issuer,
		Store:  store, FS: s.o.FS, Dir: filepath.Join(h.dir, "batches"), Engine: h.engine,
		Clock: s.o.Clock, Rand: s.o.Rand, Identity: s.identity, Keys: keys, Tasks: tasks, Client: s.o.Client,
		MaxReports: s.config.Intake.MaxBatchReports, MaxHandOver: int64(s.config.Batches.MaxBytes),
		Workers: s.config.Batches.Workers, Metrics: shufflerMetrics{s.metrics, s.shufflerBatch}, Lost: s.lost(task.Shuffler), Withdrawn: s.takesNoReports,
		Since: s.restored, Stage: s.config.Shuffler.Stage, Memory: int64(s.config.Batches.Memory),
	})
}

// shufflerWaiting lists the batches that are not finished. A shuffler has them in memory.
func shufflerWaiting(ctx context.Context, m *shuffler.Shuffler, store shuffler.Store) ([]pending, error) {
	var all []shuffler.Batch
	if m != nil {
		all = m.Live()
	} else {
		var err error
		if all, err = store.Live(ctx); err != nil {
			return nil, err
		}
	}
	found := make([]pending, 0, len(all))
	for _, b := range all {
		needs := b.State == shuffler.Open || b.State == shuffler.Closed || b.State == shuffler.Carried
		found = append(found, pending{b.Task, b.Epoch, b.State.String(), needs})
	}
	return found, nil
}

func shufflerHealth(m member, h *Health) {
	s := m.(*shuffler.Shuffler)
	if s.ClockUnsure() {
		h.Reasons = append(h.Reasons, whyClock)
	}
	lost := s.LostCredentials()
	if len(lost) > 0 {
		h.Reasons = append(h.Reasons, fmt.Sprintf(whyCredentials, len(lost), lost[0]))
	}
	h.cut(s.CutCredentials())
	h.figure("credential_periods_lost", float64(len(lost)))
	h.Need = s.Need()
	h.figure("stage_oblivious", obliviousFigure(s.Stage()))
	h.figure("reports_damaged", float64(s.Damaged()))
	h.figure("tasks_unstated", float64(s.Unstated()))
}

// obliviousFigure is 1 for the oblivious stage.
func obliviousFigure(s shuffler.Stage) float64 {
	if s == shuffler.Oblivious {
		return 1
	}
	return 0
}

// shuffler returns the member if it is a shuffler, or nil.
func (h *crowdHost) shuffler() *shuffler.Shuffler {
	h.mu.RLock()
	defer h.mu.RUnlock()
	m, _ := h.member.(*shuffler.Shuffler)
	return m
}

// shufflerMetrics counts what a shuffler reports.
type shufflerMetrics struct {
	m     *metrics
	batch func(shuffler.State) // called for each batch
}

const shufflerLabel = "shuffler"

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
	add("withheld", c.Withheld)
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

// shufflerBatch logs what becomes of a batch; how many reports it has is not logged.
func (s *Server) shufflerBatch(state shuffler.State) {
	switch state {
	case shuffler.Delivered:
		s.o.Logger.Info("a batch was handed over", "role", task.Shuffler)
	case shuffler.Discarded:
		s.o.Logger.Info("a batch was too small and is destroyed", "role", task.Shuffler)
	}
}
