package server

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/route"
)

// A problem is the answer to a request that fails (RFC 9457). Its type
// is urn:shoal:problem:NAME. The detail is fixed text or names what the client
// itself sent; it never holds data of the server.
type problem struct {
	status int
	name   string
	title  string
	retry  time.Duration // Retry-After, if positive
}

// problems are those that this package answers with; roles have their own.
var problems = struct {
	malformed, tooLarge, unknownTask, busy, slow, diskFull, unavailable, internal, unauthorized, forbidden, notFound, wrongMethod, refused, noCertificate problem
}{
	malformed:     problem{status: 400, name: "malformed", title: "The request is not what this address takes."},
	tooLarge:      problem{status: 413, name: "tooLarge", title: "The body is larger than this address takes."},
	unknownTask:   problem{status: 404, name: "unknownTask", title: "This server does not serve the task."},
	slow:          problem{status: 408, name: "slow", title: "The body did not arrive in time. Send it again."},
	busy:          problem{status: 503, name: "busy", title: "Too many requests at once. Try again later.", retry: 5 * time.Second},
	diskFull:      problem{status: 503, name: "diskFull", title: "The server has no space left. Try again later.", retry: time.Minute},
	unavailable:   problem{status: 503, name: "unavailable", title: "The server cannot do this now. Try again later.", retry: 30 * time.Second},
	internal:      problem{status: 500, name: "internal", title: "Something went wrong here; the log says what."},
	unauthorized:  problem{status: 401, name: "unauthorized", title: "A valid token is needed."},
	forbidden:     problem{status: 403, name: "forbidden", title: "The token does not have the scope for this."},
	notFound:      problem{status: 404, name: "notFound", title: "There is no such thing here."},
	wrongMethod:   problem{status: 405, name: "methodNotAllowed", title: "The resource does not take this method."},
	noCertificate: problem{status: 403, name: "noClientCertificate", title: "A client certificate is needed beside the token."},
	refused:       problem{status: 422, name: "refused", title: "The task is not admitted."},
}

// unrouted answers requests for which mux has no pattern: with the methods that the
// path takes, or that there is no such path.
func unrouted(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	allowed := route.Methods(mux, r)
	if len(allowed) == 0 {
		problems.notFound.write(w, "")
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	problems.wrongMethod.write(w, "")
}

// write sends p. detail, if any, describes what the client can correct.
func (p problem) write(w http.ResponseWriter, detail string) {
	body, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail,omitempty"`
	}{"urn:shoal:problem:" + p.name, p.title, p.status, detail})
	if err != nil {
		w.WriteHeader(p.status)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int(p.retry.Seconds())))
	}
	w.WriteHeader(p.status)
	_, _ = w.Write(append(body, '\n'))
}
