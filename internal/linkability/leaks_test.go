package linkability_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/linkability"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/witness"
)

// A leak is a fault that is planted: the trial must find it in the views named.
type leak struct {
	name  string
	views []string
	// options changes how an organisation runs.
	options func(w *world, name string, o *server.Options)
	// transport is put between a client and the relay.
	transport func(w *world, p *person, next http.RoundTripper) http.RoundTripper
	// observed changes what was recorded, in place of the program.
	observed func(r *recorder)
	routes   []route // nil: those of the trial
}

// leaks are all that are planted, by what makes them: each belongs to one world.
func leaks() []func() *leak { return []func() *leak{dated, keyEach, pinned, onDemand, otherLength} }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// errLost is what a client gets whose request has arrived and whose answer has not.
var errLost = errors.New("the connection was lost before the answer")

// flaky loses every 25th answer, of all people alike.
func flaky(w *world, next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		answer, err := next.RoundTrip(r)
		if err != nil || r.Method != http.MethodPost || w.random.IntN(25) > 0 {
			return answer, err
		}
		return nil, errors.Join(errLost, answer.Body.Close())
	})
}

// dated is a client whose requests have the time of its own clock, in seconds.
func dated() *leak {
	return &leak{
		name: "a Date in seconds", views: []string{"relay", "relay with shuffler 1 and leader"},
		transport: func(w *world, p *person, next http.RoundTripper) http.RoundTripper {
			return roundTrip(func(r *http.Request) (*http.Response, error) {
				r = r.Clone(r.Context())
				r.Header.Set("Date", w.clock.Now().Add(p.offset).UTC().Format(http.TimeFormat))
				return next.RoundTrip(r)
			})
		},
	}
}

// pinned is a relay that gives each client connections of its own to the gateways. There
// are 16 groups of connections, so that several people share one.
func pinned() *leak {
	return &leak{
		name: "upstream connection reuse", views: []string{"network", "relay", "gateway and shuffler 1", "gateway and leader"},
		options: func(w *world, name string, o *server.Options) {
			if name == "relay" {
				o.Rand = lane{w}
			}
		},
	}
}

// A lane is randomness by which a relay chooses the same group of connections for the
// same client.
type lane struct{ w *world }

func (l lane) Read(b []byte) (int, error) {
	p := l.w.sending
	if p == nil || len(b) != 8 {
		return rand.Read(b)
	}
	binary.BigEndian.PutUint64(b, uint64(p.id)) //nolint:gosec // not negative
	return len(b), nil
}

// otherLength is a client that sends what was not answered again with another length,
// by its own habit, before it sends it as it should.
func otherLength() *leak {
	return &leak{
		name: "a retry of another length", views: []string{"network", "relay"},
		transport: func(w *world, p *person, next http.RoundTripper) http.RoundTripper {
			lost := false
			return roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.Method != http.MethodPost {
					return next.RoundTrip(r)
				}
				if lost {
					lost = false
					body, err := io.ReadAll(r.Body)
					if err != nil {
						return nil, err
					}
					body = append(body, make([]byte, 1+p.id)...)
					again := r.Clone(r.Context())
					again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
					return next.RoundTrip(again) // the relay refuses it
				}
				answer, err := next.RoundTrip(r)
				if err != nil || w.random.IntN(2) > 0 {
					return answer, err
				}
				lost = true
				return nil, errors.Join(errLost, answer.Body.Close())
			})
		},
	}
}

// onDemand are clients that fetch a credential when a report needs it, which is two seconds
// before they send it. Clients cannot be made to, so what was recorded is changed.
func onDemand() *leak {
	return &leak{
		name: "issuance on demand", views: []string{"gateway and shuffler 1"}, routes: []route{frequent()},
		observed: func(r *recorder) {
			for _, issued := range r.issued["first"] {
				var first *linkability.Event
				for _, l := range r.letters {
					e := l.events[0]
					if e.Person == issued.Person && e.At.After(issued.At) && (first == nil || e.At.Before(first.At)) {
						first = e
					}
				}
				if first != nil {
					issued.At = first.At.Add(-2 * time.Second)
				}
			}
		},
	}
}

// keyEach are a gateway and a relay that conspire: both sign a key of its own for each
// client.
func keyEach() *leak {
	g := &manyKeys{}
	return &leak{
		name: "a key per client", views: []string{"gateway and shuffler 1", "gateway and leader", "relay"},
		options: func(w *world, name string, o *server.Options) {
			if name == "first" {
				g.w = w
				g.front(o)
			}
		},
		transport: g.transport,
	}
}

