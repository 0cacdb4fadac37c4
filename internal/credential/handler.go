package credential

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/metric/task"
)

// Media types of what an issuer takes and serves.
const (
	KeyType       = "application/shoal-credential-key;v=1"
	WitnessedType = "application/shoal-witnessed-credential-key;v=1"
	RequestType   = "application/shoal-credential-request;v=1"
	AnswerType    = "application/shoal-credential;v=1"
)

// The problems that an issuer answers with. The names of their types are part of the
// protocol.
var (
	problemTask = problem.Problem{
		Status: http.StatusNotFound, Type: problem.Shoal("unknownTask"),
		Title: "This server issues no credentials for the task.",
	}
	problemPeriod = problem.Problem{
		Status: http.StatusNotFound, Type: problem.Shoal("credentialPeriod"),
		Title: "Credentials are issued for the present period and the next one only.",
	}
	problemMalformed = problem.Problem{
		Status: http.StatusBadRequest, Type: problem.Shoal("malformed"),
		Title: "The body is not a request for a credential.",
	}
	problemRefused = problem.Problem{
		Status: http.StatusForbidden, Type: problem.Shoal("credentialRefused"),
		Title: "The gate does not admit this client: get an invitation, or ask who runs the server.",
	}
	problemUsed = problem.Problem{
		Status: http.StatusConflict, Type: problem.Shoal("credentialUsed"),
		Title: "The client has a credential of this period already, for another request.",
	}
	problemUnsigned = problem.Problem{
		Status: http.StatusServiceUnavailable, Type: problem.Shoal("credentialUnsigned"),
		Title: "The relay has not signed the key of this period yet. Try again later.", Retry: 10 * time.Minute,
	}
	problemLost = problem.Problem{
		Status: http.StatusServiceUnavailable, Type: problem.Shoal("credentialLost"),
		Title: "The server has lost the key of this period.", Retry: time.Hour,
	}
	problemUnavailable = problem.Problem{
		Status: http.StatusServiceUnavailable, Type: problem.Shoal("unavailable"),
		Title: "The server cannot issue credentials now. Try again later.", Retry: time.Minute,
	}
)

// Handler serves
//
//	GET  /tasks/{task}/credentials/{role}/{start}  the key of the period that starts then
//	POST /tasks/{task}/credentials/{role}/{start}  a credential
//
// for the issuer's role. Start is in Unix seconds. The key of a task with a relay has the
// relay's signature, too, and a type of its own.
func (i *Issuer) Handler() http.Handler {
	mux := http.NewServeMux()
	path := "/tasks/{task}/credentials/" + i.c.Role.String() + "/{start}"
	mux.HandleFunc("GET "+path, i.serve(func(_ http.ResponseWriter, _ *http.Request, of issued, start int64) (string, []byte, error) {
		b, err := i.announcement(of, start)
		return keyTypeOf(of.task), b, err
	}))
	mux.HandleFunc("POST "+path, i.serve(func(w http.ResponseWriter, r *http.Request, of issued, start int64) (string, []byte, error) {
		b, err := i.post(w, r, of, start)
		return AnswerType, b, err
	}))
	return mux
}

// keyTypeOf returns the type of what is announced of a task's keys.
func keyTypeOf(t *task.Task) string {
	if t.Relayed() {
		return WitnessedType
	}
	return KeyType
}

// serve returns a handler that answers with what f returns for the task and the period of
// the path, and its type.
func (i *Issuer) serve(f func(http.ResponseWriter, *http.Request, issued, int64) (string, []byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		of, start, ok := i.named(r)
		if !ok {
			problemTask.Write(w, 0)
			return
		}
		mediaType, b, err := f(w, r, of, start)
		answer(w, mediaType, b, err)
	}
}

// named returns the task and the period that a request's path names.
func (i *Issuer) named(r *http.Request) (of issued, start int64, ok bool) {
	id, err := task.ParseID(r.PathValue("task"))
	if err != nil {
		return issued{}, 0, false
	}
	if of, ok = i.task(id); !ok {
		return issued{}, 0, false
	}
	text := r.PathValue("start")
	start, err = strconv.ParseInt(text, 10, 64)
	return of, start, err == nil && strconv.FormatInt(start, 10) == text
}

// errMalformed means a body that is not a request.
var errMalformed = errors.New("not a request for a credential")

func (i *Issuer) post(w http.ResponseWriter, r *http.Request, of issued, start int64) ([]byte, error) {
	s, err := i.slot(of, start)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxIssue))
	if err != nil || r.Header.Get("Content-Type") != RequestType {
		return nil, errMalformed
	}
	a, err := parseApplication(s, body)
	if err != nil {
		return nil, errMalformed
	}
	return i.issue(r.Context(), of, a)
}

// answer writes what was asked for, or why there is nothing. What an error says stays
// here: it may be about the disk.
func answer(w http.ResponseWriter, mediaType string, b []byte, err error) {
	switch {
	case err == nil:
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(b) // the client has gone if this fails
	case errors.Is(err, ErrPeriod):
		problemPeriod.Write(w, 0)
	case errors.Is(err, errUnsigned):
		problemUnsigned.Write(w, 0)
	case errors.Is(err, errMalformed), errors.Is(err, arc.ErrEncoding), errors.Is(err, arc.ErrProof):
		problemMalformed.Write(w, 0)
	case errors.Is(err, ErrRefused):
		problemRefused.Write(w, 0)
	case errors.Is(err, errUsed):
		problemUsed.Write(w, 0)
	case errors.Is(err, ErrLost):
		problemLost.Write(w, 0)
	default:
		problemUnavailable.Write(w, 0)
	}
}
