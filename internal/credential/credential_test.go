package credential

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/metric/task"
)

const day = 24 * time.Hour

// TestLifeOfACredential goes through two periods: fetched ahead, shown up to its limits,
// of no use in the other period.
func TestLifeOfACredential(t *testing.T) {
	w := newWorld(t)
	wallet := w.enrolled(w.invite())
	if _, err := w.show(wallet, "a"); !errors.Is(err, ErrWait) {
		t.Fatalf("before the first credential: %v", err)
	}
	must(t, w.fetch(wallet, begin.Add(13*time.Hour)))
	seen := map[arc.Tag]bool{}
	for _, crowd := range []string{"a", "b", "c"} {
		tags, err := w.show(wallet, crowd)
		must(t, err)
		for _, tag := range tags {
			if seen[tag] {
				t.Errorf("crowd %s: a tag again", crowd)
			}
			seen[tag] = true
		}
	}
	if _, err := w.show(wallet, "d"); !errors.Is(err, ErrExhausted) {
		t.Errorf("a fourth report of an epoch: %v", err)
	}
	must(t, w.fetch(wallet, begin.Add(day+time.Hour)))
	if _, err := w.show(wallet, "a"); err != nil {
		t.Errorf("in the next epoch: %v", err)
	}
	for _, start := range []time.Time{begin.Add(2 * day), begin.Add(3 * day)} { // the next period is there already
		must(t, w.fetch(wallet, start.Add(-time.Second)))
	}
	w.clock.Forward(begin.Add(3 * day))
	if _, err := w.show(wallet, "a"); err != nil {
		t.Errorf("at the beginning of the next period: %v", err)
	}
}

// TestLostAnswersCostNothing covers an issuer whose answers get lost after it has issued:
// the wallet asks again with the request that it has stored, and gets the same answer.
func TestLostAnswersCostNothing(t *testing.T) {
	w := newWorld(t)
	disk := durable.Mem()
	wallet, err := w.wallet(disk, w.invite())
	must(t, err)
	must(t, wallet.Enrol(w.signed))
	next, err := wallet.Fetch(t.Context(), Direct(w))
	must(t, err)
	w.clock.Forward(next)
	answers := map[string][]string{} // by period
	w.change = func(r *http.Request, b []byte) []byte {
		if r.Method == http.MethodPost {
			answers[r.URL.Path] = append(answers[r.URL.Path], string(b))
			w.lose = len(answers[r.URL.Path]) == 1
		}
		return b
	}
	for range 20 {
		next, _ = wallet.Fetch(t.Context(), Direct(w)) // what fails is tried again
		if w.lose = false; len(answers) == 2 {
			break
		}
		if wallet, err = w.wallet(disk, nil); err != nil { // a restart
			t.Fatal(err)
		}
		must(t, w.start())
		w.clock.Forward(next)
	}
	for path, all := range answers {
		if len(slices.Compact(all)) != 1 {
			t.Errorf("%s: %d different answers, want 1", path, len(slices.Compact(all)))
		}
	}
	if _, err := w.show(wallet, "a"); err != nil {
		t.Error(err)
	}
}

// TestMaliciousIssuer covers an issuer that answers with a proof for another key, or that
// announces another key when it is asked again: the client takes nothing and waits.
func TestMaliciousIssuer(t *testing.T) {
	w := newWorld(t)
	other := newWorld(t)
	for name, change := range map[string]func(*http.Request, []byte) []byte{
		"another key": func(r *http.Request, b []byte) []byte {
			if r.Method == http.MethodGet {
				key, err := arc.GenerateKey(other.issuer.c.Rand)
				must(t, err)
				return (&announcement{public: key.Public(), gates: gateInvitation}).encode()
			}
			return b
		},
		"a changed answer": func(r *http.Request, b []byte) []byte {
			if r.Method == http.MethodPost && len(b) == arc.ResponseSize {
				b[len(b)-1] ^= 1
			}
			return b
		},
		"a cut answer":  func(r *http.Request, b []byte) []byte { return b[:len(b)/2] },
		"a long answer": func(_ *http.Request, b []byte) []byte { return append(b, make([]byte, 1<<20)...) },
		"nothing":       func(*http.Request, []byte) []byte { return nil },
	} {
		w.change = change
		wallet := w.enrolled(w.invite())
		if err := w.fetch(wallet, w.clock.Now().Add(12*time.Hour)); err == nil {
			t.Errorf("%s: a credential without an error", name)
		}
		if _, err := w.show(wallet, "a"); !errors.Is(err, ErrWait) {
			t.Errorf("%s: %v, want to wait", name, err)
		}
		if missing, err := wallet.Missing(); err != nil || !slices.ContainsFunc(missing, func(m Missing) bool { return m.Err != "" }) {
			t.Errorf("%s: missing %+v, %v", name, missing, err)
		}
		w.clock.Set(begin.Add(time.Hour))
	}
}

