package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// A tape is a stream of choices that a fuzzer makes.
type tape struct {
	data []byte
	at   int
}

func (t *tape) next(n int) int {
	if t.at >= len(t.data) {
		return 0
	}
	t.at++
	return int(t.data[t.at-1]) % n
}

func (t *tape) done() bool { return t.at >= len(t.data) }

// faulty is a store that fails once after fail is set.
type faulty struct {
	*lifecycle.MemStore
	fail int // 1: before, 2: after
}

func (f *faulty) Apply(ctx context.Context, c []lifecycle.Change) error {
	mode := f.fail
	f.fail = 0
	if mode == 1 {
		return errPower
	}
	err := f.MemStore.Apply(ctx, c)
	if mode == 2 {
		err = errPower
	}
	return err
}

func (f *faulty) Clear(ctx context.Context) error {
	if f.fail > 0 {
		f.fail = 0
		return errPower
	}
	return f.MemStore.Clear(ctx)
}

// A watch holds an engine to what must always be true.
type watch struct {
	*bench
	store    *faulty
	fetched  map[string]bool // URLs that anybody got, since the history was last cleared
	withheld map[string]bool // URLs that were found private, since then
	private  bool            // private mode
	inject   func() error    // fails fetches
	told     map[string]bool
}

// FuzzEngine lets an engine live through random events, failures of fetches
// and of the store, restarts and clocks that jump.
func FuzzEngine(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09"))
	f.Add(slices.Repeat([]byte{0, 1, 4, 0, 0, 1, 4, 2, 7, 70, 7, 70, 7, 70}, 8))
	f.Add(slices.Repeat([]byte{0, 2, 1, 0, 0, 9, 1, 0, 2, 0, 7, 120, 7, 120, 9, 1}, 6))
	f.Add([]byte("browse away and close the tab, then wait for a long time until all of it is settled, zzzzzzzzzzzzzzzzzzzzzzz"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 600 {
			return
		}
		w := newWatch(t)
		for in := (&tape{data: data}); !in.done() && !t.Failed(); {
			w.step(in)
		}
	})
}

