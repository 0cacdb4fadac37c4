package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// script is what a person does in a test: each step is one call.
func script(b *bench) []func() {
	const story = "https://news.example.org/2026/spring/river-walk"
	nav := func(tab int64, url, ref string, how lifecycle.Transition) func() {
		return func() { b.visit(tab, url, ref, how) }
	}
	steps := []func(){
		nav(1, search("river walk"), "", lifecycle.Typed),
		nav(1, story, "https://finch.example.net/", lifecycle.Link),
		nav(1, "https://news.example.org/about", story, lifecycle.Link),
		nav(2, "https://mail.example.com/news", "", lifecycle.Typed),
		nav(2, "https://weak.example.org/page", "", lifecycle.Typed),
		nav(3, "https://news.example.org/", "", lifecycle.Typed),
		nav(3, "https://news.example.org/list?topic=valley&part=second", "https://news.example.org/", lifecycle.Link),
		nav(3, "https://files.example.org/i/9f86d081884c7d65", "", lifecycle.Typed),
		nav(4, "https://shop.example.com/lamps/desk?color=3", "", lifecycle.Typed),
		func() { b.close(1) }, func() { b.close(2) }, func() { b.close(3) }, func() { b.close(4) },
	}
	for range 40 {
		steps = append(steps, func() { b.wait(7 * time.Minute) })
	}
	return steps
}

func scriptTold() []string {
	const story = "https://news.example.org/2026/spring/river-walk"
	return []string{
		"page https://news.example.org/", "page https://news.example.org/about", "page https://news.example.org/list?topic=valley&part=second", "page " + story,
		"page https://shop.example.com/lamps/desk", "page_query " + story + " river walk finch", "query river walk finch",
	}
}

// held checks what must hold however often an engine was ended.
func (b *bench) held() {
	b.t.Helper()
	seen := make(map[string]bool)
	for _, line := range b.said() {
		if seen[line] {
			b.t.Errorf("told twice: %s", line)
		}
		seen[line] = true
		if !slices.Contains(scriptTold(), line) {
			b.t.Errorf("told: %s", line)
		}
	}
	weak := 0
	for i, f := range b.net.log {
		if i > 0 && f.at.Sub(b.net.log[i-1].at) < time.Minute {
			b.t.Errorf("fetches %s and %s within a minute", b.net.log[i-1].url, f.url)
		}
		if strings.Contains(f.url, "weak") {
			weak++
		}
		if strings.Contains(f.url, "9f86d081884c7d65") {
			b.t.Errorf("fetched %s", f.url)
		}
	}
	if weak > 3 {
		b.t.Errorf("%d attempts", weak)
	}
}

// An engine that is ended after any step goes on. What it knew of open tabs is
// lost; what waited is not.
func TestRestartAtEveryStep(t *testing.T) {
	whole := newBench(t, nil)
	for _, step := range script(whole) {
		step()
	}
	whole.want(scriptTold()...)
	whole.held()
	for at := range len(script(whole)) {
		b := newBench(t, nil)
		for i, step := range script(b) {
			step()
			if i == at {
				b.restart()
			}
		}
		b.held()
		if at >= 12 {
			b.want(scriptTold()...)
		}
		if t.Failed() {
			t.Fatalf("restarted after step %d", at)
		}
	}
}

// A page that waits and is shown again when the engine ends waits from then on.
func TestRestartWhileShownAgain(t *testing.T) {
	for range 4 {
		b := newBench(t, nil)
		b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
		b.close(1)
		b.wait(50 * time.Minute)
		b.visit(2, "https://news.example.org/about", "", lifecycle.Typed)
		b.do(lifecycle.Event{Kind: lifecycle.Hidden, Tab: 2})
		second := b.now
		b.restart()
		if n := len(b.engine.Pending()); n != 1 {
			t.Fatalf("%d wait", n)
		}
		b.wait(3 * time.Hour)
		b.want("page https://news.example.org/about")
		if len(b.net.log) != 1 || b.net.log[0].at.Sub(second) < time.Hour || b.out[0].Fields["dwell"] != int64(15) {
			t.Errorf("%v, last visited at %v, %v", b.net.log, second, b.out[0].Fields)
		}
	}
}

// failing is a store that fails at some calls, before or after it has done
// what it should, as a machine does whose power fails.
type failing struct {
	lifecycle.Store
	calls  int
	failAt int
	after  bool
}

