package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/loss"
)

// How long a helper may not answer before it is logged, and how often it is.
const (
	absentAfter = 15 * time.Minute
	absentEvery = time.Hour
)

// A leaderWatch turns the status of a leader into gauges, readiness and log lines.
type leaderWatch struct {
	server *Server
	status func(context.Context) (leader.Status, error)
	warned map[string]time.Time       // by helper or node; used by refresh alone
	listed map[leader.LossCause]int64 // of the reports that were given up since the start, those in the list of losses; used by refresh alone
}

// unhealthy returns why the leader cannot do its work now.
func (w *leaderWatch) unhealthy() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	st, err := w.status(ctx)
	switch {
	case errors.Is(st.Node.Err, leader.ErrFenced):
		return fmt.Sprintf(whyFenced, st.Node.Name)
	case st.Node.Err != nil && !w.server.o.Clock.Now().Before(st.Node.Until):
		return fmt.Sprintf(whyLeaseGone, st.Node.Name)
	case err != nil:
		return whyLeader
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

// refresh sets the gauges, and logs which helpers do not answer.
func (w *leaderWatch) refresh(ctx context.Context, m *metrics) error {
	st, err := w.status(ctx)
	if err != nil {
		return err
	}
	now := w.server.o.Clock.Now()
	var longest time.Duration
	var reports uint64
	for _, a := range absences(st) {
		wait := now.Sub(a.Since)
		longest = max(longest, wait)
		reports += a.Reports
		if wait < absentAfter || now.Sub(w.warned[a.helper]) < absentEvery {
			continue
		}
		w.warned[a.helper] = now
		w.server.o.Logger.Warn("a helper does not answer; its reports wait until they expire",
			"helper", a.helper, "since", a.Since.UTC().Format(time.RFC3339), "jobs", a.Jobs, "reports", a.Reports, "err", a.err)
	}
	m.helperWait.WithLabelValues(leaderLabel).Set(longest.Seconds())
	m.helperReports.WithLabelValues(leaderLabel).Set(float64(reports))
	w.refreshLosses(st)
	m.damaged.WithLabelValues(leaderLabel).Set(float64(st.Damaged))
	w.refreshNodes(st, m)
	return nil
}

// refreshLosses enters the reports that were given up into the list of losses. Log
// lines were written when it happened.
func (w *leaderWatch) refreshLosses(st leader.Status) {
	for cause, n := range st.Lost {
		if n <= w.listed[cause] {
			continue
		}
		err := w.server.losses.Count(loss.Loss{
			Role: string(LeaderRole), Cause: loss.GivenUp, Place: cause.String(), Reports: n - w.listed[cause],
			Detail: "reports were not counted in their time: see shoal_reports_lost_total and the log",
		})
		if err != nil {
			w.server.failed("losses", err) // the list of this process has it, and is written later
		}
		w.listed[cause] = n
	}
}

// refreshNodes sets the gauges of this server and of those that are lost, and logs
// for which of them collections wait.
func (w *leaderWatch) refreshNodes(st leader.Status, m *metrics) {
	now := w.server.o.Clock.Now()
	var reports, logs, longest float64
	for _, d := range st.Dropped {
		reports += float64(d.Reports)
		logs += float64(d.Open)
	}
	for _, t := range st.Tasks {
		for _, c := range t.Collections {
			for _, h := range c.Nodes {
				if h.Until.After(now) {
					continue // it is at work
				}
				wait := now.Sub(c.Since)
				longest = max(longest, wait.Seconds())
				key := "node " + h.Node
				if wait < absentAfter || now.Sub(w.warned[key]) < absentEvery {
					continue
				}
				w.warned[key] = now
				w.server.o.Logger.Warn("collections wait for a server of the leader that does not run; start it, or give its reports up with shoal leader drop-node",
					"node", h.Node, "since", c.Since.UTC().Format(time.RFC3339), "lapsed", h.Until.UTC().Format(time.RFC3339), "logs", h.Logs, "jobs", h.Jobs)
			}
		}
	}
	m.dropped.WithLabelValues(leaderLabel).Set(reports)
	m.droppedLogs.WithLabelValues(leaderLabel).Set(logs)
	m.nodeLease.WithLabelValues(leaderLabel).Set(st.Node.Until.Sub(now).Seconds())
	m.nodeWait.WithLabelValues(leaderLabel).Set(longest)
}
