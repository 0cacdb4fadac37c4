package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/server/door"
)

// TestNetworks: a /24 or a /56 is one sender; what cannot be distinguished is not valid.
func TestNetworks(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.77:4000":             "192.0.2.0/24",
		"[::ffff:192.0.2.78]:4000":    "192.0.2.0/24",
		"[2001:db8:1:2ff:3::4]:4000":  "2001:db8:1:200::/56",
		"[fe80::1%eth0]:4000":         "fe80::/56",
		"127.0.0.1:4000":              "invalid Prefix",
		"[::1]:4000":                  "invalid Prefix",
		"no address":                  "invalid Prefix",
		"[2001:db8:1:2fe:3::4]:65535": "2001:db8:1:200::/56",
	} {
		r := &http.Request{RemoteAddr: address, Header: http.Header{"X-Forwarded-For": {"198.51.100.1"}}}
		if got := (Config{}).network(r).String(); got != want {
			t.Errorf("%s: network %s, want %s", address, got, want)
		}
		if got := (Config{BehindProxy: true}).network(r); got.IsValid() {
			t.Errorf("%s: network %s behind a proxy", address, got)
		}
	}
}

// gated starts a server with few places and networks that a header names.
func gated(t *testing.T, adjust func(*Config), p pace) (string, [][]byte, *Server, func()) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	reports := w.reports(8, "apple")
	w.a.halt()
	c := w.a.config()
	adjust(&c)
	s, err := New(t.Context(), c, Options{Clock: w.clock, Manual: true})
	must(t, err)
	s.pace = p
	s.network = func(r *http.Request) netip.Prefix { return door.Network(r.Header.Get("Test-Address")) }
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return "/tasks/" + w.id.String() + "/reports", reports, s, func() {
		stop()
		must(t, <-done)
	}
}

// idle begins n uploads from an address that never send their bodies, and waits
// until the server has them.
func idle(t *testing.T, c *http.Client, url, from string, n int, there func() bool) (end func()) {
	t.Helper()
	return idleAs(t, c, http.MethodPost, "application/shoal-report;v=1", url, from, n, there)
}

// idleAs is idle with another method and media type.
func idleAs(t *testing.T, c *http.Client, method, kind, url, from string, n int, there func() bool) (end func()) {
	t.Helper()
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	var bodies []*io.PipeWriter
	for range n {
		body, hold := io.Pipe()
		bodies = append(bodies, hold)
		r, err := http.NewRequestWithContext(ctx, method, url, body)
		must(t, err)
		r.ContentLength = 200
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Test-Address", from)
		wg.Go(func() {
			resp, err := c.Do(r)
			if err == nil {
				resp.Body.Close()
			}
		})
	}
	for range 5000 {
		if there() {
			return func() {
				cancel()
				for _, hold := range bodies {
					hold.Close()
				}
				wg.Wait()
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Fatal("the idle uploads do not arrive")
	return nil
}

func post(t *testing.T, c *http.Client, url, from string, report []byte) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(report))
	must(t, err)
	r.Header.Set("Content-Type", "application/shoal-report;v=1")
	r.Header.Set("Test-Address", from)
	resp, err := c.Do(r)
	must(t, err)
	resp.Body.Close()
	return resp.StatusCode
}

// TestIdleUploads: uploads whose bodies do not come hold no place of reports that
// are here, no place of key fetches, and no more of their own than one network may.
func TestIdleUploads(t *testing.T) {
	path, reports, s, stop := gated(t, func(c *Config) { c.Intake.MaxConcurrent, c.Intake.MaxPerNetwork = 4, 6 }, pace{time.Minute, time.Minute})
	defer stop()
	base := "http://" + s.Addr("public")
	url := base + path
	client := &http.Client{Transport: &http.Transport{}}
	end := idle(t, client, url, "192.0.2.1", 20, func() bool { return s.gates.reading.Places() == 6 })
	for n, report := range reports[:5] {
		if code := post(t, client, url, fmt.Sprintf("198.51.100.%d", n), report); code != 201 {
			t.Errorf("report %d: %d", n, code)
		}
	}
	if code := post(t, client, url, "192.0.2.99", reports[6]); code != 503 {
		t.Errorf("another upload of the network that holds all its places: %d, want 503", code)
	}
	for range 3 {
		if status, _, _ := get(t, base+"/keys/shuffler", ""); status != 200 {
			t.Errorf("keys: %d", status)
		}
	}
	// Even with all places of bodies taken, keys are served.
	more := idle(t, client, url, "", 20, func() bool { return s.gates.reading.Places() == 16 })
	if status, _, _ := get(t, base+"/keys/shuffler", ""); status != 200 {
		t.Errorf("keys: %d", status)
	}
	if code := post(t, client, url, "198.51.100.1", reports[6]); code != 503 {
		t.Errorf("a report without a place: %d, want 503", code)
	}
	more()
	end()
	client.CloseIdleConnections()
}

// TestSlowBody: a body that does not come in time is answered 408, and its place is
// free again.
func TestSlowBody(t *testing.T) {
	path, _, s, stop := gated(t, func(c *Config) { c.Intake.MaxConcurrent = 4 }, pace{100 * time.Millisecond, time.Minute})
	defer stop()
	url := "http://" + s.Addr("public") + path
	body, _ := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	must(t, err)
	r.ContentLength = 200
	client := &http.Client{Transport: &http.Transport{}}
	resp, err := client.Do(r)
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("status %d, want 408", resp.StatusCode)
	}
	for range 5000 {
		if s.gates.reading.Places() == 0 {
			client.CloseIdleConnections()
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Error("the place is still taken")
}

// TestStreams: connections with many streams hold what one network may, and a
// connection has few streams.
func TestStreams(t *testing.T) {
	if n := newHTTP(nil, nil, nil).HTTP2.MaxConcurrentStreams; n != maxStreams || n > 64 {
		t.Errorf("%d streams a connection", n)
	}
	cert, key, pool := certificate(t, t.TempDir())
	path, reports, s, stop := gated(t, func(c *Config) {
		c.Intake.MaxConcurrent, c.Intake.MaxPerNetwork = 8, 20
		c.TLS = TLSConfig{CertFile: cert, KeyFile: key}
	}, pace{time.Minute, time.Minute})
	defer stop()
	newClient := func() *http.Client {
		var p http.Protocols
		p.SetHTTP2(true)
		return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, Protocols: &p, MaxConnsPerHost: 1}}
	}
	base := "https://" + s.Addr("public")
	url := base + path
	var ends []func()
	for i := range 3 {
		places := min(20, 10*(i+1))
		ends = append(ends, idle(t, newClient(), url, "192.0.2.1", 10, func() bool { return s.gates.reading.Places() == places }))
	}
	honest := newClient()
	r, err := honest.Get(base + "/keys/shuffler")
	must(t, err)
	r.Body.Close()
	if code := post(t, honest, url, "198.51.100.1", reports[6]); r.StatusCode != 200 || code != 201 {
		t.Errorf("keys %d, report %d", r.StatusCode, code)
	}
	for _, end := range ends {
		end()
	}
	honest.CloseIdleConnections()
}

