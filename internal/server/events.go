package server

import (
	"net/http"
	"sync"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// What an operator wants to find in the log afterwards is one line each, here and at
// its place: tasks that come and go, batches, keys, pairings, and requests that are
// turned away. No line has anything of a client, and no exact count of reports.

// refusalEvery is how often it is logged that requests of a route are answered 503.
const refusalEvery = time.Minute

// refusals counts the answers 503 by route, and logs them once in refusalEvery.
type refusals struct {
	mu     sync.Mutex
	routes map[string]*refusal
}

type refusal struct {
	since  int       // answers that are not logged yet
	logged time.Time // the last line
}

// answered is called for each request of a route with the status of its answer.
func (s *Server) answered(route string, status int) {
	if status != http.StatusServiceUnavailable || s.config.Has(task.Relay) { // a relay logs nothing about requests
		return
	}
	r := &s.refused
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.routes == nil {
		r.routes = map[string]*refusal{}
	}
	if r.routes[route] == nil {
		r.routes[route] = &refusal{}
	}
	r.routes[route].since++
	s.logRefusal(route, r.routes[route])
}

// logRefusals logs what was held back, once it is time.
func (s *Server) logRefusals() {
	s.refused.mu.Lock()
	defer s.refused.mu.Unlock()
	for route, r := range s.refused.routes {
		s.logRefusal(route, r)
	}
}

func (s *Server) logRefusal(route string, r *refusal) {
	now := s.o.Clock.Now()
	if r.since == 0 || now.Sub(r.logged) < refusalEvery && !r.logged.IsZero() {
		return
	}
	s.o.Logger.Warn("requests are answered 503: see shoal_rejects_total for the causes", "route", route, "requests", r.since)
	r.since, r.logged = 0, now
}

// logAdded logs tasks that begin to be served.
func (s *Server) logAdded(all []Task) {
	for _, t := range all {
		s.o.Logger.Info("a task was added", taskAttrs(t)...)
	}
}

func taskAttrs(t Task) []any { return []any{"metric", t.Task.Metric, "role", t.Role(), "task", t.ID} }

// logKeys logs that the keys of a role have changed since it was called last.
func (s *Server) logKeys() {
	ids := map[string]string{}
	count := map[string]int{}
	for _, k := range s.keys() {
		ids[k.Role] += k.ID + " "
		count[k.Role]++
	}
	for role, now := range ids {
		if before, known := s.keyIDs[role]; known && before != now {
			s.o.Logger.Info("keys were rotated", "role", role, "keys", count[role])
		}
	}
	s.keyIDs = ids
}

// logWaiting logs which tasks wait for something, or do so no longer: a pairing that
// was lost, above all.
func (s *Server) logWaiting(r task.Role, before, now map[task.ID]string) {
	for _, t := range s.tasksWith(r) {
		switch was, is := before[t.ID], now[t.ID]; {
		case is != "" && is != was:
			s.o.Logger.Warn("a task is not served", "metric", t.Task.Metric, "role", r, "why", is)
		case is == "" && was != "":
			s.o.Logger.Info("a task is served", "metric", t.Task.Metric, "role", r)
		}
	}
}
