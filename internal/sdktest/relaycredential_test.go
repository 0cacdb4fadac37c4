package sdktest_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/internal/sdktest"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp/witness"
)

// onlyRelay checks that clients opened no socket but to the relay.
func (w *requiring) onlyRelay() {
	w.t.Helper()
	want := strings.TrimPrefix(w.orgs[task.Relay].url, "http://")
	seen := w.sockets.all()
	for _, address := range seen {
		if address != want {
			w.t.Errorf("a connection to %s, want %s alone", address, want)
		}
	}
	if len(seen) == 0 {
		w.t.Error("no connection was opened")
	}
}

// TestCredentialsThroughARelay covers issuance beside the relay, which would show parties
// the addresses of those whose reports they count: over one and over two shufflers, keys,
// issuance and reports go through the relay alone, and each client counts once.
func TestCredentialsThroughARelay(t *testing.T) {
	for name, roles := range map[string][]task.Role{
		"one shuffler":  {task.Shuffler, task.Analyzer, task.Relay},
		"two shufflers": {task.Shuffler, task.Shuffler, task.Analyzer, task.Relay},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRequiringOf(t, roles, nil)
			w.sockets = &sockets{}
			w.startAll()
			shared := w.invite()
			var clients []*shoal.Client
			for range 4 {
				clients = append(clients, w.client(w.invite(), ""))
			}
			clients = append(clients, w.client(shared, ""), w.client("", ""))
			if len(w.task.Hops) == 2 { // with several issuers each of them may admit another one
				clients = append(clients, w.client(shared, ""))
			}
			for _, c := range clients {
				for _, program := range []string{"cat", "dog"} {
					if o := c.Record("api_use", sdktest.Use(program, "files")); !o.Queued() {
						t.Fatal(o.Err)
					}
				}
			}
			if sent := w.pass(w.sendEnd(), clients...); sent != 10 {
				t.Errorf("%d reports were sent, want 10: 2 of each of 5 clients with a credential", sent)
			}
			w.clock.Forward(midnight.Add(day).Add(14 * time.Hour))
			if got := w.release(); len(got) != 2 || got["cat"] != 5 || got["dog"] != 5 {
				t.Errorf("released %v, want 5 records of each crowd", got)
			}
			w.onlyRelay()
		})
	}
}

// TestHardenedThroughARelay covers evaluations beside the relay, and keys of evaluations that
// differ by client: with relay, credentials and hardened quorum in one task, all that clients
// fetch and send goes through the relay, and a value of enough clients is read.
func TestHardenedThroughARelay(t *testing.T) {
	w := hardened(newRequiringOf(t, []task.Role{task.Shuffler, task.Analyzer, task.Relay}, nil), nil)
	w.sockets = &sockets{}
	w.startAll()
	var clients []*shoal.Client
	for range 4 {
		clients = append(clients, w.client(w.invite(), ""))
	}
	w.settled(midnight.Add(day).Add(time.Hour), clients...)
	for i, c := range clients {
		for _, program := range []string{"cat", fmt.Sprint("own ", i)} {
			if o := c.Record("api_use", use(program)); !o.Queued() {
				t.Fatal(o.Err)
			}
		}
	}
	if sent := w.settled(midnight.Add(4*day), clients...); sent != 8 {
		p, err := clients[0].SendDue(t.Context())
		t.Fatalf("%d reports were sent, want 8: %+v, %v", sent, p, err)
	}
	if got := w.release(); len(got) != 1 || got["cat"] != 4 {
		t.Errorf("released %v, want 4 records of one crowd", got)
	}
	w.onlyRelay()
}

// stateSlot returns a party's statement of a key of credentials.
func (w *relayed) stateSlot(m *member, s witness.Slot) ([]byte, error) {
	if m.issuer == nil {
		return nil, witness.ErrUnknown
	}
	b, err := m.issuer.Statement(s.Purpose, s.Start)
	if errors.Is(err, credential.ErrPeriod) {
		return nil, witness.ErrUnknown
	}
	if w.slots != nil && err == nil {
		b = w.slots(s, b)
	}
	return b, err
}

// requireCredentials makes the shuffler of a world issue credentials for its task, and
// have its relay sign their keys before each answer: to clients that make a little work.
func requireCredentials(w *relayed) {
	w.t.Helper()
	m := w.members[0]
	w.task.Protection.CredentialEpochs, w.task.PerEpoch = 4, 3
	have := relay.NewWitnessed(w.relay.Client(), w.clock)
	var err error
	m.issuer, err = credential.NewIssuer(credential.IssuerConfig{
		FS: durable.Mem(), Dir: "issuer", Role: m.role, Party: m.identity.Public(), Tasks: []*task.Task{w.task},
		Gates: []credential.Gate{credential.Work(1)}, Clock: w.clock,
		Sign: func(s credential.Slot, b []byte) ([]byte, error) {
			return relay.CredentialSlot(w.task, s).Statement(b).Sign(m.identity)
		},
		Witnessed: func(t *task.Task, s credential.Slot) []byte {
			slot := relay.CredentialSlot(t, s)
			_ = have.Sync(w.t.Context(), []relay.Slot{slot}) // what fails is asked for again
			return have.Get(slot)
		},
	})
	must(w.t, err)
}

