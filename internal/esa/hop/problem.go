// Package hop is what all hops of a report's way have in common: problem
// documents, the key config that a hop announces, the openers that belong to
// its private keys, and taking a signed batch from the hop before.
//
// Nothing here keeps or returns a peer's address or the headers of a request.
package hop

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// A Problem is an answer that is not a success, as a client sees it (RFC 9457).
// Problems are constants: nothing of the request is in them.
type Problem struct {
	Status int
	Name   string // type is urn:shoal:problem:<Name>
	Title  string
	Retry  time.Duration // Retry-After, if positive
}

// The problems that more than one handler answers with.
var (
	UnknownTask = Problem{Status: http.StatusNotFound, Name: "unknownTask", Title: "This server does not serve the task."}
	BadType     = Problem{Status: http.StatusUnsupportedMediaType, Name: "unsupportedMediaType", Title: "The body has another media type than this resource takes."}
	TooLarge    = Problem{Status: http.StatusRequestEntityTooLarge, Name: "tooLarge", Title: "The body is larger than this resource takes."}
	Cut         = Problem{Status: http.StatusRequestTimeout, Name: "cut", Title: "The body ended early or did not arrive in time. Try again."}
	Unavailable = Problem{Status: http.StatusServiceUnavailable, Name: "unavailable", Title: "The server cannot store this now. Try again later.", Retry: 30 * time.Second}
)

// Write answers with the problem.
func (p Problem) Write(w http.ResponseWriter) {
	body, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
	}{"urn:shoal:problem:" + p.Name, p.Title, p.Status})
	if err != nil {
		http.Error(w, p.Title, p.Status)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.Retry > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64(p.Retry/time.Second), 10))
	}
	w.WriteHeader(p.Status)
	w.Write(body) // the client has gone if this fails
}

// HasType reports whether the request's body is declared to be of the media
// type. Parameters other than those in want are not accepted.
func HasType(r *http.Request, want string) bool { return r.Header.Get("Content-Type") == want }
