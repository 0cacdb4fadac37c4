package lifecycle_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// A chain of pages: the one that 11 pages led to is private, and so is what it
// leads to; a typed address begins a new chain.
func TestChain(t *testing.T) {
	b := newBench(t, nil)
	name := func(i int) string { return "https://chain.example.org/page-" + string(rune('a'+i)) }
	for i := range 14 {
		b.net.pages[name(i)] = site{shown: html(fmt.Sprint("Page ", string(rune('a'+i))), "")}
		if i == 0 {
			b.visit(1, name(i), "", lifecycle.Typed)
			continue
		}
		b.visit(1, name(i), name(i-1), lifecycle.Link)
	}
	b.close(1)
	b.wait(4 * time.Hour)
	var want []string
	for i := range 11 {
		want = append(want, "page "+name(i))
	}
	b.want(want...)
	if b.engine.Stats().Withheld != 3 {
		t.Errorf("%+v", b.engine.Stats())
	}
}

// Where a page was reached from, however much the referrer reveals.
func TestSources(t *testing.T) {
	const about, story, secret = "https://news.example.org/about", "https://news.example.org/2026/spring/river-walk", "https://mail.example.com/account/letters"
	for name, c := range map[string]struct {
		steps func(*bench)
		told  bool
	}{
		"typed after a private page": {func(b *bench) { b.visit(1, secret, "", lifecycle.Typed); b.visit(1, about, "", lifecycle.Typed) }, true},
		"from a private page":        {func(b *bench) { b.visit(1, secret, "", lifecycle.Typed); b.visit(1, about, secret, lifecycle.Link) }, false},
		"from a private page, origin only": {func(b *bench) {
			b.visit(1, secret, "", lifecycle.Typed)
			b.visit(1, about, "https://mail.example.com/", lifecycle.Link)
		}, false},
		"from a private page, nothing said": {func(b *bench) { b.visit(1, secret, "", lifecycle.Typed); b.visit(1, about, "", lifecycle.Link) }, false},
		"from a private page, in a new tab": {func(b *bench) { b.visit(1, secret, "", lifecycle.Typed); b.opened(2, 1, about, "") }, false},
		"from a private page, as an app":    {func(b *bench) { b.visit(1, secret, "", lifecycle.Typed); b.visit(1, about, "", lifecycle.History) }, false},
		"from a search, and from a private page": {func(b *bench) {
			b.visit(1, search("river walk"), "", lifecycle.Typed)
			b.visit(1, about, search("river walk"), lifecycle.Link)
			b.visit(1, secret, "", lifecycle.Typed)
			b.visit(1, about, secret, lifecycle.Link)
		}, true},
		"from a page, and from a private one": {func(b *bench) {
			b.visit(1, story, "", lifecycle.Typed)
			b.visit(1, about, story, lifecycle.Link)
			b.visit(1, secret, "", lifecycle.Typed)
			b.visit(1, about, secret, lifecycle.Link)
		}, true},
		"typed, and from a private page": {func(b *bench) {
			b.visit(1, about, "", lifecycle.Typed)
			b.visit(1, secret, "", lifecycle.Typed)
			b.visit(1, about, secret, lifecycle.Link)
		}, false},
		"found public, then from a private page, then away": {func(b *bench) {
			b.visit(1, story, "", lifecycle.Typed)
			b.close(1)
			b.wait(3 * time.Hour)
			b.visit(1, secret, "", lifecycle.Typed)
			b.visit(1, story, secret, lifecycle.Link)
			b.visit(1, about, story, lifecycle.Link)
		}, true},
		"from a printer":                    {func(b *bench) { b.visit(1, about, "http://printer.local/", lifecycle.Link) }, false},
		"from an app":                       {func(b *bench) { b.visit(1, about, "android-app://com.example", lifecycle.Link) }, false},
		"from an unseen page":               {func(b *bench) { b.visit(1, about, "https://blog.example.com/", lifecycle.Link) }, true},
		"from an unseen page with a secret": {func(b *bench) { b.visit(1, about, "https://blog.example.com/i/9f86d081884c7d65", lifecycle.Link) }, false},
		"from an unseen search":             {func(b *bench) { b.visit(1, about, search("river walk"), lifecycle.Link) }, true},
		"from a page in another tab":        {func(b *bench) { b.visit(2, story, "", lifecycle.Typed); b.visit(1, about, story, lifecycle.Link) }, true},
		"two steps from a private page": {func(b *bench) {
			b.visit(1, secret, "", lifecycle.Typed)
			b.visit(1, story, secret, lifecycle.Link)
			b.visit(1, about, story, lifecycle.Link)
		}, false},
		"from a search in a private setting": {func(b *bench) {
			b.visit(1, search("river walk"), secret, lifecycle.Link)
			b.visit(1, about, search("river walk"), lifecycle.Link)
		}, true},
		"reloaded": {func(b *bench) { b.visit(1, about, "", lifecycle.Typed); b.visit(1, about, "", lifecycle.Reload) }, true},
		"with tracking, from a tracking link": {func(b *bench) {
			b.visit(1, story+"?utm_source=letter&utm_x=one", "", lifecycle.Typed)
			b.visit(1, about, story+"?utm_source=letter&utm_x=one", lifecycle.Link)
		}, true},
	} {
		b := newBench(t, nil)
		b.net.pages[secret] = site{shown: html("Letters", "")}
		c.steps(b)
		b.close(1)
		b.close(2)
		b.wait(5 * time.Hour)
		if got := slices.Contains(b.said(), "page "+about); got != c.told {
			t.Errorf("%s: told %v, want %v", name, got, c.told)
			for _, tr := range b.traces {
				t.Log(tr, tr.URL, tr.Reason)
			}
		}
	}
}

