package helper_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/helper"
)

// counts are metrics for tests.
type counts struct {
	mu      sync.Mutex
	seen    []string
	reports map[dap.ReportError]int
}

func (c *counts) note(format string, a ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, fmt.Sprintf(format, a...))
}

func (c *counts) Reports(_ dap.TaskID, n map[dap.ReportError]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reports == nil {
		c.reports = make(map[dap.ReportError]int)
	}
	for e, k := range n {
		c.reports[e] += k
	}
}
func (c *counts) Repeated(dap.TaskID)                          { c.note("repeated") }
func (c *counts) Share(dap.TaskID)                             { c.note("share") }
func (c *counts) Refused(task *dap.TaskID, why helper.Refusal) { c.note("%v %v", why, task != nil) }

func (c *counts) Took(d time.Duration, reports int) { c.note("took %v %d", d, reports) }
func (c *counts) last() string                      { return c.seen[len(c.seen)-1] }
func withMetrics(c *counts) setting {
	return func(_ *world, _ *dap.TaskConfiguration, h *helperConfig) { h.Metrics = c }
}

// A task and a leader that send too much are answered with a time to wait.
func TestLimits(t *testing.T) {
	for name, limit := range map[string]func(*helperConfig, helper.Rate){
		"task_limit": func(c *helperConfig, r helper.Rate) { c.PerTask = r },
		"peer_limit": func(c *helperConfig, r helper.Rate) { c.PerPeer = r },
	} {
		var seen counts
		w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, withMetrics(&seen), func(_ *world, _ *dap.TaskConfiguration, c *helperConfig) {
			limit(c, helper.Rate{PerSecond: 1, Burst: 2})
		})
		_, body := w.init(dap.BatchID{}, w.report(1), w.report(2), w.report(3))
		wantFates(t, w.fates(w.createJob(1, body)), 0, 0, 0)
		_, body = w.init(dap.BatchID{}, w.report(1))
		a := w.createJob(2, body)
		wantProblem(t, name, a, http.StatusTooManyRequests, "busy")
		if a.Header().Get("Retry-After") != "2" || seen.last() != name+" true" {
			t.Errorf("%s: %v, %v", name, a.Header(), seen.seen)
		}
		w.clock.Advance(2 * time.Second)
		wantFates(t, w.fates(w.createJob(2, body)), 0)
	}
}

func TestMetrics(t *testing.T) {
	var seen counts
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, withMetrics(&seen))
	bad := w.report(1)
	bad.HelperShare.Payload[0] ^= 1
	_, body := w.init(dap.BatchID{}, w.report(1), bad, w.report(1))
	want := func(what string) {
		t.Helper()
		if seen.last() != what {
			t.Errorf("metrics %v, want %s", seen.seen, what)
		}
	}
	w.createJob(1, body)
	want("took 0s 3")
	if seen.reports[0] != 2 || seen.reports[dap.DecryptError] != 1 || len(seen.reports) != 2 {
		t.Errorf("reports %v", seen.reports)
	}
	w.createJob(1, body)
	want("repeated")
	w.createJob(1, body[:9])
	want("bad_request true")
	w.do("GET", dap.AggregationJobPath(dap.TaskID{}, dap.AggregationJobID{}), "", nil)
	want("no_task false")
	w.collectAll(2)
	want("share")
}

func TestNew(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	if _, err := helper.New(helper.Config{}); err == nil {
		t.Error("a helper of nothing")
	}
	for name, spoil := range map[string]func(*helperConfig){
		"a limit without a burst":      func(c *helperConfig) { c.PerTask = helper.Rate{PerSecond: 1} },
		"no reports":                   func(c *helperConfig) { c.MaxReports = -1 },
		"records shorter than answers": func(c *helperConfig) { c.KeepRecords, c.KeepResponses = time.Hour, 2*time.Hour },
	} {
		c := helperConfig{Store: w.store, Registry: w.registry, Ledgers: w.ledgers}
		spoil(&c)
		if _, err := helper.New(c); err == nil {
			t.Errorf("%s: a helper", name)
		}
	}
}
