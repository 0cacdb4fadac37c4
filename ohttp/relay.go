package ohttp

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/problem"
)

// A RelayConfig is what a [Relay] needs.
type RelayConfig struct {
	// Gateways are the URLs that requests are forwarded to, by the name that is the
	// path of a request to the relay.
	Gateways map[string]string
	// Admit, if it is set, decides whether a request for a gateway of that name is
	// forwarded. The gateway does not learn of one that is not.
	Admit func(r *http.Request, gateway string) bool
	// Sizes are those of clients and gateways. There must be at least one.
	Sizes Sizes
	// Lanes is how many pools of connections to gateways there are, 16 if 0.
	Lanes int
	// MaxInFlight bounds the bytes of requests in progress, 256 MiB if 0.
	MaxInFlight int
	// BodyTimeout bounds the arrival of a request, half that of its answer, 30
	// seconds if 0; Timeout the time that a gateway has for its answer, 1 minute if 0.
	BodyTimeout, Timeout time.Duration
	// TLS is used towards gateways, nil for the defaults of crypto/tls.
	TLS *tls.Config
	// Dial opens connections to gateways, nil for those of package net.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Rand chooses among the lanes, nil for crypto/rand.
	Rand io.Reader
}

// A Relay forwards encapsulated requests to gateways, and their answers back. It is
// an [http.Handler], safe for concurrent use. It has no logger.
type Relay struct {
	config   RelayConfig
	gateways map[string]*url.URL
	lanes    []*http.Transport
	budget   budget
	counts   counter
}

// The problems of the relay. Those of a gateway are replaced by these.
var (
	relayUnknown    = problem.Problem{Status: http.StatusNotFound, Type: problem.Shoal("unknownGateway"), Title: "The relay does not forward to this gateway."}
	relayLength     = problem.Problem{Status: http.StatusLengthRequired, Type: problem.Shoal("lengthRequired"), Title: "The request must state its length."}
	relaySize       = problem.Problem{Status: http.StatusRequestEntityTooLarge, Type: problem.Shoal("messageSize"), Title: "The length of the request is not one of the agreed ones."}
	relayRefused    = problem.Problem{Status: http.StatusBadRequest, Type: problem.Shoal("gatewayRefused"), Title: "The gateway refuses the request."}
	relayLimited    = problem.Problem{Status: http.StatusTooManyRequests, Type: problem.Shoal("limited"), Title: "The relay forwards no more such requests from this network today.", Retry: time.Hour}
	relayBusy       = problem.Problem{Status: http.StatusServiceUnavailable, Type: problem.Shoal("gatewayBusy"), Title: "The gateway is busy. Try again later.", Retry: 30 * time.Second}
	relayNoGateway  = problem.Problem{Status: http.StatusBadGateway, Type: problem.Shoal("gatewayUnreachable"), Title: "The gateway does not answer. Try again later.", Retry: 30 * time.Second}
	relayNoAnswer   = problem.Problem{Status: http.StatusGatewayTimeout, Type: problem.Shoal("gatewayTimeout"), Title: "The gateway did not answer in time. Try again later.", Retry: 30 * time.Second}
	relayBadAnswer  = problem.Problem{Status: http.StatusBadGateway, Type: problem.Shoal("gatewayAnswer"), Title: "The gateway's answer is not an encapsulated response of the agreed length."}
	relayRandomness = problem.Problem{Status: http.StatusInternalServerError, Type: problem.Shoal("internal"), Title: "The relay cannot forward now. Try again later."}
)

// NewRelay checks the configuration. It does not contact a gateway.
func NewRelay(c RelayConfig) (*Relay, error) {
	if len(c.Gateways) == 0 {
		return nil, fmt.Errorf("oblivious relay: no gateway is listed")
	}
	if len(c.Sizes) == 0 {
		return nil, fmt.Errorf("oblivious relay: no message sizes")
	}
	if err := c.Sizes.check(); err != nil {
		return nil, fmt.Errorf("oblivious relay: %w", err)
	}
	defaultInt(&c.Lanes, 16)
	defaultInt(&c.MaxInFlight, 256<<20)
	defaultDuration(&c.BodyTimeout, 30*time.Second)
	defaultDuration(&c.Timeout, time.Minute)
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	relay := &Relay{config: c, gateways: map[string]*url.URL{}, budget: budget{left: c.MaxInFlight}}
	for name, to := range c.Gateways {
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-._") != "" {
			return nil, fmt.Errorf("oblivious relay: gateway name %q: want lower-case letters, digits, '-', '.' and '_'", name)
		}
		u, err := parseURL(to)
		if err != nil {
			return nil, fmt.Errorf("oblivious relay: gateway %s: %w", name, err)
		}
		relay.gateways[name] = u
	}
	for range c.Lanes {
		relay.lanes = append(relay.lanes, newTransport(c.TLS, c.Dial, 0))
	}
	return relay, nil
}

