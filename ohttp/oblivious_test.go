package ohttp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/bhttp"
)

// TestThroughRelay sends requests from client to handler with both KEMs.
func TestThroughRelay(t *testing.T) {
	for _, kem := range []ohttp.KEM{ohttp.X25519, ohttp.XWing} {
		e := &echo{}
		w := newWorld(t, kem, e, nil, nil)
		r := request(t, http.MethodPost, "/tasks/1?x=y", "hello")
		r.Header.Set("Content-Type", "text/plain")
		r.Header.Set("Date", "Mon, 30 Nov 2026 11:00:00 GMT")
		answer, err := (&http.Client{Transport: w.client}).Do(r)
		status, body := read(t, answer, err)
		if status != 201 || body != "got hello" || answer.Header.Get("Content-Type") != "text/plain" {
			t.Errorf("%v: %d %q %v", kem, status, body, answer.Header)
		}
		got := e.seen[0]
		if got.Host != target || got.URL.Path != "/tasks/1" || got.RemoteAddr != "" || got.TLS != nil {
			t.Errorf("%v: %+v", kem, got)
		}
		if len(got.Header) != 2 || got.Header.Get("Content-Type") != "text/plain" || len(got.Header.Get("Idempotency-Key")) != 24 {
			t.Errorf("%v: header %v, want Content-Type and Idempotency-Key alone", kem, got.Header)
		}
		if got.Context().Value(http.LocalAddrContextKey) != nil || got.Context().Value(http.ServerContextKey) != nil {
			t.Errorf("%v: the handler's context has values of the connection", kem)
		}
		if d := w.dials.all(); len(d) != 1 || d[0] != w.relayAt.Listener.Addr().String() {
			t.Errorf("%v: the client opened connections to %v", kem, d)
		}
	}
}

// TestWhatTheRelaySees records what arrives at relay and gateway: one length, no
// header field that is not needed, and nothing of the client at the gateway.
func TestWhatTheRelaySees(t *testing.T) {
	var mu sync.Mutex
	var atRelay, atGateway []*http.Request
	var bodies [][]byte
	record := func(to *[]*http.Request, keep bool) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(b))
				mu.Lock()
				*to = append(*to, r.Clone(r.Context()))
				if keep {
					bodies = append(bodies, b)
				}
				mu.Unlock()
				h.ServeHTTP(w, r)
			})
		}
	}
	w := newWorld(t, ohttp.X25519, &echo{}, record(&atRelay, false), record(&atGateway, true))
	for _, body := range []string{"", "a", strings.Repeat("b", 200)} {
		answer, err := w.client.RoundTrip(request(t, http.MethodPost, "/secret-path", body))
		read(t, answer, err)
	}
	for i, r := range slices.Concat(atRelay, atGateway) {
		want := http.Header{"Content-Type": {"message/ohttp-req"}, "Content-Length": {strconv.Itoa(512 + 55)}}
		for name, values := range r.Header {
			if !slices.Equal(values, want[name]) {
				t.Errorf("request %d has field %s %q", i, name, values)
			}
		}
		if r.ContentLength != 512+55 || r.Method != http.MethodPost {
			t.Errorf("request %d: %s of %d bytes", i, r.Method, r.ContentLength)
		}
	}
	if atRelay[0].URL.Path != "/reports" || atGateway[0].URL.Path != "/gateway" {
		t.Errorf("paths %s, %s", atRelay[0].URL.Path, atGateway[0].URL.Path)
	}
	for i, b := range bodies {
		if bytes.Contains(b, []byte("secret-path")) || bytes.Contains(b, []byte(target)) {
			t.Errorf("request %d is not encrypted", i)
		}
		if i > 0 && bytes.Equal(b[7:39], bodies[0][7:39]) {
			t.Error("two requests have one encapsulated key")
		}
	}
}

// A failure is a way in which relay or gateway fails.
type failure struct {
	name    string
	relay   func(http.Handler) http.Handler
	gateway func(http.Handler) http.Handler
	break_  func(*world) // after the servers are up
	is      error
}

