package server

import (
	"net/http"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/internal/route"
)

// problems are those that this package answers with; roles have their own. A detail is
// fixed text or names what the client itself sent; it never holds data of the server.
var problems = struct {
	malformed, tooLarge, unknownTask, busy, slow, diskFull, unavailable, internal, unauthorized, forbidden, notFound, wrongMethod, refused, noCertificate, relayOnly problem.Problem
}{
	malformed:     problem.Problem{Status: http.StatusBadRequest, Type: problem.Shoal("malformed"), Title: "The request is not what this address takes."},
	tooLarge:      problem.Problem{Status: http.StatusRequestEntityTooLarge, Type: problem.Shoal("tooLarge"), Title: "The body is larger than this address takes."},
	unknownTask:   problem.Problem{Status: http.StatusNotFound, Type: problem.Shoal("unknownTask"), Title: "This server does not serve the task."},
	slow:          problem.Problem{Status: http.StatusRequestTimeout, Type: problem.Shoal("slow"), Title: "The body did not arrive in time. Send it again."},
	busy:          problem.Problem{Status: http.StatusServiceUnavailable, Type: problem.Shoal("busy"), Title: "Too many requests at once. Try again later.", Retry: 5 * time.Second},
	diskFull:      problem.Problem{Status: http.StatusServiceUnavailable, Type: problem.Shoal("diskFull"), Title: "The server has no space left. Try again later.", Retry: time.Minute},
	unavailable:   problem.Problem{Status: http.StatusServiceUnavailable, Type: problem.Shoal("unavailable"), Title: "The server cannot do this now. Try again later.", Retry: 30 * time.Second},
	internal:      problem.Problem{Status: http.StatusInternalServerError, Type: problem.Shoal("internal"), Title: "Something went wrong here; the log says what."},
	unauthorized:  problem.Problem{Status: http.StatusUnauthorized, Type: problem.Shoal("unauthorized"), Title: "A valid token is needed."},
	forbidden:     problem.Problem{Status: http.StatusForbidden, Type: problem.Shoal("forbidden"), Title: "The token does not have the scope for this."},
	notFound:      problem.Problem{Status: http.StatusNotFound, Type: problem.Shoal("notFound"), Title: "There is no such thing here."},
	wrongMethod:   problem.Problem{Status: http.StatusMethodNotAllowed, Type: problem.Shoal("methodNotAllowed"), Title: "The resource does not take this method."},
	noCertificate: problem.Problem{Status: http.StatusForbidden, Type: problem.Shoal("noClientCertificate"), Title: "A client certificate is needed beside the token."},
	relayOnly:     problem.Problem{Status: http.StatusForbidden, Type: problem.Shoal("relayOnly"), Title: "Clients reach this task through its relay only."},
	refused:       problem.Problem{Status: http.StatusUnprocessableEntity, Type: problem.Shoal("refused"), Title: "The task is not admitted."},
}

// unrouted answers requests for which mux has no pattern: with the methods that the
// path takes, or that there is no such path.
func unrouted(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	allowed := route.Methods(mux, r)
	if len(allowed) == 0 {
		problems.notFound.Write(w, 0)
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	problems.wrongMethod.Write(w, 0)
}
