package bhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// RequestFromHTTP translates a client's request. It reads and closes the body.
// Fields about a connection are an error, and so is Expect, which cannot be
// answered; a field Date is left out, because it would reveal the clock of the
// client.
func RequestFromHTTP(r *http.Request, l Limits) (*Request, error) {
	content, err := readBody(r.Body, l.Size)
	if err != nil {
		return nil, fmt.Errorf("translating request: %w", err)
	}
	if r.URL == nil || r.URL.Host == "" {
		return nil, fmt.Errorf("translating request: the URL has no host")
	}
	if r.Header.Get("Expect") != "" {
		return nil, fmt.Errorf("translating request: field expect cannot be used, because the answer arrives in one piece")
	}
	m := &Request{
		Method: r.Method, Scheme: r.URL.Scheme, Authority: r.Host, Path: r.URL.RequestURI(),
		Header: fieldsFromHTTP(r.Header, "Date", "Host", "Content-Length"), Content: content, Trailer: fieldsFromHTTP(r.Trailer),
	}
	if m.Method == "" {
		m.Method = http.MethodGet
	}
	if m.Authority == "" {
		m.Authority = r.URL.Host
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("translating request: %w", err)
	}
	return m, l.holds(len(m.Method)+len(m.Scheme)+len(m.Authority)+len(m.Path), m.Header, m.Trailer)
}

// HTTP translates the request to what a server's handler takes. Neither the
// address of a peer nor TLS is known: RemoteAddr is empty and TLS nil.
func (m *Request) HTTP(ctx context.Context) (*http.Request, error) {
	target, err := url.ParseRequestURI(m.Path)
	if err != nil {
		return nil, invalid("the path is malformed")
	}
	r := (&http.Request{
		Method: m.Method, URL: target, RequestURI: m.Path, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Host: m.Authority, Header: headerOf(m.Header), Body: io.NopCloser(bytes.NewReader(m.Content)), ContentLength: int64(len(m.Content)),
	}).WithContext(ctx)
	if len(m.Content) == 0 {
		r.Body = http.NoBody
	}
	if len(m.Trailer) > 0 {
		r.Trailer = headerOf(m.Trailer)
	}
	if host := r.Header.Get("Host"); m.Authority == "" {
		r.Host = host
	}
	r.Header.Del("Host")
	if r.Host == "" {
		return nil, invalid("neither an authority nor a field host")
	}
	return r, nil
}

// ResponseFromHTTP translates a response. It reads and closes the body. Fields
// about a connection are left out.
func ResponseFromHTTP(r *http.Response, l Limits) (*Response, error) {
	content, err := readBody(r.Body, l.Size)
	if err != nil {
		return nil, fmt.Errorf("translating response: %w", err)
	}
	drop := []string{"Te"}
	for name := range connectionFields {
		drop = append(drop, http.CanonicalHeaderKey(name))
	}
	for _, v := range r.Header.Values("Connection") { // it lists further ones
		for name := range strings.SplitSeq(v, ",") {
			drop = append(drop, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	m := &Response{Status: r.StatusCode, Header: fieldsFromHTTP(r.Header, drop...), Content: content, Trailer: fieldsFromHTTP(r.Trailer)}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("translating response: %w", err)
	}
	return m, l.holds(0, m.Header, m.Trailer)
}

// HTTP translates the response to what a client takes, as the answer to request,
// which may be nil. Informational responses are left out: the caller gets one
// answer, the final one.
func (m *Response) HTTP(request *http.Request) (*http.Response, error) {
	r := &http.Response{
		StatusCode: m.Status, Status: fmt.Sprintf("%d %s", m.Status, http.StatusText(m.Status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: request,
		Header: headerOf(m.Header), Body: io.NopCloser(bytes.NewReader(m.Content)), ContentLength: int64(len(m.Content)),
	}
	if len(m.Content) == 0 {
		r.Body = http.NoBody
	}
	if len(m.Trailer) > 0 {
		r.Trailer = headerOf(m.Trailer)
	}
	head := request != nil && request.Method == http.MethodHead || m.Status == http.StatusNotModified
	if n, ok, err := contentLength(m.Header); err != nil {
		return nil, err
	} else if ok && n != uint64(len(m.Content)) && !head {
		return nil, invalid("content-length is %d, the content has %d bytes", n, len(m.Content))
	}
	return r, nil
}

// holds reports whether the fields of a message that is about to be encoded are
// within the limits, size being the bytes of the control data.
func (l Limits) holds(size int, sections ...[]Field) error {
	lines := 0
	for _, fields := range sections {
		lines += len(fields)
		for _, f := range fields {
			size += len(f.Name) + len(f.Value)
		}
	}
	if lines > l.Fields {
		return tooLarge("field lines", lines, l.Fields)
	}
	if size > l.FieldBytes {
		return tooLarge("bytes of names and values", size, l.FieldBytes)
	}
	return nil
}

// readBody reads a body of at most limit bytes, and closes it.
func readBody(body io.ReadCloser, limit int) ([]byte, error) {
	if body == nil || body == http.NoBody {
		return nil, nil
	}
	b, err := io.ReadAll(io.LimitReader(body, int64(limit)+1))
	if err := errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("reading body: %w", err)
	}
	if len(b) > limit {
		return nil, fmt.Errorf("reading body: %w", tooLarge("bytes at least", len(b), limit))
	}
	return b, nil
}

// fieldsFromHTTP returns field lines sorted by name, without those to drop.
func fieldsFromHTTP(h http.Header, drop ...string) []Field {
	var fields []Field
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if slices.Contains(drop, http.CanonicalHeaderKey(name)) {
			continue
		}
		for _, v := range h[name] {
			fields = append(fields, Field{strings.ToLower(name), strings.Trim(v, " \t")})
		}
	}
	return fields
}

// headerOf joins the lines of cookies (RFC 9113, section 8.2.3) and keeps others
// apart.
func headerOf(fields []Field) http.Header {
	h := make(http.Header, len(fields))
	var cookies []string
	for _, f := range fields {
		if f.Name == "cookie" {
			cookies = append(cookies, f.Value)
			continue
		}
		h.Add(f.Name, f.Value)
	}
	if len(cookies) > 0 {
		h.Set("Cookie", strings.Join(cookies, "; "))
	}
	return h
}
