package exchange

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/problem"
)

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
	return problem.Temporary(p.Status)
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

func (p Problem) write(w http.ResponseWriter, task *dap.TaskID) {
	problem.WriteDocument(w, p.Status, p.Retry, p.document(task))
}

func (p Problem) document(task *dap.TaskID) []byte {
	if p.Abort != nil {
		if b, err := p.Abort.Document(p.Status, task); err == nil {
			return b
		}
	}
	d := problem.Problem{Type: problem.Shoal(p.Name), Title: p.Title, Status: p.Status, Detail: p.Detail}
	if task != nil {
		d.Task = task.String()
	}
	return d.Body(0)
}

// readProblem reads the answer of a server that refuses a request.
func readProblem(resp *http.Response, now time.Time) Problem {
	d := problem.Read(resp, now)
	p := Problem{Status: d.Status, Title: d.Title, Detail: d.Detail, Retry: d.Retry}
	if kind, ok := dap.ParseProblemURI(d.Type); ok {
		p.Abort = &dap.Abort{Type: kind, Detail: d.Detail, Unsupported: d.Unsupported}
		return p
	}
	p.Name, _ = d.Name()
	if p.Detail == "" {
		p.Detail = d.Type
	}
	return p
}
