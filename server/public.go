package server

import (
	"net/http"
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

// publicRoutes are the routes of the public listener, with the roles that
// serve them. The handlers are those of the roles; this table is what an
// organisation with several roles needs to choose among them.
var publicRoutes = []struct {
	name, pattern string
	roles         []RoleName // the first that the organisation has
	stores        bool       // a request takes room on the disk
}{
	{"report", "POST /tasks/{task}/reports", []RoleName{ShufflerRole}, true},
	{"task_keys", "GET /tasks/{task}/keys", []RoleName{ShufflerRole}, false},
	{routeBatch, "PUT /tasks/{task}/batches/{batch}", []RoleName{AnalyzerRole, ShufflerRole}, true},
	{"keys", "GET /keys/shuffler", []RoleName{ShufflerRole}, false},
	{"keys", "GET /keys/analyzer", []RoleName{AnalyzerRole}, false},
}

const routeBatch = "batch"

// public returns the handler of the public listener.
func (s *Server) public() http.Handler {
	mux := http.NewServeMux()
	shared := make(chan struct{}, s.config.Intake.MaxConcurrent)
	for _, route := range publicRoutes {
		h := s.firstHost(route.roles)
		if h == nil {
			continue
		}
		slots := shared
		if route.name == routeBatch {
			slots = make(chan struct{}, batchSlots)
		}
		mux.HandleFunc(route.pattern, s.metrics.observe(route.name, func(w http.ResponseWriter, r *http.Request) {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			default:
				problems.busy.write(w, "")
				return
			}
			limitTime(w, shortExchange)
			if route.stores && s.tight() {
				problems.diskFull.write(w, "")
				return
			}
			s.choose(h, r).ServeHTTP(w, r)
		}))
	}
	mux.HandleFunc("/", s.metrics.observe("other", func(w http.ResponseWriter, r *http.Request) {
		problems.notFound.write(w, "")
	}))
	return hsts(s.config, mux)
}

// reserve is the space that is left to the work on batches: a server that took
// reports until the disk was full could never hand any over to make room.
const reserve = 64 << 20

// tight reports whether only the reserve is left. An answer that cannot be had
// is no.
func (s *Server) tight() bool {
	free, err := diskFree(s.config.Data)
	return err == nil && free < reserve
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
