package ohttp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/ohttp/bhttp"
)

// RequestIDField is the header field of an inner request that names it: a gateway
// answers a second request of one name as it answered the first.
const RequestIDField = "Idempotency-Key"

// ProblemKey is the problem type of answers to requests whose key configuration
// the gateway does not have (RFC 9458, section 5.3).
const ProblemKey = "https://iana.org/assignments/http-problem-types#ohttp-key"

// A ClientConfig is what a [Client] needs.
type ClientConfig struct {
	// Relay is the URL of the relay's resource for the gateway. Nothing else is
	// ever contacted.
	Relay string
	// Key returns the gateway's key configuration. It is called once a request, and
	// must return the same to all clients at one time. Its errors end the request.
	Key func(context.Context) (KeyConfig, error)
	// Sizes are those of relay and gateway, nil not to pad.
	Sizes Sizes
	// Limits bound what is encoded and decoded; the zero value is bhttp.DefaultLimits.
	Limits bhttp.Limits
	// Timeout bounds one exchange with the relay, 1 minute if 0.
	Timeout time.Duration
	// TLS is used towards the relay, nil for the defaults of crypto/tls.
	TLS *tls.Config
	// Dial opens connections to the relay, nil for those of package net.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Transport makes the exchanges with the relay in place of TLS and Dial. Whatever
	// it contacts beside the relay's host is its own doing.
	Transport http.RoundTripper
	// Rand is the source of request IDs, nil for crypto/rand.
	Rand io.Reader
}

// A Client sends HTTP requests through a relay to a gateway. It is an
// [http.RoundTripper], safe for concurrent use.
type Client struct {
	config    ClientConfig
	relay     *url.URL
	transport http.RoundTripper
}

// StaticKey returns a source of one key configuration.
func StaticKey(c KeyConfig) func(context.Context) (KeyConfig, error) {
	return func(context.Context) (KeyConfig, error) { return c, nil }
}

// NewClient checks the configuration. It does not contact the relay.
func NewClient(c ClientConfig) (*Client, error) {
	relay, err := parseURL(c.Relay)
	if err != nil {
		return nil, fmt.Errorf("oblivious client: relay: %w", err)
	}
	if c.Key == nil {
		return nil, fmt.Errorf("oblivious client: no source of key configurations")
	}
	if err := c.Sizes.check(); err != nil {
		return nil, fmt.Errorf("oblivious client: %w", err)
	}
	if c.Limits == (bhttp.Limits{}) {
		c.Limits = bhttp.DefaultLimits()
	}
	if c.Timeout <= 0 {
		c.Timeout = time.Minute
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return &Client{config: c, relay: relay, transport: orTransport(c.Transport, c.TLS, c.Dial)}, nil
}

// orTransport returns the transport given, or else a new one.
func orTransport(rt http.RoundTripper, config *tls.Config, dial func(context.Context, string, string) (net.Conn, error)) http.RoundTripper {
	if rt != nil {
		return rt
	}
	return newTransport(config, dial, 90*time.Second)
}

// closeIdle closes connections of a transport that are not in use.
func closeIdle(rt http.RoundTripper) {
	if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// newTransport returns a transport that contacts the host of a request's URL and
// no other: no proxy of the environment, no redirect, no other protocol.
func newTransport(config *tls.Config, dial func(context.Context, string, string) (net.Conn, error), idle time.Duration) *http.Transport {
	return &http.Transport{
		DialContext: dial, TLSClientConfig: config, ForceAttemptHTTP2: true, DisableCompression: true,
		TLSHandshakeTimeout: 20 * time.Second, IdleConnTimeout: idle, MaxIdleConnsPerHost: 8, MaxResponseHeaderBytes: 16 << 10,
	}
}

// parseURL accepts an https URL, or an http URL of this machine.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return nil, fmt.Errorf("%q is not a URL with a host and without userinfo, query and fragment", s)
	}
	if u.Scheme == "https" {
		return u, nil
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) {
		return u, nil
	}
	return nil, fmt.Errorf("%q: want https; http is for loopback addresses", s)
}

type answerSizeKey struct{}

// WithAnswerSize returns a context whose requests expect answers of up to n bytes
// of binary HTTP, so that a fitting size is chosen. Without it any size will do.
func WithAnswerSize(ctx context.Context, n int) context.Context {
	return context.WithValue(ctx, answerSizeKey{}, n)
}

// RoundTrip encodes the request and sends it once, as [Client.Encode] and
// [Client.Send] do. It does not retry: a caller that does sends the request again
// with the same field [RequestIDField], or stores what Encode returns.
func (c *Client) RoundTrip(r *http.Request) (*http.Response, error) {
	message, err := c.Encode(r)
	if err != nil {
		return nil, err
	}
	response, err := c.Send(r.Context(), message)
	if err != nil {
		return nil, err
	}
	response.Request = r
	return response, nil
}

// Encode returns the binary HTTP message of a request, padded. If the request has
// no field [RequestIDField] it gets one with a random value. Sending the same
// message again is safe for as long as the gateway accepts its present key. The
// message is not encrypted.
func (c *Client) Encode(r *http.Request) ([]byte, error) {
	if r.Header.Get(RequestIDField) == "" {
		var id [16]byte
		if _, err := io.ReadFull(c.config.Rand, id[:]); err != nil {
			return nil, errors.Join(fmt.Errorf("oblivious request: reading randomness: %w", err), closeBody(r))
		}
		r = r.Clone(r.Context())
		if r.Header == nil {
			r.Header = http.Header{}
		}
		r.Header.Set(RequestIDField, `"`+base64.RawURLEncoding.EncodeToString(id[:])+`"`)
	}
	m, err := bhttp.RequestFromHTTP(r, c.config.Limits)
	if err != nil {
		return nil, fmt.Errorf("oblivious request: %w", err)
	}
	message, err := m.Append(nil, bhttp.KnownLength)
	if err != nil {
		return nil, fmt.Errorf("oblivious request: %w", err)
	}
	if len(c.config.Sizes) == 0 {
		return message, nil
	}
	answer, _ := r.Context().Value(answerSizeKey{}).(int)
	size, err := c.config.Sizes.fit(len(message), answer)
	if err != nil {
		return nil, fmt.Errorf("oblivious request: %w", err)
	}
	return bhttp.Pad(message, size.Request)
}

