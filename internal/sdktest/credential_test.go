package sdktest_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/sdktest"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric/task"
)

// A requiring is a whole deployment of a task that requires credentials: the servers of
// two organisations, and clients by the SDK.
type requiring struct {
	t       *testing.T
	clock   *clock.Virtual
	owner   task.IdentityKey
	orgs    map[task.Role]*organisation
	all     []*organisation // in the order of the hops, a relay last
	bundle  []byte
	task    *task.Task
	sockets *sockets // of clients, if it is set
	ticked  time.Time
}

type organisation struct {
	role                     task.Role
	dir, file, url, identity string
	server                   *server.Server
	stop                     func()
}

func newRequiring(t *testing.T, edit func(*task.Task)) *requiring {
	t.Helper()
	return newRequiringOf(t, []task.Role{task.Shuffler, task.Analyzer}, edit)
}

// newRequiringOf makes the organisations of a task: its hops, and a relay if the roles end
// with one.
func newRequiringOf(t *testing.T, roles []task.Role, edit func(*task.Task)) *requiring {
	t.Helper()
	w := &requiring{t: t, clock: clock.NewVirtual(midnight.Add(time.Hour)), owner: newParty(t).identity, orgs: map[task.Role]*organisation{}}
	var parties []task.Party
	for i, role := range roles {
		o := w.found(role, fmt.Sprint(role, i))
		w.all = append(w.all, o)
		if w.orgs[role] == nil {
			w.orgs[role] = o
		}
		id, err := task.ParsePublic(o.identity)
		must(t, err)
		parties = append(parties, task.Party{Role: role, URL: o.url, Identity: id})
	}
	tk := sdktest.CrowdTask("api_use", w.owner.Public(), parties[0], parties[1])
	tk.Threshold.T, tk.MinBatch, tk.PerEpoch, tk.PerCrowd, tk.Protection.CredentialEpochs = 2, 2, 3, 1, 4
	tk.Hops = parties
	if last := parties[len(parties)-1]; last.Role == task.Relay {
		tk.Hops, tk.Protection.Relay = parties[:len(parties)-1], last
	}
	if edit != nil {
		edit(tk)
	}
	w.task, w.bundle = tk, sdktest.Bundle(t, w.owner, tk)
	for _, o := range w.all {
		if o.role != task.Relay {
			must(t, os.WriteFile(filepath.Join(o.dir, "tasks.bundle"), w.bundle, 0o600))
		}
	}
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *requiring) found(role task.Role, name string) *organisation {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(w.t, err)
	o := &organisation{role: role, dir: filepath.Join(w.t.TempDir(), name), url: "http://" + l.Addr().String()}
	must(w.t, l.Close())
	of := server.Organisation{Name: name, Roles: []task.Role{role}, URL: o.url}
	if role != task.Relay {
		of.Owners = []string{task.FormatPublic(w.owner.Public())}
	}
	o.file, o.identity, err = server.Init(o.dir, of, w.clock.Now(), nil)
	must(w.t, err)
	return o
}

// start runs the server of a role.
func (w *requiring) start(role task.Role, adjust func(*server.Config)) error {
	w.t.Helper()
	return w.run(w.orgs[role], adjust)
}

// startAll runs all servers, the relay first; the owner's invitations are their gates.
func (w *requiring) startAll() {
	w.t.Helper()
	for i := len(w.all) - 1; i >= 0; i-- {
		adjust := w.invited
		if w.all[i].role == task.Relay {
			adjust = nil
		}
		must(w.t, w.run(w.all[i], adjust))
	}
}

// run runs the server of an organisation.
func (w *requiring) run(o *organisation, adjust func(*server.Config)) error {
	w.t.Helper()
	c, err := server.Load(o.file)
	must(w.t, err)
	c.Tasks.Bundles = []string{filepath.Join(o.dir, "tasks.bundle")}
	if o.role == task.Relay {
		c.Tasks.Bundles = nil
		for _, p := range w.all {
			if p != o {
				c.Relay.Parties = append(c.Relay.Parties, server.RelayParty{URL: p.url, Identity: p.identity})
			}
		}
	}
	c.Ops.Listen, c.Console.Listen = "127.0.0.1:0", server.Off
	c.Floors.MinThreshold, c.Floors.MinBatch, c.Floors.MaxPerCrowd, c.Floors.AllowNaive = 2, 2, 3, true
	if adjust != nil {
		adjust(&c)
	}
	o.server, err = server.New(w.t.Context(), c, server.Options{Clock: w.clock, Logger: slog.New(slog.DiscardHandler), Manual: true})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.server.Run(ctx) }()
	stopped := false
	o.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("stopping: %v", err)
		}
	}
	w.t.Cleanup(o.stop)
	return nil
}

// invited lets the owner's invitations in.
func (w *requiring) invited(c *server.Config) {
	c.Credentials.Invitations = []string{task.FormatPublic(w.owner.Public())}
}

func (w *requiring) invite() string {
	w.t.Helper()
	code, err := credential.Invite(w.owner, midnight.Add(30*day), rand.Reader)
	must(w.t, err)
	return code
}

func (w *requiring) client(code, dir string) *shoal.Client {
	return sdktest.Open(w.t, shoal.Options{
		Bundle: w.bundle, Owner: task.FormatPublic(w.owner.Public()), Metrics: []string{"api_use"}, Mode: shoal.On,
		Dir: dir, Clock: w.clock, NoSender: true, Admission: code, Transport: w.transport(),
	})
}

// transport is that of clients, nil for their own.
func (w *requiring) transport() http.RoundTripper {
	if w.sockets == nil {
		return nil
	}
	return &http.Transport{DialContext: w.sockets.dial, DisableKeepAlives: true}
}

