package server

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/shoal-project/shoal/metric/task"
)

// metrics are the numbers of operation. Their labels come from fixed lists
// (route, role, cause, state), never from a request: no task, no peer, no time
// finer than the scrape.
type metrics struct {
	registry *prometheus.Registry
	answered func(route string, status int) // called for each request; nil: nothing is

	requests         *prometheus.CounterVec   // route, code
	requestSeconds   *prometheus.HistogramVec // route
	bodyBytes        *prometheus.CounterVec   // route
	rejects          *prometheus.CounterVec   // role, cause
	reports          *prometheus.CounterVec   // role, outcome
	lost             *prometheus.CounterVec   // role, cause
	batches          *prometheus.CounterVec   // role, outcome
	batchSeconds     *prometheus.HistogramVec // role, stage
	jobs             *prometheus.CounterVec   // role, outcome
	losses           *prometheus.GaugeVec     // role, cause, state
	lossReports      *prometheus.GaugeVec     // role, cause, state
	diskFree         prometheus.Gauge
	connectionErrors *prometheus.CounterVec // cause
	failures         *prometheus.CounterVec // stage

	oblivious *obliviousCounts                // of relay and gateway
	figures   map[string]*prometheus.GaugeVec // those of roleGauges, by name
	mu        sync.Mutex
	shown     map[shownFigure]bool
}

// A shownFigure is a figure that is set.
type shownFigure struct {
	role         task.Role
	gauge, state string
}

// roleGauges are the gauges that the health of a role sets. All have the label role.
var roleGauges = [...]struct {
	name, help string
	states     bool // it has the label state, too
}{
	{"queue_batches", "Batches that wait, by state.", true},
	{"batches_set_aside", "Batches whose processing failed too often and that wait for an operator.", false},
	{"tasks", "Tasks that are served.", false},
	{"helper_wait_seconds", "Seconds since which a helper has not answered; the longest.", false},
	{"helper_wait_reports", "Reports in jobs that wait for helpers that do not answer.", false},
	{"reports_damaged", "Accepted reports that the disk has lost, at least, since the start.", false},
	{"tasks_unstated", "Tasks of which the next hop does not have the newest statement which epochs are complete.", false},
	{"stage_oblivious", "1 if a shuffler counts and permutes obliviously, 0 if it does so plainly.", false},
	{"reports_dropped", "Accepted reports that were given up with servers that were lost, as far as their number is known.", false},
	{"logs_dropped", "Open logs that were given up with servers that were lost; the number of their reports is not known.", false},
	{"node_lease_seconds", "Seconds until the lease on this server's name lapses; below 0 it takes no reports.", false},
	{"node_wait_seconds", "Seconds since which a collection waits for a server whose lease has lapsed; the longest.", false},
	{"keys_refused", "Keys that a relay refuses because a party announced several for one period.", false},
	{"keys_unsigned", "Keys of credentials and evaluations that a relay has not signed: clients wait for them.", false},
	{"credential_periods_lost", "Periods of credentials whose keys or lists are lost or damaged.", false},
	{"evaluation_keys", "Keys of present epochs by which a randomness party evaluates.", false},
	{"evaluation_keys_lost", "Evaluation keys of present epochs that are lost or damaged.", false},
	{"evaluation_keys_overdue", "Evaluation keys that should have been destroyed and are still there.", false},
	{"evaluation_keys_destroyed", "Evaluation keys that were destroyed, since the start.", false},
	{"evaluation_keys_undestroyed", "Tries to destroy an evaluation key that failed, since the start.", false},
	{"evaluations", "Requests for evaluations since the start, by what became of them.", true},
	{"spent_rows_cut", "Rows at the ends of lists of what can be used once that were damaged when they were read, since the start.", false},
	{"evaluations_disk_full", "Requests for evaluations that failed because the disk is full, since the start.", false},
	{"logs_bytes", "Bytes of reports that this server of a leader keeps.", false},
	{"reports_waiting", "Accepted reports of a leader that are not aggregated yet: in the logs of this server, in jobs of all.", true},
	{"jobs_open", "Aggregation jobs of a leader that have not ended, of all its servers.", false},
	{"helper_requests", "Requests of leaders that are handled (running) or wait for a place (queued), and jobs that were taken and are not handled yet (pending).", true},
	{"helper_sweep_seconds", "Seconds since a helper last forgot what it need not keep.", false},
	{keyFigure, "Seconds for which the role has keys to announce.", false},
}

