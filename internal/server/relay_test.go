package server

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/metric/task"
)

// sockets records where connections were opened to.
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

// only checks that all connections were to one address.
func (s *sockets) only(t *testing.T, address string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) == 0 {
		t.Error("no connection was opened")
	}
	for _, to := range s.seen {
		if to != address {
			t.Errorf("a connection to %s, want %s alone", to, address)
		}
	}
}

// relayed founds a relay for the organisations of a world, and asks the question again
// with it.
func (w *world) relayed() *org {
	w.t.Helper()
	o := w.found(task.Relay)
	o.adjust = func(c *Config) {
		c.Tasks.Bundles = nil
		c.Relay.Parties = []RelayParty{{URL: w.a.url(), Identity: w.a.identity}, {URL: w.b.url(), Identity: w.b.identity}}
	}
	w.task.Protection.Relay = task.Party{Role: task.Relay, URL: o.url(), Identity: o.public()}
	signed, err := task.Sign(w.task, w.owner)
	must(w.t, err)
	w.id, err = w.task.ID()
	must(w.t, err)
	b, err := (&task.Bundle{Tasks: []*task.Signed{signed}}).Encode()
	must(w.t, err)
	for _, to := range []*org{w.a, w.b} {
		must(w.t, os.WriteFile(filepath.Join(to.dir, "tasks.bundle"), b, 0o600))
	}
	return o
}

// people opens n clients of the SDK.
func (w *world) people(n int, sockets *sockets) []*shoal.Client {
	w.t.Helper()
	return w.admitted(make([]string, n), sockets)
}

// admitted opens a client of the SDK for each admission, which may be empty.
func (w *world) admitted(codes []string, sockets *sockets) []*shoal.Client {
	w.t.Helper()
	bundle, err := os.ReadFile(filepath.Join(w.a.dir, "tasks.bundle"))
	must(w.t, err)
	transport := &http.Transport{DialContext: sockets.dial, DisableKeepAlives: true}
	var all []*shoal.Client
	for _, code := range codes {
		c, err := shoal.Open(w.t.Context(), shoal.Options{
			Bundle: bundle, Owner: task.FormatPublic(w.owner.Public()), Metrics: []string{w.task.Metric},
			Mode: shoal.On, NoSender: true, Clock: w.clock, Transport: transport, Admission: code,
		})
		must(w.t, err)
		w.t.Cleanup(func() { _ = c.Close() })
		all = append(all, c)
	}
	return all
}

// sendAll lets time go by for all clients, a minute a step, and returns how many reports
// were sent and refused.
func (w *world) sendAll(all []*shoal.Client, d time.Duration) (sent, refused int) {
	w.t.Helper()
	var last error
	for end := w.clock.Now().Add(d); w.clock.Now().Before(end); {
		for _, c := range all {
			pass, err := c.SendDue(w.t.Context())
			must(w.t, err)
			sent += pass.Sent
			refused += pass.Refused
			if pass.Err != nil {
				last = pass.Err
			}
		}
		w.clock.Forward(w.clock.Now().Add(time.Minute))
	}
	if last != nil {
		w.t.Logf("the last reason to wait: %v", last)
	}
	return sent, refused
}

// TestRelayWay lets clients of the SDK send through a relay to gateway, shuffler and
// analyzer, and finds the large crowd in the table. No client has a connection but to
// the relay; the relay's files and log know of no client.
func TestRelayWay(t *testing.T) {
	w := newWorld(t)
	r := w.relayed()
	r.start()
	w.b.start()
	w.a.start()
	s := &sockets{}
	people := w.people(213, s)
	for i, c := range people {
		fruit := "apple"
		if i < 3 {
			fruit = "medlar"
		}
		if o := c.Record("fruit", map[string]any{"name": fruit, "ripe": true}); !o.Queued() {
			t.Fatal(o)
		}
	}
	if sent, refused := w.sendAll(people, 72*time.Minute); sent != len(people) || refused != 0 {
		t.Fatalf("%d reports sent, %d refused", sent, refused)
	}
	w.closeEpoch()
	must(t, w.tick(w.a, w.b))
	checkReleased(t, w, 210)
	s.only(t, r.address)
	for o, wants := range map[*org][]string{
		r:   {fmt.Sprintf(`shoal_oblivious_requests_total{outcome="forwarded",role="relay"} %d`, len(people)), `shoal_keys_refused{role="relay"} 0`},
		w.a: {fmt.Sprintf(`shoal_oblivious_requests_total{outcome="served",role="gateway"} %d`, len(people)), `shoal_key_seconds_left{role="gateway"}`},
	} {
		must(t, o.server.Tick(t.Context()))
		_, _, body := get(t, "http://"+o.server.Addr("ops")+"/metrics", "")
		for _, want := range wants {
			if !strings.Contains(string(body), want) {
				t.Errorf("metrics of %s lack %s", o.server.Config().Organisation, want)
			}
		}
	}
	for _, o := range []*org{r, w.a, w.b} {
		o.halt()
	}
	checkNothingIdentifying(t, w)
	checkRelayForgets(t, r)
}

