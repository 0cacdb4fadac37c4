// Package problem writes and reads problem documents (RFC 9457) and the header
// Retry-After, and has the one list of status codes that are worth a retry.
//
// A server answers with [Problem.Write]. A client reads an answer with [Read], or with
// [Parse] if it has the body already, and asks [Temporary] whether to send the same
// request again. Text that [Read] and [Parse] return is a peer's: it is bounded and has
// one line, and nothing else is known of it.
//
// The codec of package dap has the members that DAP adds to its own documents; it
// does not depend on net/http and stays on its own.
package problem

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MediaType is the media type of problem documents.
const MediaType = "application/problem+json"

// namespace is the prefix of types that are Shoal's own.
const namespace = "urn:shoal:problem:"

// Bounds of what is read from a peer.
const (
	maxDocument = 1 << 14 // bytes of a document
	maxText     = 300     // bytes of a member
)

// A Problem is an answer that is not a success. Servers have their problems as
// constants; a request adds at most a detail. A document can be padded with white space,
// which JSON ignores, to a length that does not depend on it.
type Problem struct {
	Type   string `json:"type"` // a URI
	Title  string `json:"title,omitempty"`
	Status int    `json:"status,omitempty"`
	Detail string `json:"detail,omitempty"` // for people; nothing secret
	Task   string `json:"taskid,omitempty"` // the task ID, in documents of DAP
	// Unsupported are the report extensions that are not known, in documents of DAP.
	Unsupported []uint16      `json:"unsupported_extensions,omitempty"`
	Retry       time.Duration `json:"-"` // Retry-After, if positive
}

// Shoal returns the URI of a type of Shoal's own.
func Shoal(name string) string { return namespace + name }

// Name returns the name of a type of Shoal's own, false for other types.
func (p Problem) Name() (string, bool) {
	name, ok := strings.CutPrefix(p.Type, namespace)
	return name, ok && name != ""
}

// Because returns the problem with a detail: what the client can correct.
func (p Problem) Because(detail string) Problem {
	p.Detail = detail
	return p
}

// Body returns the document, with spaces up to size bytes. Size 0 does not pad; a
// document that is longer than size is returned as it is.
func (p Problem) Body(size int) []byte {
	b, err := json.Marshal(p)
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
	b := p.Body(size)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	WriteDocument(w, p.Status, p.Retry, b)
}

// WriteDocument answers with an encoded document. Retry-After is not sent unless retry
// is positive.
func WriteDocument(w http.ResponseWriter, status int, retry time.Duration, document []byte) {
	h := w.Header()
	h.Set("Content-Type", MediaType)
	h.Set("Cache-Control", "no-store")
	SetRetry(h, retry)
	w.WriteHeader(status)
	_, _ = w.Write(document) // the client has gone if this fails
}

// Read returns what an answer says of a failure: status and Retry-After, and the
// members of the problem document if the body is one. At most 16 KiB of the body
// are read, and it is not closed. now is for a Retry-After that is a date.
func Read(resp *http.Response, now time.Time) Problem {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	if err != nil {
		body = nil // the status is enough
	}
	p, _ := Parse(resp.Header.Get("Content-Type"), body)
	p.Status, p.Retry = resp.StatusCode, RetryAfter(resp.Header, now)
	return p
}

// Parse reads a document of a peer. It returns false if the media type is another, or
// the body is not a JSON object: proxies and firewalls answer with pages of their own.
// Members are cut to 300 bytes and one line; a type that is not a URI is dropped.
func Parse(mediaType string, body []byte) (Problem, bool) {
	kind, _, _ := strings.Cut(mediaType, ";")
	if !strings.EqualFold(strings.TrimSpace(kind), MediaType) {
		return Problem{}, false
	}
	p, err := Decode(body)
	if err != nil {
		return Problem{}, false
	}
	if len(p.Type) > maxText || strings.ContainsFunc(p.Type, func(r rune) bool { return r <= ' ' || r > '~' }) {
		p.Type = "" // "about:blank", as if it were missing (RFC 9457, section 3.1.1)
	}
	p.Title, p.Detail, p.Task = clip(p.Title), clip(p.Detail), clip(p.Task)
	return p, true
}

// Decode reads a document of a server that is trusted, as it is.
func Decode(body []byte) (Problem, error) {
	var p Problem
	if err := json.Unmarshal(body, &p); err != nil {
		return Problem{}, err
	}
	return p, nil
}

// clip bounds text of a peer, as far as it goes into errors, and leaves out
// what would break a line.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return ' '
		}
		return r
	}, s[:min(len(s), maxText)])
	return strings.ToValidUTF8(s, "")
}
