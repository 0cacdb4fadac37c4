package fetch

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/html/charset"

	"github.com/shoal-project/shoal/internal/discovery"
)

// Options are what a Fetcher works with; the zero value of a field means its
// default.
type Options struct {
	UserAgent string        // "Mozilla/5.0 (compatible; Shoal)"
	Timeout   time.Duration // of a whole fetch. 20 seconds
	MaxBody   int64         // bytes of a page, unpacked. 2 MiB; at most discovery.MaxPage
	Proxy     *url.URL      // http, https or socks5; nil: none, whatever the environment holds

	// Resolver finds addresses; nil: the system's.
	Resolver Resolver
	// Dial, if not nil, makes the connections instead, to "host:port" with the
	// name as it is in the URL. The remote address of a connection is checked
	// all the same. For tests and demonstrations.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Allow, if not nil, reports whether an address that is not public may be
	// connected to. For tests and demonstrations: with it, pages of a private
	// network can be taken for public ones.
	Allow func(netip.Addr) bool
	// Roots are the authorities that certificates are verified with; nil: the
	// system's.
	Roots *x509.CertPool
}

// A Resolver finds the addresses of a name. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	defaultAgent   = "Mozilla/5.0 (compatible; Shoal)"
	defaultTimeout = 20 * time.Second
	defaultBody    = 2 << 20
	maxHeader      = 64 << 10
	maxAddresses   = 16
)

// A Fetcher fetches pages anonymously. It implements discovery.Fetcher and is
// safe for concurrent use.
type Fetcher struct{ options Options }

// New makes a fetcher.
func New(o Options) (*Fetcher, error) {
	if o.UserAgent == "" {
		o.UserAgent = defaultAgent
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxBody == 0 {
		o.MaxBody = defaultBody
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	switch {
	case o.Timeout < 0 || o.MaxBody < 0 || o.MaxBody > discovery.MaxPage:
		return nil, fmt.Errorf("making an anonymous fetcher: a limit below zero, or of more than %d bytes", discovery.MaxPage)
	case strings.ContainsAny(o.UserAgent, "\r\n"):
		return nil, errors.New("making an anonymous fetcher: a user agent of several lines")
	case o.Proxy != nil && o.Dial != nil:
		return nil, errors.New("making an anonymous fetcher: want a proxy or a dialer, not both")
	}
	return &Fetcher{o}, nil
}

// Fetch asks for a page. It returns an error that wraps discovery.ErrPrivate if
// there is no public page, and another one if the network failed. No error
// quotes the server's answer, or the URL.
func (f *Fetcher) Fetch(ctx context.Context, u discovery.URL) (discovery.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, f.options.Timeout)
	defer cancel()
	r, err := f.fetch(ctx, u.WithoutFragment())
	if err != nil {
		return discovery.Response{}, fmt.Errorf("fetching a page: %w", hide(err))
	}
	return r, nil
}

// A refusal is the reason why there is no public page.
type refusal struct{ why string }

func (r refusal) Error() string { return r.why + ": " + discovery.ErrPrivate.Error() }

func (refusal) Unwrap() error { return discovery.ErrPrivate }

func private(why string) error { return refusal{why} }

func (f *Fetcher) fetch(ctx context.Context, u discovery.URL) (discovery.Response, error) {
	none := discovery.Response{}
	if u.HasCredentials() {
		return none, private("the URL carries credentials")
	}
	request := f.request(ctx, u)
	transport := f.transport()
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return none, err
	}
	defer answer.Body.Close()
	if err := f.acceptable(u, answer); err != nil {
		return none, err
	}
	body, err := f.body(answer)
	if err != nil {
		return none, err
	}
	return discovery.Response{URL: u, Robots: answer.Header.Values("X-Robots-Tag"), Body: body}, nil
}

