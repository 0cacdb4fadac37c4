package witness_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp/witness"
)

const (
	purpose = "gateway"
	length  = 24 * time.Hour
)

var start = time.Date(2026, 11, 30, 11, 0, 0, 0, time.UTC)

// identity returns the nth of the identity keys of this test.
func identity(t testing.TB, n byte) task.IdentityKey {
	t.Helper()
	k, err := task.GenerateIdentityKey(bytes.NewReader(bytes.Repeat([]byte{n}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A party answers fetches with statements.
type party struct {
	mu    sync.Mutex
	key   task.IdentityKey
	keys  func(n int) []byte // of the nth fetch
	count int
	fail  error
}

func (p *party) fetch(_ context.Context, s witness.Slot) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	if p.fail != nil {
		return nil, p.fail
	}
	return witness.Statement{Slot: s, End: s.Start + int64(length/time.Second), Keys: p.keys(p.count)}.Sign(p.key)
}

func honest(int) []byte { return []byte("keys") }

// changing answers every fetch with another key.
func changing(n int) []byte { return fmt.Appendf(nil, "keys %d", n) }

type world struct {
	party   *party
	witness task.IdentityKey
	clock   *clock.Virtual
	store   witness.Store
	slot    witness.Slot
}

func newWorld(t testing.TB, keys func(int) []byte) *world {
	t.Helper()
	w := &world{party: &party{key: identity(t, 1), keys: keys}, witness: identity(t, 2), clock: clock.NewVirtual(start)}
	var err error
	if w.store, err = witness.OpenFilesIn(durable.Mem(), "witness"); err != nil {
		t.Fatal(err)
	}
	if w.slot, err = witness.SlotAt(w.party.key.Public(), purpose, length, start); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) node(t testing.TB) *witness.Witness {
	t.Helper()
	n, err := witness.New(witness.Config{
		Identity: w.witness, Parties: []ed25519.PublicKey{w.party.key.Public()}, Purposes: map[string]time.Duration{purpose: length},
		Fetch: w.party.fetch, Store: w.store, Clock: w.clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (w *world) open(witnessed []byte) ([]byte, error) {
	return witness.Open(witnessed, w.slot, length, w.witness.Public())
}

// TestSameBytesForAll: one statement is fetched, twice, and everybody gets it, from
// each node and after each restart.
func TestSameBytesForAll(t *testing.T) {
	w := newWorld(t, honest)
	first, err := w.node(t).Keys(t.Context(), w.slot)
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := w.open(first); err != nil || string(keys) != "keys" {
		t.Errorf("%q, %v", keys, err)
	}
	w.party.keys = changing // from now on
	for range 3 {
		node := w.node(t)
		for range 3 {
			again, err := node.Keys(t.Context(), w.slot)
			if err != nil || !bytes.Equal(again, first) {
				t.Fatalf("%x, %v", again, err)
			}
			w.clock.Advance(time.Minute)
		}
	}
	if w.party.count != 2 {
		t.Errorf("%d fetches, want 2", w.party.count)
	}
}

// TestPartyThatChangesKeys: a party that answers every fetch with a new key gets no
// client, and the evidence is kept.
func TestPartyThatChangesKeys(t *testing.T) {
	w := newWorld(t, changing)
	for i := range 3 {
		node := w.node(t)
		for range 3 {
			if got, err := node.Keys(t.Context(), w.slot); !errors.Is(err, witness.ErrRefused) {
				t.Fatalf("node %d: %x, %v", i, got, err)
			}
			w.clock.Advance(time.Minute)
			w.party.keys = honest // too late
		}
		if r := node.Refused(); len(r) != 1 || r[0] != w.slot {
			t.Errorf("refused %v", r)
		}
	}
	r, found, err := w.store.Get(t.Context(), w.slot)
	if err != nil || !found || len(r.Signed) != 2 || bytes.Equal(r.Signed[0], r.Signed[1]) {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, signed := range r.Signed {
		if _, err := witness.OpenStatement(signed, w.slot, length); err != nil {
			t.Errorf("the evidence does not verify: %v", err)
		}
	}
	if w.party.count != 2 {
		t.Errorf("%d fetches, want 2", w.party.count)
	}
	// In the next period it may begin again.
	w.clock.Advance(length)
	if w.slot, err = witness.SlotAt(w.party.key.Public(), purpose, length, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if got, err := w.node(t).Keys(t.Context(), w.slot); err != nil {
		t.Errorf("the next period: %x, %v", got, err)
	}
}

// TestPartyThatTellsNodesApart: two nodes that get different statements find out by
// their store, and neither serves the slot then.
func TestPartyThatTellsNodesApart(t *testing.T) {
	w := newWorld(t, func(n int) []byte { return fmt.Appendf(nil, "keys %d", (n-1)/2) })
	slow := &gate{Store: w.store, seen: make(chan struct{}), open: make(chan struct{})}
	one, two := w.node(t), w.node(t)
	w.store = slow
	late := w.node(t) // finds no record before one has put its own
	w.store = slow.Store
	done := make(chan error, 1)
	go func() {
		_, err := late.Keys(t.Context(), w.slot)
		done <- err
	}()
	<-slow.seen
	if _, err := one.Keys(t.Context(), w.slot); err != nil {
		t.Fatal(err)
	}
	close(slow.open)
	if err := <-done; !errors.Is(err, witness.ErrRefused) {
		t.Errorf("the late node: %v", err)
	}
	w.clock.Advance(time.Minute)
	for i, node := range []*witness.Witness{one, two, late} {
		if got, err := node.Keys(t.Context(), w.slot); !errors.Is(err, witness.ErrRefused) {
			t.Errorf("node %d: %x, %v", i, got, err)
		}
	}
}

// A gate is a store whose first Get finds nothing, and then waits.
type gate struct {
	witness.Store
	once       sync.Once
	seen, open chan struct{}
}

func (g *gate) Get(ctx context.Context, s witness.Slot) (witness.Record, bool, error) {
	r, found, err := g.Store.Get(ctx, s)
	g.once.Do(func() { close(g.seen); <-g.open })
	return r, found, err
}

// TestStoreThatForgets: a node knows what it has served.
func TestStoreThatForgets(t *testing.T) {
	w := newWorld(t, honest)
	forgetful := &swap{Store: w.store}
	w.store = forgetful
	node := w.node(t)
	if _, err := node.Keys(t.Context(), w.slot); err != nil {
		t.Fatal(err)
	}
	empty, err := witness.OpenFilesIn(durable.Mem(), "other")
	if err != nil {
		t.Fatal(err)
	}
	forgetful.Store = empty
	w.party.keys = func(int) []byte { return []byte("other keys") }
	w.clock.Advance(time.Minute)
	for range 2 {
		if got, err := node.Keys(t.Context(), w.slot); !errors.Is(err, witness.ErrRefused) {
			t.Errorf("%x, %v", got, err)
		}
	}
}

type swap struct{ witness.Store }

// TestFailuresAreWaitedFor: a party or store that does not answer is asked again
// after a while, and not before.
func TestFailuresAreWaitedFor(t *testing.T) {
	w := newWorld(t, honest)
	node := w.node(t)
	w.party.fail = errors.New("down")
	for range 5 {
		if _, err := node.Keys(t.Context(), w.slot); !errors.Is(err, w.party.fail) {
			t.Errorf("got %v", err)
		}
	}
	if w.party.count != 1 {
		t.Errorf("%d fetches, want 1", w.party.count)
	}
	w.party.fail = nil
	w.clock.Advance(11 * time.Second)
	if _, err := node.Keys(t.Context(), w.slot); err != nil {
		t.Error(err)
	}

	for n := 1; n < 8; n++ { // each call to the disk fails once, with the process alive
		disk := crashfs.New(1)
		store, err := witness.OpenFilesIn(disk, "witness")
		if err != nil {
			t.Fatal(err)
		}
		calls := 0
		disk.FailWith(func(string, string) error {
			if calls++; calls == n {
				return errors.New("disk fails")
			}
			return nil
		})
		w := newWorld(t, honest)
		w.store = store
		node := w.node(t)
		first, err := node.Keys(t.Context(), w.slot)
		w.clock.Advance(11 * time.Second)
		second, err2 := node.Keys(t.Context(), w.slot)
		if err2 != nil || err == nil && !bytes.Equal(first, second) {
			t.Errorf("call %d fails: %v, then %v", n, err, err2)
		}
	}
}

// TestCrashAtEachCall: whatever was served before a crash is what is served after
// it, although the party has another key by then.
func TestCrashAtEachCall(t *testing.T) {
	served, crashed := 0, 0
	for n := 1; n <= 12; n++ { // writing takes 5 calls
		disk := crashfs.New(uint64(n))
		store, err := witness.OpenFilesIn(disk, "witness")
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, honest)
		w.store = store
		disk.CrashAt(n)
		first, failed := w.node(t).Keys(t.Context(), w.slot)
		if failed == nil {
			served++
		}
		if disk.Crashed() {
			crashed++
		}
		for range 4 { // outcomes of the crash
			if store, err = witness.OpenFilesIn(disk.Restart(), "witness"); err != nil {
				t.Fatal(err)
			}
			w.store = store
			w.party.keys = func(int) []byte { return []byte("other keys") }
			second, err := w.node(t).Keys(t.Context(), w.slot)
			if err != nil {
				t.Fatalf("crash at call %d: %v", n, err)
			}
			if failed == nil && !bytes.Equal(first, second) {
				t.Errorf("crash at call %d: another statement is served", n)
			}
		}
	}
	if served == 0 || crashed == 0 {
		t.Errorf("%d served, %d crashed: the crashes are not where the writing is", served, crashed)
	}
}

// TestOpenRefuses changes what a client checks.
func TestOpenRefuses(t *testing.T) {
	w := newWorld(t, honest)
	witnessed, err := w.node(t).Keys(t.Context(), w.slot)
	if err != nil {
		t.Fatal(err)
	}
	for i := range witnessed {
		damaged := bytes.Clone(witnessed)
		damaged[i] ^= 1
		if _, err := w.open(damaged); err == nil {
			t.Errorf("byte %d changed: taken", i)
		}
		if _, err := w.open(witnessed[:i]); err == nil {
			t.Errorf("cut to %d bytes: taken", i)
		}
	}
	if _, err := w.open(append(bytes.Clone(witnessed), 0)); !errors.Is(err, witness.ErrMalformed) {
		t.Errorf("longer: %v", err)
	}
	other := w.slot
	other.Start += int64(length / time.Second)
	if _, err := witness.Open(witnessed, other, length, w.witness.Public()); !errors.Is(err, witness.ErrSlot) {
		t.Errorf("another period: %v", err)
	}
	other = w.slot
	other.Purpose = "issuer"
	if _, err := witness.Open(witnessed, other, length, w.witness.Public()); !errors.Is(err, witness.ErrSlot) {
		t.Errorf("another purpose: %v", err)
	}
	if _, err := witness.Open(witnessed, w.slot, 2*length, w.witness.Public()); !errors.Is(err, witness.ErrSlot) {
		t.Errorf("another length: %v", err)
	}
	if _, err := witness.Open(witnessed, w.slot, length, identity(t, 3).Public()); !errors.Is(err, witness.ErrSignature) {
		t.Errorf("another witness: %v", err)
	}
	if _, err := witness.Open(witnessed, w.slot, length, w.party.key.Public()); !errors.Is(err, witness.ErrSignature) {
		t.Errorf("the party as witness: %v", err)
	}
	signed, err := w.party.fetch(t.Context(), w.slot)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.open(signed); err == nil {
		t.Error("a statement without the witness's signature is taken")
	}
}

// TestForgedStatements: the witness signs what the party signed for the slot alone.
func TestForgedStatements(t *testing.T) {
	for name, forge := range map[string]func(*world) ([]byte, error){
		"another signer": func(w *world) ([]byte, error) {
			signed, err := w.party.fetch(context.Background(), w.slot)
			if err == nil {
				signed[len(signed)-1] ^= 1
			}
			return signed, err
		},
		"another slot": func(w *world) ([]byte, error) {
			s := w.slot
			s.Purpose = "issuer"
			return w.party.fetch(context.Background(), s)
		},
		"a longer period": func(w *world) ([]byte, error) {
			return witness.Statement{Slot: w.slot, End: w.slot.Start + 1 + int64(length/time.Second), Keys: []byte("k")}.Sign(w.party.key)
		},
		"nothing": func(*world) ([]byte, error) { return nil, nil },
		"much":    func(*world) ([]byte, error) { return make([]byte, 1<<20), nil },
	} {
		w := newWorld(t, honest)
		node, err := witness.New(witness.Config{
			Identity: w.witness, Parties: []ed25519.PublicKey{w.party.key.Public()}, Purposes: map[string]time.Duration{purpose: length},
			Fetch: func(context.Context, witness.Slot) ([]byte, error) { return forge(w) }, Store: w.store, Clock: w.clock,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := node.Keys(t.Context(), w.slot); err == nil {
			t.Errorf("%s: served %x", name, got)
		}
		if _, found, err := w.store.Get(t.Context(), w.slot); found || err != nil {
			t.Errorf("%s: kept: %v", name, err)
		}
	}
}

// TestServedSlots: listed parties, purposes and present periods alone.
func TestServedSlots(t *testing.T) {
	w := newWorld(t, honest)
	node := w.node(t)
	get := func(method, path string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		node.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		return rec
	}
	day := int64(length / time.Second)
	at := func(change func(*witness.Slot)) string {
		s := w.slot
		change(&s)
		return s.Path()
	}
	for name, path := range map[string]string{
		"past":          at(func(s *witness.Slot) { s.Start -= day }),
		"future":        at(func(s *witness.Slot) { s.Start += day }),
		"unaligned":     at(func(s *witness.Slot) { s.Start++ }),
		"purpose":       at(func(s *witness.Slot) { s.Purpose = "issuer" }),
		"party":         at(func(s *witness.Slot) { s.Party[0] ^= 1 }),
		"no path":       "/",
		"negative":      "/" + w.slot.Path()[1:44] + "/gateway/-86400",
		"leading zeros": w.slot.Path()[:len(w.slot.Path())-10] + "0" + w.slot.Path()[len(w.slot.Path())-10:],
		"long":          w.slot.Path() + "/x",
		"not base64":    "/x/gateway/0",
	} {
		if rec := get(http.MethodGet, path); rec.Code != http.StatusNotFound {
			t.Errorf("%s: %d", name, rec.Code)
		}
	}
	if w.party.count != 0 {
		t.Errorf("%d fetches for slots that are not served", w.party.count)
	}
	if rec := get(http.MethodPost, w.slot.Path()); rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "GET" {
		t.Errorf("POST: %d", rec.Code)
	}
	w.party.fail = errors.New("down")
	if rec := get(http.MethodGet, w.slot.Path()); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		t.Errorf("down: %d", rec.Code)
	}
	w.party.fail = nil
	w.clock.Advance(time.Minute)
	rec := get(http.MethodGet, w.slot.Path())
	if keys, err := w.open(rec.Body.Bytes()); err != nil || string(keys) != "keys" || rec.Header().Get("Content-Type") != witness.MediaType {
		t.Errorf("%d: %q, %v", rec.Code, keys, err)
	}
	w.clock.Set(time.Unix(w.slot.Start+day-60, 0)) // the next one is early
	if rec := get(http.MethodGet, at(func(s *witness.Slot) { s.Start += day })); rec.Code != http.StatusOK {
		t.Errorf("the next period, early: %d", rec.Code)
	}
	w.party.keys = changing
	w.clock.Set(time.Unix(w.slot.Start+2*day, 0))
	if rec := get(http.MethodGet, at(func(s *witness.Slot) { s.Start += 2 * day })); rec.Code != http.StatusConflict {
		t.Errorf("refused: %d", rec.Code)
	}
}

func TestNewRefuses(t *testing.T) {
	w := newWorld(t, honest)
	for name, change := range map[string]func(*witness.Config){
		"no identity": func(c *witness.Config) { c.Identity = task.IdentityKey{} },
		"no fetch":    func(c *witness.Config) { c.Fetch = nil },
		"no store":    func(c *witness.Config) { c.Store = nil },
		"no clock":    func(c *witness.Config) { c.Clock = nil },
		"itself":      func(c *witness.Config) { c.Parties = append(slices.Clone(c.Parties), w.witness.Public()) },
		"purpose":     func(c *witness.Config) { c.Purposes = map[string]time.Duration{"A": time.Hour} },
		"length":      func(c *witness.Config) { c.Purposes = map[string]time.Duration{"a": time.Hour + 1} },
	} {
		c := witness.Config{
			Identity: w.witness, Parties: []ed25519.PublicKey{w.party.key.Public()}, Purposes: map[string]time.Duration{purpose: length},
			Fetch: w.party.fetch, Store: w.store, Clock: w.clock,
		}
		change(&c)
		if _, err := witness.New(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := (witness.Statement{Slot: w.slot, End: w.slot.Start + 1, Keys: []byte("k")}).Sign(w.witness); err == nil {
		t.Error("a statement is signed by another than its party")
	}
}

// FuzzOpen: nothing opens but what both have signed.
func FuzzOpen(f *testing.F) {
	w := newWorld(f, honest)
	witnessed, err := w.node(f).Keys(f.Context(), w.slot)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(witnessed)
	f.Add(witnessed[3 : len(witnessed)-64])
	f.Fuzz(func(t *testing.T, b []byte) {
		if keys, err := w.open(b); err == nil && !bytes.Equal(b, witnessed) {
			t.Fatalf("%x opens to %x", b, keys)
		}
	})
}

// FuzzRecord: a record of the disk is read, or refused, without a panic.
func FuzzRecord(f *testing.F) {
	w := newWorld(f, honest)
	signed, err := w.party.fetch(f.Context(), w.slot)
	if err != nil {
		f.Fatal(err)
	}
	record := append([]byte{1, 0, byte(len(signed) >> 8), byte(len(signed))}, signed...)
	f.Add(record)
	f.Add(append(bytes.Clone(record), record[1:]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := witness.ParseRecord(b)
		if err == nil && len(r.Signed) == 0 {
			t.Fatal("a record without a statement")
		}
	})
}