// opened shows a page in a new tab.
func (b *bench) opened(tab, opener int64, url, referrer string) {
	b.t.Helper()
	b.do(lifecycle.Event{Kind: lifecycle.Navigated, Tab: tab, URL: url, Referrer: referrer, Opener: opener, Transition: lifecycle.Link})
	b.visit(tab, url, "", lifecycle.Reload)
}

// The search is reported with the page that was opened from it, and with no later one.
func TestSearchDepth(t *testing.T) {
	const about, story = "https://news.example.org/about", "https://news.example.org/2026/spring/river-walk"
	b := newBench(t, nil)
	b.visit(1, search("river walk"), "", lifecycle.Typed)
	b.opened(2, 1, story, "https://finch.example.net/")
	b.visit(2, about, story, lifecycle.Link)
	b.visit(2, story+"#part", about, lifecycle.Link)
	b.close(2)
	b.wait(4 * time.Hour)
	b.want("query river walk finch", "page "+story, "page_query "+story+" river walk finch", "page "+about)
}

// An app that changes its own address has pages like any other.
func TestHistoryState(t *testing.T) {
	b := newBench(t, nil)
	b.visit(1, "https://news.example.org/", "", lifecycle.Typed)
	b.visit(1, "https://news.example.org/about", "", lifecycle.History)
	b.do(lifecycle.Event{Kind: lifecycle.Navigated, Tab: 1, URL: "https://news.example.org/about#part", Transition: lifecycle.History})
	b.do(lifecycle.Event{Kind: lifecycle.Activity, Tab: 1, URL: "https://news.example.org/", Counts: &lifecycle.Counts{Seconds: 900}}) // late
	b.do(lifecycle.Event{Kind: lifecycle.Activity, Tab: 1, URL: "https://news.example.org/about", Counts: &lifecycle.Counts{Seconds: 40}})
	b.close(1)
	b.wait(3 * time.Hour)
	b.want("page https://news.example.org/", "page https://news.example.org/about")
	for _, r := range b.out {
		if want := map[any]int64{"https://news.example.org/": 15, "https://news.example.org/about": 60}[r.Fields["url"]]; r.Fields["dwell"] != want {
			t.Errorf("%v, want %d seconds", r.Fields, want)
		}
	}
}

// A visit is over after 20 minutes without activity; what is done later does
// not count, and the delay runs from the last activity.
func TestIdle(t *testing.T) {
	b := newBench(t, nil)
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	last := b.now
	b.wait(19 * time.Minute)
	if len(b.engine.Pending()) != 0 {
		t.Fatal("over after 19 minutes")
	}
	b.wait(2 * time.Minute)
	b.do(lifecycle.Event{Kind: lifecycle.Activity, Tab: 1, Counts: &lifecycle.Counts{Seconds: 1000}})
	b.do(lifecycle.Event{Kind: lifecycle.Hidden, Tab: 1})
	p := b.engine.Pending()
	if len(p) != 1 || p[0].Last != last || p[0].Due.Sub(last) < time.Hour || p[0].Due.Sub(last) > 90*time.Minute || p[0].URL != "https://news.example.org/about" {
		t.Fatalf("%+v", p)
	}
	b.wait(2 * time.Hour)
	if len(b.out) != 1 || b.out[0].Fields["dwell"] != int64(15) {
		t.Errorf("%v", b.said())
	}
}

