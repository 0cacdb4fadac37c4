// Package problem writes problem documents (RFC 9457) for HTTP handlers.
//
// A [Problem] is a constant: nothing of a request is in it. It can be padded with
// white space, which JSON ignores, to a length that does not depend on it.
package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// MediaType is the media type of problem documents.
const MediaType = "application/problem+json"

// A Problem is an answer that is not a success.
type Problem struct {
	Status int
	Type   string // a URI
	Title  string
	Retry  time.Duration // Retry-After, if positive
}

// Shoal returns the URI of a type of Shoal's own.
func Shoal(name string) string { return "urn:shoal:problem:" + name }

// Body returns the document, with spaces up to size bytes. Size 0 does not pad; a
// document that is longer than size is returned as it is.
func (p Problem) Body(size int) []byte {
	b, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
	}{p.Type, p.Title, p.Status})
	if err != nil { // strings and a number
		b = []byte("{}")
	}
	for len(b) < size {
		b = append(b, ' ')
	}
	return b
}

// Write answers with the problem, its document being padded to size bytes.
func (p Problem) Write(w http.ResponseWriter, size int) {
	h := w.Header()
	h.Set("Content-Type", MediaType)
	h.Set("Cache-Control", "no-store")
	if p.Retry > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64(p.Retry/time.Second), 10))
	}
	b := p.Body(size)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(b) // the client has gone if this fails
}
