package server

import (
	"encoding/json"
	"net/http"
	"strings"
)

// leastFree is the space below which a server reports that it is not ready: room
// for a segment and the stores' logs.
const leastFree = 256 << 20

// ops returns the handler of the listener for operations: health, metrics and
// the management API.
func (s *Server) ops() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", s.metrics.handler())
	for _, route := range s.managementRoutes() {
		mux.HandleFunc(route.pattern, s.metrics.observe("api", s.withToken(route.scope, route.handle)))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { unrouted(mux, w, r) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limitTime(w, longExchange)
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// readyz reports whether the server can do its work now, and if not why.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	reasons := s.unready(r.Context())
	if len(reasons) == 0 {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
		return
	}
	writeJSON(w, http.StatusServiceUnavailable, map[string]any{"status": "not ready", "reasons": reasons})
}

// withToken lets a request pass that has a token of the scope.
func (s *Server) withToken(scope Scope, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			w.Header().Set("WWW-Authenticate", `Bearer realm="shoal"`)
			problems.unauthorized.Because("Send a token as Authorization: Bearer TOKEN.").Write(w, 0)
			return
		}
		switch err := s.tokens.check(strings.TrimSpace(secret), scope, s.o.Clock.Now()); err {
		case nil:
			next(w, r)
		case errScope:
			problems.forbidden.Because("This needs the scope "+string(scope)+".").Write(w, 0)
		case errNoToken:
			w.Header().Set("WWW-Authenticate", `Bearer realm="shoal", error="invalid_token"`)
			problems.unauthorized.Write(w, 0)
		default:
			s.failed("tokens", err)
			problems.internal.Write(w, 0)
		}
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		problems.internal.Write(w, 0)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}
