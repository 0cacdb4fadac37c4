package witness_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/ohttp/witness"
)

// policy is a purpose of a span, as that of a task's credentials.
const policy = "credential-0123456789abcdef0123"

// A spanned world is a witness of purposes whose periods the party states.
type spanned struct {
	*world
	period time.Duration // that the party states
	since  time.Time
}

func newSpanned(t testing.TB, period time.Duration) *spanned {
	t.Helper()
	w := &spanned{world: newWorld(t, honest), period: period}
	w.slot = w.at(0)
	return w
}

// at returns the slot of the period so many after the present one.
func (w *spanned) at(n int64) witness.Slot {
	seconds := int64(w.period / time.Second)
	return witness.Slot{Party: w.slot.Party, Purpose: policy, Start: (w.clock.Now().Unix()/seconds + n) * seconds}
}

func (w *spanned) node(t testing.TB) *witness.Witness {
	t.Helper()
	n, err := witness.New(witness.Config{
		Identity: w.witness, Parties: []ed25519.PublicKey{w.party.key.Public()}, Spans: map[string]witness.Span{"credential-": {Min: time.Hour, Max: 60 * 24 * time.Hour}},
		Store: w.store, Clock: w.clock, Since: w.since,
		Fetch: func(_ context.Context, s witness.Slot) ([]byte, error) {
			w.party.count++
			if w.party.fail != nil {
				return nil, w.party.fail
			}
			return witness.Statement{Slot: s, End: s.Start + int64(w.period/time.Second), Keys: w.party.keys(w.party.count)}.Sign(w.party.key)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSpanOfATask: the statement gives the length of the period. The present and the next
// period are served, each by one statement, across restarts; no other is.
func TestSpanOfATask(t *testing.T) {
	for _, period := range []time.Duration{time.Hour, 4 * 24 * time.Hour, 60 * 24 * time.Hour} {
		w := newSpanned(t, period)
		node := w.node(t)
		for n := range int64(2) {
			first, err := node.Keys(t.Context(), w.at(n))
			if err != nil {
				t.Fatalf("%v, period %d: %v", period, n, err)
			}
			if keys, err := witness.Open(first, w.at(n), period, w.witness.Public()); err != nil || string(keys) != "keys" {
				t.Errorf("%v: %q, %v", period, keys, err)
			}
			if _, err := witness.Open(first, w.at(n), period/2, w.witness.Public()); !errors.Is(err, witness.ErrSlot) {
				t.Errorf("%v: a client whose task has another period: %v", period, err)
			}
			again, err := w.node(t).Keys(t.Context(), w.at(n))
			if err != nil || !bytes.Equal(first, again) {
				t.Errorf("%v: after a restart: %x, %v", period, again, err)
			}
		}
		for _, n := range []int64{-1, 2} {
			if got, err := node.Keys(t.Context(), w.at(n)); !errors.Is(err, witness.ErrUnknown) {
				t.Errorf("%v, period %d: %x, %v", period, n, got, err)
			}
		}
		w.clock.Advance(period)
		if _, err := node.Keys(t.Context(), w.at(-1)); !errors.Is(err, witness.ErrUnknown) {
			t.Errorf("%v: a period that is over: %v", period, err)
		}
	}
}

// TestSpanThatChangesKeys covers an issuer that gives each client a key of its own: one
// that answers each fetch with a new key has no key witnessed, on any node, ever.
func TestSpanThatChangesKeys(t *testing.T) {
	w := newSpanned(t, 24*time.Hour)
	w.party.keys = changing
	for range 3 {
		node := w.node(t)
		if got, err := node.Keys(t.Context(), w.slot); !errors.Is(err, witness.ErrRefused) {
			t.Errorf("%x, %v", got, err)
		}
		if r := node.Refused(); len(r) != 1 || r[0] != w.slot {
			t.Errorf("refused %v", r)
		}
		w.party.keys = honest // too late
	}
}

// TestSpanOutOfBounds covers a party that would make the witness sign what it could not
// delete again, or two periods that overlap.
func TestSpanOutOfBounds(t *testing.T) {
	w := newSpanned(t, 24*time.Hour)
	for name, change := range map[string]func(){
		"too short": func() { w.period = 30 * time.Minute },
		"too long":  func() { w.period = 61 * 24 * time.Hour },
		"unaligned": func() { w.period = 25 * time.Hour },
		"long keys": func() {
			w.period = 24 * time.Hour
			w.party.keys = func(int) []byte { return make([]byte, witness.MaxSpanKeys+1) }
		},
	} {
		change()
		if got, err := w.node(t).Keys(t.Context(), w.slot); err == nil {
			t.Errorf("%s: %x", name, got)
		}
		if _, found, err := w.store.Get(t.Context(), w.slot); found || err != nil {
			t.Errorf("%s: a record is kept: %v", name, err)
		}
	}
}

// TestSpanFloods covers clients that ask for purposes that there are not: nothing is kept
// of them, and what there is is served on.
func TestSpanFloods(t *testing.T) {
	w := newSpanned(t, 24*time.Hour)
	node := w.node(t)
	first, err := node.Keys(t.Context(), w.slot)
	if err != nil {
		t.Fatal(err)
	}
	w.party.fail = witness.ErrUnknown
	s := w.slot
	for i := range 1000 {
		s.Purpose = fmt.Sprintf("credential-%020x", i)
		if got, err := node.Keys(t.Context(), s); !errors.Is(err, witness.ErrUnknown) {
			t.Fatalf("%x, %v", got, err)
		}
	}
	if n := node.Slots(); n != 1 {
		t.Errorf("%d slots are kept in memory, want 1", n)
	}
	if again, err := node.Keys(t.Context(), w.slot); err != nil || !bytes.Equal(first, again) {
		t.Errorf("%x, %v", again, err)
	}
}

// TestSpanAfterARestore: what may have been signed before the records were restored is not
// signed a second time; later periods are.
func TestSpanAfterARestore(t *testing.T) {
	w := newSpanned(t, 24*time.Hour)
	w.since = w.clock.Now().Add(-time.Minute)
	for n := range int64(2) { // both could have been signed before
		if got, err := w.node(t).Keys(t.Context(), w.at(n)); !errors.Is(err, witness.ErrForgotten) {
			t.Errorf("period %d: %x, %v", n, got, err)
		}
	}
	w.clock.Advance(24 * time.Hour)
	if _, err := w.node(t).Keys(t.Context(), w.at(1)); err != nil {
		t.Errorf("a period that nothing was signed for: %v", err)
	}
}

// TestExpire covers records that are kept for ever, and records that are forgotten while
// their period could be asked for.
func TestExpire(t *testing.T) {
	for n := range 7 { // each call to the disk fails once, with the process alive
		w := newSpanned(t, 24*time.Hour)
		disk := crashfs.New(1)
		files, err := witness.OpenFilesIn(disk, "witness")
		if err != nil {
			t.Fatal(err)
		}
		w.store = files
		node := w.node(t)
		if _, err := node.Keys(t.Context(), w.slot); err != nil {
			t.Fatal(err)
		}
		w.party.keys = changing
		if _, err := node.Keys(t.Context(), w.at(1)); !errors.Is(err, witness.ErrRefused) {
			t.Fatal(err)
		}
		kept, refused := w.slot, w.at(1)
		has := func(s witness.Slot) bool {
			_, found, err := w.store.Get(t.Context(), s)
			if err != nil {
				t.Error(err)
			}
			return found
		}
		w.clock.Set(time.Unix(kept.Start, 0).Add(24*time.Hour + witness.Kept))
		if err := node.Expire(t.Context()); err != nil || !has(kept) || !has(refused) {
			t.Errorf("before it is time: %v", err)
		}
		w.clock.Advance(time.Second)
		calls := 0
		disk.FailWith(func(string, string) error {
			if calls++; calls == n {
				return errors.New("disk fails")
			}
			return nil
		})
		failed := node.Expire(t.Context())
		disk.FailWith(nil)
		if err := node.Expire(t.Context()); err != nil || has(kept) || !has(refused) {
			t.Errorf("call %d fails with %v: then %v", n, failed, err)
		}
		// A restart knows what there is.
		if w.store, err = witness.OpenFilesIn(disk.Restart(), "witness"); err != nil {
			t.Fatal(err)
		}
		w.clock.Set(time.Unix(refused.Start, 0).Add(24*time.Hour + witness.KeptRefused + time.Second))
		if err := w.node(t).Expire(t.Context()); err != nil || has(refused) {
			t.Errorf("evidence is kept for longer than %v: %v", witness.KeptRefused, err)
		}
	}
}

// TestRefusedDoesNotWait covers a party that answers slowly and so would stop the relay's
// health checks, and the requests of clients that went away.
func TestRefusedDoesNotWait(t *testing.T) {
	w := newWorld(t, honest)
	slow := &gate{Store: w.store, seen: make(chan struct{}), open: make(chan struct{})}
	w.store = slow
	node := w.node(t)
	done := make(chan error, 1)
	go func() {
		_, err := node.Keys(t.Context(), w.slot)
		done <- err
	}()
	<-slow.seen
	if r := node.Refused(); len(r) != 0 {
		t.Errorf("refused %v", r)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := node.Keys(gone, w.slot); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that went away: %v", err)
	}
	close(slow.open)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRecordsOfOneParty covers a party that would fill the relay's disk.
func TestRecordsOfOneParty(t *testing.T) {
	files, err := witness.OpenFilesIn(durable.Mem(), "witness")
	if err != nil {
		t.Fatal(err)
	}
	files.Fill([32]byte{1}, witness.MaxRecords)
	if _, err := files.Put(t.Context(), witness.Slot{Party: [32]byte{1}, Purpose: policy}, []byte("statement")); !errors.Is(err, witness.ErrFull) {
		t.Errorf("one more: %v", err)
	}
	if _, err := files.Put(t.Context(), witness.Slot{Party: [32]byte{2}, Purpose: policy}, []byte("statement")); err != nil {
		t.Errorf("of another party: %v", err)
	}
}