// TestConcurrentRequestsOfOneClient covers a client that asks many times at once, with
// different requests: one of them is answered, whatever the order.
func TestConcurrentRequestsOfOneClient(t *testing.T) {
	w := newWorld(t)
	s, _ := SlotOf(w.task, w.task.Hops[0], w.task.EpochAt(w.clock.Now()))
	code := w.invite()
	var mu sync.Mutex
	answered := map[string]bool{}
	var wg sync.WaitGroup
	for range 8 {
		_, request, err := arc.NewRequest(w.issuer.c.Rand, s.RequestContext())
		must(t, err)
		a := &application{slot: s, request: request.Bytes(), admission: code}
		for range 2 { // each request twice
			wg.Go(func() {
				b, err := w.issuer.issue(t.Context(), w.issuer.tasks[w.id], a)
				if err != nil && !errors.Is(err, errUsed) {
					t.Error(err)
				}
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					answered[string(b)] = true
				}
			})
		}
	}
	wg.Wait()
	if len(answered) != 1 {
		t.Errorf("%d different answers, want 1", len(answered))
	}
}

// TestVersionsShareContexts covers an owner who signs a metric again: both versions have
// the same issuer's key and the same tags, so that a client counts over both.
func TestVersionsShareContexts(t *testing.T) {
	w := newWorld(t)
	wallet := w.enrolled(w.invite())
	must(t, w.fetch(wallet, begin.Add(13*time.Hour)))
	first, err := w.show(wallet, "a")
	must(t, err)
	again := *w.task
	again.Consent = "Words, in other words."
	before := w.task
	w.task = &again
	w.fix()
	must(t, w.start(before))
	for _, c := range []string{"b", "c"} {
		_, err := w.show(wallet, c)
		must(t, err)
	}
	if _, err := w.show(wallet, "d"); !errors.Is(err, ErrExhausted) {
		t.Errorf("the second version gives a client more: %v", err)
	}
	e := again.EpochAt(w.clock.Now())
	a, b := ContextsOf(before, before.Hops[0], e, []byte("a")), ContextsOf(&again, again.Hops[0], e, []byte("a"))
	if a[0] != b[0] || a[1] != b[1] || len(first) != 2 {
		t.Error("two versions of a metric have different contexts")
	}
}

// TestContextsDiffer covers contexts that would be one where they must not: of another
// role, owner, metric, kind, epoch or tag.
func TestContextsDiffer(t *testing.T) {
	w := newWorld(t)
	seen := map[[32]byte]string{}
	note := func(name string, tk *task.Task, p task.Party, e task.Epoch, tag string) {
		for _, c := range ContextsOf(tk, p, e, []byte(tag)) {
			if c.Kind == task.EpochPresentation && tag != "" {
				continue // has no tag
			}
			if had, ok := seen[c.Data]; ok {
				t.Errorf("%s has the context of %s", name, had)
			}
			seen[c.Data] = name
		}
	}
	p := w.task.Hops[0]
	note("one", w.task, p, 7, "")
	note("next epoch", w.task, p, 8, "")
	note("crowd", w.task, p, 7, "x")
	note("another crowd", w.task, p, 7, "y")
	other := *w.task
	other.Metric = "word"
	note("metric", &other, p, 7, "")
	other = *w.task
	other.Owner = w.shuffler.Public()
	note("owner", &other, p, 7, "")
	other = *w.task
	other.Method = task.Aggregate
	note("role", &other, task.Party{Role: task.Leader, Identity: p.Identity}, 7, "")
	note("helper", &other, task.Party{Role: task.Helper, Identity: p.Identity}, 7, "")
}