// manyKeys is a gateway with a key for each client, in front of the real one.
type manyKeys struct {
	w       *world
	keys    []*ohttp.PrivateKey
	through *http.Transport
	url     string // of the real gateway
}

// front puts itself in the place of the organisation.
func (g *manyKeys) front(o *server.Options) {
	t, address := g.w.t, g.w.orgs["first"].address
	const behind = "127.0.0.1:7901"
	g.url = "http://" + behind
	o.Listen = func(network, _ string) (net.Listener, error) { return g.w.network.Listen(network, behind) }
	g.through = &http.Transport{DialContext: g.w.network.dialAs(-1)}
	l, err := g.w.network.Listen("tcp", address)
	must(t, err)
	to, err := url.Parse(g.url)
	must(t, err)
	others := &httputil.ReverseProxy{Transport: g.through, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == relay.GatewayPath {
			g.exchange(rw, r)
			return
		}
		others.ServeHTTP(rw, r)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // it ends by Close
	}()
	t.(*testing.T).Cleanup(func() {
		_ = s.Close()
		<-done
	})
}

// exchange opens a request by its client's key, and seals it to the real one.
func (g *manyKeys) exchange(rw http.ResponseWriter, r *http.Request) {
	t := g.w.t
	sealed, err := io.ReadAll(r.Body)
	must(t, err)
	message, back, err := ohttp.Decapsulate(g.keys, sealed)
	if err != nil {
		t.Errorf("opening by the client's key: %v", err)
		return
	}
	var real ohttp.KeyConfig
	for _, line := range g.w.record.keyLines(g.w.orgs["first"], task.Gateway) {
		key, err := ohttp.ParsePrivateKey(line)
		must(t, err)
		real = key.Config()
	}
	again, opener, err := real.Encapsulate(message)
	must(t, err)
	out, err := http.NewRequestWithContext(r.Context(), http.MethodPost, g.url+relay.GatewayPath, bytes.NewReader(again))
	must(t, err)
	out.Header.Set("Content-Type", ohttp.MediaTypeRequest)
	response, err := g.through.RoundTrip(out)
	if err != nil {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(t, err)
	if response.StatusCode == http.StatusOK {
		answer, err := opener.Open(body)
		must(t, err)
		body, err = back.Seal(answer, rand.Reader)
		must(t, err)
	}
	maps.Copy(rw.Header(), response.Header)
	rw.WriteHeader(response.StatusCode)
	_, _ = rw.Write(body) // the relay has gone if this fails
}

// transport answers a client's question for the gateway's key by its own one, with both
// signatures.
func (g *manyKeys) transport(w *world, p *person, next http.RoundTripper) http.RoundTripper {
	key, err := ohttp.GenerateKey(uint8(p.id), ohttp.X25519, rand.Reader) //nolint:gosec // fewer than 256 people
	must(w.t, err)
	g.keys = append(g.keys, key)
	w.record.extraKey("first", key)
	first, between := w.orgs["first"].identityKey(w.t), w.orgs["relay"].identityKey(w.t)
	keys, err := ohttp.MarshalKeyConfigs([]ohttp.KeyConfig{key.Config()})
	must(w.t, err)
	store, err := witness.OpenFiles(filepath.Join(w.t.TempDir(), "witness"))
	must(w.t, err)
	own, err := witness.New(witness.Config{
		Identity: between, Parties: []ed25519.PublicKey{first.Public()}, Purposes: relay.Purposes(), Store: store, Clock: w.clock,
		Fetch: func(_ context.Context, s witness.Slot) ([]byte, error) {
			return witness.Statement{Slot: s, End: s.Start + int64(relay.Period/time.Second), Keys: keys}.Sign(first)
		},
	})
	must(w.t, err)
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		slot, ok := witness.ParsePath(strings.TrimPrefix(r.URL.Path, "/keys"))
		if !ok || slot.Purpose != relay.Gateway || !slices.Equal(slot.Party[:], first.Public()) {
			return next.RoundTrip(r)
		}
		signed, err := own.Keys(r.Context(), slot)
		if err != nil {
			return nil, err
		}
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {witness.MediaType}}, ContentLength: int64(len(signed)),
			Body: io.NopCloser(bytes.NewReader(signed)), Request: r, ProtoMajor: 1, ProtoMinor: 1,
		}, nil
	})
}