// passes lets the client try n times, and returns how many reports were sent and refused.
func (w *relayed) passes(n int) (sent, refused int) {
	w.t.Helper()
	return w.passesBefore(time.Time{}, n)
}

// passesBefore is passes up to a time, if that is not zero.
func (w *relayed) passesBefore(end time.Time, n int) (sent, refused int) {
	w.t.Helper()
	for range n {
		pass, err := w.client.SendDue(w.t.Context())
		must(w.t, err)
		sent, refused = sent+pass.Sent, refused+pass.Refused
		if sent > 0 || pass.Next.IsZero() || !end.IsZero() && pass.Next.After(end) {
			break
		}
		w.clock.Forward(pass.Next)
	}
	return sent, refused
}

// issuanceFailures are the ways in which issuance can fail through a relay.
func issuanceFailures() map[string]func(w *relayed) {
	at0 := func(path string, h http.Handler) func(*relayed) {
		return func(w *relayed) { w.members[0].handler.set(at(path, h, w.members[0].whole)) }
	}
	return map[string]func(w *relayed){
		"issuance is down":          at0(relay.IssuancePath, status(503)),
		"issuance refuses":          at0(relay.IssuancePath, status(403)),
		"issuance ends answers":     at0(relay.IssuancePath, hangUp()),
		"issuance makes up answers": at0(relay.IssuancePath, madeUp()),
		"no statements":             at0("/statements", status(503)),
		"statements of another key": at0("/statements", madeUp()),
		"relay bounds issuance":     func(w *relayed) { w.front.set(ending(".issuance", status(429), w.whole)) },
		"relay refuses issuance":    func(w *relayed) { w.front.set(ending(".issuance", status(403), w.whole)) },
		"relay cuts issuance":       func(w *relayed) { w.front.set(ending(".issuance", hangUp(), w.whole)) },
		"relay redirects issuance": func(w *relayed) {
			w.front.set(ending(".issuance", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, w.members[0].server.URL+relay.IssuancePath, http.StatusTemporaryRedirect)
			}), w.whole))
		},
	}
}

// ending serves one suffix of paths by a handler, and all else as before.
func ending(suffix string, h, otherwise http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, suffix) {
			h.ServeHTTP(w, r)
			return
		}
		otherwise.ServeHTTP(w, r)
	})
}

// TestRelayIsTheOnlyWayToIssuers covers, in each failure of relay, gateway and issuer, the
// threat of a client that gets its credential beside the relay, or sends without one:
// nothing is contacted but the relay, the report waits, and it arrives when the failure has
// passed.
func TestRelayIsTheOnlyWayToIssuers(t *testing.T) {
	all := issuanceFailures()
	for name, fail := range failures() {
		all[name] = fail
	}
	for name, fail := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newRelayedWith(t, task.Crowd, requireCredentials)
			w.record()
			fail(w)
			// Early enough that what waits can be sent before its batch closes.
			early := w.task.Start(w.task.EpochAt(w.clock.Now()) + 1).Add(2 * time.Hour)
			if sent, refused := w.passesBefore(early, 12); sent != 0 || refused != 0 {
				t.Errorf("while it fails: %d sent, %d refused", sent, refused)
			}
			if n := len(w.members[0].bodies()); n != 0 {
				t.Errorf("while it fails the party got %d reports", n)
			}
			w.repair()
			if sent, refused := w.passes(60); sent != 1 || refused != 0 {
				t.Errorf("when it has passed: %d sent, %d refused", sent, refused)
			}
			w.onlyRelay()
		})
	}
}

