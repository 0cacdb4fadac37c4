package ohttp_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/bhttp"
)

// answerLength sends bytes over a new connection and returns how many come back
// as the answer.
func answerLength(t *testing.T, address string, request []byte) int {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(request); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	answer, err := http.ReadResponse(bufio.NewReader(io.TeeReader(c, &got)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatal(err)
	}
	return got.Len()
}

func rawRequest(path, contentType string, body []byte) []byte {
	return append(fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: relay\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path, contentType, len(body)), body...)
}

// TestAnswersHaveOneLength counts the bytes on the connection: whatever becomes of
// a request, its answer is as long as that of any other request of its length.
func TestAnswersHaveOneLength(t *testing.T) {
	for _, size := range testSizes {
		lengths := map[int][]string{}
		for _, f := range append(failures(), failure{name: "none"}) {
			if f.relay != nil || f.break_ != nil && strings.HasPrefix(f.name, "relay") {
				continue
			}
			w := newWorld(t, ohttp.X25519, &echo{}, nil, f.gateway)
			relay, err := ohttp.NewRelay(ohttp.RelayConfig{
				Gateways: map[string]string{"reports": w.gatewayAt.URL + "/gateway"}, Sizes: testSizes, Timeout: 200 * time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			at, _ := serve(t, relay)
			if f.break_ != nil {
				f.break_(w)
			}
			sealed, _, err := w.key.Config().Encapsulate(encode(t, &bhttp.Request{Method: "POST"}, size.Request))
			if err != nil {
				t.Fatal(err)
			}
			address := at.Listener.Addr().String()
			for _, test := range []struct {
				name    string
				request []byte
			}{
				{"gateway: " + f.name, rawRequest("/reports", "message/ohttp-req", sealed)},
				{"unknown gateway", rawRequest("/other", "message/ohttp-req", sealed)},
				{"media type", rawRequest("/reports", "text/plain", sealed)},
				{"method", bytes.Replace(rawRequest("/reports", "message/ohttp-req", sealed), []byte("POST"), []byte("PUT"), 1)},
			} {
				n := answerLength(t, address, test.request)
				lengths[n] = append(lengths[n], test.name)
			}
			relay.CloseIdleConnections()
		}
		if len(lengths) != 1 {
			t.Errorf("%+v: lengths of answers:", size)
			for n, names := range lengths {
				t.Errorf("%d bytes: %v", n, names)
			}
		}
		for n := range lengths {
			if n < size.Answer+32 || n > size.Answer+32+400 {
				t.Errorf("%+v: answers of %d bytes", size, n)
			}
		}
	}
}

// TestRelayRefuses covers requests that are not forwarded.
func TestRelayRefuses(t *testing.T) {
	w := newWorld(t, ohttp.X25519, &echo{}, nil, nil)
	sealed, _, err := w.key.Config().Encapsulate(encode(t, &bhttp.Request{Method: "POST"}, 512))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*http.Request)
		status int
		kind   string
	}{
		"unknown gateway":       {func(r *http.Request) { r.URL.Path = "/other" }, 404, "unknownGateway"},
		"no gateway":            {func(r *http.Request) { r.URL.Path = "/" }, 404, "unknownGateway"},
		"a URL":                 {func(r *http.Request) { r.URL.Path = "/" + w.gatewayAt.URL }, 404, "unknownGateway"},
		"method":                {func(r *http.Request) { r.Method = "GET" }, 405, "methodNotAllowed"},
		"CONNECT":               {func(r *http.Request) { r.Method = "CONNECT" }, 405, "methodNotAllowed"},
		"media type":            {func(r *http.Request) { r.Header.Set("Content-Type", "message/ohttp-res") }, 415, "unsupportedMediaType"},
		"no length":             {func(r *http.Request) { r.ContentLength = -1 }, 411, "lengthRequired"},
		"other length":          {func(r *http.Request) { r.ContentLength++ }, 413, "messageSize"},
		"shorter":               {func(r *http.Request) { r.ContentLength-- }, 413, "messageSize"},
		"empty":                 {func(r *http.Request) { r.ContentLength = 0 }, 413, "messageSize"},
		"huge":                  {func(r *http.Request) { r.ContentLength = math.MaxInt64 }, 413, "messageSize"},
		"a body that ends soon": {func(r *http.Request) { r.Body = io.NopCloser(bytes.NewReader(sealed[:100])) }, 408, "slow"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/reports", bytes.NewReader(sealed))
		r.Header.Set("Content-Type", "message/ohttp-req")
		test.change(r)
		rec := httptest.NewRecorder()
		w.relay.ServeHTTP(rec, r)
		if status, kind := problemOf(t, rec.Code, rec.Header().Get("Content-Type"), rec.Body.Bytes()); status != test.status || kind != test.kind {
			t.Errorf("%s: %d %s, want %d %s", name, status, kind, test.status, test.kind)
		}
		if rec.Code == 405 && rec.Header().Get("Allow") != "POST" {
			t.Errorf("%s: no field Allow", name)
		}
		if n := rec.Body.Len(); n != 1024+32 && n != 512+32 {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
	if n := w.gatewayOn.count(); n > 0 {
		t.Errorf("the gateway got %d connections", n)
	}
	counts := w.relay.Counts()
	if counts["urn:shoal:problem:unknownGateway"] != 3 || counts["urn:shoal:problem:messageSize"] != 4 || counts["forwarded"] != 0 {
		t.Errorf("counts %v", counts)
	}
}

// TestRelayStripsHeaders: whatever a client adds, and whatever a gateway adds, does
// not get to the other side.
func TestRelayStripsHeaders(t *testing.T) {
	var mu sync.Mutex
	var got http.Header
	w := newWorld(t, ohttp.X25519, &echo{}, nil, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			mu.Lock()
			got = r.Header.Clone()
			mu.Unlock()
			rw.Header().Set("Set-Cookie", "a=b")
			rw.Header().Set("Server", "x")
			rw.Header().Set("Etag", "unique")
			h.ServeHTTP(rw, r)
		})
	})
	sealed, opener, err := w.key.Config().Encapsulate(encode(t, &bhttp.Request{Method: "POST"}, 512))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.relayURL, bytes.NewReader(sealed))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{
		"Content-Type": {"message/ohttp-req"}, "X-Forwarded-For": {"192.0.2.1"}, "Forwarded": {"for=192.0.2.1"}, "Cookie": {"a=b"},
		"User-Agent": {"x"}, "Accept-Language": {"mi"}, "Authorization": {"y"}, "Via": {"z"}, "Date": {"d"}, "Traceparent": {"t"},
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := opener.Open(body); err != nil {
		t.Error(err)
	}
	if want := (http.Header{"Content-Type": {"message/ohttp-req"}, "Content-Length": {"567"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("the gateway got %v", got)
	}
	for name := range answer.Header {
		switch name {
		case "Content-Type", "Content-Length", "Cache-Control", "Padding":
		default:
			t.Errorf("the client got %s: %s", name, answer.Header.Get(name))
		}
	}
}

// TestRelayLogsNothing: not by slog, whatever the level, and not by counts: they
// have causes alone.
func TestRelayLogsNothing(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.Level(math.MinInt)})))
	t.Cleanup(func() { slog.SetDefault(before) })
	for _, f := range failures() {
		if f.gateway == nil || f.name == "gateway hangs" {
			continue
		}
		w := newWorld(t, ohttp.X25519, &echo{}, nil, f.gateway)
		if _, err := w.client.RoundTrip(request(t, http.MethodPost, "/", "hello")); err == nil {
			t.Errorf("%s: got an answer", f.name)
		}
		for cause := range w.relay.Counts() {
			if cause != "forwarded" && !strings.HasPrefix(cause, "urn:shoal:problem:") && cause != ohttp.ProblemKey {
				t.Errorf("%s: counted as %q", f.name, cause)
			}
		}
	}
	if log.Len() > 0 {
		t.Errorf("logged:\n%s", &log)
	}
}

