package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
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