// TestGates covers each gate, with what it must refuse.
func TestGates(t *testing.T) {
	w := newWorld(t)
	s, _ := SlotOf(w.task, w.task.Hops[0], w.task.EpochAt(w.clock.Now()))
	_, request, err := arc.NewRequest(w.issuer.c.Rand, s.RequestContext())
	must(t, err)
	a := &application{slot: s, request: request.Bytes()}
	must(t, a.findWork(t.Context(), 10))
	if _, err := Work(10).admit(t.Context(), a, w.clock.Now()); err != nil {
		t.Error(err)
	}
	moved := *a
	_, request, err = arc.NewRequest(w.issuer.c.Rand, s.RequestContext())
	must(t, err)
	moved.request = request.Bytes()
	if _, err := Work(28).admit(t.Context(), &moved, w.clock.Now()); !errors.Is(err, ErrRefused) {
		t.Errorf("work of another request: %v", err)
	}
	status, body := 200, `{"client": "alice"}`
	service := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(status)
		_, _ = rw.Write([]byte(body))
	}))
	defer service.Close()
	gate, err := NewCallOut(service.URL, service.Client())
	must(t, err)
	if name, err := gate.admit(t.Context(), a, w.clock.Now()); err != nil || string(name) != "alice" {
		t.Errorf("call-out: %q, %v", name, err)
	}
	for _, c := range []struct {
		status  int
		body    string
		refused bool
	}{
		{403, "", true},
		{401, "", true},
		{500, "", false},
		{302, "", false},
		{200, "{}", false},
		{200, "no", false},
		{200, `{"client": "` + strings.Repeat("x", 300) + `"}`, false},
	} {
		status, body = c.status, c.body
		if _, err := gate.admit(t.Context(), a, w.clock.Now()); err == nil || errors.Is(err, ErrRefused) != c.refused {
			t.Errorf("HTTP %d %.20q: %v", c.status, c.body, err)
		}
	}
	for _, url := range []string{"", "http://gate.example", "ftp://gate.example", "https://gate.example/?x"} {
		if _, err := NewCallOut(url, nil); err == nil {
			t.Errorf("a gate at %q", url)
		}
	}
}

// TestLostKeysAreNotReplaced covers a key file that is missing, cut or changed: the
// period is reported as lost, and no second key is made for it.
func TestLostKeysAreNotReplaced(t *testing.T) {
	for name, harm := range map[string]func(w *world, file string){
		"missing": func(w *world, file string) { must(t, w.disk.Remove(file)) },
		"cut":     func(w *world, file string) { must(t, durable.WriteFile(w.disk, file, []byte("x"), 0o600)) },
		"changed": func(w *world, file string) {
			b, err := durable.ReadFile(w.disk, file)
			must(t, err)
			b[3] ^= 1
			must(t, durable.WriteFile(w.disk, file, b, 0o600))
		},
	} {
		w := newWorld(t)
		wallet := w.enrolled(w.invite())
		must(t, w.fetch(wallet, begin.Add(13*time.Hour)))
		e := w.task.EpochAt(w.clock.Now())
		s, _ := SlotOf(w.task, w.task.Hops[0], e)
		harm(w, w.issuer.store.(*files).keyFile(s.name()))
		must(t, w.start())
		if lost := w.issuer.Lost(); len(lost) != 1 || lost[0] != s.name() {
			t.Errorf("%s: lost %v, want %s", name, lost, s.name())
		}
		if _, err := w.issuer.Verifier(w.id, e); !errors.Is(err, ErrLost) {
			t.Errorf("%s: verifying: %v", name, err)
		}
		if b, err := w.issuer.Statement(s.Purpose(), s.Start); !errors.Is(err, ErrLost) {
			t.Errorf("%s: announced %d bytes, %v", name, len(b), err)
		}
	}
}

// TestKeysAreDestroyed covers keys, lists and tags that would be kept for ever.
func TestKeysAreDestroyed(t *testing.T) {
	w := newWorld(t)
	wallet := w.enrolled(w.invite())
	must(t, w.fetch(wallet, begin.Add(13*time.Hour)))
	e := w.task.EpochAt(w.clock.Now())
	_, end := w.task.CredentialPeriod(e)
	gone := w.task.Closes(end - 1).Add(keep)
	w.clock.Forward(gone.Add(-time.Second))
	must(t, w.issuer.Tick())
	if _, err := w.issuer.Verifier(w.id, e); err != nil {
		t.Errorf("before the end: %v", err)
	}
	w.clock.Forward(gone)
	must(t, w.issuer.Tick())
	if _, err := w.issuer.Verifier(w.id, e); !errors.Is(err, ErrNoKey) {
		t.Errorf("after the end: %v", err)
	}
	names, err := w.disk.ReadDir("issuer")
	must(t, err)
	for _, n := range names {
		if s, _ := SlotOf(w.task, w.task.Hops[0], e); strings.HasPrefix(n.Name(), s.name()) {
			t.Errorf("%s is left", n.Name())
		}
	}
}

