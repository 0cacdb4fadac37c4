package ohttp

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"

	"github.com/shoal-project/shoal/ohttp/bhttp"
)

// A writer keeps a handler's answer. Informational responses are dropped: nothing
// can be sent before the final one.
type writer struct {
	header http.Header
	status int
	sent   http.Header // as it was when the status was written
	body   bytes.Buffer
	limit  int
	long   bool
}

// Header returns the header of the answer.
func (w *writer) Header() http.Header { return w.header }

// WriteHeader begins the answer.
func (w *writer) WriteHeader(status int) {
	if w.status != 0 || status < 200 {
		return
	}
	w.status = status
	w.sent = w.header.Clone()
}

// Write adds to the content. Beyond the limit it fails, and so does the answer.
func (w *writer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.long || w.body.Len()+len(b) > w.limit {
		w.long = true
		return 0, fmt.Errorf("answer exceeds %d bytes", w.limit)
	}
	return w.body.Write(b)
}

// response returns the answer when the handler is done.
func (w *writer) response(method string, l bhttp.Limits) (*bhttp.Response, error) {
	if w.long {
		return nil, fmt.Errorf("answer exceeds %d bytes", w.limit)
	}
	w.WriteHeader(http.StatusOK)
	r := &http.Response{StatusCode: w.status, Header: w.sent, Trailer: w.trailer()}
	delete(r.Header, "Trailer")
	if method != http.MethodHead && w.status != http.StatusNoContent && w.status != http.StatusNotModified {
		r.Body = io.NopCloser(&w.body)
		if w.body.Len() > 0 && r.Header.Get("Content-Type") == "" {
			r.Header.Set("Content-Type", "application/octet-stream") // it is not guessed
		}
	}
	return bhttp.ResponseFromHTTP(r, l)
}

// trailer returns the fields that the handler has announced, or has given the
// prefix of net/http, after it wrote the status.
func (w *writer) trailer() http.Header {
	t := http.Header{}
	for _, names := range w.sent.Values("Trailer") {
		for name := range strings.SplitSeq(names, ",") {
			if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); len(w.header[name]) > 0 {
				t[name] = w.header[name]
				delete(w.sent, name)
			}
		}
	}
	for name, values := range maps.All(w.header) {
		if rest, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			t[http.CanonicalHeaderKey(rest)] = values
			delete(w.sent, name)
		}
	}
	return t
}