// checkRelayForgets: what a relay keeps are statements, and nothing of clients or tasks.
func checkRelayForgets(t *testing.T, r *org) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(filepath.Join(r.dir, "data"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(name)
		for _, secret := range []string{"127.0.0.1:", "apple", "fruit", "Go-http-client"} {
			if strings.Contains(string(b), secret) {
				t.Errorf("%s holds %q", name, secret)
			}
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files, %v", files, err)
	}
}

// TestRelayAggregateWay is the same for leader and helper: the collector gets exact sums.
func TestRelayAggregateWay(t *testing.T) {
	w := newAggregateWorld(t)
	r := w.relayed()
	w.pair()
	r.start()
	w.b.start()
	w.a.start()
	s := &sockets{}
	people := w.people(30, s)
	for i, label := range slices.Concat(repeat("red", 15), repeat("green", 9), repeat("blue", 1)) {
		if o := people[i].Observe("colour", label); !o.Queued() {
			t.Fatal(o)
		}
	}
	if sent, refused := w.sendAll(people, 72*time.Minute); sent != len(people) || refused != 0 {
		t.Fatalf("%d reports sent, %d refused", sent, refused)
	}
	must(t, w.settle(60*time.Minute))
	if got := w.results(); got != wantColours {
		t.Errorf("released\n%s\nwant\n%s", got, wantColours)
	}
	s.only(t, r.address)
	for _, o := range []*org{r, w.a, w.b} {
		o.halt()
	}
	checkRelayForgets(t, r)
}

// TestRelayAggregateWayOfCredentials is the same with credentials of leader and helper: keys,
// issuance and uploads go through the relay alone, each person with an invitation counts once,
// and those without send nothing.
func TestRelayAggregateWayOfCredentials(t *testing.T) {
	w := newAggregateWorld(t)
	w.task.Protection.CredentialEpochs = 48
	r := w.relayed()
	for _, o := range []*org{w.a, w.b} {
		o.adjust = func(c *Config) { c.Credentials.Invitations = []string{task.FormatPublic(w.owner.Public())} }
	}
	w.pair()
	r.start()
	w.b.start()
	w.a.start()
	codes := make([]string, 32) // the last two have none
	for i := range 30 {
		var err error
		codes[i], err = credential.Invite(w.owner, noon.AddDate(0, 1, 0), rand.Reader)
		must(t, err)
	}
	s := &sockets{}
	people := w.admitted(codes, s)
	sent := 0
	pass := func(d, step time.Duration) {
		for end := w.clock.Now().Add(d); w.clock.Now().Before(end); w.clock.Forward(w.clock.Now().Add(step)) {
			if w.clock.Now().Minute()%10 == 0 {
				must(t, w.tick(r, w.b, w.a))
			}
			for _, c := range people {
				p, err := c.SendDue(t.Context())
				must(t, err)
				if sent += p.Sent; p.Refused != 0 {
					t.Fatalf("%d reports were refused", p.Refused)
				}
			}
		}
	}
	pass(4*time.Hour, 10*time.Minute) // all have fetched their credentials, at random times
	before := sent
	labels := slices.Concat(repeat("red", 15), repeat("green", 9), repeat("blue", 1), repeat("", 5), repeat("red", 2))
	for i, label := range labels {
		if label == "" {
			continue
		}
		if o := people[i].Observe("colour", label); !o.Queued() {
			t.Fatal(o)
		}
	}
	pass(80*time.Minute, time.Minute)
	if sent-before != 30 && sent-before != 60 { // of one epoch, or of the one before, too
		t.Errorf("%d reports were sent, want one an epoch of each of 30 people", sent-before)
	}
	must(t, w.settle(90*time.Minute))
	want := "2026-11-23T16:00:00Z,red,30,15,0,15,15\n2026-11-23T16:00:00Z,green,30,9,0,9,9\n2026-11-23T16:00:00Z,blue,30,1,0,1,1\n"
	if got := w.results(); !strings.Contains(got, want) {
		t.Errorf("released\n%s\nwant\n%s", got, want)
	}
	s.only(t, r.address)
	for _, o := range []*org{r, w.a, w.b} {
		o.halt()
	}
	checkRelayForgets(t, r)
}

// TestRelayedTaskNeedsKeys: an organisation whose keys do not last for a relay's period
// refuses the task.
func TestRelayedTaskNeedsKeys(t *testing.T) {
	w := newWorld(t)
	w.relayed()
	w.a.adjust = func(c *Config) { c.Keys.Overlap = Duration(23 * time.Hour) }
	if s, err := w.a.open(); err == nil || !strings.Contains(err.Error(), "keys.overlap") {
		t.Errorf("got %v", err)
		if err == nil {
			must(t, s.Close())
		}
	}
}

// TestRelayConfig lists what is wrong with configurations of a relay, and of others that
// have its keys.
func TestRelayConfig(t *testing.T) {
	const head = "url: https://relay.example\nbehind_proxy: %s\nroles: [%s]\nrelay:\n"
	key := task.FormatPublic(mustKey(t).Public())
	party := "  parties: [{url: \"https://shuffler.example\", identity: \"" + key + "\"}]\n"
	for _, tt := range []struct{ proxy, roles, text, want string }{
		{"false", "relay", party, ""},
		{"false", "relay", "  parties: []\n", ""},
		{"true", "relay", party, ""},
		{"false", "shuffler", party, "only a relay uses"},
		{"false", "shuffler", "  issuances: 5\n", "only a relay uses"},
		{"false", "relay, shuffler", party, "plays no other role"},
		{"false", "relay", "  parties: [{url: \"https://shuffler.example\"}]\n", "relay.parties[0].identity"},
		{"false", "relay", "  parties: [{url: \"http://shuffler.example\", identity: \"" + key + "\"}]\n", "relay.parties[0].url"},
		{"false", "relay", "  parties: [{url: \"https://relay.example\", identity: \"" + key + "\"}]\n", "own host"},
		{"false", "relay", party[:len(party)-2] + ", {url: \"https://b.example\", identity: \"" + key + "\"}]\n", "duplicate"},
		{"false", "relay", party + "  issuances: -1\n", "relay.issuances: -1"},
		{"true", "relay", party + "  issuances: 10\n", "behind_proxy"},
		{"false", "relay", party + "tasks:\n  bundles: [a.bundle]\n", "a relay knows of no tasks"},
	} {
		_, err := Parse([]byte(fmt.Sprintf(head, tt.proxy, tt.roles)+tt.text), t.TempDir(), func(string) string { return "" })
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %s: got %v, want %q", tt.roles, tt.text, err, tt.want)
		}
	}
}

