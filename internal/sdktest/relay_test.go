package sdktest_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/internal/sdktest"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/witness"
)

// sockets records to which addresses connections were opened, or tried.
type sockets struct {
	mu   sync.Mutex
	seen []string
}

func (s *sockets) dial(ctx context.Context, network, address string) (net.Conn, error) {
	s.mu.Lock()
	s.seen = append(s.seen, address)
	s.mu.Unlock()
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

func (s *sockets) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// A switched handler can be replaced while it serves.
type switched struct {
	mu   sync.Mutex
	next http.Handler
}

func (s *switched) set(h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = h
}

func (s *switched) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	h := s.next
	s.mu.Unlock()
	h.ServeHTTP(w, r)
}

func quiet(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// A member is a party of a relayed task behind a server of its own.
type member struct {
	identity task.IdentityKey
	role     task.Role
	server   *httptest.Server
	handler  *switched // of the server
	whole    http.Handler
	gateway  *ohttp.Gateway
	issuing  *ohttp.Gateway // of credentials
	issuer   *credential.Issuer
	key      *ohttp.PrivateKey

	mu     sync.Mutex
	posts  [][]byte // what came through the gateway
	ids    []string // of the requests
	direct int      // requests that did not come from the relay
}

func (m *member) bodies() [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.posts)
}

// A relayed world is a client, a relay and the parties of one task.
type relayed struct {
	t       *testing.T
	clock   *clock.Virtual
	owner   task.IdentityKey
	relayID task.IdentityKey
	relay   *httptest.Server
	front   *switched // of the relay
	whole   *relay.Server
	members []*member
	task    *task.Task
	sockets *sockets
	client  *shoal.Client
	stated  func(m *member, keys []byte) []byte        // nil: what the party has
	slots   func(s witness.Slot, signed []byte) []byte // the same of keys of credentials
	answer  func(w http.ResponseWriter) bool           // of the first party; nil: its own
}