// ServeHTTP forwards one request to the gateway that its path names. What it
// answers has the length that belongs to the length of the request, whatever
// happens.
func (relay *Relay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	limitArrival(w, relay.config.BodyTimeout)
	size, ok := relay.config.Sizes.ofSealed(int(min(r.ContentLength, maxMessage*2)))
	to, p := relay.admit(r, ok)
	var sealed []byte
	if p == nil {
		reserve := int(r.ContentLength) + size.Answer + answerGrowth
		if relay.budget.take(reserve) {
			defer relay.budget.give(reserve) // when the answer has been written
			sealed, p = relay.forward(w, r, to, size)
		} else {
			p = &problemBusy
		}
	}
	limitDeparture(w, relay.config.BodyTimeout)
	defer departed(w)
	if p != nil {
		relay.counts.add(p.Type)
		if p == &problemSlow || r.ContentLength < 0 || r.ContentLength > drained {
			w.Header().Set("Connection", "close") // net/http would add it by itself
		}
		writeFixed(w, p.Status, problem.MediaType, p.Retry, p.Body(size.Answer+answerGrowth))
		return
	}
	relay.counts.add("forwarded")
	writeFixed(w, http.StatusOK, MediaTypeResponse, 0, sealed)
}

// drained is how much of a body that was not read net/http reads before it answers;
// a connection with more is closed.
const drained = 200 << 10

// admit returns where to forward to.
func (relay *Relay) admit(r *http.Request, sizeKnown bool) (*url.URL, *problem.Problem) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	to := relay.gateways[name]
	switch {
	case to == nil:
		return nil, &relayUnknown
	case r.Method != http.MethodPost:
		return nil, &problemMethod
	case r.Header.Get("Content-Type") != MediaTypeRequest:
		return nil, &problemMedia
	case r.ContentLength < 0:
		return nil, &relayLength
	case !sizeKnown:
		return nil, &relaySize
	case relay.config.Admit != nil && !relay.config.Admit(r, name):
		return nil, &relayLimited
	}
	return to, nil
}

// forward reads the request and returns the gateway's answer.
func (relay *Relay) forward(w http.ResponseWriter, r *http.Request, to *url.URL, size Size) ([]byte, *problem.Problem) {
	sealed, p := readBounded(w, r, int(r.ContentLength))
	if p != nil {
		return nil, p
	}
	lane, err := relay.lane()
	if err != nil {
		return nil, &relayRandomness
	}
	// A client that goes away does not end the exchange: the gateway would see when.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), relay.config.Timeout)
	defer cancel()
	out, err := post(ctx, to, sealed)
	if err != nil {
		return nil, &relayNoGateway
	}
	response, err := lane.RoundTrip(out)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, &relayNoAnswer
		}
		return nil, &relayNoGateway
	}
	defer response.Body.Close()
	return readAnswer(response, size.Answer+answerGrowth)
}

// lane returns one of the pools by chance, independently of the client, so that
// whether two requests share a connection is independent of whether they share a
// client.
func (relay *Relay) lane() (*http.Transport, error) {
	var b [8]byte
	if _, err := io.ReadFull(relay.config.Rand, b[:]); err != nil {
		return nil, err
	}
	return relay.lanes[binary.BigEndian.Uint64(b[:])%uint64(len(relay.lanes))], nil
}

// readAnswer returns an encapsulated response of want bytes, or the problem that
// describes what came instead. Nothing else of the answer is passed on.
func readAnswer(response *http.Response, want int) ([]byte, *problem.Problem) {
	body, err := io.ReadAll(io.LimitReader(response.Body, int64(want)+1))
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, &relayNoAnswer
	}
	if err != nil {
		return nil, &relayBadAnswer
	}
	switch {
	case response.StatusCode == http.StatusOK && response.Header.Get("Content-Type") == MediaTypeResponse && len(body) == want:
		return body, nil
	case response.StatusCode == http.StatusServiceUnavailable:
		return nil, &relayBusy
	case response.StatusCode < 400 || response.StatusCode > 499:
		return nil, &relayBadAnswer
	case problem.Temporary(response.StatusCode):
		return nil, &relayBusy
	}
	if doc, ok := problem.Parse(response.Header.Get("Content-Type"), body); ok && doc.Type == ProblemKey {
		return nil, &problemKey
	}
	return nil, &relayRefused
}

// writeFixed answers with a head that has, over HTTP/1.1, the same length for each
// status: a field of padding fills what status text and fields leave.
func writeFixed(w http.ResponseWriter, status int, contentType string, retry time.Duration, body []byte) {
	const head = 120
	h := w.Header()
	h["Date"] = nil // clients have their clock from elsewhere
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	used := len(http.StatusText(status)) + len(contentType)
	problem.SetRetry(h, retry)
	if after := h.Get("Retry-After"); after != "" {
		used += len("Retry-After: \r\n") + len(after)
	}
	if h.Get("Connection") != "" {
		used += len("Connection: close\r\n")
	}
	if status == http.StatusMethodNotAllowed {
		h.Set("Allow", http.MethodPost)
		used += len("Allow: POST\r\n")
	}
	h.Set("Padding", strings.Repeat("0", head-used))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone if this fails
}

// Counts returns how many requests were forwarded, and how many problems of each
// type were answered.
func (relay *Relay) Counts() map[string]uint64 { return relay.counts.snapshot() }

// CloseIdleConnections closes connections to gateways that are not in use.
func (relay *Relay) CloseIdleConnections() {
	for _, lane := range relay.lanes {
		lane.CloseIdleConnections()
	}
}
