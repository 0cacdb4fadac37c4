package credential

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/metric/task"
)

// relayedTask returns the world's task with a relay, signed.
func (w *world) relayedTask() (*task.Task, []byte) {
	w.t.Helper()
	t := *w.task
	t.Protection.Relay = task.Party{Role: task.Relay, URL: "http://127.0.0.1:3", Identity: identity(w.t).Public()}
	signed, err := task.Sign(&t, w.owner)
	must(w.t, err)
	b, err := signed.Encode()
	must(w.t, err)
	return &t, b
}

// startWith starts the issuer with further tasks; what relays sign is what the party does.
func (w *world) startWith(more ...*task.Task) {
	w.t.Helper()
	i, err := NewIssuer(IssuerConfig{
		FS: w.disk, Dir: "issuer", Role: task.Shuffler, Party: w.shuffler.Public(), Tasks: append(more, w.task), Gates: w.gates,
		Sign: func(_ Slot, b []byte) ([]byte, error) { return b, nil }, Clock: w.clock,
		Witnessed: func(_ *task.Task, s Slot) []byte {
			b, err := w.issuer.Statement(s.Purpose(), s.Start)
			must(w.t, err)
			return b
		},
	})
	must(w.t, err)
	w.issuer = i
}

// A ways counts which credentials are fetched by which route.
type ways struct {
	w               *world
	direct, through int
	now             func(context.Context) (time.Time, error)
	limited         bool
	attempts        []time.Time
}

