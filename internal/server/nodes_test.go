package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/store/postgres/postgrestest"
	"github.com/shoal-project/shoal/metric/task"
)

// edit adds lines to an organisation's configuration.
func (o *org) edit(format string, args ...any) {
	o.w.t.Helper()
	b, err := os.ReadFile(o.file)
	if err != nil {
		o.w.t.Fatal(err)
	}
	if err := os.WriteFile(o.file, fmt.Appendf(b, "\n"+format+"\n", args...), 0o600); err != nil {
		o.w.t.Fatal(err)
	}
}

// twin returns a second server of an organisation, with the same keys and tasks,
// data of its own, and only the organisation's first role.
func (o *org) twin(first task.Role, others ...task.Role) *org {
	t := o.w.t
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	twin := &org{w: o.w, dir: filepath.Join(t.TempDir(), "twin"), address: l.Addr().String(), identity: o.identity, fs: durable.OS()}
	if err := os.CopyFS(twin.dir, os.DirFS(o.dir)); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"keys/*", "*"} { // CopyFS opens the files to others
		names, err := filepath.Glob(filepath.Join(twin.dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
				if err := os.Chmod(name, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	twin.file = filepath.Join(twin.dir, filepath.Base(o.file))
	b, err := os.ReadFile(twin.file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), fmt.Sprintf("listen: %q", o.address), fmt.Sprintf("listen: %q", twin.address), 1)
	for _, r := range others {
		text = strings.Replace(text, "\n  - "+r.String(), "", 1)
	}
	text = regexp.MustCompile(`(?m)^console:\n  listen: .*\n`).ReplaceAllString(text, "") // a leader alone has none
	if !strings.Contains(text, twin.address) || !strings.Contains(text, "\n  - "+first.String()) {
		t.Fatalf("the configuration has another form:\n%s", text)
	}
	if err := os.WriteFile(twin.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return twin
}

// An alternating transport sends requests to one host in turn to several servers,
// as a balancer in front of them does.
type alternating struct {
	host    string
	servers []string
	n       atomic.Int64
}

func (a *alternating) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == a.host {
		r = r.Clone(r.Context())
		r.URL.Host = a.servers[int(a.n.Add(1))%len(a.servers)]
	}
	return http.DefaultTransport.RoundTrip(r)
}

// Two servers of the leader and two of the helper share their databases: the
// result is exact, whichever server had a report, and neither takes the name of
// the other.
func TestNodesShareADatabase(t *testing.T) {
	leaders, helpers := postgrestest.Schema(t), postgrestest.Schema(t)
	w := newAggregateWorld(t)
	w.pair()
	second, secondHelper := w.a.twin(task.Leader, task.Collector), w.b.twin(task.Helper)
	w.a.edit("aggregates: {postgres: %q, node: one}", leaders)
	second.edit("aggregates: {postgres: %q, node: two}", leaders)
	for _, o := range []*org{w.b, secondHelper} {
		o.edit("aggregates: {postgres: %q}", helpers)
	}
	balanced := &http.Client{Transport: &alternating{host: w.b.address, servers: []string{w.b.address, secondHelper.address}}}
	for _, o := range []*org{w.b, secondHelper} {
		o.start()
	}
	w.a.client, second.client = balanced, balanced
	w.a.start()
	second.start()

	made, err := taskconfig.New(w.task, w.id)
	if err != nil {
		t.Fatal(err)
	}
	q, err := w.task.Aggregation.Measure()
	if err != nil {
		t.Fatal(err)
	}
	uploads := &alternating{host: w.a.address, servers: []string{w.a.address, second.address}}
	c := client.New(made, client.Options{
		Leader: w.task.Leader().Identity, Helper: w.task.Helper().Identity, Clock: w.clock, Transport: uploads,
	})
	for i, label := range append(append(append(repeat("red", 15), repeat("green", 9)...), "blue"), repeat("", 5)...) {
		tally := q.Empty()
		if label != "" {
			if err := tally.Observe(label, rand.Reader); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Upload(t.Context(), tally, w.clock.Now()); err != nil {
			t.Fatalf("report %d: %v", i, err)
		}
	}
	for end := w.clock.Now().Add(100 * time.Minute); w.clock.Now().Before(end); {
		w.clock.Forward(w.clock.Now().Add(time.Minute))
		if err := w.tick(w.b, secondHelper, second, w.a); err != nil && w.clock.Now().Add(time.Minute).After(end) {
			t.Error(err)
		}
	}
	if got := w.results(); got != wantColours {
		t.Errorf("released\n%s\nwant\n%s", got, wantColours)
	}
	for _, o := range []*org{w.a, second} {
		_, _, body := get(t, "http://"+o.server.Addr("ops")+"/metrics", "")
		if !strings.Contains(string(body), `shoal_reports_total{outcome="accepted",role="leader"} 15`) {
			t.Errorf("a server of the leader has not taken half of the reports")
		}
	}
	// A third server with a name that is taken does not start.
	third := w.a.twin(task.Leader, task.Collector)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if s, err := New(ctx, third.config(), Options{Clock: w.clock, Manual: true}); err == nil || !errors.Is(err, leader.ErrHeld) || !strings.Contains(err.Error(), "until ") {
		t.Errorf("a second server has the name of the first: %v", err)
		if err == nil {
			s.Close()
		}
	}
}

// TestRelayedServersShareGatewayKeys: two servers of the leader and two of the helper serve a
// task with a relay. The relay's witness sees one set of keys, whichever it asks; requests
// sealed to it are opened by each, and the sum is exact. So it stays over rotations that
// either makes.
func TestRelayedServersShareGatewayKeys(t *testing.T) {
	leaders, helpers := postgrestest.Schema(t), postgrestest.Schema(t)
	w := newAggregateWorld(t)
	r := w.relayed()
	w.pair()
	w.a.edit("aggregates: {postgres: %q, node: one}", leaders)
	w.a.start() // which pairs its leader with its collector
	w.a.halt()
	second, secondHelper := w.a.twin(task.Leader, task.Collector), w.b.twin(task.Helper)
	must(t, errors.Join(os.RemoveAll(filepath.Join(second.dir, "data")), os.Remove(filepath.Join(second.dir, "keys", "installation.json"))))
	b, err := os.ReadFile(second.file)
	must(t, err)
	must(t, os.WriteFile(second.file, bytes.Replace(b, []byte("node: one"), []byte("node: two"), 1), 0o600))
	for _, o := range []*org{w.b, secondHelper} {
		o.edit("aggregates: {postgres: %q}", helpers)
	}
	toHelpers := &alternating{host: w.b.address, servers: []string{w.b.address, secondHelper.address}}
	w.a.client, second.client = &http.Client{Transport: toHelpers}, &http.Client{Transport: toHelpers}
	r.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: inTurn(map[string][]string{
		w.a.address: {w.a.address, second.address}, w.b.address: toHelpers.servers,
	})}}
	all := []*org{r, w.b, secondHelper, w.a, second}
	for _, o := range all {
		o.start()
	}
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
	for end := w.clock.Now().Add(60 * time.Minute); w.clock.Now().Before(end); {
		w.clock.Forward(w.clock.Now().Add(time.Minute))
		if err := w.tick(w.b, secondHelper, second, w.a); err != nil && w.clock.Now().Add(time.Minute).After(end) {
			t.Error(err)
		}
	}
	if got := w.results(); got != wantColours {
		t.Errorf("released\n%s\nwant\n%s", got, wantColours)
	}
	s.only(t, r.address)
	for o, want := range map[*org]string{
		w.a: `shoal_oblivious_requests_total{outcome="served",role="gateway"} `, second: `shoal_oblivious_requests_total{outcome="served",role="gateway"} `,
		r: `shoal_oblivious_requests_total{outcome="forwarded",role="relay"} `,
	} {
		_, _, body := get(t, "http://"+o.server.Addr("ops")+"/metrics", "")
		if !strings.Contains(string(body), want) {
			t.Errorf("metrics of %s lack %s: %s", o.address, want, regexp.MustCompile("(?m)^shoal_oblivious.*$").FindAllString(string(body), -1))
		}
	}
	servers := [][2]*org{{w.a, second}, {w.b, secondHelper}}
	seen := map[string]bool{}
	for day := range 16 { // keys live for a week
		w.clock.Set(noon.Add(time.Duration(day+1) * 24 * time.Hour))
		for _, pair := range servers {
			for _, i := range []int{day % 2, 1 - day%2, day % 2} { // the first takes up what the second has made
				must(t, pair[i].server.role(task.Gateway).(*gatewayHost).Sync(t.Context()))
			}
			keys, statement := gatewayOnly(keyIDs(pair[0])), w.gatewayStatement(pair[0])
			if other := gatewayOnly(keyIDs(pair[1])); len(keys) == 0 || !slices.Equal(keys, other) {
				t.Fatalf("day %d: a server has the keys %v, the other %v", day, keys, other)
			}
			if !bytes.Equal(statement, w.gatewayStatement(pair[1])) {
				t.Fatalf("day %d: two servers announce two sets of keys", day)
			}
			seen[string(statement)] = true
			for _, key := range keys {
				seen[fmt.Sprint(pair[0].address, strings.Fields(key)[1])] = true
			}
		}
	}
	if len(seen) < 32+6 {
		t.Errorf("%d statements and keys of two organisations in 16 days: they do not rotate", len(seen))
	}
}

// gatewayStatement fetches what a server states for a relay's period.
func (w *world) gatewayStatement(o *org) []byte {
	w.t.Helper()
	day := w.clock.Now().Unix() / 86400 * 86400
	status, _, body := get(w.t, fmt.Sprintf("http://%s/statements/%s/gateway/%d", o.address, base64.RawURLEncoding.EncodeToString(o.public()), day), "")
	if status != http.StatusOK {
		w.t.Fatalf("the statement: status %d: %s", status, body)
	}
	return body
}

// inTurn dials in place of an address one of several, in turn.
func inTurn(servers map[string][]string) func(context.Context, string, string) (net.Conn, error) {
	var n atomic.Int64
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if of := servers[address]; of != nil {
			address = of[int(n.Add(1))%len(of)]
		}
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
}

// gatewayOnly are those of a list of keys that are the gateway's.
func gatewayOnly(ids []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !strings.HasPrefix(id, "gateway") })
}
