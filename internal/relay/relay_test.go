package relay

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/witness"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newKey(t testing.TB) task.IdentityKey {
	t.Helper()
	k, err := task.GenerateIdentityKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestQuota: so many requests a network and day, by /24 and /48; the next day begins
// with another key and without counts.
func TestQuota(t *testing.T) {
	c := clock.NewVirtual(noon)
	q := newQuota(2, c, rand.Reader)
	take := func(address string) bool {
		t.Helper()
		ok, err := q.take(netip.MustParseAddr(address))
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	for _, step := range []struct {
		address string
		want    bool
	}{
		{"192.0.2.1", true},
		{"192.0.2.200", true},
		{"192.0.2.1", false},
		{"::ffff:192.0.2.7", false},
		{"192.0.3.1", true},
		{"2001:db8:1::1", true},
		{"2001:db8:1:ffff::2", true},
		{"2001:db8:1:2::3", false},
		{"2001:db8:2::1", true},
		{"fe80::1%eth0", true},
	} {
		if got := take(step.address); got != step.want {
			t.Errorf("%s: %t", step.address, got)
		}
	}
	key := q.key
	c.Advance(12 * time.Hour)
	if !take("192.0.2.1") || q.key == key {
		t.Error("the next day has the counts or the key of the day before")
	}
	failing := newQuota(2, c, strings.NewReader("short"))
	if ok, err := failing.take(netip.MustParseAddr("192.0.2.1")); ok || err == nil {
		t.Errorf("without randomness: %t, %v", ok, err)
	}
}

// TestQuotaIsBounded: what is kept is bounded, and more networks are refused.
func TestQuotaIsBounded(t *testing.T) {
	q := newQuota(2, clock.NewVirtual(noon), rand.Reader)
	if ok, err := q.take(netip.MustParseAddr("10.0.0.1")); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for i := len(q.by); i < maxNetworks; i++ {
		q.by[[16]byte{1, byte(i), byte(i >> 8), byte(i >> 16)}] = 1
	}
	if ok, _ := q.take(netip.MustParseAddr("10.0.1.1")); ok {
		t.Error("one network more than the limit is counted")
	}
	if ok, _ := q.take(netip.MustParseAddr("10.0.0.2")); !ok {
		t.Error("a network that is counted is refused below its limit")
	}
}

// TestQuotaAtOnce: the bound holds under concurrency.
func TestQuotaAtOnce(t *testing.T) {
	q := newQuota(50, clock.NewVirtual(noon), rand.Reader)
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for range 200 {
		wg.Go(func() {
			if ok, _ := q.take(netip.MustParseAddr("192.0.2.1")); ok {
				mu.Lock()
				taken++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if taken != 50 {
		t.Errorf("%d requests, want 50", taken)
	}
}

// A testParty announces keys that the test chooses.
type testParty struct {
	identity task.IdentityKey
	server   *httptest.Server
	keys     Keys
	forwards int
}

func serve(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func newTestParty(t testing.TB, c clock.Clock) *testParty {
	t.Helper()
	p := &testParty{identity: newKey(t), keys: func(start, end time.Time) ([]byte, error) { return fmt.Appendf(nil, "keys of %v", start), nil }}
	a, err := NewAnnouncer(AnnouncerConfig{Identity: p.identity, Clock: c, Purposes: map[string]Keys{
		Gateway: func(start, end time.Time) ([]byte, error) { return p.keys(start, end) },
	}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, pattern := range AnnouncerPatterns() {
		mux.Handle(pattern, a)
	}
	mux.HandleFunc(GatewayPath, func(http.ResponseWriter, *http.Request) { p.forwards++ })
	mux.HandleFunc(IssuancePath, func(http.ResponseWriter, *http.Request) { p.forwards++ })
	p.server = serve(t, mux)
	return p
}

func (p *testParty) party() Party { return Party{URL: p.server.URL, Identity: p.identity.Public()} }

func (p *testParty) slot(purpose string, at time.Time) witness.Slot {
	s, err := witness.SlotAt(p.identity.Public(), purpose, Period, at)
	if err != nil {
		panic(err)
	}
	return s
}

func newTestRelay(t testing.TB, c clock.Clock, change func(*ServerConfig), parties ...Party) *Server {
	t.Helper()
	store, err := witness.OpenFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	config := ServerConfig{Identity: newKey(t), Parties: parties, Store: store, Clock: c, Client: &http.Client{}}
	if change != nil {
		change(&config)
	}
	s, err := NewServer(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func do(h http.Handler, method, path, from string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.RemoteAddr = from
	if body != nil {
		r.Header.Set("Content-Type", ohttp.MediaTypeRequest)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestIssuanceTarget: requests for credentials have a target of their own, which alone
// is bounded; what is refused does not reach the party, and has the size of an answer.
func TestIssuanceTarget(t *testing.T) {
	c := clock.NewVirtual(noon)
	p := newTestParty(t, c)
	s := newTestRelay(t, c, func(config *ServerConfig) { config.Issuances = 3 }, p.party())
	body := make([]byte, Sizes()[0].Request+55)
	path := gatewaysPath + nameOf(p.identity.Public())
	for i := range 5 {
		w := do(s, http.MethodPost, path+issuance, "192.0.2.1:999", body)
		if limited := w.Code == http.StatusTooManyRequests; limited != (i >= 3) || w.Body.Len() != Sizes()[0].Answer+32 {
			t.Errorf("request %d: status %d, %d bytes", i+1, w.Code, w.Body.Len())
		}
	}
	if p.forwards != 3 {
		t.Errorf("%d issuances reached the party, want 3", p.forwards)
	}
	for _, from := range []string{"192.0.2.1:999", "@"} {
		if w := do(s, http.MethodPost, path, from, body); w.Code == http.StatusTooManyRequests {
			t.Errorf("from %s: a report was limited", from)
		}
	}
	if w := do(s, http.MethodPost, path+issuance, "@", body); w.Code != http.StatusTooManyRequests {
		t.Errorf("an issuance from an unknown address: status %d", w.Code)
	}
	if w := do(s, http.MethodPost, path+issuance, "198.51.100.1:9", body); w.Code == http.StatusTooManyRequests {
		t.Error("another network is limited")
	}
	if n := s.Counts()["urn:shoal:problem:limited"]; n != 3 {
		t.Errorf("%d refusals are counted, want 3", n)
	}
}

// TestRelayServes covers what a relay answers beside forwarding: keys and minutes of its
// parties and of nobody else, without a Date.
func TestRelayServes(t *testing.T) {
	c := clock.NewVirtual(noon)
	p, other := newTestParty(t, c), newTestParty(t, c)
	s := newTestRelay(t, c, nil, p.party())
	name := nameOf(p.identity.Public())
	for path, want := range map[string]int{
		minutesPath + name: http.StatusOK,
		minutesPath + nameOf(other.identity.Public()): http.StatusNotFound,
		minutesPath + "x":                                                http.StatusNotFound,
		keysPath + p.slot(Gateway, noon).Path():                          http.StatusOK,
		keysPath + p.slot(Gateway, noon.Add(24*time.Hour)).Path():        http.StatusNotFound,
		keysPath + p.slot(Gateway, noon.Add(-24*time.Hour)).Path():       http.StatusNotFound,
		keysPath + p.slot("leader", noon).Path():                         http.StatusServiceUnavailable,
		keysPath + p.slot("invented", noon).Path():                       http.StatusNotFound,
		keysPath + other.slot(Gateway, noon).Path():                      http.StatusNotFound,
		keysPath + "/" + strings.Repeat("A", 43) + "/gateway/0":          http.StatusNotFound,
		gatewaysPath + name:                                              http.StatusMethodNotAllowed,
		gatewaysPath + nameOf(other.identity.Public()):                   http.StatusNotFound,
		gatewaysPath + "../" + name:                                      http.StatusNotFound,
		keysPath + "/" + base64.RawURLEncoding.EncodeToString([]byte{1}): http.StatusNotFound,
	} {
		w := do(s, http.MethodGet, path, "192.0.2.1:9", nil)
		if w.Code != want {
			t.Errorf("GET %s: status %d, want %d", path, w.Code, want)
		}
		if d, ok := w.Header()["Date"]; ok && d != nil {
			t.Errorf("GET %s: Date %v", path, d)
		}
	}
	c.Set(time.Date(2026, 11, 23, 23, 30, 0, 0, time.UTC))
	if w := do(s, http.MethodGet, keysPath+p.slot(Gateway, noon.Add(24*time.Hour)).Path(), "", nil); w.Code != http.StatusOK {
		t.Errorf("keys of the next period, half an hour before: status %d", w.Code)
	}
}

// TestAnnouncer: a party states keys of itself, and of the present period and the next
// alone.
func TestAnnouncer(t *testing.T) {
	c := clock.NewVirtual(noon)
	p, other := newTestParty(t, c), newTestParty(t, c)
	get := func(slot witness.Slot) int {
		r, err := http.Get(p.server.URL + statementsPath + slot.Path())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		return r.StatusCode
	}
	odd := p.slot(Gateway, noon)
	odd.Start += 60
	for name, tt := range map[string]struct {
		slot witness.Slot
		want int
	}{
		"present":      {p.slot(Gateway, noon), 200},
		"past":         {p.slot(Gateway, noon.Add(-24*time.Hour)), 404},
		"next":         {p.slot(Gateway, noon.Add(24*time.Hour)), 404},
		"not a period": {odd, 404},
		"another's":    {other.slot(Gateway, noon), 404},
		"no keys":      {p.slot("shuffler", noon), 404},
	} {
		if got := get(tt.slot); got != tt.want {
			t.Errorf("%s: status %d, want %d", name, got, tt.want)
		}
	}
	c.Set(noon.Add(11 * time.Hour))
	if got := get(p.slot(Gateway, noon.Add(24*time.Hour))); got != 200 {
		t.Errorf("the next, an hour before: status %d", got)
	}
	for want, err := range map[int]error{503: ErrNoKeys, 500: errors.New("disk on fire")} {
		p.keys = func(time.Time, time.Time) ([]byte, error) { return nil, err }
		if got := get(p.slot(Gateway, noon.Add(11*time.Hour))); got != want {
			t.Errorf("%v: status %d, want %d", err, got, want)
		}
	}
	if _, err := NewAnnouncer(AnnouncerConfig{Identity: p.identity, Clock: c, Purposes: map[string]Keys{"invented": nil}}); err == nil {
		t.Error("a purpose that no relay witnesses is taken")
	}
}

// TestRestoredRelay: a relay whose records may be lost signs no period that had begun.
func TestRestoredRelay(t *testing.T) {
	c := clock.NewVirtual(noon)
	p := newTestParty(t, c)
	s := newTestRelay(t, c, func(config *ServerConfig) { config.Since = noon.Add(-time.Minute) }, p.party())
	if w := do(s, http.MethodGet, keysPath+p.slot(Gateway, noon).Path(), "", nil); w.Code != http.StatusServiceUnavailable {
		t.Errorf("the present period: status %d, want 503", w.Code)
	}
	c.Set(noon.Add(12 * time.Hour))
	if w := do(s, http.MethodGet, keysPath+p.slot(Gateway, noon.Add(12*time.Hour)).Path(), "", nil); w.Code != http.StatusOK {
		t.Errorf("the next period: status %d", w.Code)
	}
}

// A flaky store fails, or loses its answer after it has written.
type flaky struct {
	witness.Store
	fail, lose bool
}

var errDisk = errors.New("disk on fire")

func (f *flaky) Put(ctx context.Context, s witness.Slot, signed []byte) (witness.Record, error) {
	if f.fail {
		return witness.Record{}, errDisk
	}
	r, err := f.Store.Put(ctx, s, signed)
	if f.lose {
		return witness.Record{}, errDisk
	}
	return r, err
}

// TestStoreFails: nothing is signed that is not durable, and what is durable stays the
// only one, whatever the party says later.
func TestStoreFails(t *testing.T) {
	c := clock.NewVirtual(noon)
	p := newTestParty(t, c)
	f := &flaky{fail: true}
	s := newTestRelay(t, c, func(config *ServerConfig) { f.Store = config.Store; config.Store = f }, p.party())
	path := keysPath + p.slot(Gateway, noon).Path()
	get := func() int {
		c.Advance(time.Minute)
		return do(s, http.MethodGet, path, "", nil).Code
	}
	if got := get(); got != http.StatusServiceUnavailable {
		t.Errorf("a store that fails: status %d", got)
	}
	f.fail, f.lose = false, true
	if got := get(); got != http.StatusServiceUnavailable {
		t.Errorf("a store whose answer is lost: status %d", got)
	}
	p.keys = func(time.Time, time.Time) ([]byte, error) { return []byte("others"), nil }
	f.lose = false
	c.Advance(time.Minute)
	w := do(s, http.MethodGet, path, "", nil)
	if w.Code != http.StatusOK || bytes.Contains(w.Body.Bytes(), []byte("others")) {
		t.Errorf("afterwards: status %d, with the later keys: %t", w.Code, bytes.Contains(w.Body.Bytes(), []byte("others")))
	}
}

// TestServerConfigs: configurations that cannot work are refused.
func TestServerConfigs(t *testing.T) {
	c := clock.NewVirtual(noon)
	p := newTestParty(t, c)
	own := newKey(t)
	store, err := witness.OpenFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	good := ServerConfig{Identity: own, Parties: []Party{p.party()}, Store: store, Clock: c, Client: &http.Client{}}
	for name, change := range map[string]func(*ServerConfig){
		"no party":     func(c *ServerConfig) { c.Parties = nil },
		"twice":        func(c *ServerConfig) { c.Parties = append(c.Parties, c.Parties[0]) },
		"itself":       func(c *ServerConfig) { c.Parties = []Party{{p.server.URL, own.Public()}} },
		"no identity":  func(c *ServerConfig) { c.Parties = []Party{{p.server.URL, ed25519.PublicKey{1}}} },
		"http":         func(c *ServerConfig) { c.Parties = []Party{{"http://shuffler.example", p.identity.Public()}} },
		"no clock":     func(c *ServerConfig) { c.Clock = nil },
		"own key lost": func(c *ServerConfig) { c.Identity = task.IdentityKey{} },
	} {
		config := good
		config.Parties = append([]Party(nil), good.Parties...)
		change(&config)
		if _, err := NewServer(config); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestWayNeedsRelay: a task without a relay has no way through one.
func TestWayNeedsRelay(t *testing.T) {
	if _, err := NewClient(nil, clock.NewVirtual(noon)).Way(&task.Task{}); err == nil {
		t.Error("a task without a relay has a way")
	}
}

// TestRequestIDs: equal requests have equal IDs, others have others.
func TestRequestIDs(t *testing.T) {
	a, b, c := requestID("/a", []byte("x")), requestID("/a", []byte("x")), requestID("/b", []byte("x"))
	if a != b || a == c || a == requestID("/a", []byte("y")) {
		t.Error(a, b, c)
	}
}

// BenchmarkRelay measures what a relay forwards over loopback: requests of the smallest
// size to a gateway that answers at once.
func BenchmarkRelay(b *testing.B) {
	answer := make([]byte, Sizes()[0].Answer+32)
	gateway := serve(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", ohttp.MediaTypeResponse)
		_, _ = w.Write(answer)
	}))
	p := Party{URL: gateway.URL, Identity: newKey(b).Public()}
	s := serve(b, newTestRelay(b, clock.System(), nil, p))
	url := s.URL + gatewaysPath + nameOf(p.Identity)
	body := make([]byte, Sizes()[0].Request+55)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DialContext: (&net.Dialer{}).DialContext}}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, err := client.Post(url, ohttp.MediaTypeRequest, bytes.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			if n, err := io.Copy(io.Discard, r.Body); r.StatusCode != http.StatusOK || n != int64(len(answer)) || err != nil {
				b.Errorf("HTTP %d, %d bytes, %v", r.StatusCode, n, err)
			}
			r.Body.Close()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}
