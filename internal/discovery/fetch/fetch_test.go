package fetch_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/fetch"
)

// A server gives the configured answer and records the requests.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	remotes  map[string]bool
	resumed  bool
}

func serve(t *testing.T, secure bool, handler http.HandlerFunc) *server {
	t.Helper()
	s := &server{remotes: make(map[string]bool)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r)
		s.remotes[r.RemoteAddr] = true
		s.resumed = s.resumed || r.TLS != nil && r.TLS.DidResume
		s.mu.Unlock()
		handler(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// asked returns the requests so far.
func (s *server) asked() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// reach makes a fetcher whose every connection leads to the server.
func (s *server) reach(t *testing.T, change func(*fetch.Options)) *fetch.Fetcher {
	t.Helper()
	o := fetch.Options{
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
		},
		Allow: func(a netip.Addr) bool { return a.IsLoopback() },
	}
	if s.TLS != nil {
		o.Roots = x509.NewCertPool()
		o.Roots.AddCert(s.Certificate())
	}
	if change != nil {
		change(&o)
	}
	f, err := fetch.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func parse(t *testing.T, u string) discovery.URL {
	t.Helper()
	p, err := discovery.ParseURL(u)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Add("X-Robots-Tag", "nofollow")
	w.Header().Add("X-Robots-Tag", "finchbot: noindex")
	w.Header().Set("Set-Cookie", "person=1")
	_, _ = io.WriteString(w, "<title>A page</title>")
}

// A request carries nothing but what all requests carry, twice the same.
func TestRequest(t *testing.T) {
	s := serve(t, true, page)
	f := s.reach(t, nil)
	for _, u := range []string{"https://example.com/a//b/%41|?q=x'y&z#part", "https://example.com//double?"} {
		r, err := f.Fetch(t.Context(), parse(t, u))
		if err != nil {
			t.Fatal(err)
		}
		if string(r.Body) != "<title>A page</title>" || !slices.Equal(r.Robots, []string{"nofollow", "finchbot: noindex"}) || r.URL != parse(t, u).WithoutFragment() {
			t.Errorf("%s: %s %v", u, r.Body, r.Robots)
		}
	}
	if got, want := s.asked()[0].RequestURI, "/a//b/%41|?q=x%27y&z"; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
	if got, want := s.asked()[1].RequestURI, "https://example.com//double?"; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
	for _, r := range s.asked() {
		want := http.Header{"User-Agent": {"Mozilla/5.0 (compatible; Shoal)"}, "Accept": {"text/html,application/xhtml+xml,application/rss+xml,application/atom+xml,application/xml;q=0.9"}, "Accept-Encoding": {"gzip"}, "Connection": {"close"}}
		if r.Method != http.MethodGet || r.Host != "example.com" || len(r.Header) != len(want) || r.ContentLength != 0 || r.ProtoMajor != 1 {
			t.Errorf("%s %s %v", r.Method, r.Host, r.Header)
		}
		for k, v := range want {
			if !slices.Equal(r.Header[k], v) {
				t.Errorf("%s: %v, want %v", k, r.Header[k], v)
			}
		}
	}
	if len(s.remotes) != 2 || s.resumed {
		t.Errorf("%d connections for two pages, resumed: %v", len(s.remotes), s.resumed)
	}
}

// An answer of a server that is not a page is private; a network failure is not.
func TestAnswers(t *testing.T) {
	bomb := packed(bytes.Repeat([]byte("<p>boom</p>"), 1<<20))
	html := func(status int, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<title>x</title>")
		}
	}
	raw := func(encoding string, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Content-Encoding", encoding)
			_, _ = w.Write(body)
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		private bool
	}{
		"redirect":            {html(302, "Location", "/login"), true},
		"permanent redirect":  {html(308, "Location", "/login"), true},
		"refresh":             {html(200, "Refresh", "0; url=/login"), true},
		"not modified":        {html(304), true},
		"no content":          {html(204), true},
		"partial":             {html(206), true},
		"unauthorised":        {html(401), true},
		"gone":                {html(410), true},
		"out of order":        {html(503), true},
		"a picture":           {html(200, "Content-Type", "image/png"), true},
		"no type":             {html(200, "Content-Type", ""), true},
		"a download":          {html(200, "Content-Disposition", "Attachment; filename=x.html"), true},
		"unknown packing":     {raw("br", []byte("x")), true},
		"two packings":        {raw("gzip, gzip", packed(packed([]byte("x")))), true},
		"not packed":          {raw("gzip", []byte("this is no gzip at all")), true},
		"badly packed":        {raw("gzip", append(packed([]byte("x"))[:12], bytes.Repeat([]byte{0xff}, 40)...)), true},
		"a bomb":              {raw("gzip", bomb), true},
		"packed endlessly":    {raw("gzip", bytes.Repeat(packed(nil), 4<<20/len(packed(nil)))), true},
		"too large":           {raw("identity", bytes.Repeat([]byte("x"), 3<<20)), true},
		"large headers":       {html(200, "X-Large", strings.Repeat("x", 128<<10)), false},
		"broken off":          {brokenOff, false},
		"broken off, packed":  {raw("gzip", packed([]byte(strings.Repeat("words and words ", 100)))[:20]), false},
		"closed at once":      {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false},
		"slower than allowed": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, false, c.handler)
			f := s.reach(t, func(o *fetch.Options) {
				if name == "slower than allowed" {
					o.Timeout = 50 * time.Millisecond
				}
			})
			r, err := f.Fetch(t.Context(), parse(t, "http://secret.example.com/words"))
			if err == nil || errors.Is(err, discovery.ErrPrivate) != c.private || len(r.Body) > 0 {
				t.Errorf("%v, %d bytes; want private: %v", err, len(r.Body), c.private)
			}
			if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "login")) {
				t.Errorf("the error tells of the page: %v", err)
			}
			if len(s.asked()) > 1 {
				t.Errorf("%d requests", len(s.asked()))
			}
		})
	}
}

func brokenOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, "<title>x")
	panic(http.ErrAbortHandler)
}

func packed(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// Pages come out in UTF-8, whatever they were written in.
func TestEncodings(t *testing.T) {
	for name, c := range map[string]struct {
		kind string
		body string
		want string
	}{
		"windows-1252 by header": {"text/html; charset=windows-1252", "caf\xe9", "café"},
		"shift_jis by header":    {"text/html; charset=Shift_JIS", "\x93\xfa\x96{", "日本"},
		"by meta":                {"text/html", `<meta charset="iso-8859-2"><p>` + "\xb1", `<meta charset="iso-8859-2"><p>ą`},
		"utf-16 by mark":         {"text/html", "\xff\xfe<\x00p\x00>\x00\xe9\x00", "<p>é"},
		"utf-8 by mark":          {"text/html; charset=windows-1252", "\xef\xbb\xbfcaf\xc3\xa9", "café"},
		"utf-8, broken":          {"text/html; charset=utf-8", "a\xffb", "a\uFFFDb"},
		"nothing said":           {"text/html", "<p>caf\xc3\xa9</p>", "<p>café</p>"},
	} {
		s := serve(t, false, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed([]byte(c.body)))
		})
		r, err := s.reach(t, nil).Fetch(t.Context(), parse(t, "http://example.com/"))
		if err != nil || string(r.Body) != c.want {
			t.Errorf("%s: %q, %v, want %q", name, r.Body, err, c.want)
		}
	}
}

// names is a name server.
type names map[string][]netip.Addr

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	a, ok := n[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return a, nil
}