func status(code int, contentType, body string) func(http.Handler) http.Handler {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Alt-Svc", `h2="127.0.0.1:1"`)
			w.Header().Set("Refresh", "0; url=http://127.0.0.1:1/")
			w.Header().Set("Location", "http://"+otherAddress+"/gateway")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		})
	}
}

// otherAddress is where a listener is that nothing may contact.
var otherAddress string

// change has the handler's answer changed before it is sent.
func change(f func(w http.ResponseWriter, body []byte)) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := &recorded{header: http.Header{}}
			h.ServeHTTP(rec, r)
			w.Header().Set("Content-Type", rec.header.Get("Content-Type"))
			f(w, rec.body.Bytes())
		})
	}
}

type recorded struct {
	header http.Header
	body   bytes.Buffer
}

func (r *recorded) Header() http.Header         { return r.header }
func (r *recorded) WriteHeader(int)             {}
func (r *recorded) Write(b []byte) (int, error) { return r.body.Write(b) }

func failures() []failure {
	hang := func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			select {
			case <-r.Context().Done():
			case <-time.After(time.Second): // longer than the client waits
			}
		})
	}
	abort := func(http.Handler) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	}
	truncate := change(func(w http.ResponseWriter, b []byte) {
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		_, _ = w.Write(b[:len(b)/2])
		panic(http.ErrAbortHandler)
	})
	short := change(func(w http.ResponseWriter, b []byte) { _, _ = w.Write(b[:len(b)-1]) })
	long := change(func(w http.ResponseWriter, b []byte) { _, _ = w.Write(append(b, 0)) })
	flipped := change(func(w http.ResponseWriter, b []byte) { b[len(b)/2] ^= 1; _, _ = w.Write(b) })
	problemJSON := `{"type":"https://iana.org/assignments/http-problem-types#ohttp-key"}`
	var all []failure
	for name, f := range map[string]func(http.Handler) http.Handler{
		"hangs": hang, "aborts": abort, "truncates": truncate, "shortens": short, "lengthens": long, "flips a bit": flipped,
		"is empty": status(200, "message/ohttp-res", ""), "has another type": status(200, "text/html", "<p>"),
		"redirects 302": status(302, "text/plain", ""), "redirects 307": status(307, "text/plain", ""), "redirects 308": status(308, "text/plain", ""),
		"400": status(400, "text/plain", "no"), "401": status(401, "text/plain", "no"), "403": status(403, "text/plain", "no"),
		"407": status(407, "text/plain", "no"), "429": status(429, "text/plain", "no"), "500": status(500, "text/plain", "no"), "503": status(503, "text/plain", "no"),
		"unknown key": status(422, "application/problem+json", problemJSON),
	} {
		var is error
		if name == "unknown key" {
			is = ohttp.ErrUnknownKey
		}
		all = append(all, failure{name: "relay " + name, relay: f, is: is}, failure{name: "gateway " + name, gateway: f, is: is})
	}
	return append(
		all,
		failure{name: "relay down", break_: func(w *world) { w.relayAt.Close() }},
		failure{name: "gateway down", break_: func(w *world) { w.gatewayAt.Close() }},
		failure{name: "gateway has another key", break_: func(w *world) {
			k, err := ohttp.GenerateKey(1, ohttp.X25519, bytes.NewReader(make([]byte, 32)))
			if err == nil {
				err = w.gateway.SetKeys(k)
			}
			if err != nil {
				panic(err)
			}
		}, is: ohttp.ErrUnknownKey},
	)
}

