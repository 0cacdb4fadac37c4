package ohttp

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A FetcherConfig is what a [Fetcher] needs.
type FetcherConfig struct {
	// Relay is a URL of the relay; paths are joined to it.
	Relay string
	// Timeout bounds one exchange, 1 minute if 0.
	Timeout time.Duration
	// TLS is used towards the relay, nil for the defaults of crypto/tls.
	TLS *tls.Config
	// Dial opens connections to the relay, nil for those of package net.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Transport makes the exchanges, as [ClientConfig.Transport] does.
	Transport http.RoundTripper
}

// A Fetcher gets what the relay itself serves to all clients alike, such as
// witnessed keys, under the rules of a [Client]: it contacts the relay and nothing
// else, whatever happens, and sends no header field that distinguishes clients. It
// is safe for concurrent use.
type Fetcher struct {
	relay     *url.URL
	timeout   time.Duration
	transport http.RoundTripper
}

// NewFetcher checks the configuration. It does not contact the relay.
func NewFetcher(c FetcherConfig) (*Fetcher, error) {
	relay, err := parseURL(c.Relay)
	if err != nil {
		return nil, fmt.Errorf("relay fetcher: %w", err)
	}
	defaultDuration(&c.Timeout, time.Minute)
	return &Fetcher{relay: relay, timeout: c.Timeout, transport: orTransport(c.Transport, c.TLS, c.Dial)}, nil
}

// Get returns the body at path, of at most limit bytes, if it has the media type.
// Other answers are errors of type [*RelayError].
func (f *Fetcher) Get(ctx context.Context, path, mediaType string, limit int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	at := f.relay.JoinPath(strings.Split(strings.Trim(path, "/"), "/")...)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("fetching from the relay: %w", err)
	}
	r.Header = http.Header{"User-Agent": {""}}
	response, err := f.transport.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("fetching from the relay: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("fetching from the relay: %w", err)
	}
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != mediaType {
		return nil, fmt.Errorf("fetching from the relay: %w", relayError(response, body, time.Now()))
	}
	if len(body) > limit {
		return nil, fmt.Errorf("fetching from the relay: %w: more than %d bytes", ErrMalformed, limit)
	}
	return body, nil
}

// CloseIdleConnections closes connections to the relay that are not in use.
func (f *Fetcher) CloseIdleConnections() { closeIdle(f.transport) }