func addrs(list ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range list {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

// Nothing is sent to an address that is not public, whatever the name server
// answers, and whenever it does.
func TestAddresses(t *testing.T) {
	s := serve(t, false, page)
	port := s.Listener.Addr().(*net.TCPAddr).Port
	u := "http://name.example.com:" + netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(port)).String()[5:]
	dns := names{}
	get := func(allow func(netip.Addr) bool, url string) error {
		f, err := fetch.New(fetch.Options{Resolver: dns, Allow: allow, Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Fetch(t.Context(), parse(t, url))
		return err
	}
	for _, list := range [][]netip.Addr{
		addrs("127.0.0.1"), addrs("::ffff:127.0.0.1"), addrs("10.1.2.3"), addrs("8.8.8.8", "192.168.1.1"), addrs("fe80::1"), addrs("64:ff9b::a00:1"), addrs("169.254.169.254"),
	} {
		dns["name.example.com."] = list
		if err := get(nil, u); !errors.Is(err, discovery.ErrPrivate) {
			t.Errorf("%v: %v", list, err)
		}
	}
	delete(dns, "name.example.com.")
	if err := get(nil, u); err == nil || errors.Is(err, discovery.ErrPrivate) {
		t.Errorf("no address: %v", err)
	}
	if err := get(nil, s.URL); !errors.Is(err, discovery.ErrPrivate) {
		t.Errorf("an address as host: %v", err)
	}
	// The name server's answer is accepted, the connection is not.
	dns["name.example.com."] = addrs("127.0.0.1")
	asked := 0
	if err := get(func(netip.Addr) bool { asked++; return asked == 1 }, u); !errors.Is(err, discovery.ErrPrivate) || asked != 2 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	if len(s.asked()) > 0 {
		t.Fatalf("%d requests reached the server", len(s.asked()))
	}
	// And the address of the connection is not the one that was checked.
	asked = 0
	if err := get(func(netip.Addr) bool { asked++; return asked <= 2 }, u); !errors.Is(err, discovery.ErrPrivate) || asked != 3 || len(s.asked()) > 0 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	if err := get(netip.Addr.IsLoopback, u); err != nil || len(s.asked()) != 1 {
		t.Errorf("allowed: %v, %d requests", err, len(s.asked()))
	}
}

// Certificates are verified.
func TestCertificate(t *testing.T) {
	s := serve(t, true, page)
	f := s.reach(t, func(o *fetch.Options) { o.Roots = x509.NewCertPool() })
	if _, err := f.Fetch(t.Context(), parse(t, "https://example.com/")); err == nil || errors.Is(err, discovery.ErrPrivate) {
		t.Errorf("an unknown authority: %v", err)
	}
	if _, err := s.reach(t, nil).Fetch(t.Context(), parse(t, "https://other.example.org/")); err == nil {
		t.Error("a certificate of another name was accepted")
	}
	if len(s.asked()) > 0 {
		t.Errorf("%d requests", len(s.asked()))
	}
	old := serve(t, true, page)
	old.TLS.MaxVersion = tls.VersionTLS11
	if _, err := old.reach(t, nil).Fetch(t.Context(), parse(t, "https://example.com/")); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}

// No proxy is used unless it is given, whatever the environment holds.
func TestProxy(t *testing.T) {
	proxy := serve(t, false, page)
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("ALL_PROXY", proxy.URL)
	s := serve(t, false, page)
	if _, err := s.reach(t, nil).Fetch(t.Context(), parse(t, "http://example.com/")); err != nil || len(proxy.asked()) > 0 {
		t.Errorf("%v, %d requests through the proxy", err, len(proxy.asked()))
	}
	given, err := http.NewRequest(http.MethodGet, proxy.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fetch.New(fetch.Options{Proxy: given.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Fetch(t.Context(), parse(t, "http://example.com/a?b")); err != nil || len(proxy.asked()) != 1 || proxy.asked()[0].RequestURI != "http://example.com/a?b" {
		t.Errorf("%v, %d requests through the proxy", err, len(proxy.asked()))
	}
}

func TestOptions(t *testing.T) {
	given, err := http.NewRequest(http.MethodGet, "http://proxy.example.com", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	dial := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no") }
	for _, o := range []fetch.Options{
		{Timeout: -1}, {MaxBody: -1}, {MaxBody: discovery.MaxPage + 1}, {UserAgent: "a\r\nCookie: b"}, {Proxy: given.URL, Dial: dial},
	} {
		if _, err := fetch.New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	f, err := fetch.New(fetch.Options{Dial: dial})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Fetch(t.Context(), parse(t, "https://anna:pw@example.com/")); !errors.Is(err, discovery.ErrPrivate) {
		t.Errorf("credentials: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Fetch(ctx, parse(t, "https://example.com/")); err == nil || errors.Is(err, discovery.ErrPrivate) {
		t.Errorf("cancelled: %v", err)
	}
}
