package server

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/shoal-project/shoal/dap/leader"
)

// How long a helper may not answer before the log says so, and how often it does.
const (
	absentAfter = 15 * time.Minute
	absentEvery = time.Hour
)

// A leaderWatch turns the status of a leader into gauges, readiness and log lines.
type leaderWatch struct {
	server *Server
	status func(context.Context) (leader.Status, error)
	warned map[string]time.Time // by helper; used by refresh alone
}

// unwell says why the leader cannot do its work now.
func (w *leaderWatch) unwell() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	st, err := w.status(ctx)
	switch {
	case err != nil:
		return "the leader's store fails"
	case st.ClockUnsure:
		return "the clock has jumped and is not trusted yet; no batch is collected"
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
	m.damaged.WithLabelValues(leaderLabel).Set(float64(st.Damaged))
	return nil
}
