package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/minute"
	"github.com/shoal-project/shoal/ohttp/witness"
)

const (
	maxMinute = 1 << 10         // bytes
	maxReport = 1 << 20         // bytes of a request's body that are read
	timeout   = 1 * time.Minute // of one exchange with the relay
)

// A Client has the ways to the parties of tasks that have a relay. It is safe for
// concurrent use.
type Client struct {
	transport http.RoundTripper
	clock     clock.Clock

	mu   sync.Mutex
	ways map[string]*Way // by relay and first party
}

// NewClient returns a client without ways. rt makes the exchanges with relays; nil is a
// transport that contacts the relay and nothing else, by TLS 1.3.
func NewClient(rt http.RoundTripper, c clock.Clock) *Client {
	return &Client{transport: rt, clock: c, ways: map[string]*Way{}}
}

// Way returns the way to the parties of a task, which must have a relay. Tasks with the
// same relay and first party share one. It contacts nothing.
func (c *Client) Way(t *task.Task) (*Way, error) {
	if !t.Relayed() {
		return nil, fmt.Errorf("task %q has no relay", t.Metric)
	}
	relay, first := t.Protection.Relay, t.First()
	name := relay.URL + " " + string(relay.Identity) + string(first.Identity)
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.ways[name]; w != nil {
		return w, nil
	}
	fetcher, err := ohttp.NewFetcher(ohttp.FetcherConfig{Relay: relay.URL, Timeout: timeout, TLS: clientTLS(), Transport: c.transport})
	if err != nil {
		return nil, err
	}
	w := &Way{
		relay: relay, first: first, transport: c.transport, fetcher: fetcher,
		minutes: minute.NewClient(first.Identity, c.clock, 0), sources: map[string]*witness.Source{}, clients: map[string]http.RoundTripper{},
		opened: map[string]opened{},
	}
	c.ways[name] = w
	return w, nil
}

func clientTLS() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS13} }

// A Way reaches the parties of tasks through one relay. What fails is to be tried again
// later, in the same way: there is no other. It is safe for concurrent use.
type Way struct {
	relay, first task.Party
	transport    http.RoundTripper
	fetcher      *ohttp.Fetcher

	asking  sync.Mutex // held while the minute is fetched
	minutes *minute.Client

	mu      sync.Mutex
	sources map[string]*witness.Source
	clients map[string]http.RoundTripper
	opened  map[string]opened // by the identities of a task's hops
}

// Now returns the time by which to choose epochs and keys, to the minute. It is that of
// the first party, which the relay serves to all clients alike; it is asked for when the
// last one is older than an hour.
func (w *Way) Now(ctx context.Context) (time.Time, error) {
	if now, err := w.minutes.Now(); err == nil {
		return now, nil
	}
	w.asking.Lock()
	defer w.asking.Unlock()
	if now, err := w.minutes.Now(); err == nil { // another call has asked
		return now, nil
	}
	signed, err := w.fetcher.Get(ctx, minutesPath+nameOf(w.first.Identity), minute.MediaType, maxMinute)
	if err == nil {
		err = w.minutes.Take(signed)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("asking the relay for the time: %w", err)
	}
	return w.minutes.Now()
}

// Known returns the time without asking the relay for it, and whether it is known.
func (w *Way) Known() (time.Time, bool) {
	now, err := w.minutes.Now()
	return now, err == nil
}

// Keys returns the keys of a party for the present period of a purpose, signed by the
// party and the relay.
func (w *Way) Keys(ctx context.Context, p task.Party, purpose string) ([]byte, error) {
	if _, err := w.Now(ctx); err != nil { // the source does not ask for it
		return nil, err
	}
	source, err := w.source(p, purpose)
	if err != nil {
		return nil, err
	}
	keys, err := source.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("keys of the %v for %s: %w", p.Role, purpose, err)
	}
	return keys, nil
}

func (w *Way) source(p task.Party, purpose string) (*witness.Source, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := purpose + " " + string(p.Identity)
	if s := w.sources[name]; s != nil {
		return s, nil
	}
	s, err := witness.NewSource(witness.SourceConfig{
		Party: p.Identity, Witness: w.relay.Identity, Purpose: purpose, Length: Purposes()[purpose], Now: w.minutes.Now,
		Fetch: func(ctx context.Context, path, mediaType string, limit int) ([]byte, error) {
			return w.fetcher.Get(ctx, keysPath+path, mediaType, limit)
		},
	})
	if err == nil {
		w.sources[name] = s
	}
	return s, err
}

// Transport returns what makes requests to a party: their URLs are those of the party,
// and they go to the relay. A request whose body is the same has the same ID, so that
// a party that answers it twice can know. An answer that is not the party's own is an error.
func (w *Way) Transport(p task.Party) (http.RoundTripper, error) { return w.to(p, "") }

// Issuance is Transport to where the party issues credentials.
func (w *Way) Issuance(p task.Party) (http.RoundTripper, error) { return w.to(p, issuance) }

func (w *Way) to(p task.Party, suffix string) (http.RoundTripper, error) {
	source, err := w.source(p, Gateway)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	name := nameOf(p.Identity) + suffix
	if c := w.clients[name]; c != nil {
		return c, nil
	}
	c, err := ohttp.NewClient(ohttp.ClientConfig{
		Relay: strings.TrimSuffix(w.relay.URL, "/") + gatewaysPath + name, Sizes: Sizes(), Timeout: timeout, TLS: clientTLS(), Transport: w.transport,
		Key: func(ctx context.Context) (ohttp.KeyConfig, error) {
			if _, err := w.Now(ctx); err != nil {
				return ohttp.KeyConfig{}, err
			}
			return source.Key(ctx)
		},
	})
	if err != nil {
		return nil, err
	}
	w.clients[name] = &named{c}
	return w.clients[name], nil
}

// A named gives requests with a body an ID that follows from it, and takes what the
// gateway answers in place of the party for an error.
type named struct{ client *ohttp.Client }

// RoundTrip implements [http.RoundTripper].
func (n *named) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody && r.Header.Get(ohttp.RequestIDField) == "" {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxReport+1))
		_ = r.Body.Close() // it was read
		if err != nil {
			return nil, fmt.Errorf("reading the request: %w", err)
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.Header.Set(ohttp.RequestIDField, requestID(r.URL.Path, body))
	}
	response, err := n.client.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 400 {
		return response, nil
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if p, ok := problem.Parse(response.Header.Get("Content-Type"), body); ok && ohttp.GatewayProblem(p.Type) {
		return nil, fmt.Errorf("the gateway answers in the place of the party: HTTP %d: %s", response.StatusCode, p.Title)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// requestID returns the value of the field that names a request.
func requestID(path string, body []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "shoal request\x00%s\x00", path)
	h.Write(body)
	return `"` + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16]) + `"`
}
