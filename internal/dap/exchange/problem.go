package exchange

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dap"
)

// namespace is the prefix of problem types that are not the draft's.
const namespace = "urn:shoal:problem:"

// A Problem is a request that failed, at the server that refuses it or at the
// client that was refused.
type Problem struct {
	Status int
	Name   string        // of a type that is ours; "" for one of the draft's and for a foreign one
	Title  string        // fixed text, for people
	Detail string        // for people; nothing secret
	Retry  time.Duration // when to try again; 0: not given
	Abort  *dap.Abort    // the draft's problem; nil for other types
}

// Problems of our own, for what the draft has no type.
var (
	ErrMediaType    = Problem{Status: http.StatusUnsupportedMediaType, Name: "unsupportedMediaType", Title: "The body has another media type than this resource takes."}
	ErrTooLarge     = Problem{Status: http.StatusRequestEntityTooLarge, Name: "tooLarge", Title: "The body is larger than this resource takes."}
	ErrTruncated    = Problem{Status: http.StatusRequestTimeout, Name: "cut", Title: "The body ended early or did not arrive in time. Try again."}
	ErrBusy         = Problem{Status: http.StatusTooManyRequests, Name: "busy", Title: "Too much work at once. Try again later."}
	ErrUnavailable  = Problem{Status: http.StatusServiceUnavailable, Name: "unavailable", Title: "The server cannot do this now. Try again later.", Retry: 30 * time.Second}
	ErrUnauthorized = Problem{Status: http.StatusUnauthorized, Name: "unauthorized", Title: "A valid token is needed."}
	ErrNotFound     = Problem{Status: http.StatusNotFound, Name: "notFound", Title: "There is no such thing here."}
	ErrMethod       = Problem{Status: http.StatusMethodNotAllowed, Name: "methodNotAllowed", Title: "The resource does not take this method."}
	ErrMutation     = Problem{Status: http.StatusConflict, Name: "forbiddenMutation", Title: "The ID belongs to a resource that another request created."}
	ErrDeleted      = Problem{Status: http.StatusGone, Name: "deleted", Title: "The resource was deleted."}
	ErrNoLongerKept = Problem{Status: http.StatusGone, Name: "noLongerKept", Title: "The result is no longer kept here."}
	errInternal     = Problem{Status: http.StatusInternalServerError, Name: "internal", Title: "Something went wrong here; the log says what."}
)

// Error returns status, type and detail.
func (p Problem) Error() string {
	text := fmt.Sprintf("HTTP %d", p.Status)
	switch {
	case p.Abort != nil:
		text += ": " + p.Abort.Error()
	case p.Name != "":
		text += ": " + p.Name
		if p.Detail != "" {
			text += ": " + p.Detail
		}
	case p.Detail != "":
		text += ": " + p.Detail
	}
	return text
}

// Unwrap returns the draft's problem, if it is one.
func (p Problem) Unwrap() error {
	if p.Abort == nil {
		return nil
	}
	return p.Abort
}

// Is reports whether target is a [Problem] of the same type: the same name of
// ours, or the same type of the draft.
func (p Problem) Is(target error) bool {
	t, ok := target.(Problem)
	if !ok {
		return false
	}
	if p.Abort != nil && t.Abort != nil {
		return p.Abort.Type == t.Abort.Type
	}
	return p.Abort == nil && t.Abort == nil && p.Name != "" && p.Name == t.Name
}

// After returns the problem with a time to try again.
func (p Problem) After(d time.Duration) Problem {
	p.Retry = d
	return p
}

// Because returns the problem with a detail.
func (p Problem) Because(format string, a ...any) Problem {
	p.Detail = fmt.Sprintf(format, a...)
	return p
}

// Passing reports whether the same request may succeed later: the server is busy,
// broken or away.
func (p Problem) Passing() bool {
	switch p.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return p.Status >= 500
}

// ProblemOf returns how a server answers to an error, and whether the error is
// the server's own fault, which is then for its log. nil is no problem of anybody.
func ProblemOf(err error) (Problem, bool) {
	if p, ok := errors.AsType[Problem](err); ok {
		return p, false
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return ErrTooLarge, false
	}
	if errors.Is(err, dap.ErrLimit) {
		return Problem{Status: http.StatusRequestEntityTooLarge, Abort: dap.AbortOf(err)}, false
	}
	if abort := dap.AbortOf(err); abort != nil {
		return Problem{Status: statusOf(abort.Type), Abort: abort}, false
	}
	return errInternal, true
}

func statusOf(p dap.ProblemType) int {
	switch p {
	case dap.ProblemUnrecognizedTask, dap.ProblemUnrecognizedAggregationJob:
		return http.StatusNotFound
	}
	return http.StatusBadRequest
}

// Refuse answers a request with the problem that an error means. task is the
// task that the request is about, nil if it is not known. It reports whether the
// error is the server's own fault.
func Refuse(w http.ResponseWriter, task *dap.TaskID, err error) bool {
	p, ours := ProblemOf(err)
	p.write(w, task)
	return ours
}

// document is a problem document of ours.
type document struct {
	Type   string `json:"type"`
	Title  string `json:"title,omitempty"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Task   string `json:"taskid,omitempty"`
}

func (p Problem) write(w http.ResponseWriter, task *dap.TaskID) {
	h := w.Header()
	h.Set("Content-Type", dap.ProblemMediaType)
	h.Set("Cache-Control", "no-store")
	setRetry(h, p.Retry)
	w.WriteHeader(p.Status)
	_, _ = w.Write(p.document(task)) // the client has gone if this fails
}

func (p Problem) document(task *dap.TaskID) []byte {
	if p.Abort != nil {
		if b, err := p.Abort.Document(p.Status, task); err == nil {
			return b
		}
	}
	d := document{Type: namespace + p.Name, Title: p.Title, Status: p.Status, Detail: p.Detail}
	if task != nil {
		d.Task = task.String()
	}
	b, err := json.Marshal(d)
	if err != nil {
		return nil // not reached: the fields are strings and a number
	}
	return b
}

// parseProblem reads the answer of a server that refuses a request.
func parseProblem(status int, mediaType string, body []byte) Problem {
	p := Problem{Status: status}
	kind, _, _ := strings.Cut(mediaType, ";")
	if !strings.EqualFold(strings.TrimSpace(kind), dap.ProblemMediaType) {
		return p
	}
	if abort, err := dap.ParseDocument(body); err == nil {
		abort.Detail = clip(abort.Detail)
		p.Abort = abort
		return p
	}
	var d document
	if json.Unmarshal(body, &d) != nil {
		return p
	}
	if name, ours := strings.CutPrefix(d.Type, namespace); ours {
		p.Name = clip(name)
	}
	p.Title, p.Detail = clip(d.Title), clip(d.Detail)
	if p.Detail == "" {
		p.Detail = clip(d.Type)
	}
	return p
}

// clip bounds text of a peer, as far as it goes into errors, and leaves out
// what would break a line.
func clip(s string) string {
	const most = 300
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return ' '
		}
		return r
	}, s[:min(len(s), most)])
	return strings.ToValidUTF8(s, "")
}

// setRetry sets Retry-After, in whole seconds, rounded up.
func setRetry(h http.Header, d time.Duration) {
	if d > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10))
	}
}
