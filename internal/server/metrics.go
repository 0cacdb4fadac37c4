package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
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
	queue            *prometheus.GaugeVec     // role, state
	tasks            *prometheus.GaugeVec     // role
	aside            *prometheus.GaugeVec     // role
	helperWait       *prometheus.GaugeVec     // role
	helperReports    *prometheus.GaugeVec     // role
	damaged          *prometheus.GaugeVec     // role
	unstated         *prometheus.GaugeVec     // role
	losses           *prometheus.GaugeVec     // role, cause, state
	lossReports      *prometheus.GaugeVec     // role, cause, state
	dropped          *prometheus.GaugeVec     // role
	droppedLogs      *prometheus.GaugeVec     // role
	nodeLease        *prometheus.GaugeVec     // role
	nodeWait         *prometheus.GaugeVec     // role
	keySeconds       *prometheus.GaugeVec     // role
	diskFree         prometheus.Gauge
	connectionErrors *prometheus.CounterVec // cause
	failures         *prometheus.CounterVec // stage
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
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
	m.queue = gauge("queue_batches", "Batches that wait, by state.", "role", "state")
	m.aside = gauge("batches_set_aside", "Batches whose processing failed too often and that wait for an operator.", "role")
	m.tasks = gauge("tasks", "Tasks that are served.", "role")
	m.helperWait = gauge("helper_wait_seconds", "Seconds since which a helper has not answered; the longest.", "role")
	m.helperReports = gauge("helper_wait_reports", "Reports in jobs that wait for helpers that do not answer.", "role")
	m.damaged = gauge("reports_damaged", "Accepted reports that the disk has lost, at least, since the start.", "role")
	m.unstated = gauge("tasks_unstated", "Tasks of which the next hop does not have the newest statement which epochs are complete.", "role")
	m.losses = gauge("losses", "Places where acknowledged reports were lost or wait for a decision: open until an operator acknowledges them.", "role", "cause", "state")
	m.lossReports = gauge("losses_reports", "Acknowledged reports that were lost or wait for a decision, at least.", "role", "cause", "state")
	m.dropped = gauge("reports_dropped", "Accepted reports that were given up with servers that were lost, as far as their number is known.", "role")
	m.droppedLogs = gauge("logs_dropped", "Open logs that were given up with servers that were lost; the number of their reports is not known.", "role")
	m.nodeLease = gauge("node_lease_seconds", "Seconds until the lease on this server's name lapses; below 0 it takes no reports.", "role")
	m.nodeWait = gauge("node_wait_seconds", "Seconds since which a collection waits for a server whose lease has lapsed; the longest.", "role")
	m.keySeconds = gauge("key_seconds_left", "Seconds for which the role has keys to announce.", "role")
	m.connectionErrors = counter("connection_errors_total", "Connections that failed, by cause.", "cause")
	m.failures = counter("failures_total", "Periodic work that failed and will be tried again, by stage.", "stage")
	m.diskFree = prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "shoal", Name: "disk_free_bytes", Help: "Free bytes on the volume of the data folder."})
	m.registry.MustRegister(m.diskFree, collectors.NewGoCollector())
	return m
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
