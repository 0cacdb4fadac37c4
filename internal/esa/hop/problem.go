// Package hop is what all hops of a report's way have in common: the problems that they
// answer with, the key config that a hop announces, the openers that belong to its
// private keys, and taking a signed batch from the hop before.
//
// Nothing here keeps or returns a peer's address or the headers of a request.
package hop

import (
	"net/http"
	"time"

	"github.com/shoal-project/shoal/internal/problem"
)

// The problems that more than one handler answers with.
var (
	UnknownTask = problem.Problem{Status: http.StatusNotFound, Type: problem.Shoal("unknownTask"), Title: "This server does not serve the task."}
	BadType     = problem.Problem{Status: http.StatusUnsupportedMediaType, Type: problem.Shoal("unsupportedMediaType"), Title: "The body has another media type than this resource takes."}
	TooLarge    = problem.Problem{Status: http.StatusRequestEntityTooLarge, Type: problem.Shoal("tooLarge"), Title: "The body is larger than this resource takes."}
	Cut         = problem.Problem{Status: http.StatusRequestTimeout, Type: problem.Shoal("cut"), Title: "The body ended early or did not arrive in time. Try again."}
	Unavailable = problem.Problem{Status: http.StatusServiceUnavailable, Type: problem.Shoal("unavailable"), Title: "The server cannot store this now. Try again later.", Retry: 30 * time.Second}
)

// HasType reports whether the request's body is declared to be of the media
// type. Parameters other than those in want are not accepted.
func HasType(r *http.Request, want string) bool { return r.Header.Get("Content-Type") == want }
