package server

import (
	"net/http"
	"strings"
	"time"

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

// A publicRoute is a resource of the public listener that a role answers for.
type publicRoute struct {
	name    string // its label in the metrics
	pattern string // of [http.ServeMux]
	// admit lets a request in or turns it away. Each kind of request has places of its own.
	admit  func(*Server, http.HandlerFunc) http.HandlerFunc
	limit  time.Duration // of an exchange
	stores bool          // a request takes room on the disk
	peers  bool          // of other organisations, which show certificates if the configuration wants them
	pages  bool          // programs of web pages may read the answer
	// clients: what clients send; it comes through a relay, too. issues: it issues
	// credentials, and comes through a relay that bounds how many.
	clients, issues bool
	// relayed: of a task with a relay it is served through the relay alone.
	relayed bool
}

const (
	routeBatch     = "batch"
	routeStatement = "statement"
	routeReport    = "report"
	reportPattern  = "POST /tasks/{task}/reports"
)

// The routes that shufflers and analyzers have.
var (
	batchRoute     = publicRoute{name: routeBatch, pattern: "PUT /tasks/{task}/batches/{batch}", admit: forBatches, limit: shortExchange, stores: true}
	statementRoute = publicRoute{name: routeStatement, pattern: "PUT /tasks/{task}/statement", admit: forStatements, limit: shortExchange}
)

// The ways to let requests in, beside [Server.readFirst].

func forKeys(s *Server, next http.HandlerFunc) http.HandlerFunc { return s.through(s.gates.keys, next) }

func forBatches(s *Server, next http.HandlerFunc) http.HandlerFunc {
	return s.through(s.gates.batches, next)
}

func forStatements(s *Server, next http.HandlerFunc) http.HandlerFunc {
	return s.through(s.gates.statements, next)
}

func forPeers(s *Server, next http.HandlerFunc) http.HandlerFunc {
	return s.through(s.gates.peers, next)
}

func forUploads(s *Server, next http.HandlerFunc) http.HandlerFunc {
	return s.through(s.gates.reading, s.pacing(next))
}

// public returns the handler of the public listener.
func (s *Server) public() http.Handler {
	mux := http.NewServeMux()
	var patterns []string
	offers := map[string][]responder{}
	routes := map[string]publicRoute{}
	for _, r := range rolesOf[responder](s) {
		for _, t := range r.Routes() {
			if _, shared := routes[t.pattern]; !shared {
				patterns = append(patterns, t.pattern)
				routes[t.pattern] = t
			}
			offers[t.pattern] = append(offers[t.pattern], r)
		}
	}
	clients, issuers := map[string]http.HandlerFunc{}, map[string]http.HandlerFunc{}
	for _, pattern := range patterns {
		t := routes[pattern]
		h := s.metrics.observe(t.name, s.serveRoute(t, offers[pattern]))
		mux.HandleFunc(pattern, h)
		if t.clients {
			clients[pattern] = h
		}
		if t.issues {
			issuers[pattern] = h
		}
		if path, posts := strings.CutPrefix(pattern, http.MethodPost+" "); posts && t.pages {
			mux.HandleFunc(http.MethodOptions+" "+path, s.metrics.observe(t.name, forPages(s.through(s.gates.keys, preflight))))
		}
	}
	mux.HandleFunc("/", s.metrics.observe("other", func(w http.ResponseWriter, r *http.Request) {
		unrouted(mux, w, r)
	}))
	if g := roleOf[*gatewayHost](s); g != nil {
		g.clients, g.issuers = s.inside(clients), s.inside(issuers)
	}
	return hsts(s.config, mux)
}

// serveRoute serves the requests of a route by the role, among those that have it, that
// the organisation plays in the request's task.
func (s *Server) serveRoute(t publicRoute, by []responder) http.HandlerFunc {
	serve := t.admit(s, func(w http.ResponseWriter, r *http.Request) {
		limitTime(w, t.limit)
		if t.peers && !s.config.certified(r) {
			problems.noCertificate.Because("Show one that an authority has issued which this server accepts; its operator knows which.").Write(w, 0)
			return
		}
		if t.relayed && s.besideRelay(r) {
			problems.relayOnly.Write(w, 0)
			return
		}
		if t.stores && s.tight() {
			problems.diskFull.Write(w, 0)
			return
		}
		choose(by, r).Handler().ServeHTTP(w, r)
	})
	if t.pages {
		return forPages(serve)
	}
	return serve
}

// choose returns the role that serves the request's task, and otherwise the first: it
// will answer that it does not know the task.
func choose(among []responder, r *http.Request) responder {
	if len(among) > 1 {
		for _, one := range among {
			if t, ok := one.(sharer); ok && t.Serves(r) {
				return one
			}
		}
	}
	return among[0]
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
func (s *Server) Find(id task.ID, r task.Role) (Task, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, ok := s.registry.byID[id]
	if !ok {
		return Task{}, false
	}
	for hop, party := range partiesAt(s.registry.tasks[first].Task) {
		if party.Role != r {
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