// A second visit puts the fetch off, and is added to the first.
func TestSecondVisit(t *testing.T) {
	b := newBench(t, nil)
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	b.close(1)
	b.wait(50 * time.Minute)
	b.visit(2, "https://news.example.org/about", "", lifecycle.Typed)
	b.visit(2, "https://news.example.org/about", "", lifecycle.Typed)
	second := b.now
	b.close(2)
	b.wait(3 * time.Hour)
	b.want("page https://news.example.org/about")
	if len(b.net.log) != 1 || b.net.log[0].at.Sub(second) < time.Hour || b.out[0].Fields["dwell"] != int64(60) {
		t.Errorf("%v %v", b.net.log, b.out[0].Fields)
	}
}

// What is counted has caps.
func TestCaps(t *testing.T) {
	b := newBench(t, nil)
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	for range 100 {
		b.do(lifecycle.Event{Kind: lifecycle.Activity, Tab: 1, Counts: &lifecycle.Counts{Seconds: 1 << 20, Mouse: 1 << 20, Scrolls: 1 << 20, Links: 1 << 20, Keys: 1 << 20, Copies: 1 << 20}})
	}
	b.close(1)
	b.wait(3 * time.Hour)
	if b.out[0].Fields["dwell"] != int64(300) {
		t.Errorf("%v", b.out[0].Fields)
	}
}

// At most one fetch a minute, however much is due and however often it ticks.
func TestOneFetchAMinute(t *testing.T) {
	b := newBench(t, nil)
	for i := range 30 {
		u := "https://many.example.org/page-" + string(rune('a'+i%26)) + strings.Repeat("a", i/26)
		b.net.pages[u] = site{shown: html("Page "+string(rune('a'+i%26))+strings.Repeat("a", i/26), "")}
		b.visit(1, u, "", lifecycle.Typed)
	}
	b.close(1)
	for range 3 * 60 * 20 {
		b.now = b.now.Add(3 * time.Second)
		b.do(lifecycle.Event{Kind: lifecycle.Tick})
	}
	if len(b.out) != 30 {
		t.Errorf("%d messages", len(b.out))
	}
	b.fetchesApart(time.Minute)
}

func (b *bench) fetchesApart(d time.Duration) {
	b.t.Helper()
	for i := 1; i < len(b.net.log); i++ {
		if b.net.log[i].at.Sub(b.net.log[i-1].at) < d {
			b.t.Fatalf("fetches at %v and %v", b.net.log[i-1].at, b.net.log[i].at)
		}
	}
}

// A clock that is set back makes nothing wait for ever, and nothing early.
func TestClockSetBack(t *testing.T) {
	b := newBench(t, nil)
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	b.close(1)
	b.wait(3 * time.Hour)
	b.visit(1, "https://news.example.org/", "", lifecycle.Typed)
	b.close(1)
	b.now = b.now.Add(-48 * time.Hour)
	back := b.now
	b.wait(4 * time.Hour)
	b.want("page https://news.example.org/about", "page https://news.example.org/")
	if wait := b.net.log[1].at.Sub(back); wait < time.Hour {
		t.Errorf("fetched after %v", wait)
	}
}

// The queue is bounded, and what waits too long is forgotten.
func TestBounds(t *testing.T) {
	b := newBench(t, func(c *lifecycle.Config) { c.Timing.Pending = 2; c.Timing.TTL = 24 * time.Hour })
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	b.visit(1, "https://news.example.org/", "", lifecycle.Typed)
	b.visit(1, "https://shop.example.com/lamps/desk", "", lifecycle.Typed)
	b.visit(1, search("river walk"), "", lifecycle.Typed)
	b.close(1)
	if n := records(t, b.config.Store); n != 2 {
		t.Errorf("%d records", n)
	}
	b.now = b.now.Add(25 * time.Hour)
	b.wait(2 * time.Hour)
	if n := records(t, b.config.Store); n != 0 || len(b.net.log) > 0 {
		t.Errorf("%d records, %v", n, b.net.log)
	}
	for i := range int64(2100) { // more tabs than are remembered
		b.do(lifecycle.Event{Kind: lifecycle.Navigated, Tab: i + 1, URL: "https://news.example.org/", Transition: lifecycle.Typed})
	}
}