// TestNoOtherConnection: in every failure the client opens no connection but to the
// relay, and the relay none but to the gateway: not to the target, not to where a
// redirect points, not to a proxy of the environment, not to a name server. The
// client gets an error and waits; the handler has seen nothing but by the relay.
func TestNoOtherConnection(t *testing.T) {
	// A listener represents the target, the proxy and where redirects point.
	_, other := serve(t, http.NotFoundHandler())
	otherAddress = other.Addr().String()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, "http://"+otherAddress)
	}
	t.Setenv("NO_PROXY", "")
	names := &dials{}
	resolver, transport := net.DefaultResolver, http.DefaultTransport
	t.Cleanup(func() { net.DefaultResolver, http.DefaultTransport = resolver, transport })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: names.dial}
	http.DefaultTransport = &http.Transport{DialContext: names.dial}

	for _, f := range failures() {
		t.Run(f.name, func(t *testing.T) {
			e := &echo{}
			w := newWorld(t, ohttp.X25519, e, f.relay, f.gateway)
			if f.break_ != nil {
				f.break_(w)
			}
			client, err := ohttp.NewClient(ohttp.ClientConfig{
				Relay: w.relayURL, Key: ohttp.StaticKey(w.key.Config()), Sizes: testSizes, Dial: w.dials.dial, Timeout: 300 * time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer client.CloseIdleConnections()
			answer, err := (&http.Client{Transport: client}).Do(request(t, http.MethodPost, "/x", "hello"))
			if err == nil {
				t.Fatalf("got an answer: %d", answer.StatusCode)
			}
			if f.is != nil && !errors.Is(err, f.is) {
				t.Errorf("got %v, want %v", err, f.is)
			}
			for _, address := range w.dials.all() {
				if address != w.relayAt.Listener.Addr().String() {
					t.Errorf("the client opened a connection to %s", address)
				}
			}
			for _, address := range w.upstream.all() {
				if address != w.gatewayAt.Listener.Addr().String() {
					t.Errorf("the relay opened a connection to %s", address)
				}
			}
			if len(w.dials.all()) == 0 {
				t.Error("the recorder of connections does not record")
			}
			if e.count() > 1 {
				t.Errorf("the handler got %d requests", e.count())
			}
		})
	}
	if n := other.count(); n > 0 {
		t.Errorf("%d connections to where nothing may connect", n)
	}
	if seen := names.all(); len(seen) > 0 {
		t.Errorf("connections by package defaults, to %v", seen)
	}
	// The recorders would have seen one.
	if _, err := http.Get("http://" + otherAddress); err != nil || other.count() == 0 || len(names.all()) == 0 {
		t.Errorf("the recorders do not record: %v", err)
	}
}

// TestNoKeyNoConnection: without a key configuration the relay is not contacted
// either.
func TestNoKeyNoConnection(t *testing.T) {
	w := newWorld(t, ohttp.X25519, &echo{}, nil, nil)
	client := w.newClient(t, func(context.Context) (ohttp.KeyConfig, error) { return ohttp.KeyConfig{}, os.ErrNotExist })
	if _, err := client.RoundTrip(request(t, http.MethodGet, "/", "")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if d := w.dials.all(); len(d) > 0 {
		t.Errorf("connections to %v", d)
	}
}

// TestRetry: a message is sent again until it is answered, sealed with other keys
// each time, and the handler processes it once, whatever gets lost.
func TestRetry(t *testing.T) {
	e := &echo{}
	lose := 3
	var mu sync.Mutex
	var sealed [][]byte
	w := newWorld(t, ohttp.X25519, e, nil, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(b))
			mu.Lock()
			sealed = append(sealed, b)
			lose--
			lost := lose >= 0
			mu.Unlock()
			if lost { // the answer, not the request
				h.ServeHTTP(&recorded{header: http.Header{}}, r)
				panic(http.ErrAbortHandler)
			}
			h.ServeHTTP(rw, r)
		})
	})
	message, err := w.client.Encode(request(t, http.MethodPost, "/x", "hello"))
	if err != nil {
		t.Fatal(err)
	}
	kept := bytes.Clone(message)
	for i := range 5 {
		answer, err := w.client.Send(t.Context(), message)
		if i < 3 {
			var refused *ohttp.RelayError
			if !errors.As(err, &refused) || refused.Status != 502 || refused.Retry != 30*time.Second {
				t.Errorf("attempt %d: %v", i, err)
			}
			continue
		}
		if status, body := read(t, answer, err); status != 201 || body != "got hello" {
			t.Errorf("attempt %d: %d %q", i, status, body)
		}
	}
	if e.count() != 1 {
		t.Errorf("the handler processed the request %d times", e.count())
	}
	if !bytes.Equal(message, kept) {
		t.Error("sending changed the message")
	}
	for i := range sealed {
		for j := range i {
			if bytes.Equal(sealed[i], sealed[j]) || bytes.Equal(sealed[i][7:39], sealed[j][7:39]) {
				t.Errorf("attempts %d and %d have one encapsulated key", i, j)
			}
		}
		if len(sealed[i]) != len(sealed[0]) {
			t.Errorf("attempt %d has %d bytes, the first %d", i, len(sealed[i]), len(sealed[0]))
		}
	}
}