// TestChangingCredentialKeysGetNoClient covers an issuer that gives each client a key of its
// own, by which it would know the client's reports: one that answers the relay's fetches with
// new keys, or serves a key that the relay has not signed, gets no request and no report.
func TestChangingCredentialKeysGetNoClient(t *testing.T) {
	other := identityKey(t)
	const each = "a new key for each fetch"
	for name, change := range map[string]func(w *relayed){
		each: func(w *relayed) {
			var n atomic.Int64
			w.slots = func(slot witness.Slot, signed []byte) []byte {
				s, err := witness.OpenStatement(signed, slot, 4*day)
				must(t, err)
				again, err := witness.Statement{Slot: s.Slot, End: s.End, Keys: fmt.Appendf(s.Keys[:len(s.Keys):len(s.Keys)], "%d", n.Add(1))}.Sign(w.members[0].identity)
				must(t, err)
				return again
			}
		},
		"a key that another has signed": func(w *relayed) {
			w.slots = func(slot witness.Slot, signed []byte) []byte {
				s, err := witness.OpenStatement(signed, slot, 4*day)
				must(t, err)
				s.Slot.Party = [32]byte(other.Public())
				again, err := s.Sign(other)
				must(t, err)
				return again
			}
		},
		"a key that the relay has not signed": func(w *relayed) {
			w.serveUnsigned(w.members[0])
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRelayedWith(t, task.Crowd, requireCredentials)
			change(w)
			w.record()
			// Until shortly before the batch closes: then the report is given up.
			end := w.task.Closes(w.task.EpochAt(w.clock.Now())).Add(-time.Duration(w.task.ClockSkew+60) * time.Second)
			if sent, refused := w.passesBefore(end, 1000); sent != 0 || refused != 0 {
				t.Errorf("%d sent, %d refused", sent, refused)
			}
			if n := len(w.members[0].bodies()); n != 0 {
				t.Errorf("the party got %d reports", n)
			}
			if r := w.whole.Refused(); name == each && len(r) == 0 {
				t.Error("the relay has refused nothing")
			}
			missing, err := w.client.Pending()
			if must(t, err); len(missing) != 1 {
				t.Errorf("%d reports wait, want 1", len(missing))
			}
			w.onlyRelay()
		})
	}
}

// serveUnsigned makes a party serve its own statement where the relay's signature is wanted.
func (w *relayed) serveUnsigned(m *member) {
	w.t.Helper()
	var err error
	m.issuer, err = credential.NewIssuer(credential.IssuerConfig{
		FS: durable.Mem(), Dir: "issuer", Role: m.role, Party: m.identity.Public(), Tasks: []*task.Task{w.task},
		Gates: []credential.Gate{credential.Work(1)}, Clock: w.clock,
		Sign: func(s credential.Slot, b []byte) ([]byte, error) {
			return relay.CredentialSlot(w.task, s).Statement(b).Sign(m.identity)
		},
		Witnessed: func(_ *task.Task, s credential.Slot) []byte {
			b, err := m.issuer.Statement(s.Purpose(), s.Start)
			must(w.t, err)
			return b
		},
	})
	must(w.t, err)
}

// TestUnreadableWallet covers a damaged file that keeps a whole client from starting: what
// needs no credentials goes on, and what does is refused with a reason.
func TestUnreadableWallet(t *testing.T) {
	owner, one, two := newParty(t).identity, newParty(t), newParty(t)
	party := func(role task.Role, port int, p *party) task.Party {
		return task.Party{Role: role, URL: fmt.Sprintf("http://127.0.0.1:%d", port), Identity: p.identity.Public()}
	}
	plain := sdktest.CrowdTask("plain", owner.Public(), party(task.Shuffler, 1, one), party(task.Analyzer, 2, two))
	counted := sdktest.CrowdTask("counted", owner.Public(), party(task.Shuffler, 1, one), party(task.Analyzer, 2, two))
	counted.Protection.CredentialEpochs, counted.PerEpoch = 4, 3
	dir := t.TempDir()
	open := func() *shoal.Client {
		return sdktest.Open(t, shoal.Options{
			Bundle: sdktest.Bundle(t, owner, plain, counted), Owner: task.FormatPublic(owner.Public()), Metrics: []string{"plain", "counted"},
			Mode: shoal.On, NoSender: true, Dir: dir, Clock: clock.NewVirtual(midnight.Add(time.Hour)),
		})
	}
	must(t, open().Close())
	wallet := filepath.Join(dir, "wallet")
	b, err := os.ReadFile(wallet)
	must(t, err)
	for name, damaged := range map[string][]byte{"cut": b[:len(b)/2], "changed": append(b[:len(b)-1:len(b)-1], b[len(b)-1]^1), "empty": {}} {
		must(t, os.WriteFile(wallet, damaged, 0o600))
		c := open()
		if o := c.Record("plain", sdktest.Use(name, "files")); !o.Queued() {
			t.Errorf("%s: a metric without credentials: %v", name, o)
		}
		if o := c.Record("counted", sdktest.Use("cat", "files")); o.Status != shoal.Failed || !strings.Contains(o.String(), wallet) {
			t.Errorf("%s: a metric with credentials: %v", name, o)
		}
		if pass, err := c.SendDue(t.Context()); err != nil || pass.Err == nil {
			t.Errorf("%s: %+v, %v", name, pass, err)
		}
		must(t, c.SetMode(shoal.Local))
		must(t, c.Close())
	}
	must(t, os.WriteFile(wallet, b, 0o600))
	if o := open().Record("counted", sdktest.Use("cat", "files")); !o.Queued() {
		t.Errorf("when it can be read again: %v", o)
	}
}
