package server

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/dap/leader"
)

// TestNodeStatus: what the leader reports of its nodes is a gauge, a reason not to be
// ready, or a log line.
func TestNodeStatus(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	var st leader.Status
	var failure error
	reasons := func() string { return strings.Join(leaderHealth(now, st, failure).Reasons, "\n") }

	st.Node = leader.NodeStatus{Name: "a", Until: now.Add(time.Minute), Err: errors.New("connection refused")}
	if why := reasons(); why != "" {
		t.Errorf("not ready while the lease lasts: %s", why)
	}
	st.Node.Until = now
	if why := reasons(); !strings.Contains(why, `the lease on the name "a" has lapsed`) {
		t.Errorf("reason %q after the lease has lapsed", why)
	}
	st.Node.Err, failure = fmt.Errorf("renewing: %w", leader.ErrFenced), errors.New("connection refused")
	if why := reasons(); !strings.Contains(why, `the name "a" belongs to another process`) {
		t.Errorf("reason %q after the name was taken", why)
	}
	failure = nil

	st.Node.Until = now.Add(-30 * time.Second)
	st.Dropped = []leader.Dropped{{Node: "x", Reports: 5, Open: 1}, {Node: "y", Reports: 2, Open: 2}}
	st.Tasks = []leader.TaskStatus{{Stored: 900, Waiting: 4, Jobs: 2, InJobs: 6}, {Stored: 100, Waiting: 1, Jobs: 1, InJobs: 3, Collections: []leader.CollectionStatus{{Since: now.Add(-2 * time.Hour), Nodes: []leader.Holder{
		{Node: "b", Logs: 3, Jobs: 4, Until: now.Add(-3 * time.Hour)}, {Node: "c", Logs: 9, Until: now.Add(time.Minute)},
	}}}}}
	got := shownBy(t, now, func(int) Health { return leaderHealth(now, st, nil) })
	for _, want := range []string{
		`shoal_node_lease_seconds{role="leader"} -30`, `shoal_node_wait_seconds{role="leader"} 7200`,
		`shoal_logs_bytes{role="leader"} 1000`, `shoal_jobs_open{role="leader"} 3`,
		`shoal_reports_waiting{role="leader",state="logs"} 5`, `shoal_reports_waiting{role="leader",state="jobs"} 9`,
		`shoal_reports_dropped{role="leader"} 7`, `shoal_logs_dropped{role="leader"} 3`,
	} {
		if !strings.Contains(got.metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if strings.Count(got.log, "\n") != 1 || !strings.Contains(got.log, "node=b since=2026-11-30T10:00:00Z lapsed=2026-11-30T09:00:00Z logs=3 jobs=4") {
		t.Errorf("logged:\n%s", got.log)
	}
	failure = errors.New("connection refused")
	got = shownBy(t, now, func(turn int) Health {
		if turn == 0 {
			return leaderHealth(now, st, nil)
		}
		return leaderHealth(now, st, failure)
	})
	if !strings.Contains(got.metrics, `shoal_node_wait_seconds{role="leader"} 7200`) {
		t.Error("a gauge is gone because the store cannot be read")
	}
}