// request makes the request, whose target is the URL's bytes as browsers write
// them: package url would write some paths otherwise.
func (f *Fetcher) request(ctx context.Context, u discovery.URL) *http.Request {
	host := u.Host()
	if p := u.Port(); u.Scheme() == "http" && p != 80 || u.Scheme() == "https" && p != 443 {
		host = fmt.Sprintf("%s:%d", host, p)
	}
	target, query, hasQuery := u.Path(), u.Query(), strings.Contains(u.String(), "?")
	if strings.HasPrefix(target, "//") || f.options.Proxy != nil && u.Scheme() == "http" {
		target = "//" + host + target // makes package url write the absolute form, which servers must read
	}
	r := &http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Scheme: u.Scheme(), Host: host, Opaque: target, RawQuery: query, ForceQuery: hasQuery && query == ""},
		Host:   host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"User-Agent":      {f.options.UserAgent},
			"Accept":          {"text/html,application/xhtml+xml,application/rss+xml,application/atom+xml,application/xml;q=0.9"},
			"Accept-Encoding": {"gzip"},
		},
		Close: true,
	}
	return r.WithContext(ctx)
}

// transport makes the means of one fetch; nothing of it outlives that.
func (f *Fetcher) transport() *http.Transport {
	o := f.options
	t := &http.Transport{
		DialContext:            f.dial,
		DisableKeepAlives:      true,
		DisableCompression:     true, // unpacked here, with a bound
		MaxResponseHeaderBytes: maxHeader,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots, SessionTicketsDisabled: true},
		Protocols:              new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	if o.Proxy != nil {
		t.Proxy = http.ProxyURL(o.Proxy)
		t.DialContext = (&net.Dialer{}).DialContext
	}
	return t
}

// acceptable reports whether an answer is a page.
func (f *Fetcher) acceptable(u discovery.URL, a *http.Response) error {
	switch {
	case a.StatusCode >= 300 && a.StatusCode < 400:
		return private("a redirect")
	case a.StatusCode != http.StatusOK:
		return private(fmt.Sprintf("status %d", a.StatusCode))
	}
	kind, _, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil && kind == "" || !u.Accepts(kind) {
		return private("no HTML")
	}
	if strings.Contains(strings.ToLower(a.Header.Get("Content-Disposition")), "attachment") {
		return private("a download")
	}
	if a.ContentLength > f.options.MaxBody {
		return private("too large")
	}
	if len(a.Header.Values("Refresh")) > 0 {
		return private("a redirect by header")
	}
	return nil
}

// body reads, unpacks and decodes the body within the bound.
func (f *Fetcher) body(a *http.Response) ([]byte, error) {
	limit := f.options.MaxBody
	// What is packed is bounded too: a stream that unpacks to nothing may be endless.
	packed := &io.LimitedReader{R: a.Body, N: limit + 1}
	var in io.Reader = packed
	var err error
	switch strings.ToLower(strings.TrimSpace(strings.Join(a.Header.Values("Content-Encoding"), ","))) {
	case "", "identity":
	case "gzip", "x-gzip":
		if in, err = gzip.NewReader(packed); err != nil {
			return nil, broken(err)
		}
	default:
		return nil, private("an encoding that was not asked for")
	}
	raw, err := io.ReadAll(io.LimitReader(in, limit+1))
	switch {
	case int64(len(raw)) > limit || packed.N == 0:
		return nil, private("too large")
	case err != nil:
		return nil, broken(err)
	}
	return decode(raw, a.Header.Get("Content-Type"), limit)
}

// decode turns a page into UTF-8.
func decode(raw []byte, contentType string, limit int64) ([]byte, error) {
	encoding, name, _ := charset.DetermineEncoding(raw, contentType)
	if name == "utf-8" {
		return bytes.ToValidUTF8(withoutMark(raw), []byte("\uFFFD")), nil
	}
	// Encodings expand at most threefold.
	out, err := encoding.NewDecoder().Bytes(raw)
	if err != nil {
		return nil, private("an encoding that cannot be read")
	}
	if int64(len(out)) > max(limit, discovery.MaxPage) {
		return nil, private("too large")
	}
	return withoutMark(out), nil
}

func withoutMark(b []byte) []byte { return bytes.TrimPrefix(b, []byte("\ufeff")) }

// broken distinguishes bad compression by the server from failures of the network.
func broken(err error) error {
	var corrupt flate.CorruptInputError
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.As(err, &corrupt) {
		return private("no gzip")
	}
	return err
}

// hide takes URL, addresses and server's words out of errors of package net.
func hide(err error) error {
	var refused refusal
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("it took too long")
	}
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return errors.New("the name has no address")
	case errors.As(err, &dns):
		return errors.New("the name server did not answer")
	case errors.As(err, &cert):
		return errors.New("the certificate does not verify")
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("it took too long")
	}
	return errors.New("the connection failed")
}