func identityKey(t testing.TB) task.IdentityKey {
	t.Helper()
	k, err := task.GenerateIdentityKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newRelayed(t *testing.T, method task.Method) *relayed {
	t.Helper()
	return newRelayedWith(t, method, nil)
}

// newRelayedWith lets edit change the task before the client is opened.
func newRelayedWith(t *testing.T, method task.Method, edit func(w *relayed)) *relayed {
	t.Helper()
	w := &relayed{
		t: t, clock: clock.NewVirtual(midnight.Add(time.Hour)), owner: identityKey(t), relayID: identityKey(t), front: &switched{}, sockets: &sockets{},
	}
	w.relay = quiet(t, w.front)
	roles := []task.Role{task.Shuffler, task.Analyzer}
	if method == task.Aggregate {
		roles = []task.Role{task.Leader, task.Helper}
	}
	var parties []relay.Party
	for _, role := range roles {
		m := w.newMember(role)
		w.members = append(w.members, m)
		parties = append(parties, relay.Party{URL: m.server.URL, Identity: m.identity.Public()})
	}
	store, err := witness.OpenFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.whole, err = relay.NewServer(relay.ServerConfig{
		Identity: w.relayID, Parties: parties, Store: store, Clock: w.clock, Client: w.relay.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.whole.Close() })
	w.front.set(w.whole)
	w.task = w.newTask(method)
	if edit != nil {
		edit(w)
	}
	w.client = sdktest.Open(t, shoal.Options{
		Bundle: sdktest.Bundle(t, w.owner, w.task), Owner: task.FormatPublic(w.owner.Public()), Metrics: []string{"m"},
		Mode: shoal.On, NoSender: true, Clock: w.clock, Transport: &http.Transport{DialContext: w.sockets.dial, DisableKeepAlives: true},
	})
	return w
}

func (w *relayed) newTask(method task.Method) *task.Task {
	w.t.Helper()
	party := func(i int) task.Party {
		m := w.members[i]
		return task.Party{Role: m.role, URL: m.server.URL, Identity: m.identity.Public()}
	}
	tk := sdktest.CrowdTask("m", w.owner.Public(), party(0), party(1))
	if method == task.Aggregate {
		g, err := task.WithChunk(task.Aggregation{Kind: kind.Count{Max: 1}, Variant: "dap-18", Presence: kind.Revealed})
		if err != nil {
			w.t.Fatal(err)
		}
		tk = &task.Task{
			Owner: w.owner.Public(), OwnedBy: "Example", Metric: "m", Question: "q", Method: task.Aggregate, Aggregation: g,
			MinBatch: 100, EpochSeconds: 86400, MaxDelay: 43200, ClockSkew: 3600, NotBefore: tk.NotBefore, Expires: tk.Expires,
			Hops: []task.Party{party(0), party(1), {Role: task.Collector, Identity: identityKey(w.t).Public()}},
		}
	}
	tk.Protection.Relay = task.Party{Role: task.Relay, URL: w.relay.URL, Identity: w.relayID.Public()}
	return tk
}

// newMember makes a party with a gateway and keys for the whole test.
func (w *relayed) newMember(role task.Role) *member {
	w.t.Helper()
	m := &member{identity: identityKey(w.t), role: role, handler: &switched{}}
	m.server = quiet(w.t, m.handler)
	var err error
	if m.key, err = ohttp.GenerateKey(1, ohttp.X25519, rand.Reader); err != nil {
		w.t.Fatal(err)
	}
	host := strings.TrimPrefix(m.server.URL, "http://")
	config := ohttp.GatewayConfig{
		Handler: w.inner(m), Authorities: []string{host}, Keys: []*ohttp.PrivateKey{m.key}, Sizes: relay.Sizes(),
		Idempotent: func(*http.Request) bool { return true },
	}
	if m.gateway, err = ohttp.NewGateway(config); err != nil {
		w.t.Fatal(err)
	}
	config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { m.issuer.Handler().ServeHTTP(rw, r) })
	if m.issuing, err = ohttp.NewGateway(config); err != nil {
		w.t.Fatal(err)
	}
	own := w.keysOf(role, m.identity)
	stated := func(keys relay.Keys) relay.Keys {
		return func(start, end time.Time) ([]byte, error) {
			b, err := keys(start, end)
			if w.stated != nil && err == nil {
				b = w.stated(m, b)
			}
			return b, err
		}
	}
	announcer, err := relay.NewAnnouncer(relay.AnnouncerConfig{Identity: m.identity, Clock: w.clock, Purposes: map[string]relay.Keys{
		relay.Gateway: stated(func(time.Time, time.Time) ([]byte, error) { return m.gateway.KeyConfigs() }),
		role.String(): stated(own),
	}, Slots: func(_ context.Context, s witness.Slot) ([]byte, error) { return w.stateSlot(m, s) }})
	if err != nil {
		w.t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(relay.GatewayPath, m.gateway)
	mux.Handle(relay.IssuancePath, m.issuing)
	for _, pattern := range relay.AnnouncerPatterns() {
		mux.Handle(pattern, announcer)
	}
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.direct++
	})
	m.whole = mux
	m.handler.set(mux)
	return m
}

// inner takes reports.
func (w *relayed) inner(m *member) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.t.Error(err)
		}
		if m.issuer != nil && strings.Contains(r.URL.Path, "/credentials/") {
			m.issuer.Handler().ServeHTTP(rw, r)
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.posts = append(m.posts, body)
		m.ids = append(m.ids, r.Header.Get(ohttp.RequestIDField))
		if r.RemoteAddr != "" || r.Header.Get("Date") != "" {
			w.t.Errorf("a request from %q with the date %q", r.RemoteAddr, r.Header.Get("Date"))
		}
		if w.answer != nil && w.answer(rw) {
			return
		}
		rw.WriteHeader(http.StatusCreated)
	})
}

// keysOf returns what a party seals to, the same in all periods.
func (w *relayed) keysOf(role task.Role, identity task.IdentityKey) relay.Keys {
	w.t.Helper()
	if role == task.Leader || role == task.Helper {
		k, err := dapkey.Generate(7, hpke.X25519, rand.Reader)
		if err != nil {
			w.t.Fatal(err)
		}
		list := dap.HpkeConfigList{k.Config()}
		return func(time.Time, time.Time) ([]byte, error) { return dap.NewCodec(dap.DAP18()).Encode(&list) }
	}
	p := &party{identity: identity}
	p.rotate(w.t)
	return func(start, end time.Time) ([]byte, error) { return p.config(w.t, role, start, end), nil }
}