// A site that makes up addresses, and names of hosts, leaves room for others.
func TestOneSiteFloods(t *testing.T) {
	b := newBench(t, func(c *lifecycle.Config) { c.Timing.Pending = 40 })
	for i := range 60 {
		u := fmt.Sprintf("https://%c.example.net/page-%c", 'a'+i/8, 'a'+i%8)
		b.net.pages[u] = site{shown: html("Page", "")}
		b.visit(1, u, "", lifecycle.Typed)
	}
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	b.close(1)
	hosts := make(map[string]int)
	for _, w := range b.engine.Pending() {
		host := strings.Split(w.URL, "/")[2]
		if strings.HasSuffix(host, ".example.net") {
			host = "flood"
		}
		hosts[host]++
	}
	if hosts["flood"] != 10 || hosts["news.example.org"] != 1 {
		t.Errorf("%v", hosts)
	}
}

// A page that is visited again and again does not hold up what it leads to.
func TestBusySource(t *testing.T) {
	b := newBench(t, nil)
	const home, about = "https://news.example.org/", "https://news.example.org/about"
	b.visit(1, home, "", lifecycle.Typed)
	b.close(1)
	b.wait(2 * time.Hour)
	for range 12 {
		b.visit(1, home, "", lifecycle.Typed)
		b.visit(1, about, home, lifecycle.Link)
		b.close(1)
		b.wait(20 * time.Minute)
		b.visit(2, home, "", lifecycle.Typed)
		b.close(2)
		b.wait(75 * time.Minute)
	}
	b.want("page "+home, "page "+about)
}

// What was reported is reported again after 30 days, and not before.
func TestToldAgain(t *testing.T) {
	b := newBench(t, nil)
	for d := range 32 {
		b.now = start.Add(time.Duration(d) * 24 * time.Hour)
		b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
		b.close(1)
		b.wait(2 * time.Hour)
		want := 1
		if d >= 30 {
			want = 2
		}
		if len(b.out) != want {
			t.Fatalf("day %d: %d messages", d, len(b.out))
		}
		b.restart()
	}
}

// Equal streams give equal messages and traces, byte for byte.
func TestDeterministic(t *testing.T) {
	run := func() string {
		b := newBench(t, func(c *lifecycle.Config) {
			c.Questions = []lifecycle.Question{lifecycle.Audience(), lifecycle.BadQueries(), lifecycle.ResultEngagement()}
			c.Facts = lifecycle.Facts{Titles: true, Referrers: true, Results: true}
		})
		for _, step := range script(b) {
			step()
		}
		var all bytes.Buffer
		for _, r := range b.out {
			line, err := r.JSON()
			if err != nil {
				t.Fatal(err)
			}
			all.Write(line)
		}
		for _, tr := range b.traces {
			fmt.Fprintln(&all, tr.At, tr.Stage, tr.Outcome, tr.URL, tr.Reason, tr.Decision.Trace)
		}
		if err := b.config.Store.Load(t.Context(), func(k string, v []byte) error { fmt.Fprintf(&all, "%s %x\n", k, v); return nil }); err != nil {
			t.Fatal(err)
		}
		return all.String()
	}
	first := run()
	if len(first) < 10_000 {
		t.Fatalf("%d bytes", len(first))
	}
	for range 3 {
		if run() != first {
			t.Fatal("two runs differ")
		}
	}
}

