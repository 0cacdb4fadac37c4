package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/leader"
)

// TestNodeStatus: what the leader reports of its nodes is a gauge, a reason not to be
// ready, or a log line.
func TestNodeStatus(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	var st leader.Status
	var log bytes.Buffer
	s := &Server{o: Options{Clock: clock.NewVirtual(now), Logger: slog.New(slog.NewTextHandler(&log, nil))}, metrics: newMetrics()}
	var failure error
	w := &leaderWatch{server: s, status: func(context.Context) (leader.Status, error) { return st, failure }, warned: map[string]time.Time{}}

	st.Node = leader.NodeStatus{Name: "a", Until: now.Add(time.Minute), Err: errors.New("connection refused")}
	if why := w.unhealthy(); why != "" {
		t.Errorf("not ready while the lease lasts: %s", why)
	}
	st.Node.Until = now
	if why := w.unhealthy(); !strings.Contains(why, `the lease on the name "a" has lapsed`) {
		t.Errorf("reason %q after the lease has lapsed", why)
	}
	st.Node.Err, failure = fmt.Errorf("renewing: %w", leader.ErrFenced), errors.New("connection refused")
	if why := w.unhealthy(); !strings.Contains(why, `the name "a" belongs to another process`) {
		t.Errorf("reason %q after the name was taken", why)
	}
	failure = nil

	st.Node.Until = now.Add(-30 * time.Second)
	st.Dropped = []leader.Dropped{{Node: "x", Reports: 5, Open: 1}, {Node: "y", Reports: 2, Open: 2}}
	st.Tasks = []leader.TaskStatus{{Collections: []leader.CollectionStatus{{Since: now.Add(-2 * time.Hour), Nodes: []leader.Holder{
		{Node: "b", Logs: 3, Jobs: 4, Until: now.Add(-3 * time.Hour)}, {Node: "c", Logs: 9, Until: now.Add(time.Minute)},
	}}}}}
	for range 2 {
		if err := w.refresh(t.Context(), s.metrics); err != nil {
			t.Fatal(err)
		}
	}
	rec := httptest.NewRecorder()
	s.metrics.handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`shoal_node_lease_seconds{role="leader"} -30`, `shoal_node_wait_seconds{role="leader"} 7200`,
		`shoal_reports_dropped{role="leader"} 7`, `shoal_logs_dropped{role="leader"} 3`,
	} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "node=b since=2026-11-30T10:00:00Z lapsed=2026-11-30T09:00:00Z logs=3 jobs=4") {
		t.Errorf("logged:\n%s", log.String())
	}
}