// TestRoundTripKeepsRequestID: a caller that retries by RoundTrip names the
// request.
func TestRoundTripKeepsRequestID(t *testing.T) {
	e := &echo{}
	w := newWorld(t, ohttp.X25519, e, nil, nil)
	for range 3 {
		r := request(t, http.MethodPost, "/x", "hello")
		r.Header.Set(ohttp.RequestIDField, `"abc"`)
		answer, err := w.client.RoundTrip(r)
		if status, body := read(t, answer, err); status != 201 || body != "got hello" {
			t.Errorf("%d %q", status, body)
		}
	}
	r := request(t, http.MethodPost, "/x", "other")
	r.Header.Set(ohttp.RequestIDField, `"abc"`)
	answer, err := w.client.RoundTrip(r)
	if status, body := read(t, answer, err); status != 422 || !strings.Contains(body, "requestIDReused") {
		t.Errorf("another request of the same ID: %d %q", status, body)
	}
	if e.count() != 1 {
		t.Errorf("processed %d times", e.count())
	}
}

func TestClientChoosesSize(t *testing.T) {
	w := newWorld(t, ohttp.X25519, &echo{}, nil, nil)
	for _, test := range []struct{ body, answer, want int }{
		{10, 0, 512}, {10, 1024, 512}, {10, 1025, 4096}, {600, 0, 2048}, {600, 513, 4096}, {3000, 0, 4096},
	} {
		r := request(t, http.MethodPost, "/", strings.Repeat("a", test.body))
		m, err := w.client.Encode(r.WithContext(ohttp.WithAnswerSize(t.Context(), test.answer)))
		if err != nil || len(m) != test.want {
			t.Errorf("body %d, answer %d: %d bytes, %v, want %d", test.body, test.answer, len(m), err, test.want)
		}
	}
	if _, err := w.client.Encode(request(t, http.MethodPost, "/", strings.Repeat("a", 4096))); err == nil {
		t.Error("a request beyond all sizes is encoded")
	}
	r := request(t, http.MethodPost, "/", "")
	r.Header.Set("Connection", "close")
	if _, err := w.client.Encode(r); !errors.Is(err, bhttp.ErrInvalid) {
		t.Errorf("a field about the connection: %v", err)
	}
	if _, err := w.client.Send(t.Context(), make([]byte, 512)); !errors.Is(err, bhttp.ErrInvalid) {
		t.Errorf("sending what is no message: %v", err)
	}
	if _, err := w.client.RoundTrip(request(t, http.MethodPost, "/", strings.Repeat("a", 300))); err != nil {
		t.Errorf("a request of the first size: %v", err)
	}
}

func TestNewClientRefuses(t *testing.T) {
	key := ohttp.StaticKey(newKey(t, 1, ohttp.X25519).Config())
	for name, c := range map[string]ohttp.ClientConfig{
		"no relay":         {Key: key},
		"http":             {Relay: "http://relay.example/x", Key: key},
		"http on loopback": {Relay: "http://127.0.0.1.example/x", Key: key},
		"userinfo":         {Relay: "https://a:b@relay.example/x", Key: key},
		"query":            {Relay: "https://relay.example/x?client=1", Key: key},
		"fragment":         {Relay: "https://relay.example/x#y", Key: key},
		"scheme":           {Relay: "ftp://relay.example/x", Key: key},
		"no key":           {Relay: "https://relay.example/x"},
		"sizes":            {Relay: "https://relay.example/x", Key: key, Sizes: ohttp.Sizes{{Request: 1, Answer: 1}}},
	} {
		if _, err := ohttp.NewClient(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for _, relay := range []string{"https://relay.example/x", "http://localhost:1/x", "http://[::1]:1/", "http://127.3.2.1/"} {
		if _, err := ohttp.NewClient(ohttp.ClientConfig{Relay: relay, Key: key}); err != nil {
			t.Errorf("%s: %v", relay, err)
		}
	}
}