// TestRandomLives is FuzzEngine with lives drawn from a seed.
func TestRandomLives(t *testing.T) {
	told := 0
	for seed := range uint64(60) {
		data := make([]byte, 400)
		if _, err := rand.NewChaCha8([32]byte{byte(seed)}).Read(data); err != nil {
			t.Fatal(err)
		}
		w := newWatch(t)
		for in := (&tape{data: data}); !in.done(); {
			w.step(in)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		told += len(w.out)
	}
	if told < 250 {
		t.Errorf("only %d messages in all lives", told)
	}
}

// TestSameLifeTwice: equal lives leave equal bytes, whatever happens in them.
func TestSameLifeTwice(t *testing.T) {
	live := func(seed byte) string {
		data := make([]byte, 500)
		if _, err := rand.NewChaCha8([32]byte{99, seed}).Read(data); err != nil {
			t.Fatal(err)
		}
		w := newWatch(t)
		for in := (&tape{data: data}); !in.done(); {
			w.step(in)
		}
		var all strings.Builder
		for _, r := range w.out {
			line, err := r.JSON()
			if err != nil {
				t.Fatal(err)
			}
			all.Write(line)
		}
		if err := w.store.Load(t.Context(), func(k string, v []byte) error { fmt.Fprintf(&all, "%s %x\n", k, v); return nil }); err != nil {
			t.Fatal(err)
		}
		return all.String()
	}
	for seed := range byte(12) {
		if live(seed) != live(seed) {
			t.Fatalf("seed %d: two lives differ", seed)
		}
	}
}

func newWatch(t *testing.T) *watch {
	t.Helper()
	w := &watch{store: &faulty{MemStore: lifecycle.NewMemStore()}, fetched: map[string]bool{}, withheld: map[string]bool{}, told: map[string]bool{}}
	w.bench = newBench(t, func(c *lifecycle.Config) {
		c.Store = w.store
		c.Timing.Pending = 12
		c.Questions = []lifecycle.Question{lifecycle.BadQueries(), lifecycle.Audience(), lifecycle.ResultEngagement()}
		c.Facts = lifecycle.Facts{Titles: true, Referrers: true, Results: true}
		emit := c.Emit
		c.Emit = func(r message.Record) error {
			w.check(r)
			return emit(r)
		}
		c.Explain = func(tr lifecycle.Trace) {
			if tr.Outcome == lifecycle.Withheld {
				w.withheld[tr.URL] = true
			}
			if tr.Outcome == lifecycle.Fetching && w.withheld[tr.URL] {
				t.Errorf("%s is private, and is fetched", tr.URL)
			}
		}
	})
	w.net.fail = func(url string) error {
		if w.inject != nil {
			if err := w.inject(); err != nil {
				return err
			}
		}
		w.fetched[url] = true
		return nil
	}
	w.crash = func(err error) {
		if !errors.Is(err, errPower) {
			t.Errorf("%v", err)
		}
	}
	return w
}

// check checks a record that was emitted.
func (w *watch) check(r message.Record) {
	if w.private {
		w.t.Error("told in private mode")
	}
	if u, ok := r.Fields["url"].(string); ok && r.Name != "result" {
		if !w.fetched[u] {
			w.t.Errorf("%s of %s, which nobody fetched", r.Name, u)
		}
		if w.withheld[u] {
			w.t.Errorf("%s of %s, which is private", r.Name, u)
		}
		if d := w.config.Rules.URL(u, discovery.Evidence{PublicLink: true}); d.Verdict != discovery.Public {
			w.t.Errorf("%s of %s: %s", r.Name, u, d)
		}
	}
	line := fmt.Sprint(r.Name, r.Fields["url"], r.Fields["query"], r.Fields["engine"], r.Fields["title"], r.Fields["referrer"], r.Fields["rank"])
	if w.told[line] && r.Name != "audience" && r.Name != "result_engagement" {
		w.t.Errorf("told twice: %s", line)
	}
	w.told[line] = true
	text, err := r.JSON()
	if err != nil {
		w.t.Error(err)
	}
	for _, secret := range []string{"9f86d081884c7d65", "mail.example.com", "wall.example.com", "paper.example.org", "printer.local"} {
		if strings.Contains(string(text), secret) {
			w.t.Errorf("%s was told", secret)
		}
	}
}

// step makes one random step.
func (w *watch) step(in *tape) {
	pages := []string{
		"https://news.example.org/about", "https://news.example.org/2026/spring/river-walk", search("river walk"), "https://news.example.org/",
		"https://news.example.org/list?topic=valley&part=second", "https://mail.example.com/news", "https://mail.example.com/folder", "https://wall.example.com/feed",
		"https://shop.example.com/lamps/desk?color=3", "https://news.example.org/2026/spring/river-walk?utm_source=letter&utm_x=one", "https://weak.example.org/page",
		"https://paper.example.org/draft", "https://files.example.org/i/9f86d081884c7d65", "http://printer.local/", search("very special words"), "no url at all", "about:blank",
	}
	how := []lifecycle.Transition{lifecycle.Link, lifecycle.Typed, lifecycle.History, lifecycle.Reload, lifecycle.Form, lifecycle.Back}
	w.inject = nil
	switch in.next(12) {
	case 0, 1, 2:
		tab, url, ref := int64(1+in.next(3)), pages[in.next(len(pages))], ""
		if in.next(2) == 1 {
			ref = pages[in.next(len(pages))]
		}
		w.visit(tab, url, ref, how[in.next(len(how))])
	case 3:
		w.do(lifecycle.Event{Kind: lifecycle.Closed, Tab: int64(1 + in.next(3))})
	case 4:
		w.do(lifecycle.Event{Kind: lifecycle.Hidden, Tab: int64(1 + in.next(3))})
	case 5, 6, 7:
		for range 1 + in.next(150) {
			w.now = w.now.Add(time.Minute)
			w.tick()
		}
	case 8:
		w.store.fail = 1 + in.next(2)
	case 9:
		w.restart()
	case 10:
		w.odd(in, pages)
	case 11:
		// The network fails, or a page changes between the visit and the fetch.
		mode := in.next(3)
		w.inject = func() error {
			return []error{errors.New("timeout"), fmt.Errorf("gone: %w", discovery.ErrPrivate), nil}[mode]
		}
		w.now = w.now.Add(time.Duration(in.next(200)) * time.Minute)
		w.tick()
	}
}

// tick lets the engine work, and remembers what anybody got.
func (w *watch) tick() {
	n := len(w.net.log)
	w.do(lifecycle.Event{Kind: lifecycle.Tick})
	switch {
	case len(w.net.log) > n+1:
		w.t.Error("two fetches at one tick")
	case len(w.net.log) == n+1 && w.private:
		w.t.Error("a fetch in private mode")
	case len(w.net.log) == n+1 && n > 0:
		if d := w.net.log[n].at.Sub(w.net.log[n-1].at); d >= 0 && d < time.Minute {
			w.t.Errorf("two fetches within %v", d)
		}
	}
	for _, f := range w.net.log[n:] {
		if strings.Contains(f.url, "9f86d081884c7d65") || strings.Contains(f.url, "utm_") || strings.Contains(f.url, "printer") {
			w.t.Errorf("%s was fetched", f.url)
		}
	}
}

// odd is what happens seldom.
func (w *watch) odd(in *tape, pages []string) {
	switch in.next(6) {
	case 0:
		fail := w.store.fail
		w.do(lifecycle.Event{Kind: lifecycle.Cleared})
		if fail > 0 {
			w.do(lifecycle.Event{Kind: lifecycle.Cleared})
		}
		if n := len(w.engine.Pending()); n > 0 {
			w.t.Errorf("%d wait after the history was cleared", n)
		}
		w.fetched, w.withheld, w.told = map[string]bool{}, map[string]bool{}, map[string]bool{}
	case 1:
		w.do(lifecycle.Event{Kind: lifecycle.Cleared, URL: pages[in.next(len(pages))]})
	case 2:
		w.private = in.next(2) == 0
		w.do(lifecycle.Event{Kind: lifecycle.Private, On: w.private})
	case 3:
		w.do(lifecycle.Event{Kind: lifecycle.Private, On: in.next(2) == 0, Tab: int64(1 + in.next(3))})
	case 4:
		w.now = w.now.Add(time.Duration(in.next(40)) * 24 * time.Hour)
		w.told = map[string]bool{} // it may be reported again
	case 5:
		w.now = w.now.Add(-time.Duration(in.next(3000)) * time.Minute)
	}
}

// restart ends the engine: the embedder must set private mode again.
func (w *watch) restart() {
	w.bench.restart()
	w.private = false
}
