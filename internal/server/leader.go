package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/internal/store/postgres"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
)

// A leaderStore is what a leader needs of a database.
type leaderStore interface {
	leader.Store
	tasks.Store
	io.Closer
	identified
}

func (s *Server) openLeader(ctx context.Context) (role, error) {
	a := s.newAggregator(task.Leader)
	if err := a.startLeader(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *aggregator) startLeader(ctx context.Context) error {
	s := a.server
	store, err := openLeaderStore(ctx, s.config)
	if err != nil {
		return err
	}
	a.store = store
	if err := s.confirm(ctx, a.role, store); err != nil {
		return err
	}
	if err := s.dropNode(ctx, store); err != nil {
		return err
	}
	ledgers, err := a.open(ctx, dap.Leader, store, store)
	if err != nil {
		return err
	}
	l, err := leader.New(ctx, leader.Config{
		Store: store, Node: s.config.Aggregates.Node, Ledgers: ledgers, Registry: a.registry, FS: s.o.FS, Dir: filepath.Join(s.config.Data, task.Leader.String()),
		Clock: s.o.Clock, Rand: s.o.Rand, Client: s.o.Client, Workers: s.config.Batches.Workers, LogAge: a.logAge(),
		LeaseTime: s.config.Leader.LeaseTime.D(), FirstPause: s.config.Leader.FirstPause.D(), LongPause: s.config.Leader.LongestPause.D(),
		CollectionTimeout: s.config.Leader.CollectionTimeout.D(), JobReports: s.config.Leader.JobReports,
		OpenAtUpload: s.config.Leader.OpenAtUpload, Withdrawn: a.withdrawn,
		Metrics: leaderMetrics{s.metrics}, Lost: s.lost(task.Leader), Failed: func(err error) { s.failed("leader", err) },
	})
	if errors.Is(err, leader.ErrHeld) {
		return fmt.Errorf("aggregates.node: %w: give each server that shares the database a name of its own, or wait", err)
	}
	if err != nil {
		return err
	}
	a.handler, a.run, a.tick, a.close = l.Handler(), l.Run, l.Tick, l.Close
	a.look = func(ctx context.Context) Health {
		st, err := l.Status(ctx)
		return leaderHealth(s.o.Clock.Now(), st, err)
	}
	return nil
}

// logAge is how old the reports get before they are aggregated; 0 is the default.
func (a *aggregator) logAge() time.Duration { return 0 }

func openLeaderStore(ctx context.Context, c Config) (leaderStore, error) {
	if c.Aggregates.Postgres != "" {
		return postgres.OpenLeader(ctx, c.Aggregates.Postgres)
	}
	return sqlite.OpenLeader(ctx, c.aggregatorStore(task.Leader))
}

// How long a helper may not answer before it is logged, and how often it is.
const (
	absentAfter = 15 * time.Minute
	absentEvery = time.Hour
)

// leaderHealth is the health of a leader by its status.
func leaderHealth(now time.Time, st leader.Status, err error) Health {
	h := Health{Err: err}
	if why := leaderReason(now, st, err); why != "" {
		h.Reasons = []string{why}
	}
	h.figure("reports_damaged", float64(st.Damaged))
	h.figure("node_lease_seconds", st.Node.Until.Sub(now).Seconds())
	if err != nil { // what is known of tasks and other nodes may lack some
		return h
	}
	for cause, n := range st.Lost {
		h.Losses = append(h.Losses, loss.Loss{
			Cause: loss.GivenUp, Place: cause.String(), Reports: n,
			Detail: "reports were not counted in their time: see shoal_reports_lost_total and the log",
		})
	}
	h.ofTasks(st)
	h.ofHelpers(now, st)
	h.ofNodes(now, st)
	return h
}

// leaderReason returns why the leader cannot do its work now, or "".
func leaderReason(now time.Time, st leader.Status, err error) string {
	switch {
	case errors.Is(st.Node.Err, leader.ErrFenced):
		return fmt.Sprintf(whyFenced, st.Node.Name)
	case st.Node.Err != nil && !now.Before(st.Node.Until):
		return fmt.Sprintf(whyLeaseGone, st.Node.Name)
	case err != nil:
		return fmt.Sprintf(whyStore, task.Leader)
	case st.ClockUnsure:
		return whyLeaderTime
	}
	return ""
}

// absent is what waits for one helper, over all tasks.
type absent struct {
	leader.Absence
	helper string
	err    error
}

// absences adds up what waits, by helper, the longest wait first.
func absences(st leader.Status) []absent {
	all := map[string]*absent{}
	for _, t := range st.Tasks {
		h := t.Helper
		if h.Jobs == 0 {
			continue
		}
		a := all[h.URL]
		if a == nil {
			a = &absent{helper: h.URL, Absence: leader.Absence{Since: h.Since}}
			all[h.URL] = a
		}
		a.Jobs += h.Jobs
		a.Reports += h.Reports
		if h.Since.Before(a.Since) {
			a.Since = h.Since
		}
		if a.err == nil {
			a.err = h.Err
		}
	}
	list := make([]absent, 0, len(all))
	for _, a := range all {
		list = append(list, *a)
	}
	slices.SortFunc(list, func(a, b absent) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.helper, b.helper)) })
	return list
}

