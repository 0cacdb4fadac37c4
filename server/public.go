package server

import (
	"net/http"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// Times that a request of the public listener may take, body and answer.
const (
	shortExchange = 30 * time.Second
	batchExchange = 6 * time.Hour
)

// publicRoutes are the routes of the public listener, with the roles that
// serve them. The handlers are those of the roles; this table is what an
// organisation with several roles needs to choose among them.
var publicRoutes = []struct {
	name, pattern string
	roles         []RoleName // the first that the organisation has
	limit         time.Duration
}{
	{"report", "POST /tasks/{task}/reports", []RoleName{ShufflerRole}, shortExchange},
	{"task_keys", "GET /tasks/{task}/keys", []RoleName{ShufflerRole}, shortExchange},
	{"batch", "PUT /tasks/{task}/batches/{batch}", []RoleName{AnalyzerRole, ShufflerRole}, batchExchange},
	{"keys", "GET /keys/shuffler", []RoleName{ShufflerRole}, shortExchange},
	{"keys", "GET /keys/analyzer", []RoleName{AnalyzerRole}, shortExchange},
}

// public returns the handler of the public listener.
func (s *Server) public() http.Handler {
	mux := http.NewServeMux()
	slots := make(chan struct{}, s.config.Intake.MaxConcurrent)
	for _, route := range publicRoutes {
		h := s.firstHost(route.roles)
		if h == nil {
			continue
		}
		mux.HandleFunc(route.pattern, s.metrics.observe(route.name, func(w http.ResponseWriter, r *http.Request) {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			default:
				problems.busy.write(w, "")
				return
			}
			limitTime(w, route.limit)
			s.choose(h, r).ServeHTTP(w, r)
		}))
	}
	mux.HandleFunc("/", s.metrics.observe("other", func(w http.ResponseWriter, r *http.Request) {
		problems.notFound.write(w, "")
	}))
	return hsts(s.config, mux)
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
// request's task, and otherwise the one given: it will say that it does not
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
	for _, t := range s.registry.tasks {
		if t.ID == id {
			return t, true
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

// hsts tells browsers, in which the SDK may run, to stay with TLS.
func hsts(c Config, next http.Handler) http.Handler {
	if !c.TLS.enabled() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=63072000")
		next.ServeHTTP(w, r)
	})
}