// TestUpstreamConnections: two clients that send by turns. Whether two requests
// share a connection to the gateway does not depend on whether they share a client.
// The choice of lanes is by a seeded source.
func TestUpstreamConnections(t *testing.T) {
	var mu sync.Mutex
	by := map[string]map[string]int{} // connection, client, requests
	e := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	current := ""
	w := newWorld(t, ohttp.X25519, e, nil, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			mu.Lock()
			if by[r.RemoteAddr] == nil {
				by[r.RemoteAddr] = map[string]int{}
			}
			by[r.RemoteAddr][current]++
			mu.Unlock()
			h.ServeHTTP(rw, r)
		})
	})
	relay, err := ohttp.NewRelay(ohttp.RelayConfig{
		Gateways: map[string]string{"reports": w.gatewayAt.URL}, Sizes: testSizes, Lanes: 4, Rand: &counting{},
	})
	if err != nil {
		t.Fatal(err)
	}
	at, _ := serve(t, relay)
	w.relayURL = at.URL + "/reports"
	clients := map[string]*ohttp.Client{"a": w.newClient(t, ohttp.StaticKey(w.key.Config())), "b": w.newClient(t, ohttp.StaticKey(w.key.Config()))}
	for range 80 {
		for _, name := range []string{"a", "b"} {
			mu.Lock()
			current = name
			mu.Unlock()
			answer, err := clients[name].RoundTrip(request(t, http.MethodPost, "/", ""))
			read(t, answer, err)
		}
	}
	// net/http gives up a connection now and then, on a loaded machine. One that has
	// 20 requests, half of those of a lane, has them of one client by chance 2^-19.
	if len(by) < 4 || len(by) > 12 {
		t.Errorf("%d connections, want 4 or a few more", len(by))
	}
	busy := 0
	for connection, count := range by {
		if count["a"]+count["b"] < 20 {
			continue
		}
		if busy++; count["a"] == 0 || count["b"] == 0 {
			t.Errorf("connection %s belongs to one client: %v", connection, count)
		}
	}
	if busy < 3 {
		t.Errorf("%d connections with 20 requests and more: %v", busy, by)
	}
	relay.CloseIdleConnections()
}