// Every page that is not reported has a reason; traces and events print nothing.
func TestExplain(t *testing.T) {
	b := newBench(t, nil)
	for _, step := range script(b) {
		step()
	}
	for _, tr := range b.traces {
		switch tr.Outcome {
		case lifecycle.Told, lifecycle.Found, lifecycle.Waiting, lifecycle.Fetching, lifecycle.Retrying:
		default:
			if tr.Reason == "" {
				t.Errorf("%s of %s has no reason", tr, tr.URL)
			}
		}
		if s := fmt.Sprintf("%v %+v %#v", tr, tr, tr); strings.Contains(s, "example") {
			t.Errorf("a trace prints as %s", s)
		}
	}
	ev := lifecycle.Event{Kind: lifecycle.Navigated, URL: "https://secret.example.org/"}
	if s := fmt.Sprintf("%v %+v %#v", ev, ev, ev); strings.Contains(s, "secret") {
		t.Errorf("an event prints as %s", s)
	}
	s := b.engine.Stats()
	if s.Told != len(b.out) || s.Fetches != len(b.net.log) || s.Withheld != 2 || s.Refused != 1 || s.PrivateRate < 0.009 || s.PrivateRate > 0.011 {
		t.Errorf("%+v", s)
	}
}

// A page whose signature never came is not fetched.
func TestUnsigned(t *testing.T) {
	b := newBench(t, nil)
	b.do(lifecycle.Event{Kind: lifecycle.Navigated, Tab: 1, URL: "https://news.example.org/about", Transition: lifecycle.Typed})
	u, err := discovery.ParseURL("https://news.example.org/")
	if err != nil {
		t.Fatal(err)
	}
	sig, err := discovery.Sign(u, nil, []byte(html("News", "")))
	if err != nil {
		t.Fatal(err)
	}
	b.do(lifecycle.Event{Kind: lifecycle.Signature, Tab: 1, URL: u.String(), Page: &sig}) // of another page
	b.do(lifecycle.Event{Kind: lifecycle.Signature, Tab: 9, URL: u.String(), Page: &sig})
	b.close(1)
	b.wait(3 * time.Hour)
	if len(b.net.log) > 0 || records(t, b.config.Store) > 0 {
		t.Errorf("%v", b.net.log)
	}
}

// Further messages are made if they are wanted.
func TestFacts(t *testing.T) {
	b := newBench(t, func(c *lifecycle.Config) {
		c.Facts = lifecycle.Facts{Titles: true, Referrers: true, Results: true}
	})
	b.visit(1, search("river walk"), "", lifecycle.Typed)
	b.visit(1, "https://news.example.org/", "", lifecycle.Typed)
	b.visit(1, "https://news.example.org/about", "https://news.example.org/", lifecycle.Link)
	b.close(1)
	b.wait(3 * time.Hour)
	names := make(map[string]int)
	for _, r := range b.out {
		names[r.Name]++
		if r.Name == "page_referrer" && r.Fields["referrer"] != "https://news.example.org/ (PROTECTED)" {
			t.Errorf("%v", r.Fields)
		}
	}
	for name, n := range map[string]int{"query": 1, "result": 4, "page": 2, "page_title": 2, "page_referrer": 1} {
		if names[name] != n {
			t.Errorf("%d messages %s, want %d", names[name], name, n)
		}
	}
}

func TestConfig(t *testing.T) {
	good := newBench(t, nil).config
	for name, change := range map[string]func(*lifecycle.Config){
		"no rules":                func(c *lifecycle.Config) { c.Rules = nil },
		"no fetcher":              func(c *lifecycle.Config) { c.Fetcher = nil },
		"no sanitizer":            func(c *lifecycle.Config) { c.Sanitizer = nil },
		"no outbox":               func(c *lifecycle.Config) { c.Emit = nil },
		"a store without key":     func(c *lifecycle.Config) { c.Key = nil },
		"a time below zero":       func(c *lifecycle.Config) { c.Timing.Delay = -1 },
		"no time for searches":    func(c *lifecycle.Config) { c.Timing.QueryMin, c.Timing.QueryMax = 2, 1 },
		"a question without name": func(c *lifecycle.Config) { c.Questions = []lifecycle.Question{{}} },
		"a question twice": func(c *lifecycle.Config) {
			c.Questions = []lifecycle.Question{lifecycle.Audience(), lifecycle.Audience()}
		},
		"a question for ever": func(c *lifecycle.Config) {
			q := lifecycle.Audience()
			q.Retention = 1000 * time.Hour
			c.Questions = []lifecycle.Question{q}
		},
		"a question that identifies": func(c *lifecycle.Config) {
			q := lifecycle.Audience()
			q.Schema.Fields = append(q.Schema.Fields, message.Field{Name: "note", Kind: message.Text})
			c.Questions = []lifecycle.Question{q}
		},
	} {
		c := good
		change(&c)
		if _, err := lifecycle.New(context.Background(), c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