func closeBody(r *http.Request) error {
	if r.Body == nil {
		return nil
	}
	return r.Body.Close()
}

// Send encapsulates a message that [Client.Encode] has returned, with fresh keys,
// sends it to the relay, and returns the gateway's answer. It sends once, and
// contacts the relay only. An error means that nothing is known of the request: it
// may have been processed, and can be sent again.
func (c *Client) Send(ctx context.Context, message []byte) (*http.Response, error) {
	m, err := bhttp.DecodeRequest(message, c.config.Limits)
	if err != nil {
		return nil, fmt.Errorf("oblivious request: %w", err)
	}
	sealed, opener, err := c.encapsulate(ctx, message)
	if err != nil {
		return nil, err
	}
	want := 0
	if len(c.config.Sizes) > 0 {
		size, ok := c.config.Sizes.ofRequest(len(message))
		if !ok {
			return nil, fmt.Errorf("oblivious request: %d bytes are none of the agreed message sizes", len(message))
		}
		want = size.Answer + answerGrowth
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	answer, err := c.exchange(ctx, sealed, want)
	if err != nil {
		return nil, err
	}
	encoded, err := opener.Open(answer)
	if err != nil {
		return nil, fmt.Errorf("oblivious answer: %w", err)
	}
	response, err := bhttp.DecodeResponse(encoded, c.config.Limits)
	if err != nil {
		return nil, fmt.Errorf("oblivious answer: %w", err)
	}
	return response.HTTP(&http.Request{Method: m.Method})
}

func (c *Client) encapsulate(ctx context.Context, message []byte) ([]byte, *ResponseOpener, error) {
	key, err := c.config.Key(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("oblivious request: key configuration: %w", err)
	}
	if len(c.config.Sizes) > 0 {
		key.Suites = withLengthOf(DefaultSuite, key.Suites)
	}
	sealed, opener, err := key.Encapsulate(message)
	if err != nil {
		return nil, nil, fmt.Errorf("oblivious request: %w", err)
	}
	return sealed, opener, nil
}

// withLengthOf returns the suites whose answers have the same length.
func withLengthOf(want Suite, suites []Suite) []Suite {
	var same []Suite
	for _, s := range suites {
		if s.supported() && s.keySize() == want.keySize() {
			same = append(same, s)
		}
	}
	return same
}

// exchange sends one encapsulated request, and returns the encapsulated response,
// of want bytes if want is positive.
func (c *Client) exchange(ctx context.Context, sealed []byte, want int) ([]byte, error) {
	r, err := post(ctx, c.relay, sealed)
	if err != nil {
		return nil, fmt.Errorf("oblivious request: %w", err)
	}
	response, err := c.transport.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("sending to the relay: %w", err)
	}
	defer response.Body.Close()
	limit := want
	if limit == 0 {
		limit = c.config.Limits.Size + 2*secretSize
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("reading the relay's answer: %w", err)
	}
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != MediaTypeResponse {
		return nil, relayError(response, body, time.Now())
	}
	if len(body) > limit || want > 0 && len(body) != want {
		return nil, fmt.Errorf("oblivious answer: %w: %d bytes or more, want %d", ErrMalformed, len(body), limit)
	}
	return body, nil
}

// post makes a request with an encapsulated one as its content, and no header
// field that is not needed.
func post(ctx context.Context, to *url.URL, sealed []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), io.NopCloser(bytes.NewReader(sealed)))
	if err != nil {
		return nil, err
	}
	r.ContentLength = int64(len(sealed)) // without GetBody: it is not sent twice
	r.Header = http.Header{"Content-Type": {MediaTypeRequest}, "User-Agent": {""}}
	return r, nil
}

// CloseIdleConnections closes connections to the relay that are not in use.
func (c *Client) CloseIdleConnections() { closeIdle(c.transport) }

// A RelayError is an answer of relay or gateway that is not what was asked for. Its
// author is not known: the relay could have made it up.
type RelayError struct {
	Status int
	Type   string        // of the problem document, if it has one
	Retry  time.Duration // of Retry-After, an hour at most, 0 if it is missing
}

// Error names the status and the problem.
func (e *RelayError) Error() string {
	if e.Type == "" {
		return fmt.Sprintf("HTTP %d from the relay instead of what was asked for", e.Status)
	}
	return fmt.Sprintf("HTTP %d from the relay instead of what was asked for: %q", e.Status, e.Type)
}

// RetryAfter returns Retry.
func (e *RelayError) RetryAfter() time.Duration { return e.Retry }

// Is makes an error of type [ProblemKey] match [ErrUnknownKey].
func (e *RelayError) Is(target error) bool { return target == ErrUnknownKey && e.Type == ProblemKey }

func relayError(r *http.Response, body []byte, now time.Time) error {
	doc, _ := problem.Parse(r.Header.Get("Content-Type"), body)
	return &RelayError{Status: r.StatusCode, Type: doc.Type, Retry: problem.RetryAfter(r.Header, now)}
}
