package randomness

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/internal/spent"
	"github.com/shoal-project/shoal/metric/task"
)

// A Cause is what became of a request.
type Cause uint8

// The causes.
const (
	Answered Cause = iota
	UnknownTask
	TooEarly
	TooLate
	Malformed
	BadType
	BadPresentation
	Spent
	Busy
	Unavailable
	KeyLost

	numCauses = iota
)

// outcomes names causes and has their problems.
var outcomes = [numCauses]struct {
	name    string
	problem problem.Problem
}{
	Answered:        {name: "answered"},
	UnknownTask:     {"unknown_task", problem.Problem{Status: http.StatusNotFound, Type: problem.Shoal("unknownTask"), Title: "The server evaluates nothing for this task and epoch."}},
	TooEarly:        {"too_early", problem.Problem{Status: http.StatusForbidden, Type: problem.Shoal("tooEarly"), Title: "The epoch has not begun. Check the clock.", Retry: time.Minute}},
	TooLate:         {"too_late", problem.Problem{Status: http.StatusGone, Type: problem.Shoal("evaluationOver"), Title: "The key of the epoch was destroyed. Ask in the next epoch."}},
	Malformed:       {"malformed", problem.Problem{Status: http.StatusBadRequest, Type: problem.Shoal("malformedEvaluation"), Title: "The body is not an evaluation request of exactly 64 points."}},
	BadType:         {"bad_type", problem.Problem{Status: http.StatusUnsupportedMediaType, Type: problem.Shoal("badType"), Title: "The content type is not " + RequestType + "."}},
	BadPresentation: {"invalid_presentation", problem.Problem{Status: http.StatusForbidden, Type: problem.Shoal("invalidPresentation"), Title: "The presentation is not one of this task and epoch, bound to this request."}},
	Spent:           {"spent_presentation", problem.Problem{Status: http.StatusConflict, Type: problem.Shoal("spentPresentation"), Title: "The presentation was shown with another request."}},
	Busy:            {"busy", problem.Problem{Status: http.StatusServiceUnavailable, Type: problem.Shoal("busy"), Title: "Too many requests wait. Try again later.", Retry: time.Minute}},
	Unavailable:     {"unavailable", problem.Problem{Status: http.StatusServiceUnavailable, Type: problem.Shoal("unavailable"), Title: "The server cannot evaluate now. Try again later.", Retry: time.Minute}},
	KeyLost:         {"key_lost", problem.Problem{Status: http.StatusServiceUnavailable, Type: problem.Shoal("evaluationKeyLost"), Title: "The server has lost the key of this epoch. Ask in the next epoch.", Retry: time.Hour}},
}

// String returns the cause as counters name it.
func (c Cause) String() string {
	if int(c) < numCauses {
		return outcomes[c].name
	}
	return "cause " + strconv.Itoa(int(c))
}

func causeOf(err error) Cause {
	if err == nil {
		return Answered
	}
	for _, is := range []struct {
		err   error
		cause Cause
	}{
		{errTask, UnknownTask},
		{errEarly, TooEarly},
		{errLate, TooLate},
		{voprf.ErrEncoding, Malformed},
		{ErrPresentation, BadPresentation},
		{spent.ErrSpent, Spent},
		{errBusy, Busy},
		{errLost, KeyLost},
		{spent.ErrDamaged, KeyLost},
	} {
		if errors.Is(err, is.err) {
			return is.cause
		}
	}
	return Unavailable
}

// Handler serves
//
//	GET  /tasks/{task}/evaluations/{epoch}  the key of the epoch, as announced
//	POST /tasks/{task}/evaluations/{epoch}  an evaluation
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	const path = "/tasks/{task}/evaluations/{epoch}"
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		id, e, ok := named(r)
		if !ok {
			outcomes[UnknownTask].problem.Write(w, 0)
			return
		}
		h, err := s.serve(id, e)
		if err != nil {
			s.refuse(w, causeOf(err), err)
			return
		}
		answer(w, KeyType, h.announced)
	})
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		b, cause, err := s.post(w, r)
		s.counts.by[cause].Add(1)
		if cause != Answered {
			s.refuse(w, cause, err)
			return
		}
		answer(w, AnswerType, b)
	})
	return mux
}

// refuse answers with a problem. What an error says stays here: it may be about the disk.
func (s *Server) refuse(w http.ResponseWriter, c Cause, err error) {
	if durable.IsFull(err) {
		s.counts.full.Add(1)
	}
	if c == Answered { // never: a caller without an error
		c = Unavailable
	}
	outcomes[c].problem.Write(w, AnswerSize)
}

func answer(w http.ResponseWriter, mediaType string, b []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b) // the client has gone if this fails
}

func (s *Server) post(w http.ResponseWriter, r *http.Request) ([]byte, Cause, error) {
	id, e, ok := named(r)
	if !ok || s.task(id) == nil {
		return nil, UnknownTask, errTask
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/shoal-evaluation-request" {
		return nil, BadType, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return nil, Malformed, err
	}
	q, err := ParseRequest(body)
	if err != nil {
		return nil, Malformed, err
	}
	b, err := s.evaluate(r.Context(), id, e, q)
	return b, causeOf(err), err
}

// named returns the task and epoch of a request's path.
func named(r *http.Request) (task.ID, task.Epoch, bool) {
	return ParsePath(r.PathValue("task"), r.PathValue("epoch"))
}

// ParsePath reads the task and the epoch of a request's path.
func ParsePath(of, text string) (task.ID, task.Epoch, bool) {
	id, err := task.ParseID(of)
	if err != nil {
		return id, 0, false
	}
	e, err := strconv.ParseUint(text, 10, 64)
	return id, task.Epoch(e), err == nil && strconv.FormatUint(e, 10) == text
}

// counts are the figures of a server.
type counts struct {
	by          [numCauses]atomic.Uint64
	destroyed   atomic.Uint64
	undestroyed atomic.Uint64
	full        atomic.Uint64
	cut         atomic.Uint64
}

// A Status is how a server is.
type Status struct {
	Requests    map[string]uint64 // by cause, since the start
	Keys        int               // at work
	Destroyed   uint64            // keys, since the start
	Undestroyed uint64            // tries to destroy a key that failed, since the start
	Full        uint64            // requests that failed because the disk is full
	Cut         uint64            // presentations whose rows were damaged at the end of a list, since the start: maybe they can be shown again
	Overdue     int               // keys that should have been destroyed and are still there
	Lost        []string          // keys of present epochs that are gone, by folder
	ClockUnsure bool              // the clock has jumped: nothing is evaluated or destroyed
}

// Status returns how the server is.
func (s *Server) Status(ctx context.Context) (Status, error) {
	now, sure := s.guard.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{
		Requests: map[string]uint64{}, Keys: len(s.held), ClockUnsure: !sure,
		Destroyed: s.counts.destroyed.Load(), Undestroyed: s.counts.undestroyed.Load(), Full: s.counts.full.Load(), Cut: s.counts.cut.Load(),
		Lost: append([]string(nil), s.lost...),
	}
	for i := range s.counts.by {
		st.Requests[Cause(i).String()] = s.counts.by[i].Load()
	}
	all, err := s.store.folders(ctx)
	for _, k := range all {
		if !now.Before(s.store.ends(k)) {
			st.Overdue++
		}
	}
	return st, err
}
