package ohttp_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"

	"github.com/shoal-project/shoal/ohttp"
)

// TestMain sets proxies before net/http reads them, which it does once.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"} {
		if err := os.Setenv(name, "http://127.0.0.1:1"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func serveTLS(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// TestOverTLS sends requests over HTTP/2 and TLS to hosts that have names. A proxy
// of the environment would be used for them, as a control shows, and is not.
func TestOverTLS(t *testing.T) {
	if u, err := http.ProxyFromEnvironment(httptest.NewRequest(http.MethodGet, "https://example.com/", nil)); err != nil || u == nil {
		t.Fatalf("the environment has no proxy: %v", err)
	}
	key := newKey(t, 1, ohttp.X25519)
	gateway, err := ohttp.NewGateway(ohttp.GatewayConfig{Handler: &echo{}, Authorities: []string{target}, Keys: []*ohttp.PrivateKey{key}, Sizes: testSizes})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	protocols := map[string]bool{}
	counted := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			protocols[r.Proto] = true
			mu.Unlock()
			h.ServeHTTP(w, r)
		})
	}
	gatewayAt := serveTLS(t, counted(gateway))
	roots := x509.NewCertPool()
	roots.AddCert(gatewayAt.Certificate()) // of example.com
	to := func(seen *dials, s *httptest.Server) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, network, address string) (net.Conn, error) {
			seen.mu.Lock()
			seen.seen = append(seen.seen, address)
			seen.mu.Unlock()
			var d net.Dialer
			return d.DialContext(ctx, network, s.Listener.Addr().String())
		}
	}
	var upstream, dialled dials
	relay, err := ohttp.NewRelay(ohttp.RelayConfig{
		Gateways: map[string]string{"reports": "https://example.com/gateway"}, Sizes: testSizes,
		TLS: &tls.Config{RootCAs: roots}, Dial: to(&upstream, gatewayAt), Lanes: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	relayAt := serveTLS(t, counted(relay))
	client, err := ohttp.NewClient(ohttp.ClientConfig{
		Relay: "https://www.example.com/reports", Key: ohttp.StaticKey(key.Config()), Sizes: testSizes,
		TLS: &tls.Config{RootCAs: roots, ServerName: "example.com"}, Dial: to(&dialled, relayAt),
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		answer, err := client.RoundTrip(request(t, http.MethodPost, "/", "hello"))
		if status, body := read(t, answer, err); status != 201 || body != "got hello" {
			t.Errorf("%d %q", status, body)
		}
	}
	if len(protocols) != 1 || !protocols["HTTP/2.0"] {
		t.Errorf("protocols %v, want HTTP/2.0", protocols)
	}
	for _, a := range dialled.all() {
		if a != "www.example.com:443" {
			t.Errorf("the client opened a connection to %s", a)
		}
	}
	for _, a := range upstream.all() {
		if a != "example.com:443" {
			t.Errorf("the relay opened a connection to %s", a)
		}
	}
	if n := len(upstream.all()); n > 10 { // 2, if net/http gives none up on a loaded machine
		t.Errorf("%d connections to the gateway for 20 requests on 2 lanes", n)
	}
}