// record makes something that waits.
func (w *relayed) record() {
	w.t.Helper()
	var o shoal.Outcome
	if w.task.Method == task.Aggregate {
		o = w.client.Count("m")
	} else {
		o = w.client.Record("m", sdktest.Use("cat", "files"))
	}
	if !o.Queued() {
		w.t.Fatal(o)
	}
}

// pass lets time go on until the client tries to send, once.
func (w *relayed) pass() shoal.Pass {
	w.t.Helper()
	for range 5 {
		pass, err := w.client.SendDue(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if pass.Sent+pass.Refused+pass.Waiting > 0 || pass.Next.IsZero() {
			return pass
		}
		w.clock.Forward(pass.Next)
	}
	w.t.Fatal("nothing is due")
	return shoal.Pass{}
}

// onlyRelay checks that no socket was opened but to the relay.
func (w *relayed) onlyRelay() {
	w.t.Helper()
	want := strings.TrimPrefix(w.relay.URL, "http://")
	for _, address := range w.sockets.all() {
		if address != want {
			w.t.Errorf("a connection to %s, want %s alone", address, want)
		}
	}
	for _, m := range w.members {
		m.mu.Lock()
		if m.direct > 0 {
			w.t.Errorf("the %v got %d requests that are not the relay's", m.role, m.direct)
		}
		m.mu.Unlock()
	}
}

func status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

// at serves one prefix by a handler, and all else as before.
func at(prefix string, h, otherwise http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, prefix) {
			h.ServeHTTP(w, r)
			return
		}
		otherwise.ServeHTTP(w, r)
	})
}

// hangUp ends the connection in the middle of an answer.
func hangUp() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", ohttp.MediaTypeResponse)
		w.Header().Set("Content-Length", "1056")
		_, _ = io.WriteString(w, "abc")
		panic(http.ErrAbortHandler)
	})
}

// failures are the ways in which relay and parties can fail; each breaks a world whose
// relay and parties the next call of repair puts back.
func failures() map[string]func(w *relayed) {
	refuse := func(status int, text string) func(*relayed) {
		return func(w *relayed) {
			w.members[0].handler.set(at(relay.GatewayPath, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", "application/problem+json")
				rw.WriteHeader(status)
				_, _ = io.WriteString(rw, text)
			}), w.members[0].whole))
		}
	}
	return map[string]func(w *relayed){
		"relay answers 500":  func(w *relayed) { w.front.set(status(500)) },
		"relay answers 404":  func(w *relayed) { w.front.set(status(404)) },
		"relay answers 200":  func(w *relayed) { w.front.set(status(200)) },
		"relay ends answers": func(w *relayed) { w.front.set(hangUp()) },
		"relay redirects": func(w *relayed) {
			w.front.set(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, w.members[0].server.URL+r.URL.Path, http.StatusTemporaryRedirect)
			}))
		},
		"relay has no minute":         func(w *relayed) { w.front.set(at("/minute", status(503), w.whole)) },
		"relay has no keys":           func(w *relayed) { w.front.set(at("/keys", status(503), w.whole)) },
		"relay forwards nothing":      func(w *relayed) { w.front.set(at("/gateways", status(502), w.whole)) },
		"relay ends sealed answers":   func(w *relayed) { w.front.set(at("/gateways", hangUp(), w.whole)) },
		"relay refuses":               func(w *relayed) { w.front.set(at("/gateways", status(403), w.whole)) },
		"relay makes up answers":      func(w *relayed) { w.front.set(at("/gateways", madeUp(), w.whole)) },
		"relay makes up keys":         func(w *relayed) { w.front.set(at("/keys", madeUpKeys(w), w.whole)) },
		"first party is down":         func(w *relayed) { w.members[0].handler.set(status(500)) },
		"second party is down":        func(w *relayed) { w.members[1].handler.set(status(500)) },
		"gateway is down":             func(w *relayed) { w.members[0].handler.set(at(relay.GatewayPath, status(503), w.members[0].whole)) },
		"gateway ends answers":        func(w *relayed) { w.members[0].handler.set(at(relay.GatewayPath, hangUp(), w.members[0].whole)) },
		"gateway does not know key":   refuse(422, `{"type":"`+ohttp.ProblemKey+`","title":"unknown"}`),
		"gateway refuses":             refuse(400, `{"type":"urn:shoal:problem:malformed","title":"no"}`),
		"gateway refuses as shuffler": refuse(403, `{"type":"urn:shoal:problem:unknownTask","title":"no"}`),
	}
}