var errPower = errors.New("power failed")

func (f *failing) Apply(ctx context.Context, changes []lifecycle.Change) error {
	f.calls++
	if f.calls != f.failAt {
		return f.Store.Apply(ctx, changes)
	}
	if f.after {
		if err := f.Store.Apply(ctx, changes); err != nil {
			return err
		}
	}
	return errPower
}

// The store fails at every call, and the engine is ended there, or goes on.
func TestCrashAtEveryWrite(t *testing.T) {
	count := &failing{Store: lifecycle.NewMemStore()}
	b := newBench(t, func(c *lifecycle.Config) { c.Store = count })
	for _, step := range script(b) {
		step()
	}
	if count.calls < 40 {
		t.Fatalf("%d writes", count.calls)
	}
	for at := 1; at <= count.calls; at++ {
		for mode := range 4 {
			store := &failing{Store: lifecycle.NewMemStore(), failAt: at, after: mode&1 == 1}
			b := newBench(t, func(c *lifecycle.Config) { c.Store = store })
			b.crash = func(err error) {
				if !errors.Is(err, errPower) {
					t.Fatal(err)
				}
				if mode&2 == 2 {
					b.restart()
				}
			}
			for _, step := range script(b) {
				step()
			}
			b.held()
			if t.Failed() {
				t.Fatalf("write %d of %d failed, mode %d", at, count.calls, mode)
			}
		}
	}
}

// Clearing the history leaves nothing: not in the files, not in the outbox, not
// in what the engine knows.
func TestClear(t *testing.T) {
	dir := t.TempDir()
	grep := func(words ...string) (found []string, size int64) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			size += int64(len(data))
			for _, w := range words {
				if strings.Contains(string(data), w) {
					found = append(found, w)
				}
			}
		}
		return found, size
	}
	words := []string{"news.example.org", "mail.example.com", "river", "walk", "finch", "https", "wall.example.com", "desk", "audience", "bad_query"}
	var file *lifecycle.FileStore
	open := func() lifecycle.Store {
		if file != nil {
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if file, err = lifecycle.OpenFileStore(dir); err != nil {
			t.Fatal(err)
		}
		return file
	}
	b := newBench(t, func(c *lifecycle.Config) {
		c.Store = open()
		c.Questions = []lifecycle.Question{lifecycle.BadQueries(), lifecycle.Audience(), lifecycle.ResultEngagement()}
	})
	steps := script(b)
	for _, step := range steps[:30] {
		step()
	}
	b.visit(7, "https://news.example.org/2026/spring/river-walk", "", lifecycle.Typed)
	b.visit(7, search("river walk two"), "", lifecycle.Typed)
	b.visit(7, "https://wall.example.com/feed", "", lifecycle.Typed)
	if len(b.engine.Pending()) == 0 || len(b.out) == 0 {
		t.Fatal("nothing waits, or nothing was told: nothing would be tested")
	}
	found, before := grep(words...)
	if len(found) > 0 || before < 100<<10 {
		t.Errorf("%d bytes, in which stand %v", before, found)
	}
	told := len(b.out)
	b.do(lifecycle.Event{Kind: lifecycle.Cleared})
	if b.purged != 1 {
		t.Error("the outbox was not purged")
	}
	found, after := grep(words...)
	if len(found) > 0 || after > 64 {
		t.Errorf("%d bytes are left, %v", after, found)
	}
	if s := b.engine.Stats(); len(b.engine.Pending()) > 0 || s.PrivateRate > 0 || s.Navigations > 0 {
		t.Errorf("the engine knows of %d pages, %+v", len(b.engine.Pending()), s)
	}
	b.config.Store = open()
	b.restart()
	b.wait(5 * time.Hour)
	if len(b.out) != told {
		t.Errorf("told after the history was cleared: %v", b.said()[told:])
	}
	// What was private is not known any more.
	b.net.pages["https://mail.example.com/news"] = site{shown: html("Open to everybody", "")}
	b.visit(1, "https://mail.example.com/news", "", lifecycle.Typed)
	b.close(1)
	b.wait(3 * time.Hour)
	if len(b.out) == told {
		t.Error("the filter of private pages was not forgotten")
	}
}

// A store that cannot be cleared is cleared later, before anything else.
type stubborn struct {
	*lifecycle.MemStore
	refuse bool
}

