package witness_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/minute"
	"github.com/shoal-project/shoal/ohttp/witness"
)

// An organisation is a gateway with a handler behind sockets, and a relay that
// witnesses its keys and serves its minute.
type organisation struct {
	*world
	handled  atomic.Int64 // requests that the handler got
	relay    *httptest.Server
	minutes  *minute.Client
	fetcher  *ohttp.Fetcher
	client   *ohttp.Client
	prefixed func(ctx context.Context, path, mediaType string, limit int) ([]byte, error)
}

func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// newOrganisation makes one whose party announces what keys makes of its gateway's
// configurations, for the nth fetch.
func newOrganisation(t *testing.T, keys func(n int, own []byte) []byte) *organisation {
	t.Helper()
	o := &organisation{world: newWorld(t, nil)}
	key, err := ohttp.DeriveKey(1, ohttp.X25519, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	sizes := ohttp.Sizes{{Request: 512, Answer: 512}}
	gateway, err := ohttp.NewGateway(ohttp.GatewayConfig{
		Handler:     http.HandlerFunc(func(http.ResponseWriter, *http.Request) { o.handled.Add(1) }),
		Authorities: []string{"reports.example"}, Keys: []*ohttp.PrivateKey{key}, Sizes: sizes,
	})
	if err != nil {
		t.Fatal(err)
	}
	own, err := gateway.KeyConfigs()
	if err != nil {
		t.Fatal(err)
	}
	o.party.keys = func(n int) []byte { return keys(n, own) }
	forward, err := ohttp.NewRelay(ohttp.RelayConfig{Gateways: map[string]string{"reports": serve(t, gateway).URL}, Sizes: sizes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(forward.CloseIdleConnections)
	minutes, err := minute.NewServer(minute.Config{
		Party: o.party.key.Public(), Clock: o.clock,
		Fetch: func(context.Context) ([]byte, error) { return minute.Sign(o.party.key, o.clock.Now()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/reports", forward)
	mux.Handle("/keys/", http.StripPrefix("/keys", o.node(t)))
	mux.Handle("/minute", minutes)
	o.relay = serve(t, mux)
	if o.fetcher, err = ohttp.NewFetcher(ohttp.FetcherConfig{Relay: o.relay.URL}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.fetcher.CloseIdleConnections)
	o.prefixed = func(ctx context.Context, path, mediaType string, limit int) ([]byte, error) {
		return o.fetcher.Get(ctx, "/keys"+path, mediaType, limit)
	}
	o.minutes = minute.NewClient(o.party.key.Public(), o.clock, 0)
	source, err := witness.NewSource(witness.SourceConfig{
		Party: o.party.key.Public(), Witness: o.witness.Public(), Purpose: purpose, Length: length, Fetch: o.prefixed, Now: o.minutes.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	if o.client, err = ohttp.NewClient(ohttp.ClientConfig{Relay: o.relay.URL + "/reports", Key: source.Key, Sizes: sizes}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.client.CloseIdleConnections)
	return o
}

// takeMinute has the client learn the time from its relay.
func (o *organisation) takeMinute(t *testing.T) {
	t.Helper()
	signed, err := o.fetcher.Get(t.Context(), "/minute", minute.MediaType, 200)
	if err == nil {
		err = o.minutes.Take(signed)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (o *organisation) send(t *testing.T) error {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://reports.example/", strings.NewReader("report"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := o.client.RoundTrip(r)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// TestClientOfWitnessedKeys sends by way of a relay with a key that it witnessed,
// at a time that it served.
func TestClientOfWitnessedKeys(t *testing.T) {
	o := newOrganisation(t, func(_ int, own []byte) []byte { return own })
	if err := o.send(t); !errors.Is(err, minute.ErrWait) || o.party.count != 0 {
		t.Errorf("without the time: %v, %d fetches", err, o.party.count)
	}
	o.takeMinute(t)
	for range 3 {
		if err := o.send(t); err != nil {
			t.Error(err)
		}
	}
	if o.handled.Load() != 3 || o.party.count != 2 {
		t.Errorf("%d requests handled, %d fetches from the party", o.handled.Load(), o.party.count)
	}
	o.clock.Advance(length)
	if err := o.send(t); !errors.Is(err, minute.ErrWait) {
		t.Errorf("with an old minute: %v", err)
	}
	o.takeMinute(t)
	if err := o.send(t); err != nil || o.party.count != 4 {
		t.Errorf("in the next period: %v, %d fetches", err, o.party.count)
	}
}

// TestChangingPartyGetsNoClient: a party that answers every fetch with a new key
// gets no request of any client.
func TestChangingPartyGetsNoClient(t *testing.T) {
	o := newOrganisation(t, func(n int, own []byte) []byte {
		key, err := ohttp.DeriveKey(1, ohttp.X25519, append(make([]byte, 32), byte(n)))
		if err != nil {
			return own
		}
		b, err := ohttp.MarshalKeyConfigs([]ohttp.KeyConfig{key.Config()})
		if err != nil {
			return own
		}
		return b
	})
	o.takeMinute(t)
	for range 3 {
		var refused *ohttp.RelayError
		if err := o.send(t); !errors.As(err, &refused) || refused.Status != http.StatusConflict {
			t.Errorf("got %v", err)
		}
		o.clock.Advance(time.Minute)
	}
	if o.handled.Load() > 0 || o.party.count != 2 {
		t.Errorf("%d requests handled, %d fetches from the party", o.handled.Load(), o.party.count)
	}
}

// TestSourceWithoutWitness: no key is used that the witness has not signed.
func TestSourceWithoutWitness(t *testing.T) {
	o := newOrganisation(t, func(_ int, own []byte) []byte { return own })
	for name, fetch := range map[string]func(context.Context, string, string, int) ([]byte, error){
		"the party alone": func(ctx context.Context, _, _ string, _ int) ([]byte, error) { return o.party.fetch(ctx, o.slot) },
		"nothing":         func(context.Context, string, string, int) ([]byte, error) { return nil, nil },
		"no answer":       func(context.Context, string, string, int) ([]byte, error) { return nil, context.DeadlineExceeded },
	} {
		c := witness.SourceConfig{
			Party: o.party.key.Public(), Witness: o.witness.Public(), Purpose: purpose, Length: length, Fetch: fetch,
			Now: func() (time.Time, error) { return start, nil },
		}
		source, err := witness.NewSource(c)
		if err != nil {
			t.Fatal(err)
		}
		if key, err := source.Key(t.Context()); err == nil {
			t.Errorf("%s: key %+v", name, key)
		}
		c.Witness = c.Party
		if _, err := witness.NewSource(c); err == nil {
			t.Error("a party that is its own witness is taken")
		}
	}
}

// TestSourceShares: callers share one request, and one that gives up does not wait
// for it.
func TestSourceShares(t *testing.T) {
	o := newOrganisation(t, func(_ int, own []byte) []byte { return own })
	o.takeMinute(t)
	var fetched atomic.Int64
	begun, answer := make(chan struct{}), make(chan struct{})
	source, err := witness.NewSource(witness.SourceConfig{
		Party: o.party.key.Public(), Witness: o.witness.Public(), Purpose: purpose, Length: length, Now: o.minutes.Now,
		Fetch: func(ctx context.Context, path, mediaType string, limit int) ([]byte, error) {
			if fetched.Add(1) == 1 {
				close(begun)
			}
			<-answer
			return o.prefixed(ctx, path, mediaType, limit)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 8)
	for range cap(results) {
		go func() {
			_, err := source.Keys(t.Context())
			results <- err
		}()
	}
	<-begun
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := source.Keys(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that is gone: %v", err)
	}
	close(answer)
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := fetched.Load(); n != 1 {
		t.Errorf("%d requests for one period", n)
	}
}
