package tasks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/dap/tasks/storetest"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/vdaf"
)

var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// A process is one of several that share a store.
type process struct {
	config tasks.Config
	clock  *clock.Virtual
	rand   *rand.ChaCha8
}

func newProcess(t testing.TB, role dap.Role) *process {
	t.Helper()
	keys, err := atrest.New(atrest.Key{1})
	if err != nil {
		t.Fatal(err)
	}
	p := &process{clock: clock.NewVirtual(start), rand: rand.NewChaCha8([32]byte{9})}
	p.config = tasks.Config{Role: role, Keys: keys, Clock: p.clock, Rand: p.rand}
	return p
}

func (p *process) open(t testing.TB, s tasks.Store) *tasks.Registry {
	t.Helper()
	r, err := tasks.Open(t.Context(), s, p.config)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// entry returns an entry of the nth task.
func (p *process) entry(t testing.TB, n byte) tasks.Entry {
	t.Helper()
	count, err := vdaf.Count()
	if err != nil {
		t.Fatal(err)
	}
	config := dap.TaskConfiguration{
		TaskInfo: []byte{n}, Leader: "https://leader.example/", Helper: "https://helper.example/",
		TimePrecision: 3600, MinBatchSize: 10, BatchMode: dap.TimeIntervalMode,
	}
	if err := config.SetVDAF(count); err != nil {
		t.Fatal(err)
	}
	encoded, err := dap.NewCodec(dap.DAP18()).Encode(&config)
	if err != nil {
		t.Fatal(err)
	}
	collector, err := dapkey.Generate(3, hpke.X25519, p.rand)
	if err != nil {
		t.Fatal(err)
	}
	e := tasks.Entry{
		ID: dap.TaskprovID(encoded), Variant: "dap-18", Config: encoded, Role: p.config.Role,
		VerifyKeys: map[dap.VerificationKeyID]vdaf.VerifyKey{4: vdaf.VerifyKey(bytes.Repeat([]byte{0xab}, 32))}, VerifyWith: 4,
		Collector: collector.Config(), Leeway: time.Minute, Grace: time.Hour, Expiry: 30 * 24 * time.Hour,
		ShoalTask: []byte("the signed task"),
	}
	token, err := auth.NewToken(p.rand)
	if err != nil {
		t.Fatal(err)
	}
	if p.config.Role == dap.Helper {
		e.Inbound = []auth.Hash{token.Hash()}
	} else {
		e.Outbound, e.OutboundHeader = token, auth.Header
		e.Former = []auth.Token{newTokenOf(t, p), newTokenOf(t, p)}
		e.CollectorTokens = []auth.Hash{{1}, {2}}
	}
	return e
}

// same compares all fields of entries.
func same(t *testing.T, have, want *tasks.Entry) {
	t.Helper()
	type open tasks.Entry // has no methods that hide it
	if h, w := fmt.Sprintf("%+v", (*open)(have)), fmt.Sprintf("%+v", (*open)(want)); h != w {
		t.Errorf("%s,\nwant %s", h, w)
	}
	if have.Outbound.Reveal() != want.Outbound.Reveal() {
		t.Error("another token")
	}
	if len(have.Former) != len(want.Former) {
		t.Fatalf("%d former tokens, want %d", len(have.Former), len(want.Former))
	}
	for i := range want.Former {
		if have.Former[i].Reveal() != want.Former[i].Reveal() {
			t.Errorf("another former token %d", i)
		}
	}
	for id, key := range want.VerifyKeys {
		if got := have.VerifyKeys[id]; !bytes.Equal(got[:], key[:]) {
			t.Error("another verification key")
		}
	}
}

func TestTasksAreSharedAndStay(t *testing.T) {
	for _, role := range []dap.Role{dap.Leader, dap.Helper} {
		p := newProcess(t, role)
		store := storetest.NewModel()
		one, two := p.open(t, store), p.open(t, store)
		e := p.entry(t, 1)
		if _, err := two.Lookup(t.Context(), e.ID); !errors.Is(err, tasks.ErrUnknown) {
			t.Fatalf("%v, want ErrUnknown", err)
		}
		if err := one.Add(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if err := one.Add(t.Context(), e); !errors.Is(err, tasks.ErrConflict) {
			t.Errorf("%v, want ErrConflict", err)
		}
		// The other process has just asked for it; a second later it asks again.
		if _, err := two.Lookup(t.Context(), e.ID); !errors.Is(err, tasks.ErrUnknown) {
			t.Errorf("%v, want ErrUnknown: requests for unknown tasks must not reach the store each", err)
		}
		p.clock.Advance(time.Second)
		for _, r := range []*tasks.Registry{one, two, p.open(t, store)} {
			s, err := r.Lookup(t.Context(), e.ID)
			if err != nil {
				t.Fatal(err)
			}
			same(t, s.Entry, &e)
			if s.Task.ID() != e.ID || s.Aggregator == nil || len(r.List()) != 1 {
				t.Error("the task is not as it was added")
			}
			if r.ResourceKey() == nil || *r.ResourceKey() != *one.ResourceKey() || *r.ResourceKey() == (dap.ResourceKey{}) {
				t.Error("the processes have different resource keys")
			}
		}
	}
}

func TestUpdates(t *testing.T) {
	p := newProcess(t, dap.Helper)
	store := storetest.NewModel()
	one, two := p.open(t, store), p.open(t, store)
	e := p.entry(t, 1)
	if err := one.Add(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	before, err := one.Lookup(t.Context(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	// Two processes change one task: neither change gets lost.
	if err := two.Update(t.Context(), e.ID, func(e *tasks.Entry) error {
		e.Inbound = append(e.Inbound, auth.Hash{7})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := one.Disable(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	after, err := one.Lookup(t.Context(), e.ID)
	if err != nil || !after.Entry.Disabled || len(after.Entry.Inbound) != 2 {
		t.Errorf("disabled: %t, %d tokens, %v", after.Entry.Disabled, len(after.Entry.Inbound), err)
	}
	if before.Entry.Disabled || len(before.Entry.Inbound) != 1 {
		t.Error("what was looked up has changed")
	}
	if err := two.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := two.Lookup(t.Context(), e.ID); err != nil || !s.Entry.Disabled {
		t.Errorf("the other process serves it on: %v", err)
	}
	own := errors.New("no")
	if err := one.Update(t.Context(), e.ID, func(*tasks.Entry) error { return own }); !errors.Is(err, own) {
		t.Errorf("%v", err)
	}
	for what, change := range map[string]func(*tasks.Entry){
		"ID":           func(e *tasks.Entry) { e.ID[0]++ },
		"config":       func(e *tasks.Entry) { e.Config[0]++ },
		"variant":      func(e *tasks.Entry) { e.Variant = "dap-19" },
		"role":         func(e *tasks.Entry) { e.Role = dap.Leader },
		"no token":     func(e *tasks.Entry) { e.Inbound = nil },
		"key":          func(e *tasks.Entry) { e.VerifyWith = 5 },
		"no key":       func(e *tasks.Entry) { e.VerifyKeys = nil },
		"leeway":       func(e *tasks.Entry) { e.Leeway = -1 },
		"short expiry": func(e *tasks.Entry) { e.Expiry = e.Grace },
		"collector":    func(e *tasks.Entry) { e.Collector.PublicKey = nil },
		"header":       func(e *tasks.Entry) { e.OutboundHeader = "X-Token" },
	} {
		if err := one.Update(t.Context(), e.ID, func(e *tasks.Entry) error { change(e); return nil }); err == nil {
			t.Errorf("%s: the change was taken", what)
		}
	}
	if err := one.Update(t.Context(), dap.TaskID{1}, func(*tasks.Entry) error { return nil }); !errors.Is(err, tasks.ErrUnknown) {
		t.Errorf("%v, want ErrUnknown", err)
	}
	bad := p.entry(t, 2)
	bad.Role = dap.Leader
	bad.Outbound, bad.CollectorTokens = newTokenOf(t, p), []auth.Hash{{1}}
	if err := one.Add(t.Context(), bad); err == nil {
		t.Error("a helper serves as leader")
	}
	bad = p.entry(t, 2)
	bad.Config = bad.Config[1:]
	if err := one.Add(t.Context(), bad); err == nil || bad.Validate() == nil {
		t.Error("a malformed task is served")
	}
}

func TestRemove(t *testing.T) {
	p := newProcess(t, dap.Helper)
	store := storetest.NewModel()
	one, two := p.open(t, store), p.open(t, store)
	e, other := p.entry(t, 1), p.entry(t, 2)
	for _, e := range []tasks.Entry{e, other} {
		if err := one.Add(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := two.Remove(t.Context(), e.ID); err == nil || !strings.Contains(err.Error(), "disable it first") {
		t.Errorf("a task that is served was removed: %v", err)
	}
	if err := one.Disable(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	if err := two.Remove(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	if err := one.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*tasks.Registry{one, two, p.open(t, store)} {
		p.clock.Advance(time.Minute)
		if _, err := r.Lookup(t.Context(), e.ID); !errors.Is(err, tasks.ErrUnknown) {
			t.Errorf("%v, want ErrUnknown", err)
		}
		if list := r.List(); len(list) != 1 || list[0].Entry.ID != other.ID {
			t.Errorf("%d tasks are left", len(list))
		}
		if err := r.Add(t.Context(), e); !errors.Is(err, tasks.ErrConflict) {
			t.Errorf("a removed task comes back: %v", err)
		}
		if err := r.Remove(t.Context(), e.ID); !errors.Is(err, tasks.ErrUnknown) {
			t.Errorf("removed twice: %v", err)
		}
	}
	records, err := store.Tasks(t.Context(), 0)
	if err != nil || len(records[len(records)-1].Sealed) > 100 {
		t.Errorf("the store keeps %d bytes of the removed task, %v", len(records[len(records)-1].Sealed), err)
	}
}

func newTokenOf(t testing.TB, p *process) auth.Token {
	t.Helper()
	token, err := auth.NewToken(p.rand)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Over a year, in which processes refresh at their own times, clients always get
// a key, every process can open what any process has offered in the last two
// days, and keys that are gone leave the store.
func TestRotation(t *testing.T) {
	p := newProcess(t, dap.Helper)
	store := storetest.NewModel()
	registries := []*tasks.Registry{p.open(t, store), p.open(t, store)}
	type offer struct {
		id   dap.HpkeConfigID
		pub  string
		when time.Time
	}
	var offers []offer
	ids := make(map[string]bool)
	for step := range 365 * 24 * 2 {
		p.clock.Advance(30 * time.Minute)
		now := p.clock.Now()
		r := registries[step%2]
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		configs := r.Keyring().Configs(now)
		if len(configs) == 0 {
			t.Fatalf("nothing to offer at %v", now)
		}
		for _, c := range configs {
			offers = append(offers, offer{c.ID, string(c.PublicKey), now})
			ids[string(c.PublicKey)] = true
		}
		for len(offers) > 0 && now.Sub(offers[0].when) > 48*time.Hour {
			offers = offers[1:]
		}
		if step%97 != 0 {
			continue
		}
		for _, o := range offers {
			key := registries[(step+1)%2].Keyring().Find(o.id, now)
			if key == nil || string(key.Config().PublicKey) != o.pub {
				t.Fatalf("the other process lacks key %d, which was offered at %v, at %v", o.id, o.when, now)
			}
		}
		if n := len(r.Keyring().Keys()); n > 4 {
			t.Fatalf("%d keys are kept", n)
		}
	}
	if len(ids) < 55 || len(ids) > 65 {
		t.Errorf("%d keys in a year", len(ids))
	}
}

// Keys that the version before has stored: what clients have got of them until now is
// opened for as long as it may come, whatever the plan, and they are stored in the form
// of this version.
func TestKeysOfTheVersionBefore(t *testing.T) {
	const day = 24 * time.Hour
	const text = "shoal-dap-key:BwAgAAEAAQAgXDm6DNj2n5gbtP0KM88-nj-WD7YtY-ljzPXMf6k-2SJ4tCig5GG51rJZ2VqZuadWjuyejk8xMyLIoWvinTBSdA"
	former, err := dapkey.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		age     time.Duration // of the key
		offered time.Duration // for how long yet
		after   int           // keys after the first rotation
	}{
		"pending": {30 * time.Minute, 7*day + 30*time.Minute, 2}, // the only one: it is offered at once
		"new":     {2 * day, 5*day + time.Hour, 1},
		"ending":  {6*day + 2*time.Hour, day - time.Hour, 2},
		"old":     {60 * day, 0, 2},
		"expired": {86 * day, time.Hour - 2*day, 2},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProcess(t, dap.Helper)
			store := storetest.NewModel()
			plain := fmt.Appendf(nil, `[{"key":%q,"created":%q}]`, text, p.clock.Now().Add(-test.age).Format(time.RFC3339Nano))
			sealed := p.config.Keys.Seal(plain, "dap aggregator secret", []byte("hpke keys"))
			if _, err := store.PutSecret(t.Context(), "hpke keys", 0, sealed); err != nil {
				t.Fatal(err)
			}
			r := p.open(t, store)
			begin := p.clock.Now()
			if n := len(r.Keyring().Keys()); n != test.after {
				t.Fatalf("%d keys, want %d", n, test.after)
			}
			if len(r.Keyring().Configs(begin)) == 0 {
				t.Fatal("no key is offered")
			}
			ends := begin.Add(test.offered).Truncate(time.Second)
			if got := r.Keyring().Keys()[0].Until; !got.Equal(ends) {
				t.Errorf("offered until %v, want %v", got, ends)
			}
			if again := p.open(t, store); !again.Keyring().Keys()[0].Until.Equal(ends) {
				t.Errorf("stored as offered until %v, want %v", again.Keyring().Keys()[0].Until, ends)
			}
			for step := time.Hour; step < test.offered+20*day; step += 6 * time.Hour {
				p.clock.Set(begin.Add(step))
				if err := r.Rotate(t.Context()); err != nil {
					t.Fatal(err)
				}
				key := r.Keyring().Find(former.ID(), p.clock.Now())
				opens := key != nil && bytes.Equal(key.Config().PublicKey, former.Config().PublicKey)
				// A day in caches and a week of grace; it is deleted at the next rotation.
				if needed := step <= test.offered+8*day; needed && !opens {
					t.Fatalf("the key does not open after %v", step)
				} else if step > test.offered+8*day+6*time.Hour && opens {
					t.Fatalf("the key opens after %v", step)
				}
			}
		})
	}
}

// A key is deleted for no clock that is in doubt.
func TestKeysOutliveADoubtfulClock(t *testing.T) {
	p := newProcess(t, dap.Helper)
	store := storetest.NewModel()
	first := p.open(t, store).Keyring().Keys()[0].Key.ID()
	p.clock.Advance(365 * 24 * time.Hour) // a process that starts with this clock
	r := p.open(t, store)
	for _, step := range []struct {
		after time.Duration
		opens bool
	}{{0, true}, {59 * time.Minute, true}, {time.Minute, false}} {
		p.clock.Advance(step.after)
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if opens := r.Keyring().Find(first, p.clock.Now()) != nil; opens != step.opens {
			t.Errorf("%v later the key opens: %v, want %v", step.after, opens, step.opens)
		}
	}
}

// At each change of the store a crash, before it or after it: opened again, the
// registry works, and nothing that was acknowledged is gone.
func TestCrashes(t *testing.T) {
	for n := 1; n <= 6; n++ {
		for _, after := range []bool{false, true} {
			p := newProcess(t, dap.Helper)
			m := storetest.NewModel()
			m.CrashAt(n, after)
			e := p.entry(t, 1)
			var resource dap.ResourceKey
			var ring []dap.HpkeConfig
			added := false
			for tries := 0; ; tries++ {
				err := func() error {
					r, err := tasks.Open(t.Context(), m, p.config)
					if err != nil {
						return err
					}
					if resource != (dap.ResourceKey{}) && *r.ResourceKey() != resource {
						t.Error("the resource key has changed")
					}
					if ring != nil && r.Keyring().Find(ring[0].ID, p.clock.Now()) == nil {
						t.Error("an HPKE key that was offered is gone")
					}
					resource, ring = *r.ResourceKey(), r.Keyring().Configs(p.clock.Now())
					if err := r.Add(t.Context(), e); err != nil && (!errors.Is(err, tasks.ErrConflict) || tries == 0) {
						return err
					}
					added = true
					return r.Disable(t.Context(), e.ID)
				}()
				if err == nil {
					break
				}
				if !errors.Is(err, storetest.ErrCrashed) || tries > 1 {
					t.Fatalf("crash at change %d, after it: %t: %v", n, after, err)
				}
				m = m.Restart()
			}
			s, err := p.open(t, m.Restart()).Lookup(t.Context(), e.ID)
			if err != nil || !added || !s.Entry.Disabled {
				t.Errorf("crash at change %d, after it: %t: %v", n, after, err)
			}
		}
	}
}

// Run sees what others change, and goes on after an error.
func TestRun(t *testing.T) {
	p := newProcess(t, dap.Helper)
	store := &flaky{Store: storetest.NewModel()}
	r, other := p.open(t, store), p.open(t, store)
	e := p.entry(t, 1)
	if err := other.Add(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	reported := make(chan error, 1000)
	store.fail(true)
	wg.Go(func() {
		if err := r.Run(ctx, func(err error) { reported <- err }); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want Canceled", err)
		}
	})
	advance := func(until func() bool) {
		for !until() {
			p.clock.Advance(time.Second)
			time.Sleep(time.Millisecond)
		}
	}
	advance(func() bool { return len(reported) > 0 })
	if err := <-reported; !errors.Is(err, errFlaky) {
		t.Error(err)
	}
	store.fail(false)
	advance(func() bool { return len(r.List()) == 1 })
	cancel()
	wg.Wait()
}

var errFlaky = errors.New("flaky")

// A flaky store fails to read as long as it is set to.
type flaky struct {
	tasks.Store
	mu   sync.Mutex
	down bool
}

func (f *flaky) fail(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *flaky) Tasks(ctx context.Context, since uint64) ([]tasks.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return nil, errFlaky
	}
	return f.Store.Tasks(ctx, since)
}

// No secret is stored in plain text, is printed, or opens elsewhere.
func TestSecrets(t *testing.T) {
	p := newProcess(t, dap.Leader)
	store := storetest.NewModel()
	r := p.open(t, store)
	e := p.entry(t, 1)
	if err := r.Add(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	keyText, err := r.Keyring().Keys()[0].Key.Text()
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{strings.Repeat("\xab", 8), "q6urq6ur", e.Outbound.Reveal(), e.Former[0].Reveal(), keyText[20:60], string(r.ResourceKey()[:8]), "verify", "leader.example"}
	var stored []byte
	records, err := store.Tasks(t.Context(), 0)
	if err != nil || len(records) != 1 {
		t.Fatal(err)
	}
	stored = append(stored, records[0].Sealed...)
	for _, name := range []string{"hpke keys", "resource key"} {
		s, err := store.Secret(t.Context(), name)
		if err != nil || s.Revision == 0 {
			t.Fatalf("%s: %v", name, err)
		}
		stored = append(stored, s.Sealed...)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "entry", e, "pointer", &e)
	j, err := json.Marshal(map[string]any{"e": e, "p": &e})
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %+v %#v %s %x", e, e, e, &e, e) + log.String() + string(j)
	for _, secret := range secrets {
		if bytes.Contains(stored, []byte(secret)) {
			t.Errorf("%q stands open in the store", secret)
		}
		if strings.Contains(printed, secret) || strings.Contains(printed, fmt.Sprintf("%x", secret)) {
			t.Errorf("%q is printed: %s", secret, printed)
		}
	}
	// Another task's record under this one's name.
	if _, err := store.PutTask(t.Context(), dap.TaskID{9}, 0, records[0].Sealed); err != nil {
		t.Fatal(err)
	}
	if err := r.Refresh(t.Context()); !errors.Is(err, atrest.ErrSealed) {
		t.Errorf("a moved record: %v, want ErrSealed", err)
	}
	if s, err := r.Lookup(t.Context(), e.ID); err != nil || s == nil {
		t.Error("what was served is served no more")
	}
}

// With a new storage key at the head of the list everything is sealed with it, and
// the old key is not needed any more.
func TestNewStorageKey(t *testing.T) {
	p := newProcess(t, dap.Leader)
	store := storetest.NewModel()
	before := p.open(t, store)
	e := p.entry(t, 1)
	if err := before.Add(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	list := func(first atrest.Key, former ...atrest.Key) *atrest.Keys {
		keys, err := atrest.New(first, former...)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	p.config.Keys = list(atrest.Key{2})
	if _, err := tasks.Open(t.Context(), store, p.config); !errors.Is(err, atrest.ErrSealed) {
		t.Fatalf("without the old key: %v, want ErrSealed", err)
	}
	p.config.Keys = list(atrest.Key{2}, atrest.Key{1})
	p.open(t, store)
	p.config.Keys = list(atrest.Key{2})
	after := p.open(t, store)
	s, err := after.Lookup(t.Context(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	same(t, s.Entry, &e)
	if *after.ResourceKey() != *before.ResourceKey() {
		t.Error("the resource key has changed")
	}
	if a, b := before.Keyring().Configs(start), after.Keyring().Configs(start); len(a) != 1 || len(b) != 1 || !bytes.Equal(a[0].PublicKey, b[0].PublicKey) {
		t.Error("the HPKE key has changed")
	}
}

func TestConfigsThatAreRefused(t *testing.T) {
	p := newProcess(t, dap.Leader)
	for what, change := range map[string]func(*tasks.Config){
		"no keys":         func(c *tasks.Config) { c.Keys = nil },
		"no clock":        func(c *tasks.Config) { c.Clock = nil },
		"no randomness":   func(c *tasks.Config) { c.Rand = nil },
		"collector":       func(c *tasks.Config) { c.Role = dap.Collector },
		"rare refreshs":   func(c *tasks.Config) { c.Refresh = time.Hour },
		"negative":        func(c *tasks.Config) { c.Refresh = -1 },
		"long overlap":    func(c *tasks.Config) { c.Plan = dapkey.DefaultPlan(); c.Plan.Overlap = 6 * 24 * time.Hour },
		"little rand":     func(c *tasks.Config) { c.Rand = strings.NewReader("short") },
		"little rand yet": func(c *tasks.Config) { c.Rand = strings.NewReader(strings.Repeat("x", 40)) },
	} {
		c := p.config
		change(&c)
		if _, err := tasks.Open(t.Context(), storetest.NewModel(), c); err == nil {
			t.Errorf("%s: the registry was opened", what)
		}
	}
	c := p.config
	c.Plan.KEMs = []hpke.KEM{hpke.XWing, hpke.X25519}
	r, err := tasks.Open(t.Context(), storetest.NewModel(), c)
	if err != nil {
		t.Fatal(err)
	}
	if list := r.Keyring().Configs(p.clock.Now()); len(list) != 2 || list[0].KEM != uint16(hpke.XWing) {
		t.Errorf("configurations %v", list)
	}
}

// A token is renewed without a break: those before it stay, the newest first, until
// they are too many. A token that comes again is not among them.
func TestRenew(t *testing.T) {
	p := newProcess(t, dap.Leader)
	e := p.entry(t, 1)
	e.Former = nil
	tokens := []auth.Token{e.Outbound}
	for range 6 {
		tokens = append(tokens, newTokenOf(t, p))
		e.Renew(tokens[len(tokens)-1])
	}
	if err := e.Validate(); err != nil {
		t.Fatal(err)
	}
	if !e.Outbound.Equal(tokens[6]) || !slices.EqualFunc(e.Former, []auth.Token{tokens[5], tokens[4], tokens[3], tokens[2]}, auth.Token.Equal) {
		t.Error("want the last token, and the four before it")
	}
	e.Renew(tokens[4])
	if !e.Outbound.Equal(tokens[4]) || !slices.EqualFunc(e.Former, []auth.Token{tokens[6], tokens[5], tokens[3], tokens[2]}, auth.Token.Equal) {
		t.Error("want a token that comes again, and the others")
	}
	e.Former = append(e.Former, tokens[0])
	if err := e.Validate(); err == nil {
		t.Error("five former tokens pass")
	}
}