// TestRelayAfterLoss: a relay whose records were given up signs nothing for the period
// that has begun, and everything from the next on.
func TestRelayAfterLoss(t *testing.T) {
	w := newWorld(t)
	r := w.relayed()
	r.start()
	w.a.start()
	at := func(when time.Time) string {
		key := "http://" + r.address + "/keys/" + base64.RawURLEncoding.EncodeToString(w.a.public()) + "/gateway/"
		return fmt.Sprint(key, when.Unix()/86400*86400)
	}
	status, _, before := get(t, at(w.clock.Now()), "")
	if status != http.StatusOK {
		t.Fatalf("before: status %d", status)
	}
	r.halt()
	r.start()
	if status, _, after := get(t, at(w.clock.Now()), ""); status != http.StatusOK || string(after) != string(before) {
		t.Errorf("after a restart: status %d, same %t", status, string(after) == string(before))
	}
	r.halt()
	must(t, os.RemoveAll(filepath.Join(r.dir, "data", "relay")))
	if _, err := r.open(); err == nil || !strings.Contains(err.Error(), "data") {
		t.Errorf("without its records it starts: %v", err)
	}
	r.newData = true
	r.start()
	if status, _, _ := get(t, at(w.clock.Now()), ""); status != http.StatusServiceUnavailable {
		t.Errorf("after the loss: status %d, want 503", status)
	}
	w.clock.Set(w.clock.Now().Add(24 * time.Hour))
	_ = w.tick(w.a) // the analyzer does not run
	if status, _, _ := get(t, at(w.clock.Now()), ""); status != http.StatusOK {
		t.Errorf("in the next period: status %d", status)
	}
}

// TestRelayRestored: a backup of a relay has its keys and not what it signed, and the
// relay that is restored signs nothing for the period that has begun.
func TestRelayRestored(t *testing.T) {
	w := newWorld(t)
	r := w.relayed()
	r.start()
	w.a.start()
	at := "http://" + r.address + "/keys/" + base64.RawURLEncoding.EncodeToString(w.a.public()) + "/gateway/" + fmt.Sprint(noon.Unix()/86400*86400)
	if status, _, _ := get(t, at, ""); status != http.StatusOK {
		t.Fatalf("before: status %d", status)
	}
	r.halt()
	to := filepath.Join(t.TempDir(), "backup")
	info, err := Backup(t.Context(), r.config(), r.file, to, w.clock.Now(), func(string, int, int) {})
	must(t, err)
	for _, f := range info.Files {
		if strings.Contains(f.Path, "witness") {
			t.Errorf("the backup has %s", f.Path)
		}
	}
	r.dir = filepath.Join(t.TempDir(), "restored")
	r.file, _, err = Restore(t.Context(), to, r.dir, w.clock.Now(), func(string, int, int) {})
	must(t, err)
	r.start()
	if status, _, _ := get(t, at, ""); status != http.StatusServiceUnavailable {
		t.Errorf("restored: status %d, want 503", status)
	}
}

