package server

import (
	"net/http"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/metric/task"
)

// Times that a request may take, body and answer. On the public listener all
// are short: a hop that takes a batch gives it more when it knows the sender.
const (
	shortExchange = 30 * time.Second
	longExchange  = 6 * time.Hour
)

// batchSlots is how many batches may arrive at a time. They have slots of their
// own: a few slow ones must not turn reports away.
const batchSlots = 16

// publicRoutes are the routes of the public listener, with the roles that
// serve them. The handlers are those of the roles; this table is what an
// organisation with several roles needs to choose among them.
var publicRoutes = []struct {
	name, pattern string
	roles         []RoleName // the first that the organisation has
	stores        bool       // a request takes room on the disk
}{
	{routeReport, reportPattern, []RoleName{ShufflerRole}, true},
	{routeTaskKeys, "GET /tasks/{task}/keys", []RoleName{ShufflerRole}, false},
	{routeBatch, "PUT /tasks/{task}/batches/{batch}", []RoleName{AnalyzerRole, ShufflerRole}, true},
	{routeStatement, "PUT /tasks/{task}/statement", []RoleName{AnalyzerRole, ShufflerRole}, false},
	{"keys", "GET /keys/shuffler", []RoleName{ShufflerRole}, false},
	{"keys", "GET /keys/analyzer", []RoleName{AnalyzerRole}, false},
}

const (
	routeBatch     = "batch"
	routeStatement = "statement"
	routeTaskKeys  = "task_keys"
	routeReport    = "report"
	reportPattern  = "POST /tasks/{task}/reports"
)

// public returns the handler of the public listener.
func (s *Server) public() http.Handler {
	mux := http.NewServeMux()
	for _, route := range publicRoutes {
		h := s.firstHost(route.roles)
		if h == nil {
			continue
		}
		serve := func(w http.ResponseWriter, r *http.Request) {
			limitTime(w, shortExchange)
			if route.stores && s.tight() {
				problems.diskFull.Write(w, 0)
				return
			}
			if a := s.aggregatorOf(r); a != nil {
				a.ServeHTTP(w, r)
				return
			}
			s.choose(h, r).ServeHTTP(w, r)
		}
		switch route.name {
		case routeReport:
			serve = forPages(s.readFirst(serve))
		case routeBatch:
			serve = s.through(s.gates.batches, serve)
		case routeStatement:
			serve = s.through(s.gates.statements, serve)
		case routeTaskKeys:
			serve = forPages(s.through(s.gates.keys, serve))
		default:
			serve = s.through(s.gates.keys, serve)
		}
		mux.HandleFunc(route.pattern, s.metrics.observe(route.name, serve))
	}
	for _, a := range s.aggregators {
		s.routeAggregator(mux, a)
	}
	if s.collectorHost != nil {
		mux.HandleFunc("GET /keys/collector", s.metrics.observe("keys", s.through(s.gates.keys, func(w http.ResponseWriter, r *http.Request) {
			limitTime(w, shortExchange)
			s.collectorHost.ServeHTTP(w, r)
		})))
	}
	if len(s.aggregators) > 0 || s.firstHost([]RoleName{ShufflerRole}) != nil {
		mux.HandleFunc("OPTIONS /tasks/{task}/reports", forPages(s.through(s.gates.keys, s.metrics.observe(routeReport, preflight))))
	}
	mux.HandleFunc("/", s.metrics.observe("other", func(w http.ResponseWriter, r *http.Request) {
		unrouted(mux, w, r)
	}))
	return hsts(s.config, mux)
}

// aggregateExchange is how long an exchange between aggregators may take: an
// aggregation job has some megabytes.
const aggregateExchange = 5 * time.Minute

// uploadExchange is how long an upload may take: anybody can begin one, and each
// holds a place of the task. Clients wait as long.
const uploadExchange = time.Minute