// TestReadFirst: bodies reach the handler whole, whatever their length and whether
// it was announced.
func TestReadFirst(t *testing.T) {
	s := &Server{gates: newGates(IntakeConfig{MaxConcurrent: 4, MaxPerNetwork: 4}), network: Config{}.network, pace: pace{time.Minute, time.Minute}}
	for _, size := range []int{0, 1, 1000, maxBuffered - 1, maxBuffered, maxBuffered + 1, 3 * maxBuffered} {
		for _, announced := range []bool{true, false} {
			body := bytes.Repeat([]byte{7}, size)
			r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
			if !announced {
				r.ContentLength = -1
			}
			var got []byte
			w := httptest.NewRecorder()
			s.readFirst(func(_ http.ResponseWriter, r *http.Request) {
				var err error
				if got, err = io.ReadAll(r.Body); err != nil {
					t.Error(err)
				}
			})(w, r)
			if !bytes.Equal(got, body) || w.Code != 200 {
				t.Errorf("%d bytes, announced %v: %d arrived, status %d", size, announced, len(got), w.Code)
			}
		}
	}
	if s.gates.reading.Places() != 0 || s.gates.serving.Places() != 0 {
		t.Error("places are still taken")
	}
}

// TestReserveCoversBatch: reports are refused, and keys served, when what is free
// would not do for the work on the largest batch.
func TestReserveCoversBatch(t *testing.T) {
	path, reports, s, stop := gated(t, func(*Config) {}, pace{time.Minute, time.Minute})
	defer stop()
	url := "http://" + s.Addr("public") + path
	client := &http.Client{Transport: &http.Transport{}}
	if code := post(t, client, url, "", reports[0]); code != 201 {
		t.Fatalf("status %d", code)
	}
	s.refresh(t.Context())
	if s.need.Load() == 0 {
		t.Error("an open batch needs nothing")
	}
	s.need.Store(1 << 60)
	if code := post(t, client, url, "", reports[1]); code != 503 {
		t.Errorf("a report without space for its batch: %d, want 503", code)
	}
	s.refresh(t.Context())
	if code := post(t, client, url, "", reports[2]); code != 201 {
		t.Errorf("status %d", code)
	}
	client.CloseIdleConnections()
}