// ofTasks adds what waits to be aggregated, over all tasks.
func (h *Health) ofTasks(st leader.Status) {
	var stored, waiting, jobs, inJobs float64
	for _, t := range st.Tasks {
		stored += float64(t.Stored)
		waiting += float64(t.Waiting)
		jobs += float64(t.Jobs)
		inJobs += float64(t.InJobs)
	}
	h.figure("logs_bytes", stored)
	h.figure("jobs_open", jobs)
	h.Figures = append(h.Figures, Figure{"reports_waiting", "logs", waiting}, Figure{"reports_waiting", "jobs", inJobs})
}

// ofHelpers adds what waits for helpers that do not answer.
func (h *Health) ofHelpers(now time.Time, st leader.Status) {
	var longest time.Duration
	var reports uint64
	for _, a := range absences(st) {
		wait := now.Sub(a.Since)
		longest = max(longest, wait)
		reports += a.Reports
		if wait < absentAfter {
			continue
		}
		h.Notes = append(h.Notes, Note{
			Key: "helper " + a.helper, Every: absentEvery, Text: "a helper does not answer; its reports wait until they expire",
			Attrs: []any{"helper", a.helper, "since", a.Since.UTC().Format(time.RFC3339), "jobs", a.Jobs, "reports", a.Reports, "err", a.err},
		})
	}
	h.figure("helper_wait_seconds", longest.Seconds())
	h.figure("helper_wait_reports", float64(reports))
}

// ofNodes adds what was given up with other servers, and for which of them collections
// wait.
func (h *Health) ofNodes(now time.Time, st leader.Status) {
	var reports, logs float64
	for _, d := range st.Dropped {
		reports += float64(d.Reports)
		logs += float64(d.Open)
	}
	var longest time.Duration
	noted := map[string]bool{}
	for _, t := range st.Tasks {
		for _, c := range t.Collections {
			for _, n := range c.Nodes {
				if n.Until.After(now) {
					continue // it is at work
				}
				wait := now.Sub(c.Since)
				longest = max(longest, wait)
				if wait < absentAfter || noted[n.Node] {
					continue
				}
				noted[n.Node] = true
				h.Notes = append(h.Notes, Note{
					Key: "node " + n.Node, Every: absentEvery,
					Text:  "collections wait for a server of the leader that does not run; start it, or give its reports up with shoal leader drop-node",
					Attrs: []any{"node", n.Node, "since", c.Since.UTC().Format(time.RFC3339), "lapsed", n.Until.UTC().Format(time.RFC3339), "logs", n.Logs, "jobs", n.Jobs},
				})
			}
		}
	}
	h.figure("reports_dropped", reports)
	h.figure("logs_dropped", logs)
	h.figure("node_wait_seconds", longest.Seconds())
}

const leaderLabel = "leader"

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