// counting is a source that walks through the lanes in an order of its own.
type counting struct {
	mu sync.Mutex
	n  uint64
}

func (c *counting) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n = c.n*6364136223846793005 + 1442695040888963407
	binary.BigEndian.PutUint64(b, c.n>>33)
	return len(b), nil
}

// TestClientGoesAway: the gateway is not shown when a client leaves.
func TestClientGoesAway(t *testing.T) {
	entered, finished := make(chan struct{}), make(chan error, 1)
	release := make(chan struct{})
	w := newWorld(t, ohttp.X25519, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-release
		finished <- r.Context().Err()
	}), nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := w.client.RoundTrip(request(t, http.MethodPost, "/", "").WithContext(ctx)) //nolint:contextcheck // request makes it with that of the test, which is replaced
		failed <- err
	}()
	<-entered
	cancel()
	if err := <-failed; err == nil {
		t.Error("the client got an answer")
	}
	time.Sleep(50 * time.Millisecond) // for the relay to notice
	close(release)
	if err := <-finished; err != nil {
		t.Errorf("the gateway's request ended with %v", err)
	}
}

// TestRelayBusy: beyond the bytes in progress requests are refused at once.
// TestRelayPassesTemporary: an answer of the gateway that asks for another try is one of
// the relay too, not a refusal.
func TestRelayPassesTemporary(t *testing.T) {
	for status, want := range map[int]string{
		400: "gatewayRefused", 404: "gatewayRefused", 413: "gatewayRefused",
		407: "gatewayBusy", 408: "gatewayBusy", 425: "gatewayBusy", 429: "gatewayBusy", 503: "gatewayBusy",
		302: "gatewayAnswer", 500: "gatewayAnswer", 504: "gatewayAnswer",
	} {
		w := newWorld(t, ohttp.X25519, http.NotFoundHandler(), nil, func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		})
		sealed, _, err := w.key.Config().Encapsulate(encode(t, &bhttp.Request{Method: "GET"}, 512))
		if err != nil {
			t.Fatal(err)
		}
		rec := post(w.relay, "/reports", sealed)
		got, kind := problemOf(t, rec.Code, rec.Header().Get("Content-Type"), rec.Body.Bytes())
		if kind != want || problem.Temporary(got) != (problem.Temporary(status) || status < 400) {
			t.Errorf("HTTP %d of the gateway: %d %s, want %s", status, got, kind, want)
		}
	}
}