// TestGatewayKeysSurvive: a gateway has the same keys after a restart, rotates them, and
// opens what was sealed to those of the period before.
func TestGatewayKeysSurvive(t *testing.T) {
	w := newWorld(t)
	r := w.relayed()
	r.start()
	w.b.start()
	w.a.start()
	before := keyIDs(w.a)
	w.a.halt()
	w.a.start()
	if after := keyIDs(w.a); !slices.Equal(before, after) {
		t.Errorf("keys %v, after a restart %v", before, after)
	}
	s := &sockets{}
	seen := map[string]bool{}
	for day := range 16 { // keys live for a week
		w.clock.Set(noon.Add(time.Duration(day) * 24 * time.Hour))
		must(t, w.tick(w.a, w.b))
		for _, id := range keyIDs(w.a) {
			if strings.HasPrefix(id, "gateway") {
				seen[strings.Fields(id)[1]] = true
			}
		}
		if day%5 != 0 {
			continue
		}
		people := w.people(1, s)
		if o := people[0].Record("fruit", map[string]any{"name": "apple", "ripe": true}); !o.Queued() {
			t.Fatal(o)
		}
		if sent, refused := w.sendAll(people, 72*time.Minute); sent != 1 || refused != 0 {
			t.Errorf("day %d: %d sent, %d refused", day, sent, refused)
		}
	}
	if len(seen) < 3 {
		t.Errorf("keys %v in 16 days, want three or more", seen)
	}
	s.only(t, r.address)
}

// TestNoWayBesideRelay: of a task with a relay neither reports nor keys are served to
// those who do not come through it.
func TestNoWayBesideRelay(t *testing.T) {
	w := newWorld(t)
	w.relayed()
	w.b.start()
	w.a.start()
	base := w.a.url() + "/tasks/" + w.id.String()
	if status, _, body := get(t, base+"/keys", ""); status != http.StatusForbidden || !strings.Contains(string(body), "relayOnly") {
		t.Errorf("keys: status %d: %s", status, body)
	}
	if status := w.post([]byte("report")); status != http.StatusForbidden {
		t.Errorf("report: status %d", status)
	}
	sums := newAggregateWorld(t)
	sums.relayed()
	sums.pair()
	sums.b.start()
	sums.a.start()
	made, err := taskconfig.New(sums.task, sums.id)
	must(t, err)
	if status, _, _ := call(t, http.MethodPost, sums.a.url()+"/tasks/"+made.ID().String()+"/reports", "", []byte("report")); status != http.StatusForbidden {
		t.Errorf("upload: status %d", status)
	}
}

// TestRelayLogsNothing: whatever clients send to a relay, and whatever fails behind it,
// no line is logged.
func TestRelayLogsNothing(t *testing.T) {
	w := newWorld(t)
	r := w.relayed()
	r.start()
	must(t, r.server.Tick(t.Context()))
	before := w.log.String()
	name := hex.EncodeToString(w.a.public())
	for path, body := range map[string][]byte{
		"/gateways/" + name: make([]byte, 1024+55), "/gateways/x": make([]byte, 1024+55), "/gateways/" + name + ".issuance": make([]byte, 1024+55),
		"/gateways/": {}, "/": {}, "/keys/shuffler": {}, "/statements": {},
	} {
		call(t, http.MethodPost, "http://"+r.address+path, "", body)
		get(t, "http://"+r.address+path, "")
	}
	get(t, "http://"+r.address+"/minute/"+name, "")
	get(t, "http://"+r.address+"/keys/"+base64.RawURLEncoding.EncodeToString(w.a.public())+"/gateway/"+fmt.Sprint(noon.Unix()/86400*86400), "")
	for range 3 {
		c, err := net.Dial("tcp", r.address)
		must(t, err)
		_, err = c.Write([]byte("\x16\x03\x01 not HTTP\r\n\r\n"))
		must(t, errors.Join(err, c.Close()))
	}
	w.clock.Advance(2 * time.Minute)
	must(t, r.server.Tick(t.Context()))
	r.halt()
	for line := range strings.Lines(strings.TrimPrefix(w.log.String(), before)) {
		if !strings.Contains(line, "msg=listening") { // which the start may log a little later
			t.Errorf("the relay logs %s", line)
		}
	}
}