// tick lets the servers work once in ten minutes of the clock.
func (w *requiring) tick() {
	if w.clock.Now().Sub(w.ticked) < 10*time.Minute {
		return
	}
	w.ticked = w.clock.Now()
	for _, o := range w.all {
		if o.server != nil {
			_ = o.server.Tick(w.t.Context()) // what fails is tried again
		}
	}
}

// sendEnd is when all reports of the first epoch have left: through a relay they do so in the
// send delay after its end.
func (w *requiring) sendEnd() time.Time {
	return w.task.Start(w.task.EpochAt(midnight) + 1).Add(time.Duration(w.task.MaxDelay)*time.Second + time.Minute)
}

// pass lets clients work until a time, and returns what was sent.
func (w *requiring) pass(until time.Time, clients ...*shoal.Client) (sent int) {
	w.t.Helper()
	for range 10_000 {
		next := until
		w.tick()
		for _, c := range clients {
			p, err := c.SendDue(w.t.Context())
			must(w.t, err)
			sent += p.Sent
			if !p.Next.IsZero() && p.Next.Before(next) {
				next = p.Next
			}
		}
		if !next.Before(until) {
			w.clock.Forward(until)
			return sent
		}
		w.clock.Forward(next)
	}
	w.t.Fatal("sending does not come to an end")
	return 0
}

// release lets the servers work and returns the released rows by program.
func (w *requiring) release() map[string]int {
	w.t.Helper()
	for range 3 {
		w.tick()
		w.clock.Advance(10 * time.Minute)
	}
	tables := w.orgs[task.Analyzer].server.Tables()
	entries, err := tables.Entries(w.t.Context())
	must(w.t, err)
	got := map[string]int{}
	for _, e := range entries {
		for row, err := range tables.Rows(e, analyzer.RecordsTable) {
			must(w.t, err)
			got[row[1].(string)]++
		}
	}
	return got
}

// TestCredentialsByTheSDK sends reports of several devices through servers that count
// each client once: those with an invitation count, a device without one waits, and two
// devices with one invitation count as one.
func TestCredentialsByTheSDK(t *testing.T) {
	w := newRequiring(t, nil)
	must(t, w.start(task.Analyzer, nil))
	must(t, w.start(task.Shuffler, w.invited))
	shared := w.invite()
	var clients []*shoal.Client
	for range 3 {
		clients = append(clients, w.client(w.invite(), ""))
	}
	dir := t.TempDir()
	first := w.client(w.invite(), dir)
	clients = append(clients, first, w.client(shared, ""), w.client(shared, ""), w.client("", ""))
	for _, c := range clients {
		for _, program := range []string{"cat", "dog"} {
			if o := c.Record("api_use", sdktest.Use(program, "files")); !o.Queued() {
				t.Fatal(o.Err)
			}
		}
	}
	sent := w.pass(w.sendEnd(), clients...)
	if sent != 10 {
		t.Errorf("%d reports were sent, want 10: 2 of each of 5 clients with a credential", sent)
	}
	w.orgs[task.Shuffler].stop() // the issuer and the spent tags are durable
	must(t, w.start(task.Shuffler, w.invited))
	w.clock.Forward(midnight.Add(day).Add(14 * time.Hour))
	if got := w.release(); len(got) != 2 || got["cat"] != 5 || got["dog"] != 5 {
		t.Errorf("released %v, want 5 records of each crowd", got)
	}
	// The credential lasts for the period, across restarts of the device.
	must(t, first.Close())
	again := w.client("", dir)
	if o := again.Record("api_use", sdktest.Use("cat", "files")); !o.Queued() {
		t.Fatal(o.Err)
	}
	if sent := w.pass(w.clock.Now().Add(21*time.Hour), again); sent != 1 {
		t.Errorf("after a restart %d reports were sent, want 1", sent)
	}
}

// TestCredentialsAreFetchedAheadAndApart covers issuance that follows records: a client
// that records nothing fetches its credentials all the same, and those of the next
// period before it begins.
func TestCredentialsAreFetchedAheadAndApart(t *testing.T) {
	w := newRequiring(t, nil)
	var issued []time.Time
	gate := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		issued = append(issued, w.clock.Now())
		_, _ = io.WriteString(rw, `{"client": "a person"}`)
	}), ReadHeaderTimeout: time.Minute}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = gate.Serve(l) }()
	t.Cleanup(func() { _ = gate.Close() })
	must(t, w.start(task.Shuffler, func(c *server.Config) {
		c.Credentials.CallOut = "http://" + l.Addr().String() + "/check"
	}))
	c := w.client("a login", "")
	w.pass(midnight.Add(8*day), c)
	if len(issued) < 2 {
		t.Fatalf("%d credentials in more than a period, want 2 at least", len(issued))
	}
	ends := time.Unix((midnight.Unix()/(4*86400)+1)*4*86400, 0) // of the first period
	if issued[0].Sub(midnight) > 8*time.Hour || !issued[1].Before(ends) {
		t.Errorf("credentials were issued at %v", issued)
	}
}

// TestTasksWithCredentialsNeedAGate covers a shuffler that could give nobody a
// credential: it refuses the task, and says what to do.
func TestTasksWithCredentialsNeedAGate(t *testing.T) {
	w := newRequiring(t, nil)
	if err := w.start(task.Shuffler, nil); err == nil || !strings.Contains(err.Error(), "credentials.invitations") {
		t.Errorf("starting without a gate: %v", err)
	}
	must(t, w.start(task.Analyzer, nil)) // it issues nothing
}
