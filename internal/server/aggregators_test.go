package server

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/internal/server/pairing"
	"github.com/shoal-project/shoal/internal/store/postgres/postgrestest"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// newAggregateWorld founds two organisations, a with leader and collector and b
// with the helper, and gives both the question. They are not paired.
func newAggregateWorld(t *testing.T) *world {
	t.Helper()
	return newAggregateWorldBy(t, "http")
}

// newAggregateWorldBy is newAggregateWorld with organisations whose URLs begin
// with scheme.
func newAggregateWorldBy(t *testing.T, scheme string) *world {
	t.Helper()
	w := &world{t: t, clock: clock.NewVirtual(noon), log: &buffer{}, scheme: scheme}
	w.owner = mustKey(t)
	w.a, w.b = w.foundAs("a", task.Leader, task.Collector), w.foundAs("b", task.Helper)
	collector, err := LoadIdentity(w.a.config().collectorIdentityPath())
	if err != nil {
		t.Fatal(err)
	}
	parties := []task.Party{
		{Role: task.Leader, URL: w.a.url(), Identity: w.a.public()},
		{Role: task.Helper, URL: w.b.url(), Identity: w.b.public()},
		{Role: task.Collector, Identity: collector.Public()},
	}
	a, err := task.WithChunk(task.Aggregation{Kind: kind.Categories{Labels: []string{"red", "green", "blue"}}, Variant: "dap-18"})
	if err != nil {
		t.Fatal(err)
	}
	w.task = &task.Task{
		Owner: w.owner.Public(), OwnedBy: "Example", Metric: "colour", Question: "Which colour?", Consent: "Your colour.",
		Method: task.Aggregate, Aggregation: a, Hops: parties, MinBatch: 25, EpochSeconds: 3600, MaxDelay: 540, ClockSkew: 60,
		RetentionDays: 30, NotBefore: noon.Unix(), Expires: noon.Add(240 * time.Hour).Unix(),
	}
	if w.id, err = w.task.ID(); err != nil {
		t.Fatal(err)
	}
	signed, err := task.Sign(w.task, w.owner)
	if err != nil {
		t.Fatal(err)
	}
	b, err := (&task.Bundle{Tasks: []*task.Signed{signed}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []*org{w.a, w.b} {
		if err := os.WriteFile(filepath.Join(o.dir, "tasks.bundle"), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func mustKey(t *testing.T) task.IdentityKey {
	t.Helper()
	k, err := task.GenerateIdentityKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (o *org) public() []byte {
	o.w.t.Helper()
	key, err := task.ParsePublic(o.identity)
	if err != nil {
		o.w.t.Fatal(err)
	}
	return key
}

func (w *world) foundAs(name string, roles ...task.Role) *org {
	w.t.Helper()
	o := w.found(roles[0])
	if len(roles) == 1 {
		return o
	}
	o.dir = filepath.Join(w.t.TempDir(), name)
	var err error
	o.file, o.identity, err = Init(o.dir, Organisation{
		Name: name, Roles: roles, URL: o.url(), Owners: []string{task.FormatPublic(w.owner.Public())},
		CertFile: "later.pem", KeyFile: "later.key", // with https: what adjusts the configuration has the real ones
	}, w.clock.Now(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// pair lets b's card go to a and a's invitation to b, as two people would.
func (w *world) pair() {
	w.t.Helper()
	w.accept(w.invite())
}

// card is what an organisation pairs with.
func (w *world) card(o *org) (pairing.Card, task.IdentityKey, *pairing.File) {
	w.t.Helper()
	c, key, err := Card(o.config(), w.clock.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	pairings, err := OpenPairings(o.config())
	if err != nil {
		w.t.Fatal(err)
	}
	return c, key, pairings
}

// invite lets a answer b's card, and returns the invitation.
func (w *world) invite() string {
	w.t.Helper()
	theirs, theirKey, _ := w.card(w.b)
	line, err := pairing.SignCard(theirs, theirKey)
	if err != nil {
		w.t.Fatal(err)
	}
	parsed, err := pairing.ParseCard(line)
	if err != nil {
		w.t.Fatal(err)
	}
	ours, ourKey, ourLedger := w.card(w.a)
	invitation, err := ourLedger.Invite(parsed, ours, ourKey, w.clock.Now(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	return invitation
}

// accept lets b accept an invitation.
func (w *world) accept(invitation string) {
	w.t.Helper()
	theirs, _, pairings := w.card(w.b)
	key, err := PairingKey(w.b.config())
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := pairings.Accept(invitation, &theirs, key, w.clock.Now()); err != nil {
		w.t.Fatal(err)
	}
}

// answer uploads one report of each label, an empty one is a client without a
// value.
func (w *world) answer(labels ...string) {
	w.t.Helper()
	w.answerBy(http.DefaultTransport, labels...)
}

func (w *world) answerBy(transport http.RoundTripper, labels ...string) {
	w.t.Helper()
	made, err := taskconfig.New(w.task, w.id)
	if err != nil {
		w.t.Fatal(err)
	}
	q, err := w.task.Aggregation.Measure()
	if err != nil {
		w.t.Fatal(err)
	}
	c := client.New(made, client.Options{
		Leader: w.task.Leader().Identity, Helper: w.task.Helper().Identity, Clock: w.clock, Transport: transport,
	})
	for _, label := range labels {
		tally := q.Empty()
		if label != "" {
			if err := tally.Observe(label, rand.Reader); err != nil {
				w.t.Fatal(err)
			}
		}
		if err := c.Upload(w.t.Context(), tally, w.clock.Now()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// settle lets time go by in steps of a minute, with all organisations at work.
func (w *world) settle(d time.Duration) error {
	var last error
	for end := w.clock.Now().Add(d); w.clock.Now().Before(end); {
		w.clock.Forward(w.clock.Now().Add(time.Minute))
		last = w.tick(w.b, w.a)
	}
	return last
}

// results returns the released table as CSV.
func (w *world) results() string {
	w.t.Helper()
	var out bytes.Buffer
	err := release.Export(w.t.Context(), w.a.server.Released(), &out, release.CSV, release.Query{Metric: "colour", Table: collector.ResultsTable})
	if err != nil {
		return err.Error()
	}
	return regexp.MustCompile(`(?m),(task,version|[A-Za-z0-9_-]{43},1)$`).ReplaceAllString(out.String(), "")
}

func repeat(label string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = label
	}
	return all
}

const wantColours = `epoch,item,reports,estimate,stddev,low,high
2026-11-23T12:00:00Z,red,30,15,0,15,15
2026-11-23T12:00:00Z,green,30,9,0,9,9
2026-11-23T12:00:00Z,blue,30,1,0,1,1
2026-11-23T12:00:00Z,answered,30,25,0,25,25
`

// TestAggregateWay sends reports through leader and helper over HTTP and finds the
// exact sums in the collector's table. A restart of both in between changes
// nothing.
func TestAggregateWay(t *testing.T) { newAggregateWorld(t).aggregateWay() }

// TestAggregateWayOverPostgres is the same with the aggregators' state in
// PostgreSQL.
func TestAggregateWayOverPostgres(t *testing.T) {
	places := []string{postgrestest.Schema(t), postgrestest.Schema(t)}
	w := newAggregateWorld(t)
	for i, o := range []*org{w.a, w.b} {
		f, err := os.OpenFile(o.file, os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(f, "\naggregates:\n  postgres: %q\n", places[i]); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	w.aggregateWay()
	for _, o := range []*org{w.a, w.b} {
		for _, name := range []string{"leader.db", "helper.db"} {
			if _, err := os.Stat(filepath.Join(o.dir, "data", name)); err == nil {
				t.Errorf("%s has a file %s beside its database", o.dir, name)
			}
		}
	}
}

func (w *world) aggregateWay() {
	t := w.t
	t.Helper()
	w.pair()
	w.b.start()
	w.a.start()
	w.answer(append(repeat("red", 15), repeat("green", 4)...)...)
	w.a.halt()
	w.b.halt()
	w.b.start()
	w.a.start()
	w.answer(append(append(repeat("green", 5), "blue"), repeat("", 5)...)...)
	if err := w.settle(100 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := w.results(); got != wantColours {
		t.Errorf("released\n%s\nwant\n%s", got, wantColours)
	}
	w.checkAggregateMetrics()
	w.a.halt()
	w.b.halt()
	w.checkSecrets()
}

func (w *world) checkAggregateMetrics() {
	w.t.Helper()
	for o, wants := range map[*org][]string{
		w.a: {`shoal_reports_total{outcome="accepted",role="leader"} 11`, `shoal_reports_total{outcome="aggregated",role="leader"}`, `shoal_batches_total{outcome="released",role="collector"} 1`, `shoal_batches_total{outcome="done",role="leader"} 1`},
		w.b: {`shoal_reports_total{outcome="aggregated",role="helper"}`, `shoal_batches_total{outcome="collected",role="helper"} 1`},
	} {
		_, _, body := get(w.t, "http://"+o.server.Addr("ops")+"/metrics", "")
		for _, want := range wants {
			if !strings.Contains(string(body), want) {
				w.t.Errorf("metrics of %s lack %s", o.server.Config().Organisation, want)
			}
		}
		if strings.Contains(string(body), w.id.String()) || strings.Contains(string(body), "colour") {
			w.t.Error("a task is named in the metrics")
		}
	}
}

// checkSecrets: no token and no seed is in the data folders or the log, no address
// of a sender anywhere.
func (w *world) checkSecrets() {
	w.t.Helper()
	pairings, err := OpenPairings(w.b.config())
	if err != nil {
		w.t.Fatal(err)
	}
	list, err := pairings.List()
	if err != nil || len(list) != 2 {
		w.t.Fatalf("%d pairings, %v", len(list), err)
	}
	secrets := []string{"Go-http-client", "User-Agent"}
	for _, p := range list {
		if !p.Token.IsZero() {
			secrets = append(secrets, p.Token.Reveal(), string(p.Seed))
		}
	}
	for _, o := range []*org{w.a, w.b} {
		for _, secret := range secrets {
			if file := holds(w.t, filepath.Join(o.dir, "data"), secret); file != "" {
				w.t.Errorf("%s holds a secret or a header", file)
			}
		}
	}
	for line := range strings.Lines(w.log.String()) {
		for _, secret := range secrets {
			if strings.Contains(line, secret) || strings.Contains(line, "127.0.0.1:") && !strings.Contains(line, "msg=listening") {
				w.t.Errorf("the log says %s", line)
			}
		}
	}
}

// TestPairingRemoved: whose pairing is removed is let in no longer, without a
// restart, and again once there is a new one.
func TestPairingRemoved(t *testing.T) {
	w := newAggregateWorld(t)
	w.pair()
	w.b.start()
	w.a.start()
	made, err := taskconfig.New(w.task, w.id)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		of             *org
		peer, role, at string
		in, out        int // answers
	}{
		{w.b, w.a.identity, "leader", dap.AggregateSharePath(made.ID(), dap.AggregateShareID{1}), 404, 404},
		{w.a, task.FormatPublic(w.task.Collector().Identity), "collector", dap.CollectionJobPath(made.ID(), dap.CollectionJobID{1}), 404, 401},
	} {
		pairings, err := OpenPairings(tt.of.config())
		if err != nil {
			t.Fatal(err)
		}
		p, ok, err := pairings.Find(tt.peer, tt.role)
		if err != nil || !ok {
			t.Fatalf("no pairing with %s (%v)", tt.peer, err)
		}
		ask := func(want int, problem string) {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+tt.of.address+"/"+tt.at, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+p.Token.Reveal())
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body := new(bytes.Buffer)
			if _, err := body.ReadFrom(resp.Body); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != want || !strings.Contains(body.String(), problem) {
				t.Errorf("%s: %d %s, want %d %s", tt.role, resp.StatusCode, body, want, problem)
			}
		}
		if err := w.settle(2 * time.Minute); err != nil {
			t.Fatal(err)
		}
		ask(tt.in, "urn:shoal:problem:notFound")
		if err := pairings.Remove(tt.peer); err != nil {
			t.Fatal(err)
		}
		_ = w.settle(2 * time.Minute) // the other one's requests fail
		ask(tt.out, map[string]string{"leader": "unrecognizedTask", "collector": "urn:shoal:problem:unauthorized"}[tt.role])
		w.pair()
		for _, o := range []*org{w.a, w.b} {
			if err := o.server.pairSelf(); err != nil {
				t.Fatal(err)
			}
		}
		if p, ok, err = pairings.Find(tt.peer, tt.role); err != nil || !ok {
			t.Fatalf("no new pairing with %s (%v)", tt.peer, err)
		}
		if err := w.settle(2 * time.Minute); err != nil {
			t.Fatal(err)
		}
		ask(tt.in, "urn:shoal:problem:notFound")
	}
}

// TestUnpaired: a server with a task whose parties it is not paired with starts,
// reports what is missing, refuses reports, and serves as soon as the pairing is
// there, without a restart.
func TestUnpaired(t *testing.T) {
	w := newAggregateWorld(t)
	w.b.start()
	w.a.start()
	state := func(o *org) string {
		for _, task := range o.server.Tasks() {
			return o.server.TaskState(t.Context(), task)
		}
		return "no task"
	}
	if got := state(w.a); !strings.Contains(got, "waits for pairing with the helper "+w.b.identity) {
		t.Errorf("the leader's task is %q", got)
	}
	if got := state(w.b); !strings.Contains(got, "waits for pairing with the collector") {
		t.Errorf("the helper's task is %q", got)
	}
	found := Doctor(t.Context(), w.a.config(), Options{Clock: w.clock})
	if !hasFinding(found, Warning, "waits for pairing with the helper") {
		t.Errorf("doctor says %v", found)
	}
	w.pair()
	if err := w.tick(w.b, w.a); err != nil {
		t.Fatal(err)
	}
	if state(w.a) != stateServed || state(w.b) != stateServed {
		t.Fatalf("after pairing: %q, %q", state(w.a), state(w.b))
	}
	found = Doctor(t.Context(), w.a.config(), Options{Clock: w.clock})
	if !hasFinding(found, OK, "announced until") || hasFinding(found, Warning, "pairing") || hasFinding(found, Failure, "keys") {
		t.Errorf("doctor says %v", found)
	}
	w.answer(append(append(repeat("red", 15), repeat("green", 9)...), append(repeat("", 5), "blue")...)...)
	if err := w.settle(100 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := w.results(); got != wantColours {
		t.Errorf("released\n%s", got)
	}
}

func hasFinding(all []Finding, level Level, text string) bool {
	for _, f := range all {
		if f.Level == level && strings.Contains(f.Detail, text) {
			return true
		}
	}
	return false
}

// TestAggregateManagement walks through what an operator does: tasks, keys,
// collections, and the end of a task.
func TestAggregateManagement(t *testing.T) {
	w := newAggregateWorld(t)
	w.pair()
	w.b.start()
	w.a.start()
	token := w.a.token(scopes...)
	base := "http://" + w.a.server.Addr("ops") + "/api/v1"
	at := base + "/tasks/" + w.id.String()
	expect := func(method, url, body string, status int, want string) {
		t.Helper()
		got, _, b := call(t, method, url, token, []byte(body))
		if got != status || !strings.Contains(string(b), want) {
			t.Errorf("%s %s: %d %s, want %d and %q", method, url, got, b, status, want)
		}
	}
	expect("GET", base+"/tasks", "", 200, `"noise": "none"`)
	expect("GET", base+"/tasks", "", 200, `"role": "collector"`)
	expect("GET", base+"/keys", "", 200, `"role": "leader"`)
	expect("POST", base+"/keys/rotate", "", 200, `"state": "pending"`)
	expect("GET", at+"/collections", "", 200, `"collections": []`)
	expect("POST", at+"/collections", `{"start":"2026-11-23T12:00:00Z","end":"2026-11-23T13:00:00Z"}`, 422, "may still arrive")
	expect("POST", at+"/collections", `nonsense`, 400, "RFC 3339")
	w.answer(repeat("red", 10)...)
	if err := w.settle(100 * time.Minute); err != nil {
		t.Fatal(err)
	}
	expect("GET", at+"/collections", "", 200, `"missing": "up to 18 of 25 reports"`)
	expect("GET", at+"/batches", "", 200, `"batches": []`)
	expect("GET", at+"/export", "", 404, "Nothing has been released")
	expect("GET", at+"/export?table=counts", "", 400, "want one of results")
	expect("POST", at+"/disable", "", 200, `"state": "disabled"`)
	made, err := taskconfig.New(w.task, w.id)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(dap.Resolve(w.task.Leader().URL, dap.ReportsPath(made.ID())), dap.TypeUploadRequest.MediaType(), strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode < 400 {
		t.Errorf("an upload to a disabled task: status %d", resp.StatusCode)
	}
	w.a.halt()
	w.a.start()
	base = "http://" + w.a.server.Addr("ops") + "/api/v1"
	expect("GET", base+"/tasks/"+w.id.String(), "", 200, `"state": "disabled"`)
}

// TestRotatedPairing: a new invitation brings new tokens; nothing is lost while
// the helper does not have them yet.
func TestRotatedPairing(t *testing.T) {
	w := newAggregateWorld(t)
	w.pair()
	w.b.start()
	w.a.start()
	w.answer(append(append(repeat("red", 15), repeat("green", 9)...), append(repeat("", 5), "blue")...)...)
	w.clock.Forward(noon.Add(time.Minute))
	w.pair()
	if err := w.settle(100 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := w.results(); got != wantColours {
		t.Errorf("released\n%s", got)
	}
}

// TestRenewedPairing: a leader that has made new tokens, twice, goes on with those
// that the helper knows until that accepts, also when it is started again; then it
// uses the newest.
func TestRenewedPairing(t *testing.T) {
	w := newAggregateWorld(t)
	w.pair()
	w.b.start()
	w.a.start()
	first := append(append(repeat("red", 15), repeat("green", 8)...), repeat("", 5)...)
	w.answer(first...)
	w.clock.Forward(noon.Add(time.Minute))
	w.invite()
	w.clock.Forward(noon.Add(2 * time.Minute))
	last := w.invite()
	w.answer("blue")
	if err := w.settle(5 * time.Minute); err != nil { // no job has failed
		t.Fatal(err)
	}
	w.a.halt()
	w.a.start()
	w.answer("green")
	if err := w.settle(5 * time.Minute); err != nil {
		t.Fatal(err)
	}
	former := func() int {
		made, err := taskconfig.New(w.task, w.id)
		if err != nil {
			t.Fatal(err)
		}
		s, err := roleOf[*aggregator](w.a.server).registry.Lookup(t.Context(), made.ID())
		if err != nil {
			t.Fatal(err)
		}
		return len(s.Entry.Former)
	}
	if n := former(); n != 2 {
		t.Errorf("%d former tokens are used, want 2", n)
	}
	w.accept(last)
	if err := w.settle(90 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := w.results(); got != wantColours {
		t.Errorf("released\n%s", got)
	}
	if n := former(); n != 0 {
		t.Errorf("%d former tokens are used after the helper has accepted the newest", n)
	}
}

// TestSeparateStores: the files of leader, helper and collector are apart, and
// none serves another role.
func TestSeparateStores(t *testing.T) {
	w := newAggregateWorld(t)
	c := w.a.config()
	seen := map[string]bool{}
	for _, name := range []string{c.aggregatorStore(task.Leader), c.aggregatorStore(task.Helper), c.collectorStore(), c.storageKeysPath(task.Leader), c.storageKeysPath(task.Helper), c.roleKeysPath(task.Collector)} {
		if seen[name] {
			t.Errorf("%s is of two roles", name)
		}
		seen[name] = true
	}
	w.a.start()
	w.a.halt()
	if err := os.Rename(c.aggregatorStore(task.Leader), c.collectorStore()); err != nil {
		t.Fatal(err)
	}
	w.a.newData = true // the leader's is missing, too
	if _, err := w.a.open(); err == nil || !strings.Contains(err.Error(), "belongs to a leader") {
		t.Errorf("a leader's file served as a collector's: %v", err)
	}
}

// holds returns a file below dir that contains text, or "".
func holds(t *testing.T, dir, text string) string {
	t.Helper()
	found := ""
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || found != "" {
			return err
		}
		b, err := os.ReadFile(name)
		if strings.Contains(string(b), text) {
			found = name
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
