package linkability_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/linkability"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/bhttp"
)

// read makes events of an exchange.
func (r *recorder) read(e *exchange) {
	q, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(e.in)))
	if err != nil {
		r.w.t.Errorf("reading a recorded request: %v", err)
		return
	}
	body, err := io.ReadAll(q.Body)
	if err != nil {
		r.w.t.Errorf("reading a recorded request to %s: %v", q.URL.Path, err)
		return
	}
	event := r.outside(e, q, body)
	if e.server == r.w.orgs["relay"].address {
		event.Person = e.person
		r.people[sha256.Sum256(body)] = e.person
		if event.Kind == linkability.KindReport {
			r.sent[sha256.Sum256(body)] = event
		}
		r.client = append(r.client, event)
		return
	}
	switch {
	case q.URL.Path == relay.GatewayPath:
		r.gateway(e, event, body)
	case q.URL.Path == relay.IssuancePath:
		r.issuance(e, event, body)
	case strings.HasSuffix(q.URL.Path, "/batches") || strings.Contains(q.URL.Path, "/batches/"):
		r.batch(body)
	case strings.HasSuffix(q.URL.Path, "/aggregation_jobs"):
		r.job(event, q.URL.Path, body)
	}
}

// outside returns what an exchange shows without any key.
func (r *recorder) outside(e *exchange, q *http.Request, body []byte) *linkability.Event {
	kind := "other"
	switch {
	case strings.HasSuffix(q.URL.Path, ".issuance") || q.URL.Path == relay.IssuancePath:
		kind = "issuance"
	case strings.HasPrefix(q.URL.Path, "/gateways/") || q.URL.Path == relay.GatewayPath:
		kind = linkability.KindReport
	case strings.HasPrefix(q.URL.Path, "/keys/"):
		kind = "keys"
	case strings.HasPrefix(q.URL.Path, "/minute"):
		kind = "minute"
	}
	event := &linkability.Event{
		Kind: kind, Person: -1, At: e.at, Order: e.order, Conn: e.conn, Epoch: e.at.Unix() / int64(r.w.plan.epoch()/time.Second), Prints: linkability.Prints(body),
		Numbers: []linkability.Number{
			{Name: "bytes of request", Value: float64(len(e.in))}, {Name: "bytes of answer", Value: float64(len(e.out))}, {Name: "number on connection", Value: float64(e.nth)},
		},
		Tokens: []linkability.Token{{Name: "path", Value: linkability.TokenOf([]byte(q.Method + q.URL.Path))}},
	}
	head, _, _ := bytes.Cut(e.in, []byte("\r\n\r\n"))
	_, fields, _ := bytes.Cut(head, []byte("\r\n"))
	event.Tokens = append(event.Tokens, linkability.Token{Name: "header", Value: linkability.TokenOf(fields)})
	if kind == linkability.KindReport && len(body) > 0 {
		event.Tokens = append(event.Tokens, linkability.Token{Name: "key of request", Value: uint64(body[0])})
	}
	r.header(event, "", q.Header)
	return event
}

// header adds the fields of a header: their values, and what a time in one is ahead.
func (r *recorder) header(event *linkability.Event, prefix string, h http.Header) {
	for name, values := range h {
		for _, value := range values {
			event.Tokens = append(event.Tokens, linkability.Token{Name: prefix + name, Value: linkability.TokenOf([]byte(value))})
			if at, err := http.ParseTime(value); err == nil {
				event.Numbers = append(event.Numbers, linkability.Number{Name: prefix + name + " ahead", Value: at.Sub(event.At).Seconds()})
			}
		}
	}
}

// gateway reads a request as the gateway can, and the role behind it.
func (r *recorder) gateway(e *exchange, event *linkability.Event, body []byte) {
	event.Person = r.personOf(body)
	m, encoded := r.opened(e.server, body)
	if m == nil {
		return // the gateway cannot either
	}
	from := r.sent[sha256.Sum256(body)]
	if from != nil {
		r.links[from] = event.Conn
	}
	if !carries(m) {
		event.Kind = "fetch"
		if from != nil {
			from.Kind = event.Kind
		}
		return
	}
	name := m.Path
	inner := *event
	inner.Tokens = append(slices.Clone(event.Tokens), linkability.Token{Name: "gateway key", Value: uint64(body[0])}, linkability.Token{Name: "inner path", Value: linkability.TokenOf([]byte(m.Path))})
	inner.Numbers = append(slices.Clone(event.Numbers), linkability.Number{Name: "inner bytes", Value: float64(len(bytes.TrimRight(encoded, "\x00")))})
	h := http.Header{}
	for _, f := range m.Header {
		h.Add(f.Name, f.Value)
		if http.CanonicalHeaderKey(f.Name) == ohttp.RequestIDField {
			name += f.Value
		}
	}
	r.header(&inner, "inner ", h)
	inner.Prints = linkability.Prints(append(slices.Clone(m.Content), []byte(name)...))
	if r.reports[name] == 0 {
		r.reports[name] = uint64(len(r.reports) + 1)
	}
	inner.Report = r.reports[name]
	r.role(&inner, m)
	if from != nil {
		from.Report, from.Route, from.Epoch, from.Begins = inner.Report, inner.Route, inner.Epoch, inner.Begins
	}
	r.note(r.orgOf(e.server), &inner)
}

// carries reports whether a request has a report, or points to be evaluated: what is
// to be linked. All others fetch something.
func carries(m *bhttp.Request) bool {
	return m.Method == http.MethodPost && (strings.HasSuffix(m.Path, "/reports") || strings.Contains(m.Path, "/evaluations/"))
}

// opened opens a request by the keys of a gateway, of which several may have one number.
func (r *recorder) opened(server string, body []byte) (*bhttp.Request, []byte) {
	for _, key := range r.gateways[server] {
		if len(body) == 0 || key.Config().ID != body[0] {
			continue
		}
		encoded, _, err := ohttp.Decapsulate([]*ohttp.PrivateKey{key}, body)
		if err != nil {
			continue
		}
		m, err := bhttp.DecodeRequest(encoded, bhttp.DefaultLimits())
		must(r.w.t, err)
		return m, encoded
	}
	return nil, nil
}

// issuance reads a request for a credential. Who is admitted is known to the issuer: the
// request has the invitation.
func (r *recorder) issuance(e *exchange, event *linkability.Event, body []byte) {
	event.Person = r.personOf(body)
	m, _ := r.opened(e.server, body)
	if m == nil || m.Method != http.MethodPost || event.Person < 0 {
		return
	}
	event.Contents = append(event.Contents, linkability.Token{Name: "invitation", Value: uint64(event.Person + 1)}) //nolint:gosec // not negative
	name := r.orgOf(e.server)
	r.issued[name] = append(r.issued[name], event)
}

// note puts a request to the other times that the same report was sent.
func (r *recorder) note(org string, event *linkability.Event) {
	for _, l := range r.letters[max(0, len(r.letters)-1000):] {
		if l.report == event.Report {
			l.events = append(l.events, event)
			return
		}
	}
	r.letters = append(r.letters, &letter{org: org, person: event.Person, report: event.Report, events: []*linkability.Event{event}})
}

// personOf returns who sealed a request. The client's part of it may have been recorded
// later, because its connection is still open.
func (r *recorder) personOf(body []byte) int {
	if p, ok := r.people[sha256.Sum256(body)]; ok {
		return p
	}
	return -1
}