func (r *ways) route(t *task.Task, _ task.Party) (Route, error) {
	if !t.Relayed() {
		count := roundTrip(func(q *http.Request) (*http.Response, error) { r.direct++; return r.w.RoundTrip(q) })
		return Route{Keys: count, Issuance: count}, nil
	}
	count := roundTrip(func(q *http.Request) (*http.Response, error) {
		r.through++
		if r.limited {
			r.attempts = append(r.attempts, r.w.clock.Now())
			return nil, limitedError{}
		}
		return r.w.RoundTrip(q)
	})
	return Route{Keys: count, Issuance: count, Now: r.now}, nil
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A limitedError is a relay's answer to a network that has asked too often.
type limitedError struct{}

func (limitedError) Error() string             { return "HTTP 429" }
func (limitedError) RetryAfter() time.Duration { return 5 * time.Hour }

// drive lets a wallet fetch until a time.
func (r *ways) drive(wallet *Wallet, until time.Time) {
	r.w.t.Helper()
	for range 500 {
		next, _ := wallet.Fetch(r.w.t.Context(), r.route) // what fails is tried again
		if next.IsZero() || next.After(until) {
			r.w.clock.Forward(until)
			return
		}
		r.w.clock.Forward(next)
	}
	r.w.t.Fatal("fetching does not come to an end")
}

// TestNoCredentialFromBesideTheRelay covers two versions of one metric, of which one has a
// relay: its credential is fetched through the relay alone, and one that was fetched beside
// it before, with the device's address, is not shown in reports that go through it.
func TestNoCredentialFromBesideTheRelay(t *testing.T) {
	w := newWorld(t)
	relayed, signed := w.relayedTask()
	w.startWith(relayed)
	r := &ways{w: w, now: func(context.Context) (time.Time, error) { return w.clock.Now(), nil }}

	both, err := w.wallet(durable.Mem(), w.invite())
	must(t, err)
	must(t, both.Enrol(w.signed))
	must(t, both.Enrol(signed))
	r.drive(both, begin.Add(20*time.Hour))
	if r.direct != 0 || r.through == 0 {
		t.Errorf("%d requests beside the relay, %d through it", r.direct, r.through)
	}
	e := w.task.EpochAt(w.clock.Now())
	for i, of := range []*task.Task{relayed, w.task} { // they share what there is in a crowd
		if _, err := both.Allocate(of, e, []byte{byte(i)}, nil); err != nil {
			t.Errorf("relayed %t: %v", of.Relayed(), err)
		}
	}

	before, err := w.wallet(durable.Mem(), w.invite())
	must(t, err)
	must(t, before.Enrol(w.signed))
	r.drive(before, begin.Add(40*time.Hour))
	must(t, before.Enrol(signed))
	r.direct = 0
	r.drive(before, begin.Add(44*time.Hour))
	e = w.task.EpochAt(w.clock.Now())
	if _, err := before.Allocate(relayed, e, []byte("c"), nil); !errors.Is(err, ErrWait) {
		t.Errorf("a credential from beside the relay: %v", err)
	}
	if _, err := before.Allocate(w.task, e, []byte("c"), nil); err != nil {
		t.Errorf("without a relay: %v", err)
	}
}

// TestPeriodsOfTheRelaysClock covers a device whose clock is off: it asks for no credential
// of a period that is neither the present nor the next by the relay's clock, which would
// show it apart from others, and for none without that clock.
func TestPeriodsOfTheRelaysClock(t *testing.T) {
	w := newWorld(t)
	relayed, signed := w.relayedTask()
	w.startWith(relayed)
	off := -10 * 24 * time.Hour
	unknown := errors.New("the minute is not known")
	r := &ways{w: w, now: func(context.Context) (time.Time, error) { return w.clock.Now().Add(off), unknown }}
	wallet, err := w.wallet(durable.Mem(), w.invite())
	must(t, err)
	must(t, wallet.Enrol(signed))
	r.drive(wallet, begin.Add(20*time.Hour))
	if r.through != 0 {
		t.Errorf("%d requests without the relay's clock", r.through)
	}
	unknown = nil
	r.drive(wallet, begin.Add(40*time.Hour))
	if r.through != 0 {
		t.Errorf("%d requests of a device that is ten days ahead", r.through)
	}
	missing, err := wallet.Missing()
	must(t, err)
	// The other period has no error before its first request, at a random time.
	if !slices.ContainsFunc(missing, func(m Missing) bool { return strings.Contains(m.Err, "by the relay's clock") }) {
		t.Errorf("missing: %+v", missing)
	}
	off = 0
	r.drive(wallet, begin.Add(70*time.Hour))
	if _, err := wallet.Allocate(relayed, w.task.EpochAt(w.clock.Now()), []byte("c"), nil); err != nil {
		t.Errorf("with the right clock: %v", err)
	}
}

// TestRetryAfterIsHonoured covers a flood of a network's clients at a relay that forwards no
// more of them: each waits for as long as the relay asks, and not to the second.
func TestRetryAfterIsHonoured(t *testing.T) {
	w := newWorld(t)
	relayed, signed := w.relayedTask()
	w.startWith(relayed)
	r := &ways{w: w, limited: true}
	wallet, err := w.wallet(durable.Mem(), w.invite())
	must(t, err)
	must(t, wallet.Enrol(signed))
	r.drive(wallet, begin.Add(36*time.Hour))
	if len(r.attempts) < 2 {
		t.Fatalf("%d attempts, want several", len(r.attempts))
	}
	// The credentials of this period and the next are two: each waits by itself.
	for i := 2; i < len(r.attempts); i++ {
		if d := r.attempts[i].Sub(r.attempts[i-2]); d < 5*time.Hour {
			t.Errorf("attempt %d is %v after the one before the last, want 5 h at least", i, d)
		}
	}
}

// TestUnsignedKeysAreNotServed covers an issuer whose relay has not signed its key yet:
// clients of a task with a relay get none, and no other.
func TestUnsignedKeysAreNotServed(t *testing.T) {
	w := newWorld(t)
	relayed, _ := w.relayedTask()
	if err := w.start(relayed); err == nil {
		t.Error("an issuer of a task with a relay starts without the relay's signatures")
	}
	var have []byte
	i, err := NewIssuer(IssuerConfig{
		FS: durable.Mem(), Dir: "issuer", Role: task.Shuffler, Party: w.shuffler.Public(), Tasks: []*task.Task{relayed}, Gates: w.gates,
		Sign: func(_ Slot, b []byte) ([]byte, error) { return b, nil }, Clock: w.clock,
		Witnessed: func(*task.Task, Slot) []byte { return have },
	})
	must(t, err)
	id, err := relayed.ID()
	must(t, err)
	of := i.tasks[id]
	s, _ := SlotOf(relayed, relayed.Hops[0], relayed.EpochAt(w.clock.Now()))
	if b, err := i.announcement(of, s.Start); !errors.Is(err, errUnsigned) {
		t.Errorf("%x, %v", b, err)
	}
	have = []byte("signed by both")
	if b, err := i.announcement(of, s.Start); err != nil || string(b) != "signed by both" {
		t.Errorf("%q, %v", b, err)
	}
	want := map[int64]bool{s.Start: true, s.End: true}
	for _, r := range i.Relayed() {
		if !want[r.Slot.Start] {
			t.Errorf("a relay is to sign the period from %d", r.Slot.Start)
		}
		delete(want, r.Slot.Start)
	}
	if len(want) > 0 {
		t.Errorf("no relay is to sign the periods from %v", want)
	}
	for _, start := range []int64{s.Start - 1, s.End + (s.End - s.Start)} {
		if _, err := i.Statement(s.Purpose(), start); !errors.Is(err, ErrPeriod) {
			t.Errorf("a statement from %d: %v", start, err)
		}
	}
}