func (s *stubborn) Clear(ctx context.Context) error {
	if s.refuse {
		return errPower
	}
	return s.MemStore.Clear(ctx)
}

func records(t *testing.T, s lifecycle.Store) int {
	t.Helper()
	n := 0
	if err := s.Load(t.Context(), func(string, []byte) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestClearFails(t *testing.T) {
	store := &stubborn{lifecycle.NewMemStore(), true}
	b := newBench(t, func(c *lifecycle.Config) { c.Store = store })
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	if err := b.engine.Handle(t.Context(), lifecycle.Event{At: b.now, Kind: lifecycle.Cleared}); !errors.Is(err, errPower) {
		t.Fatal(err)
	}
	if b.purged != 1 {
		t.Error("the outbox was not purged")
	}
	if err := b.engine.Handle(t.Context(), lifecycle.Event{At: b.now, Kind: lifecycle.Tick}); !errors.Is(err, errPower) {
		t.Error("the engine went on without having cleared the store")
	}
	store.refuse = false
	b.do(lifecycle.Event{Kind: lifecycle.Tick})
	if n := records(t, store); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

// One page can be removed from the history.
func TestClearPage(t *testing.T) {
	b := newBench(t, nil)
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	b.visit(1, "https://news.example.org/", "", lifecycle.Typed)
	b.visit(1, search("river walk"), "", lifecycle.Typed)
	b.visit(1, "https://shop.example.com/lamps/desk", "", lifecycle.Typed)
	for _, u := range []string{"https://news.example.org/about#part", search("river walk"), "https://shop.example.com/lamps/desk", "https://never.example.org/", "no url"} {
		b.do(lifecycle.Event{Kind: lifecycle.Cleared, URL: u})
	}
	b.close(1)
	b.wait(4 * time.Hour)
	b.want("page https://news.example.org/")
	if b.purged != 0 {
		t.Error("the whole outbox was purged")
	}
}

// In private mode nothing is kept, fetched or reported, and what was open when it
// began is forgotten.
func TestPrivateMode(t *testing.T) {
	b := newBench(t, nil)
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	b.visit(1, "https://shop.example.com/lamps/desk", "", lifecycle.Typed)
	b.do(lifecycle.Event{Kind: lifecycle.Private, On: true})
	if n := records(t, b.config.Store); n != 1 {
		t.Errorf("%d records, want that of the page that waits", n)
	}
	b.visit(1, "https://news.example.org/", "", lifecycle.Typed)
	b.visit(2, "https://mail.example.com/news", "", lifecycle.Typed)
	b.visit(3, search("river walk"), "", lifecycle.Typed)
	b.close(2)
	b.wait(3 * time.Hour)
	if n := records(t, b.config.Store); n != 1 || len(b.net.log) > 0 || len(b.out) > 0 {
		t.Errorf("%d records, %v", n, b.net.log)
	}
	b.do(lifecycle.Event{Kind: lifecycle.Private})
	b.wait(3 * time.Hour)
	b.want("page https://news.example.org/about")
}

func TestPrivateTab(t *testing.T) {
	b := newBench(t, nil)
	b.visit(5, "https://shop.example.com/lamps/desk", "", lifecycle.Typed)
	b.do(lifecycle.Event{Kind: lifecycle.Private, Tab: 5, On: true})
	b.visit(5, "https://news.example.org/", "", lifecycle.Typed)
	b.visit(6, "https://news.example.org/about", "", lifecycle.Typed)
	b.do(lifecycle.Event{Kind: lifecycle.Navigated, Tab: 7, URL: "https://news.example.org/list", Opener: 5, Transition: lifecycle.Link})
	b.close(5)
	b.visit(5, "https://news.example.org/2026/spring/river-walk", "", lifecycle.Typed)
	b.close(5)
	b.close(6)
	b.close(7)
	b.wait(3 * time.Hour)
	b.want("page https://news.example.org/about", "page https://news.example.org/2026/spring/river-walk")
}

// What happens while a fetch is under way counts: the fetcher of this test
// gives the engine events.
func TestDuringFetch(t *testing.T) {
	for name, event := range map[string]lifecycle.Event{
		"cleared":      {Kind: lifecycle.Cleared},
		"page cleared": {Kind: lifecycle.Cleared, URL: "https://news.example.org/about"},
		"private mode": {Kind: lifecycle.Private, On: true},
	} {
		b := newBench(t, nil)
		b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
		b.close(1)
		b.net.fail = func(string) error {
			b.net.fail = nil
			b.do(event)
			b.do(lifecycle.Event{Kind: lifecycle.Tick}) // does not fetch a second time
			b.do(lifecycle.Event{Kind: lifecycle.Private})
			return nil
		}
		b.wait(100 * time.Minute)
		if name == "private mode" {
			b.wait(3 * time.Hour)
			b.want("page https://news.example.org/about") // it waited, and was fetched again
			if len(b.net.log) != 2 {
				t.Errorf("%s: %v", name, b.net.urls())
			}
			continue
		}
		b.want()
		if n := records(t, b.config.Store); name == "cleared" && n != 0 {
			t.Errorf("%s: %d records", name, n)
		}
	}
}

// A page is visited again while it is fetched: that fetch does not count.
func TestVisitedDuringFetch(t *testing.T) {
	b := newBench(t, nil)
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	b.close(1)
	again := time.Time{}
	b.net.fail = func(string) error {
		b.net.fail = nil
		b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
		b.close(1)
		again = b.now
		return nil
	}
	b.wait(5 * time.Hour)
	b.want("page https://news.example.org/about")
	if len(b.net.log) != 2 || b.net.log[1].at.Sub(again) < time.Hour {
		t.Errorf("%v, visited at %v", b.net.log, again)
	}
}

// Neither a fetch nor a message without a store that can be written.
func TestStoreFails(t *testing.T) {
	store := &broken{MemStore: lifecycle.NewMemStore()}
	b := newBench(t, func(c *lifecycle.Config) { c.Store = store })
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	b.close(1)
	store.down = true
	b.crash = func(error) {}
	b.wait(3 * time.Hour)
	if len(b.net.log) > 0 || len(b.out) > 0 {
		t.Errorf("%v %v", b.net.log, b.said())
	}
	store.down = false
	b.crash = nil
	b.wait(2 * time.Minute)
	b.want("page https://news.example.org/about")
}

type broken struct {
	*lifecycle.MemStore
	down bool
}

func (s *broken) Apply(ctx context.Context, c []lifecycle.Change) error {
	if s.down {
		return errPower
	}
	return s.MemStore.Apply(ctx, c)
}

// An outbox that takes nothing loses the message, and returns an error.
func TestEmitFails(t *testing.T) {
	full := errors.New("full")
	b := newBench(t, func(c *lifecycle.Config) {
		c.Emit = func(message.Record) error { return full }
	})
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	b.close(1)
	failures := 0
	b.crash = func(err error) {
		if !errors.Is(err, full) {
			t.Fatal(err)
		}
		failures++
	}
	b.wait(5 * time.Hour)
	if failures != 1 || len(b.net.log) != 1 {
		t.Errorf("%d failures, %d fetches", failures, len(b.net.log))
	}
}

// The store opens with its key only, and records cannot change places.
func TestKey(t *testing.T) {
	b := newBench(t, nil)
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	b.visit(1, "https://mail.example.com/news", "", lifecycle.Typed)
	b.close(1)
	other, err := lifecycle.NewKey([]byte(strings.Repeat("o", 32)))
	if err != nil {
		t.Fatal(err)
	}
	c := b.config
	c.Key = other
	if _, err := lifecycle.New(t.Context(), c); !errors.Is(err, lifecycle.ErrStore) {
		t.Errorf("another key: %v", err)
	}
	var all []lifecycle.Change
	if err := b.config.Store.Load(t.Context(), func(k string, v []byte) error {
		all = append(all, lifecycle.Change{Key: k, Value: slices.Clone(v)})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || len(all[0].Value) != len(all[1].Value) {
		t.Fatalf("%d records, of different sizes", len(all))
	}
	all[0].Value, all[1].Value = all[1].Value, all[0].Value
	if err := b.config.Store.Apply(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if _, err := lifecycle.New(t.Context(), b.config); !errors.Is(err, lifecycle.ErrStore) {
		t.Errorf("records that changed places: %v", err)
	}
	if s := fmt.Sprintf("%v %+v %#v %s", other, *other, other, other); strings.Contains(s, "oooo") {
		t.Errorf("the key prints as %s", s)
	}
	if _, err := lifecycle.NewKey(make([]byte, 31)); err == nil {
		t.Error("a short key was accepted")
	}
}
