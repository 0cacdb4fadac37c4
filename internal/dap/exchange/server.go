package exchange

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/internal/route"
)

// Unrouted adds the answer to requests for which mux has no pattern: [ErrMethod]
// with the methods that the path takes, or [ErrNotFound] if it takes none. It does
// not look at the task, so it reveals nothing of what is served.
func Unrouted(mux *http.ServeMux) {
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		allowed := route.Methods(mux, r)
		if len(allowed) == 0 {
			Refuse(w, nil, ErrNotFound)
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		Refuse(w, nil, ErrMethod)
	})
}

// CheckType fails with [ErrMediaType] if a request's body is not declared to be
// a message of this type.
func CheckType(r *http.Request, want dap.MessageType) error {
	got, err := dap.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || got != want {
		return ErrMediaType.Because("want %s", want.MediaType())
	}
	return nil
}

// Body returns a request's body, which ends with an error that [Refuse] knows
// after limit bytes. A length that is announced and too large is refused at once.
func Body(w http.ResponseWriter, r *http.Request, limit int64) (io.Reader, error) {
	if r.ContentLength > limit {
		return nil, ErrTooLarge.Because("%d bytes, want at most %d", r.ContentLength, limit)
	}
	return truncatedReader{http.MaxBytesReader(w, r.Body, limit)}, nil
}

// ReadBody returns all of a request's body.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	in, err := Body(w, r, limit)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(in)
}

// A truncatedReader turns the errors of a connection into [ErrTruncated].
type truncatedReader struct{ in io.Reader }

func (c truncatedReader) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	if err == nil || err == io.EOF {
		return n, err
	}
	if _, tooLarge := err.(*http.MaxBytesError); tooLarge { //nolint:errorlint // the reader's own
		return n, err
	}
	return n, ErrTruncated
}

// Send answers a request with a message.
func Send(w http.ResponseWriter, status int, t dap.MessageType, body []byte) {
	h := w.Header()
	h.Set("Content-Type", t.MediaType())
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone if this fails
}

// Later answers that a request is taken and not handled yet: with no body, and
// when to ask for the result (section "Asynchronous Request Handling").
func Later(w http.ResponseWriter, status int, retry time.Duration) {
	problem.SetRetry(w.Header(), retry)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}

// Done answers that a request is handled and that there is no body.
func Done(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }

// AllowOrigins lets the programs of all web pages read an answer, without
// credentials.
func AllowOrigins(h http.Header) { h.Set("Access-Control-Allow-Origin", "*") }

// Preflight answers the question of a browser whether a web page may send a
// request with a method and a body of a media type.
func Preflight(w http.ResponseWriter, method string) {
	h := w.Header()
	AllowOrigins(h)
	h.Set("Access-Control-Allow-Methods", method)
	h.Set("Access-Control-Allow-Headers", "Content-Type")
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}
