package leader

import (
	"errors"
	"net/http"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// Handler serves, relative to the leader's endpoint,
//
//	GET    /hpke_config                         the HPKE configurations, for clients
//	POST   /tasks/{task}/reports                an upload
//	POST   /tasks/{task}/collection_jobs        a collection job; in the variant "janus"
//	PUT    /tasks/{task}/collection_jobs/{job}  the same
//	GET    /tasks/{task}/collection_jobs/{job}  its result
//	DELETE /tasks/{task}/collection_jobs/{job}
//
// Collection jobs need one of the task's collector tokens.
func (l *Leader) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hpke_config", l.getConfigs)
	mux.HandleFunc("OPTIONS /hpke_config", func(w http.ResponseWriter, _ *http.Request) { exchange.Preflight(w, http.MethodGet) })
	mux.HandleFunc("POST /tasks/{task}/reports", l.handle(l.postReports))
	mux.HandleFunc("OPTIONS /tasks/{task}/reports", func(w http.ResponseWriter, _ *http.Request) { exchange.Preflight(w, http.MethodPost) })
	mux.HandleFunc("POST /tasks/{task}/collection_jobs", l.handle(l.collector(l.postCollection)))
	mux.HandleFunc("PUT /tasks/{task}/collection_jobs/{job}", l.handle(l.collector(l.putCollection)))
	mux.HandleFunc("GET /tasks/{task}/collection_jobs/{job}", l.handle(l.collector(l.getCollection)))
	mux.HandleFunc("DELETE /tasks/{task}/collection_jobs/{job}", l.handle(l.collector(l.deleteCollection)))
	exchange.Unrouted(mux)
	return mux
}

// A handler serves one resource of a task.
type handler func(w http.ResponseWriter, r *http.Request, s *tasks.Serving) error

// handle finds the task, and turns errors into answers.
func (l *Leader) handle(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := dap.ParseTaskID(r.PathValue("task"))
		var task *dap.TaskID
		if err == nil {
			task = &id
			var s *tasks.Serving
			if s, err = l.config.Registry.Lookup(r.Context(), id); err == nil {
				err = h(w, r, s)
			}
			if errors.Is(err, tasks.ErrUnknown) {
				err = &dap.Abort{Type: dap.ProblemUnrecognizedTask, Detail: "there is no task of this ID"}
			}
		} else {
			err = &dap.Abort{Type: dap.ProblemUnrecognizedTask, Detail: err.Error()}
		}
		if errors.Is(l.lose(err), ErrFenced) { // other nodes can do it
			err = unclaimedError()
		}
		if err != nil && exchange.Refuse(w, task, err) && r.Context().Err() == nil {
			l.config.Failed(err)
		}
	}
}

// collector admits requests with a token of the task.
func (l *Leader) collector(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request, s *tasks.Serving) error {
		if !auth.Allowed(r.Header, s.Entry.CollectorTokens) {
			return exchange.ErrUnauthorized
		}
		return h(w, r, s)
	}
}

// getConfigs serves the HPKE configurations (section "HPKE Configuration
// Request").
func (l *Leader) getConfigs(w http.ResponseWriter, _ *http.Request) {
	exchange.AllowOrigins(w.Header())
	ring := l.config.Registry.Keyring()
	list := ring.Configs(l.config.Clock.Now())
	if len(list) == 0 {
		exchange.Refuse(w, nil, exchange.ErrUnavailable)
		return
	}
	body, err := dap.NewCodec(dap.DAP18()).Encode(&list) // the same in all variants
	if err != nil {
		l.config.Failed(err)
		exchange.Refuse(w, nil, err)
		return
	}
	w.Header().Set("Cache-Control", ring.CacheControl())
	exchange.Send(w, http.StatusOK, dap.TypeHpkeConfigList, body)
}