// madeUp answers with random bytes of the agreed length.
func madeUp() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		b := make([]byte, 1<<10+32)
		_, _ = rand.Read(b)
		w.Header().Set("Content-Type", ohttp.MediaTypeResponse)
		_, _ = w.Write(b)
	})
}

// madeUpKeys serves keys of the relay's own, which the party has not signed.
func madeUpKeys(w *relayed) http.Handler {
	key, err := ohttp.GenerateKey(1, ohttp.X25519, rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	keys, err := ohttp.MarshalKeyConfigs([]ohttp.KeyConfig{key.Config()})
	if err != nil {
		w.t.Fatal(err)
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		slot, ok := witness.ParsePath(strings.TrimPrefix(r.URL.Path, "/keys"))
		if !ok {
			w.t.Errorf("asked for keys at %s", r.URL.Path)
		}
		slot.Party = [ed25519.PublicKeySize]byte(w.relayID.Public())
		signed, err := witness.Statement{Slot: slot, End: slot.Start + int64(relay.Period/time.Second), Keys: keys}.Sign(w.relayID)
		if err != nil {
			w.t.Error(err)
		}
		rw.Header().Set("Content-Type", witness.MediaType)
		_, _ = rw.Write(append([]byte{0, byte(len(signed) >> 8), byte(len(signed))}, append(signed, make([]byte, 64)...)...))
	})
}

// repair puts relay and parties back.
func (w *relayed) repair() {
	w.front.set(w.whole)
	for _, m := range w.members {
		m.handler.set(m.whole)
	}
}

// TestRelayIsTheOnlyWay covers, for both routes and each failure, the threat of a client
// that goes around its relay: nothing is contacted but the relay, the report waits, and
// it arrives when the failure has passed.
func TestRelayIsTheOnlyWay(t *testing.T) {
	for _, method := range []task.Method{task.Crowd, task.Aggregate} {
		for name, fail := range failures() {
			t.Run(fmt.Sprint(method, "/", name), func(t *testing.T) {
				t.Parallel()
				w := newRelayed(t, method)
				w.record()
				fail(w)
				for range 2 {
					if pass := w.pass(); pass.Sent != 0 || pass.Refused != 0 || pass.Waiting != 1 {
						t.Errorf("while it fails: %+v", pass)
					}
				}
				w.repair()
				pass := w.pass()
				if pass.Sent != 1 || pass.Refused != 0 || len(w.members[1].bodies()) != 0 {
					t.Errorf("when it has passed: %+v", pass)
				}
				w.onlyRelay()
			})
		}
	}
}

// TestRelayDown: with nobody at the relay's address the report waits.
func TestRelayDown(t *testing.T) {
	for _, method := range []task.Method{task.Crowd, task.Aggregate} {
		w := newRelayed(t, method)
		w.record()
		w.relay.Close()
		for range 3 {
			if pass := w.pass(); pass.Sent != 0 || pass.Refused != 0 || pass.Waiting != 1 || pass.Err == nil {
				t.Errorf("%v: %+v", method, pass)
			}
		}
		w.onlyRelay()
		if waiting, err := w.client.Pending(); len(waiting) != 1 || err != nil {
			t.Errorf("%v: %d reports wait, want 1: %v", method, len(waiting), err)
		}
	}
}

