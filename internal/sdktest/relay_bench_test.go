package sdktest_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/witness"
)

// BenchmarkIntakeWays compares what one machine takes in of small reports, client, relay
// and party on it, over loopback: posted to the party, and through relay and gateway.
// The party's handler reads the report. Connections are kept, as a load of many clients
// would have as many handshakes on both ways.
func BenchmarkIntakeWays(b *testing.B) {
	take := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusCreated)
	})
	key, err := ohttp.GenerateKey(1, ohttp.X25519, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	party := httptest.NewServer(mux)
	defer party.Close()
	gateway, err := ohttp.NewGateway(ohttp.GatewayConfig{
		Handler: take, Authorities: []string{party.Listener.Addr().String()}, Keys: []*ohttp.PrivateKey{key}, Sizes: relay.Sizes(),
		Idempotent: func(*http.Request) bool { return true },
	})
	if err != nil {
		b.Fatal(err)
	}
	mux.Handle(relay.GatewayPath, gateway)
	mux.Handle("/", take)
	identity := identityKey(b)
	store, err := witness.OpenFiles(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	between, err := relay.NewServer(relay.ServerConfig{
		Identity: identityKey(b), Parties: []relay.Party{{URL: party.URL, Identity: identity.Public()}},
		Store: store, Clock: clock.System(), Client: http.DefaultClient,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer between.Close()
	at := httptest.NewServer(between)
	defer at.Close()
	pool := &http.Transport{MaxIdleConnsPerHost: 64}
	through, err := ohttp.NewClient(ohttp.ClientConfig{
		Relay: at.URL + relay.GatewayOf(identity.Public()), Key: ohttp.StaticKey(key.Config()), Sizes: relay.Sizes(), Transport: pool,
	})
	if err != nil {
		b.Fatal(err)
	}
	report := make([]byte, 320) // of the smallest size, with one hop before the analyzer
	for _, way := range []struct {
		name string
		rt   http.RoundTripper
	}{{"direct", pool}, {"relay", through}} {
		b.Run(way.name, func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, party.URL+"/tasks/x/reports", bytes.NewReader(report))
					if err != nil {
						b.Error(err)
						return
					}
					response, err := way.rt.RoundTrip(r)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, response.Body)
					response.Body.Close()
					if response.StatusCode != http.StatusCreated {
						b.Errorf("HTTP %d", response.StatusCode)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reports/s")
		})
	}
}
