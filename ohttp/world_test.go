package ohttp_test

import (
	"context"
	"crypto/rand"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/shoal-project/shoal/ohttp"
)

const target = "reports.example"

// testSizes are small, so that tests are quick.
var testSizes = ohttp.Sizes{{Request: 512, Answer: 1024}, {Request: 2048, Answer: 512}, {Request: 4096, Answer: 4096}}

// A dials records the addresses to which connections were opened, or tried.
type dials struct {
	mu   sync.Mutex
	seen []string
}

func (d *dials) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	d.seen = append(d.seen, address)
	d.mu.Unlock()
	var dialer net.Dialer
	return dialer.DialContext(ctx, network, address)
}

func (d *dials) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.seen)
}

// A listener records whether somebody has connected.
type listener struct {
	net.Listener
	mu       sync.Mutex
	accepted int
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.accepted++
		l.mu.Unlock()
	}
	return c, err
}

func (l *listener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted
}

// serve starts a server on the loopback interface, without logs, and records
// connections.
func serve(t testing.TB, h http.Handler) (*httptest.Server, *listener) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	l := &listener{Listener: s.Listener}
	s.Listener = l
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	return s, l
}

func newKey(t testing.TB, id uint8, kem ohttp.KEM) *ohttp.PrivateKey {
	t.Helper()
	k, err := ohttp.GenerateKey(id, kem, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A world is a client, a relay and a gateway with a handler, each behind a socket.
type world struct {
	key       *ohttp.PrivateKey
	gateway   *ohttp.Gateway
	relay     *ohttp.Relay
	client    *ohttp.Client
	gatewayAt *httptest.Server
	relayAt   *httptest.Server
	relayOn   *listener
	gatewayOn *listener
	dials     *dials // of the client
	upstream  *dials // of the relay
	relayURL  string
}

// newWorld makes a world whose servers are wrapped by the given functions, nil for
// none.
func newWorld(t testing.TB, kem ohttp.KEM, handler http.Handler, wrapRelay, wrapGateway func(http.Handler) http.Handler) *world {
	t.Helper()
	same := func(h http.Handler) http.Handler { return h }
	if wrapRelay == nil {
		wrapRelay = same
	}
	if wrapGateway == nil {
		wrapGateway = same
	}
	w := &world{key: newKey(t, 1, kem), dials: &dials{}, upstream: &dials{}}
	var err error
	w.gateway, err = ohttp.NewGateway(ohttp.GatewayConfig{
		Handler: handler, Authorities: []string{target}, Keys: []*ohttp.PrivateKey{w.key}, Sizes: testSizes,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.gatewayAt, w.gatewayOn = serve(t, wrapGateway(w.gateway))
	w.relay, err = ohttp.NewRelay(ohttp.RelayConfig{
		Gateways: map[string]string{"reports": w.gatewayAt.URL + "/gateway"}, Sizes: testSizes, Dial: w.upstream.dial,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.relay.CloseIdleConnections)
	w.relayAt, w.relayOn = serve(t, wrapRelay(w.relay))
	w.relayURL = w.relayAt.URL + "/reports"
	w.client = w.newClient(t, ohttp.StaticKey(w.key.Config()))
	return w
}

func (w *world) newClient(t testing.TB, key func(context.Context) (ohttp.KeyConfig, error)) *ohttp.Client {
	t.Helper()
	c, err := ohttp.NewClient(ohttp.ClientConfig{Relay: w.relayURL, Key: key, Sizes: testSizes, Dial: w.dials.dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// request makes a request for the target.
func request(t testing.TB, method, path, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "https://"+target+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// read returns status and body of a response.
func read(t testing.TB, r *http.Response, err error) (int, string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// An echo answers with what it got, and counts.
type echo struct {
	mu   sync.Mutex
	seen []*http.Request
	text []string
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	e.mu.Lock()
	e.seen = append(e.seen, r)
	e.text = append(e.text, string(b))
	e.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, "got "+string(b))
}

func (e *echo) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.seen)
}