func TestRelayBusy(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	w := newWorld(t, ohttp.X25519, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-release
	}), nil, nil)
	relay, err := ohttp.NewRelay(ohttp.RelayConfig{
		Gateways: map[string]string{"reports": w.gatewayAt.URL}, Sizes: testSizes, MaxInFlight: 512 + 55 + 1024 + 32,
	})
	if err != nil {
		t.Fatal(err)
	}
	sealed, _, err := w.key.Config().Encapsulate(encode(t, &bhttp.Request{Method: "GET"}, 512))
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		if rec := post(relay, "/reports", sealed); rec.Code != 200 {
			t.Errorf("the first: %d", rec.Code)
		}
	})
	<-entered
	rec := post(relay, "/reports", sealed)
	if status, kind := problemOf(t, rec.Code, rec.Header().Get("Content-Type"), rec.Body.Bytes()); status != 503 || kind != "busy" || rec.Body.Len() != 1024+32 {
		t.Errorf("the second: %d %s", status, kind)
	}
	close(release)
	wait.Wait()
	relay.CloseIdleConnections()
}

// TestSlowBody: a client that sends slowly is cut off, also when its request is
// refused without being read, and gets an answer of the same length.
func TestSlowBody(t *testing.T) {
	w := newWorld(t, ohttp.X25519, &echo{}, nil, nil)
	sizes := append(slices.Clone(testSizes), ohttp.Size{Request: 1 << 20, Answer: 512})
	relay, err := ohttp.NewRelay(ohttp.RelayConfig{
		Gateways: map[string]string{"reports": w.gatewayAt.URL}, Sizes: sizes, BodyTimeout: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	at, _ := serve(t, relay)
	gateway := newGateway(t, &echo{}, func(c *ohttp.GatewayConfig) { c.BodyTimeout = 50 * time.Millisecond }, w.key)
	gatewayAt, _ := serve(t, gateway)
	lengths := map[int]bool{}
	for _, test := range []struct {
		at      *httptest.Server
		path    string
		size    int
		status  int
		content int
	}{
		{at, "/reports", 512 + 55, 408, 1024 + 32},
		{at, "/other", 512 + 55, 404, 1024 + 32},
		{at, "/reports", 1<<20 + 55, 408, 512 + 32},
		{at, "/other", 1<<20 + 55, 404, 512 + 32},
		{gatewayAt, "/", 512 + 55, 408, 0},
	} {
		c, err := net.Dial("tcp", test.at.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(rawRequest(test.path, "message/ohttp-req", make([]byte, test.size))[:300]); err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		answer, err := http.ReadResponse(bufio.NewReader(io.TeeReader(c, &got)), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != test.status || test.content > 0 && len(body) != test.content {
			t.Errorf("%s: %d, %d bytes, %v", test.path, answer.StatusCode, len(body), err)
		}
		if test.size > 1<<20 { // both have a head of one length
			lengths[got.Len()] = true
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(lengths) != 1 {
		t.Errorf("answers of %v bytes", lengths)
	}
}

// TestPeerThatDoesNotRead: a peer that does not read the answer is cut off, by
// relay and gateway, and what its request held is free again.
func TestPeerThatDoesNotRead(t *testing.T) {
	w := newWorld(t, ohttp.X25519, &echo{}, nil, nil)
	sealed, _, err := w.key.Config().Encapsulate(encode(t, &bhttp.Request{Method: "POST"}, 512))
	if err != nil {
		t.Fatal(err)
	}
	relay, err := ohttp.NewRelay(ohttp.RelayConfig{
		Gateways: map[string]string{"reports": w.gatewayAt.URL}, Sizes: testSizes, BodyTimeout: 50 * time.Millisecond, MaxInFlight: 512 + 55 + 1024 + 32,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer relay.CloseIdleConnections()
	gateway := newGateway(t, &echo{}, func(c *ohttp.GatewayConfig) {
		c.BodyTimeout = 50 * time.Millisecond
		c.MaxInFlight = 2 * (512 + 55)
	}, w.key)
	for name, h := range map[string]http.Handler{"relay": relay, "gateway": gateway} {
		near, far := net.Pipe() // without a buffer
		done := make(chan struct{})
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(done)
			h.ServeHTTP(w, r)
		})}
		served := make(chan error, 1)
		go func() { served <- server.Serve(&single{c: far, closed: make(chan struct{})}) }()
		if _, err := near.Write(rawRequest("/reports", "message/ohttp-req", sealed)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Errorf("%s: the answer waits for a peer that does not read", name)
		}
		if rec := post(h, "/reports", sealed); rec.Code != http.StatusOK {
			t.Errorf("%s: the next request gets %d", name, rec.Code)
		}
		if err := errors.Join(near.Close(), server.Close()); err != nil {
			t.Error(err)
		}
		<-served
	}
}

// A single is a listener of one connection.
type single struct {
	c      net.Conn
	once   sync.Once
	closed chan struct{}
}

func (s *single) Accept() (c net.Conn, err error) {
	s.once.Do(func() { c = s.c })
	if c == nil {
		<-s.closed
		return nil, net.ErrClosed
	}
	return c, nil
}

func (s *single) Close() error {
	close(s.closed)
	return nil
}

func (s *single) Addr() net.Addr { return &net.TCPAddr{} }

func TestNewRelayRefuses(t *testing.T) {
	for name, c := range map[string]ohttp.RelayConfig{
		"no gateway":   {Sizes: testSizes},
		"no sizes":     {Gateways: map[string]string{"a": "https://a.example/"}},
		"bad sizes":    {Gateways: map[string]string{"a": "https://a.example/"}, Sizes: ohttp.Sizes{{Request: 2, Answer: 512}, {Request: 1, Answer: 512}}},
		"http":         {Gateways: map[string]string{"a": "http://a.example/"}, Sizes: testSizes},
		"bad name":     {Gateways: map[string]string{"a/b": "https://a.example/"}, Sizes: testSizes},
		"empty name":   {Gateways: map[string]string{"": "https://a.example/"}, Sizes: testSizes},
		"equal length": {Gateways: map[string]string{"a": "https://a.example/"}, Sizes: ohttp.Sizes{{Request: 1000, Answer: 512}, {Request: 1000 + 1088, Answer: 512}}},
		"many sizes":   {Gateways: map[string]string{"a": "https://a.example/"}, Sizes: make(ohttp.Sizes, 17)},
	} {
		if _, err := ohttp.NewRelay(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := ohttp.NewRelay(ohttp.RelayConfig{Gateways: map[string]string{"a": "https://a.example/"}, Sizes: ohttp.DefaultSizes()}); err != nil {
		t.Error(err)
	}
}