// keyFigure is the gauge that each role with keys has; doctor reads it.
const keyFigure = "key_seconds_left"

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(), figures: make(map[string]*prometheus.GaugeVec, len(roleGauges)), shown: map[shownFigure]bool{},
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "shoal", Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "shoal", Name: name, Help: help}, labels)
		m.registry.MustRegister(g)
		return g
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "shoal", Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(h)
		return h
	}
	m.requests = counter("requests_total", "HTTP requests by route and status code.", "route", "code")
	m.requestSeconds = histogram("request_seconds", "Time to answer an HTTP request.", prometheus.ExponentialBuckets(0.0005, 4, 9), "route")
	m.bodyBytes = counter("request_body_bytes_total", "Bytes of request bodies by route.", "route")
	m.rejects = counter("rejects_total", "Reports and batches that were not accepted, by cause.", "role", "cause")
	m.reports = counter("reports_total", "Reports by what became of them.", "role", "outcome")
	m.lost = counter("reports_lost_total", "Reports that were accepted and could not be counted, by cause.", "role", "cause")
	m.batches = counter("batches_total", "Batches by what became of them.", "role", "outcome")
	m.batchSeconds = histogram("batch_seconds", "Time that a stage of a batch took.", prometheus.ExponentialBuckets(0.01, 4, 10), "role", "stage")
	m.jobs = counter("jobs_total", "Aggregation jobs and requests between the roles of the aggregate route, by what became of them.", "role", "outcome")
	m.losses = gauge("losses", "Places where acknowledged reports were lost or wait for a decision: open until an operator acknowledges them.", "role", "cause", "state")
	m.lossReports = gauge("losses_reports", "Acknowledged reports that were lost or wait for a decision, at least.", "role", "cause", "state")
	for _, g := range roleGauges {
		labels := []string{"role"}
		if g.states {
			labels = append(labels, "state")
		}
		m.figures[g.name] = gauge(g.name, g.help, labels...)
	}
	m.connectionErrors = counter("connection_errors_total", "Connections that failed, by cause.", "cause")
	m.failures = counter("failures_total", "Periodic work that failed and will be tried again, by stage.", "stage")
	m.diskFree = prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "shoal", Name: "disk_free_bytes", Help: "Free bytes on the volume of the data folder."})
	m.oblivious = &obliviousCounts{desc: prometheus.NewDesc(
		"shoal_oblivious_requests_total", "Requests through relays, as relay or gateway, by what became of them.", []string{"role", "outcome"}, nil,
	)}
	m.registry.MustRegister(m.diskFree, m.oblivious, collectors.NewGoCollector())
	return m
}

// show sets the figures of a role and, if these are all that it has, removes others that
// it gave before.
func (m *metrics) show(r task.Role, all []Figure, complete bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := make(map[shownFigure]bool, len(all))
	for _, f := range all {
		key := shownFigure{r, f.Gauge, f.State}
		now[key], m.shown[key] = true, true
		m.figures[f.Gauge].WithLabelValues(key.labels()...).Set(f.Value)
	}
	for key := range m.shown {
		if complete && key.role == r && !now[key] {
			m.figures[key.gauge].DeleteLabelValues(key.labels()...)
			delete(m.shown, key)
		}
	}
}

func (f shownFigure) labels() []string {
	if f.state == "" {
		return []string{f.role.String()}
	}
	return []string{f.role.String(), f.state}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// observe wraps a handler of one route with the counters of requests.
func (m *metrics) observe(route string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		sw := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		h(sw, r)
		m.requestSeconds.WithLabelValues(route).Observe(time.Since(began).Seconds())
		m.requests.WithLabelValues(route, strconv.Itoa(sw.status)).Inc()
		if m.answered != nil {
			m.answered(route, sw.status)
		}
		if r.ContentLength > 0 {
			m.bodyBytes.WithLabelValues(route).Add(float64(r.ContentLength))
		}
	}
}

// statusWriter remembers the status code.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(code int) {
	w.status = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets [http.ResponseController] reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