// routeAggregator adds the routes of a leader or a helper. Its handler knows its
// resources; reports of a server that is a shuffler, too, go by their task.
func (s *Server) routeAggregator(mux *http.ServeMux, a *aggregator) {
	within := func(limit time.Duration, route string, stores, peers bool) http.HandlerFunc {
		return s.metrics.observe(route, func(w http.ResponseWriter, r *http.Request) {
			limitTime(w, limit)
			if peers && !s.config.certified(r) {
				problems.noCertificate.Because("Show one that an authority has issued which this server accepts; its operator knows which.").Write(w, 0)
				return
			}
			if stores && s.tight() {
				problems.diskFull.Write(w, 0)
				return
			}
			a.ServeHTTP(w, r)
		})
	}
	keys := func(route string) http.HandlerFunc {
		return s.through(s.gates.keys, within(shortExchange, route, false, false))
	}
	peers := func(route string, stores bool) http.HandlerFunc {
		return s.through(s.gates.peers, within(aggregateExchange, route, stores, true))
	}
	mux.HandleFunc("/"+dap.HpkeConfigPath, forPages(keys("dap_keys")))
	if s.firstHost([]RoleName{ShufflerRole}) == nil {
		mux.HandleFunc(reportPattern, forPages(s.through(s.gates.reading, s.pacing(within(uploadExchange, routeReport, true, false)))))
	}
	mux.HandleFunc("/tasks/{task}/aggregation_jobs/", peers("dap_job", true))
	mux.HandleFunc("/tasks/{task}/aggregation_jobs", peers("dap_job", true))
	mux.HandleFunc("/tasks/{task}/aggregate_shares/", peers("dap_share", false))
	mux.HandleFunc("/tasks/{task}/aggregate_shares", peers("dap_share", false))
	mux.HandleFunc("/tasks/{task}/collection_jobs/", peers("dap_collection", false))
	mux.HandleFunc("/tasks/{task}/collection_jobs", peers("dap_collection", false))
}

// aggregatorOf returns the aggregator that serves the DAP task of a request, or
// nil.
func (s *Server) aggregatorOf(r *http.Request) *aggregator {
	id, err := dap.ParseTaskID(r.PathValue("task"))
	if err != nil {
		return nil
	}
	for _, a := range s.aggregators {
		if _, err := a.registry.Lookup(r.Context(), id); err == nil {
			return a
		}
	}
	return nil
}

// reserve is the space that is left to the work on batches: a server that took
// reports until the disk was full could never hand any over to make room. What the
// largest batch needs comes on top.
const reserve = 64 << 20

// tight reports whether only the reserve is left. An answer that cannot be had
// is no.
func (s *Server) tight() bool {
	free, err := diskFree(s.config.Data)
	return err == nil && free < uint64(reserve+s.need.Load())
}

// firstHost returns the host of the first of the roles that is played here.
func (s *Server) firstHost(roles []RoleName) *host {
	for _, r := range roles {
		for _, h := range s.hosts {
			if h.role == r {
				return h
			}
		}
	}
	return nil
}

// choose returns the host of the role that the organisation has in the
// request's task, and otherwise the one given: it will answer that it does not
// know the task.
func (s *Server) choose(otherwise *host, r *http.Request) *host {
	text := r.PathValue("task")
	if text == "" || len(s.hosts) < 2 {
		return otherwise
	}
	id, err := task.ParseID(text)
	if err != nil {
		return otherwise
	}
	t, ok := s.task(id)
	if !ok {
		return otherwise
	}
	if h := s.firstHost([]RoleName{RoleName(t.Role().String())}); h != nil {
		return h
	}
	return otherwise
}

// task finds a task that is served.
func (s *Server) task(id task.ID) (Task, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.registry.byID[id]
	if !ok {
		return Task{}, false
	}
	return s.registry.tasks[i], true
}

// Find finds a task in which the organisation plays a role.
func (s *Server) Find(id task.ID, r RoleName) (Task, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, ok := s.registry.byID[id]
	if !ok {
		return Task{}, false
	}
	for hop, party := range s.registry.tasks[first].Task.Hops {
		if RoleName(party.Role.String()) != r {
			continue
		}
		if i, ok := s.registry.places[place{id, hop}]; ok {
			return s.registry.tasks[i], true
		}
	}
	return Task{}, false
}

// limitTime bounds the rest of an exchange. Connections that cannot have
// deadlines (in tests) go without.
func limitTime(w http.ResponseWriter, d time.Duration) {
	c := http.NewResponseController(w)
	end := time.Now().Add(d)
	_ = c.SetReadDeadline(end)
	_ = c.SetWriteDeadline(end)
}

// hsts makes browsers, in which the SDK may run, stay with TLS.
func hsts(c Config, next http.Handler) http.Handler {
	if !c.TLS.Enabled() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=63072000")
		next.ServeHTTP(w, r)
	})
}