// TestFloodsAreBounded covers requests of any kind, of which there are many: an issuer
// makes no key but those of two periods, and notes nothing of clients that it refuses.
func TestFloodsAreBounded(t *testing.T) {
	w := newWorld(t)
	for i := range 300 {
		start := begin.Unix() + int64(i-150)*86400
		for _, path := range []string{
			fmt.Sprintf("/tasks/%v/credentials/shuffler/%d", w.id, start),
			fmt.Sprintf("/tasks/%v/credentials/shuffler/0%d", w.id, start),
			fmt.Sprintf("/tasks/%v/credentials/analyzer/%d", w.id, start),
		} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				r := httptest.NewRequestWithContext(t.Context(), method, path, bytes.NewReader(make([]byte, 40*i)))
				r.Header.Set("Content-Type", RequestType)
				out := httptest.NewRecorder()
				w.issuer.Handler().ServeHTTP(out, r)
				if out.Code >= 500 {
					t.Fatalf("%s %s: HTTP %d", method, path, out.Code)
				}
			}
		}
	}
	if n := len(w.issuer.open); n > 2 {
		t.Errorf("%d keys after a flood, want 2 at most", n)
	}
	names, err := w.disk.ReadDir("issuer")
	must(t, err)
	if len(names) > 3 { // two periods and their list
		t.Errorf("%d files after a flood", len(names))
	}
}

// TestIssuerCrashes stops the issuer at each call to its disk. Of two clients that share
// an invitation one gets a credential in the end, which the key on the disk verifies.
func TestIssuerCrashes(t *testing.T) {
	run := func(n int, seed uint64) (calls int) {
		w := newWorld(t)
		disk := crashfs.New(seed)
		w.disk = disk
		disk.CrashAt(n)
		again := func() {
			if disk.Crashed() {
				disk = disk.Restart()
				w.disk = disk
			}
			for range 3 {
				if w.start() == nil {
					return
				}
				disk = disk.Restart()
				w.disk = disk
			}
			t.Fatal("the issuer does not start")
		}
		again()
		code := w.invite()
		wallets := []*Wallet{w.enrolled(code), w.enrolled(code)}
		for range 30 {
			for _, wallet := range wallets {
				_, _ = wallet.Fetch(t.Context(), Direct(w)) // what fails is tried again
				if disk.Crashed() {
					again()
				}
			}
			w.clock.Forward(w.clock.Now().Add(20 * time.Minute))
		}
		again()
		have := 0
		for _, wallet := range wallets {
			if _, err := w.show(wallet, "a"); err == nil {
				have++
			} else if !errors.Is(err, ErrWait) {
				t.Fatal(err)
			}
		}
		if have != 1 || len(w.issuer.Lost()) != 0 {
			t.Fatalf("call %d, outcome %d: %d credentials for one invitation, lost %v", n, seed, have, w.issuer.Lost())
		}
		return disk.Calls()
	}
	calls := run(0, 1)
	if calls < 10 {
		t.Fatalf("%d calls: too few to be the whole way", calls)
	}
	for n := 1; n <= calls; n++ {
		run(n, uint64(n))
	}
}

// TestWalletCrashes stops the wallet at each call to its disk: it gets its credential all
// the same, and no two reports have a tag in common.
func TestWalletCrashes(t *testing.T) {
	run := func(n int, seed uint64) (calls int) {
		w := newWorld(t)
		disk := crashfs.New(seed)
		disk.CrashAt(n)
		code := w.invite()
		var wallet *Wallet
		crashes := 0
		again := func() {
			if disk.Crashed() {
				disk = disk.Restart()
				crashes++
			}
			var err error
			wallet, err = w.wallet(disk, code)
			must(t, err)
		}
		again()
		seen := map[arc.Tag]bool{}
		shown := 0
		crowds := 0
		for range 40 {
			if wallet.Enrol(w.signed) == nil {
				if _, err := wallet.Fetch(t.Context(), Direct(w)); err == nil && w.clock.Now().After(begin.Add(13*time.Hour)) {
					crowds++
					tags, err := w.show(wallet, fmt.Sprint("crowd", crowds))
					if err == nil {
						shown++
					}
					for _, tag := range tags {
						if seen[tag] {
							t.Fatalf("call %d: a tag again", n)
						}
						seen[tag] = true
					}
				}
			}
			if disk.Crashed() {
				again()
			}
			if w.clock.Now().Before(begin.Add(20 * time.Hour)) {
				w.clock.Advance(30 * time.Minute)
			}
		}
		if shown > 3 || shown < 3-crashes {
			t.Fatalf("call %d, outcome %d: %d reports after %d crashes, want 3 less one a crash at most", n, seed, shown, crashes)
		}
		return disk.Calls()
	}
	calls := run(0, 1)
	if calls < 10 {
		t.Fatalf("%d calls: too few to be the whole way", calls)
	}
	for n := 1; n <= calls; n++ {
		run(n, uint64(n))
	}
}
