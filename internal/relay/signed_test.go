package relay

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp/witness"
)

// An issuing world is a party with keys of credentials, and a relay that signs them.
type issuing struct {
	clock    *clock.Virtual
	identity task.IdentityKey
	relay    task.Party
	server   *Server
	count    atomic.Int64
	keys     func(n int) []byte // of the n-th statement that is asked for
	slow     chan struct{}      // if set, statements wait for it
}

func newIssuing(t *testing.T) *issuing {
	t.Helper()
	w := &issuing{clock: clock.NewVirtual(noon), identity: newKey(t), keys: func(int) []byte { return []byte("key") }}
	a, err := NewAnnouncer(AnnouncerConfig{Identity: w.identity, Clock: w.clock, Slots: func(ctx context.Context, s witness.Slot) ([]byte, error) {
		if w.slow != nil {
			select {
			case <-w.slow:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if !strings.HasPrefix(s.Purpose, Credential) {
			return nil, witness.ErrUnknown
		}
		n := int(w.count.Add(1))
		return witness.Statement{Slot: s, End: s.Start + 4*86400, Keys: w.keys(n)}.Sign(w.identity)
	}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, pattern := range AnnouncerPatterns() {
		mux.Handle(pattern, a)
	}
	p := Party{URL: serve(t, mux).URL, Identity: w.identity.Public()}
	w.server = newTestRelay(t, w.clock, nil, p)
	w.relay = task.Party{Role: task.Relay, URL: serve(t, w.server).URL, Identity: w.server.config.Identity.Public()}
	return w
}

// slot returns the slot of the n-th policy, of the period so many after the present one.
func (w *issuing) slot(policy int, period int64) Slot {
	const length = 4 * 86400
	s := Slot{Length: length * time.Second, Relay: w.relay}
	s.Purpose = fmt.Sprintf("%s%020x", Credential, policy)
	s.Start = (w.clock.Now().Unix()/length + period) * length
	copy(s.Party[:], w.identity.Public())
	return s
}

// TestWitnessed: a party gets the relay's signature of its keys of this period and the
// next, once, and forgets what is over.
func TestWitnessed(t *testing.T) {
	w := newIssuing(t)
	have := NewWitnessed(&http.Client{}, w.clock)
	now, next := w.slot(1, 0), w.slot(1, 1)
	if got := have.Get(now); got != nil {
		t.Errorf("before it is asked for: %x", got)
	}
	for range 3 {
		if err := have.Sync(t.Context(), []Slot{now, next, now}); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []Slot{now, next} {
		if keys, err := s.Open(have.Get(s)); err != nil || string(keys) != "key" {
			t.Errorf("%q, %v", keys, err)
		}
		signed, err := s.Statement([]byte("key")).Sign(w.identity)
		if err != nil {
			t.Fatal(err)
		}
		if keys, err := s.Open(signed); err == nil { // as of a task without a relay
			t.Errorf("a key that the relay has not signed is opened: %q", keys)
		}
	}
	if w.count.Load() != 4 || have.Missing() != 0 {
		t.Errorf("%d statements were asked for, want 2 of each slot; %d are missing", w.count.Load(), have.Missing())
	}
	if err := have.Sync(t.Context(), []Slot{next}); err != nil || have.Get(now) != nil {
		t.Errorf("what is over is kept: %v", err)
	}
}

// TestWitnessedRefuses covers an issuer that gives each client a key of its own: the
// relay signs none of them, and there is nothing to serve.
func TestWitnessedRefuses(t *testing.T) {
	w := newIssuing(t)
	w.keys = func(n int) []byte { return fmt.Appendf(nil, "key %d", n) }
	have := NewWitnessed(&http.Client{}, w.clock)
	s := w.slot(1, 0)
	for range 5 {
		if err := have.Sync(t.Context(), []Slot{s}); err != nil && !strings.Contains(err.Error(), "HTTP 409") {
			t.Errorf("got %v", err)
		}
		w.clock.Advance(time.Hour)
	}
	if have.Get(s) != nil || have.Missing() != 1 || w.count.Load() != 2 {
		t.Errorf("%x is served, %d missing, %d statements were asked for", have.Get(s), have.Missing(), w.count.Load())
	}
	if r := w.server.Refused(); len(r) != 1 || r[0].Purpose != s.Purpose {
		t.Errorf("refused: %v", r)
	}
}

// TestWitnessedWaits: a relay that does not answer is asked again, later and later.
func TestWitnessedWaits(t *testing.T) {
	w := newIssuing(t)
	asked := 0
	down := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		asked++
		rw.WriteHeader(http.StatusServiceUnavailable)
	}))
	have := NewWitnessed(&http.Client{}, w.clock)
	s := w.slot(1, 0)
	s.Relay.URL = down.URL
	failed := 0
	for range 60 {
		if err := have.Sync(t.Context(), []Slot{s}); err != nil {
			failed++
		}
		w.clock.Advance(time.Minute)
	}
	if failed != asked || asked < 6 || asked > 15 {
		t.Errorf("asked %d times in an hour, %d errors, want about 10", asked, failed)
	}
	s.Relay.URL = w.relay.URL
	w.clock.Advance(longSignedRetry)
	if err := have.Sync(t.Context(), []Slot{s}); err != nil || have.Get(s) == nil {
		t.Errorf("when the relay is back: %v", err)
	}
}

// TestSlowPartyAlone covers a party whose statements take long: the keys of others, and
// what the relay has signed before, are served meanwhile.
func TestSlowPartyAlone(t *testing.T) {
	w := newIssuing(t)
	known := w.slot(1, 0)
	first := do(w.server, http.MethodGet, keysPath+known.Path(), "192.0.2.1:9", nil)
	w.slow = make(chan struct{})
	done := make(chan int, 1)
	go func() {
		done <- do(w.server, http.MethodGet, keysPath+w.slot(2, 0).Path(), "192.0.2.1:9", nil).Code
	}()
	for range 3 {
		if again := do(w.server, http.MethodGet, keysPath+known.Path(), "192.0.2.1:9", nil); again.Code != http.StatusOK || !bytes.Equal(first.Body.Bytes(), again.Body.Bytes()) {
			t.Errorf("HTTP %d", again.Code)
		}
		if r := w.server.Refused(); len(r) != 0 {
			t.Errorf("refused: %v", r)
		}
	}
	close(w.slow)
	if code := <-done; code != http.StatusOK {
		t.Errorf("in the end: HTTP %d", code)
	}
}

// TestEvaluationSlot: the slot of a randomness party's key is that of one task and epoch.
func TestEvaluationSlot(t *testing.T) {
	tk := &task.Task{EpochSeconds: 3600, Protection: task.Protection{Randomness: task.Party{Identity: newKey(t).Public()}}}
	s := EvaluationSlot(tk, task.ID{1}, 5)
	if s.Purpose != "evaluation-01000000000000000000" || s.Start != 5*3600 || s.Length != time.Hour || s.Party != [32]byte(tk.Protection.Randomness.Identity) {
		t.Errorf("%+v", s)
	}
	if _, known := Spans()[Evaluation]; !known {
		t.Error("no relay signs it")
	}
}