// TestChangingKeysGetNoClient covers the threat of a party that gives each client keys of
// its own: a party that answers the relay's fetches with new keys, of gateway or role, gets
// no report.
func TestChangingKeysGetNoClient(t *testing.T) {
	for _, method := range []task.Method{task.Crowd, task.Aggregate} {
		for i := range 2 {
			w := newRelayed(t, method)
			n := 0
			w.stated = func(m *member, keys []byte) []byte {
				if m != w.members[i] {
					return keys
				}
				n++
				return append(keys[:len(keys):len(keys)], byte(n))
			}
			w.record()
			for range 4 {
				if pass := w.pass(); pass.Sent != 0 || pass.Refused != 0 {
					t.Errorf("%v, party %d: %+v", method, i, pass)
				}
			}
			if n == 0 || len(w.members[0].bodies()) != 0 || len(w.whole.Refused()) == 0 {
				t.Errorf("%v, party %d: asked %d times, %d requests, refused %v", method, i, n, len(w.members[0].bodies()), w.whole.Refused())
			}
			w.onlyRelay()
		}
	}
}

// TestRetriesHaveOneID: what is sent again through the relay is the same request to the
// party, bytes and ID.
func TestRetriesHaveOneID(t *testing.T) {
	for _, method := range []task.Method{task.Crowd, task.Aggregate} {
		w := newRelayed(t, method)
		w.answer = func(rw http.ResponseWriter) bool {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		w.record()
		for range 3 {
			w.pass()
		}
		m := w.members[0]
		m.mu.Lock()
		for i := range m.posts {
			if m.ids[i] == "" || m.ids[i] != m.ids[0] || string(m.posts[i]) != string(m.posts[0]) {
				t.Errorf("%v: request %d has the ID %s, the first %s", method, i, m.ids[i], m.ids[0])
			}
		}
		if len(m.posts) < 2 {
			t.Errorf("%v: %d requests, want several", method, len(m.posts))
		}
		m.mu.Unlock()
	}
}

// TestRelayedReportsHideTheirHour covers the threat of people who are known by the hours in
// which they record: a report leaves in the send delay after its epoch's end.
func TestRelayedReportsHideTheirHour(t *testing.T) {
	for _, method := range []task.Method{task.Crowd, task.Aggregate} {
		w := newRelayed(t, method)
		w.record()
		waiting, err := w.client.Pending()
		if len(waiting) != 1 || err != nil {
			t.Fatalf("%v: %d reports wait: %v", method, len(waiting), err)
		}
		from := w.task.Start(waiting[0].Epoch + 1)
		if at, until := waiting[0].NotBefore, from.Add(time.Duration(w.task.MaxDelay)*time.Second); at.Before(from) || at.After(until) {
			t.Errorf("%v: recorded at %v and sent at %v, want from %v to %v", method, w.clock.Now(), at, from, until)
		}
	}
}

// TestRelayTime covers the threat of a device that is known by its clock: the relay's
// time decides whether a report leaves.
func TestRelayTime(t *testing.T) {
	w := newRelayed(t, task.Crowd)
	w.record()
	ahead := clock.NewVirtual(midnight.Add(23 * time.Hour)) // the parties' clock: the epoch has not ended
	for _, m := range w.members {
		announcer, err := relay.NewAnnouncer(relay.AnnouncerConfig{Identity: m.identity, Clock: ahead})
		if err != nil {
			t.Fatal(err)
		}
		m.handler.set(at("/minute", announcer, m.whole))
	}
	store, err := witness.OpenFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	early, err := relay.NewServer(relay.ServerConfig{
		Identity: w.relayID, Store: store, Clock: ahead, Client: w.relay.Client(),
		Parties: []relay.Party{{URL: w.members[0].server.URL, Identity: w.members[0].identity.Public()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.front.set(early)
	if pass := w.pass(); pass.Waiting != 1 || pass.Err == nil || !strings.Contains(pass.Err.Error(), "by the relay's clock") {
		t.Errorf("before the epoch's end: %+v", pass)
	}
	if err := errors.Join(early.Close()); err != nil {
		t.Error(err)
	}
	w.onlyRelay()
}
