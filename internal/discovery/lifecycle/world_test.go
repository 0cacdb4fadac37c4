package lifecycle_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

var start = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// A site answers: one page for the person, one for anybody else.
type site struct {
	shown  string
	others string // empty: as shown
	err    error  // of the anonymous fetch
	robots []string
}

func (s site) anonymous() string {
	if s.others != "" {
		return s.others
	}
	return s.shown
}

// html makes a page with enough text to be compared.
func html(title, extra string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<html lang=en><head><title>%s</title></head><body><h1>%s</h1>", title, title)
	for i := range 12 {
		fmt.Fprintf(&b, "<p>The %s says in its part %c that %s and more of the same follows here.</p>", title, 'a'+i, strings.Repeat("word"+string(rune('a'+i))+" ", 3))
	}
	return b.String() + extra + "</body></html>"
}

func canonical(u string) string { return `<link rel="canonical" href="` + u + `">` }

func results(words string, urls ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<html lang=en><head><title>%s - Finch</title></head><body><form action="/search"><input name=q value="%s"></form><ol id=results>`, words, words)
	for i, u := range urls {
		fmt.Fprintf(&b, `<li class="result"><h3><a href="%s">Result %c of the search</a></h3><p class=snippet>Text</p></li>`, u, 'a'+i)
	}
	return b.String() + `</ol></body></html>`
}

func search(words string) string {
	return "https://finch.example.net/search?q=" + strings.ReplaceAll(words, " ", "+")
}

// web is all there is, by URL.
func web() map[string]site {
	story := "https://news.example.org/2026/spring/river-walk"
	return map[string]site{
		"https://news.example.org/":             {shown: html("News of the valley", `<a href="/about">About</a><a href="/list?topic=valley&part=second">More</a>`)},
		"https://news.example.org/about":        {shown: html("About the valley news", "")},
		story:                                   {shown: html("A walk along the river", canonical(story))},
		story + "?utm_source=letter&utm_x=one":  {shown: html("A walk along the river", canonical(story))},
		"https://news.example.org/2026/spring/": {shown: html("All stories of the spring", "")},
		"https://news.example.org/list?topic=valley&part=second": {
			shown: html("Older news of the valley", ""),
		},
		"https://news.example.org/list":               {shown: html("List of the valley", "")},
		"https://shop.example.com/lamp?ref_=x":        {shown: html("A lamp", "")},
		"https://shop.example.com/lamps/desk?color=3": {shown: html("A lamp for the desk", "")},
		"https://shop.example.com/lamps/desk":         {shown: html("A lamp for the desk", "")},
		"https://mail.example.com/folder":             {shown: html("Letters of Anna", ""), err: fmt.Errorf("a redirect: %w", discovery.ErrPrivate)},
		"https://mail.example.com/news":               {shown: html("News for Anna", ""), others: html("Log in", "<form><input type=password></form>")},
		"https://wall.example.com/feed":               {shown: html("Your feed", ""), others: html("Your feed", "<form><input type=password></form>")},
		"https://files.example.org/i/9f86d081884c7d65": {
			shown: html("A secret file", ""),
		},
		"https://paper.example.org/draft":         {shown: html("A draft", ""), robots: []string{"noindex"}},
		"https://weak.example.org/page":           {shown: html("A weak page", ""), err: errors.New("timeout")},
		search("river walk"):                      {shown: results("river walk", story, "https://news.example.org/about", "https://shop.example.com/lamps/desk", "https://news.example.org/list")},
		search("very special words"):              {shown: results("very special words", story)},
		"https://finch.example.net/settings":      {shown: html("Settings", "")},
		"https://finch.example.net/search?page=2": {shown: results("river walk", story)},
	}
}

// net is the fetcher of the tests: it counts, and can be made to fail.
type net struct {
	pages map[string]site
	log   []fetch
	now   func() time.Time
	fail  func(url string) error
}

type fetch struct {
	at  time.Time
	url string
	ok  bool
}

func (n *net) Fetch(ctx context.Context, u discovery.URL) (discovery.Response, error) {
	s, ok := n.pages[u.String()]
	err := s.err
	if !ok {
		err = fmt.Errorf("status 404: %w", discovery.ErrPrivate)
	}
	if n.fail != nil && err == nil {
		err = n.fail(u.String())
	}
	n.log = append(n.log, fetch{n.now(), u.String(), err == nil})
	if err != nil {
		return discovery.Response{}, err
	}
	return discovery.Response{URL: u, Robots: s.robots, Body: []byte(s.anonymous())}, ctx.Err()
}

func (n *net) urls() []string {
	var all []string
	for _, f := range n.log {
		all = append(all, f.url)
	}
	return all
}

// A bench is an engine with all around it.
type bench struct {
	t      testing.TB
	config lifecycle.Config
	engine *lifecycle.Engine
	net    *net
	now    time.Time
	out    []message.Record
	traces []lifecycle.Trace
	purged int
	crash  func(error) // if not nil, takes errors of Handle
}

func key(t testing.TB) *lifecycle.Key {
	t.Helper()
	k, err := lifecycle.NewKey([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// random returns a stream of bytes that is the same each time.
func random(seed byte) io.Reader {
	return rand.NewChaCha8([32]byte{seed})
}

func rules(t testing.TB) *discovery.Rules {
	t.Helper()
	r, err := discovery.NewRules()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testBundle(t testing.TB) *bundle.Bundle {
	t.Helper()
	signed, err := bundle.Embedded(bundle.TestSite)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(signed, []ed25519.PublicKey{bundle.DevelopmentKey()}, start, 0)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newBench(t testing.TB, change func(*lifecycle.Config)) *bench {
	t.Helper()
	b := &bench{t: t, now: start}
	b.net = &net{pages: web(), now: func() time.Time { return b.now }}
	r, set := rules(t), testBundle(t)
	s, err := message.NewSanitizer(message.Config{Rules: r, Bundle: set, Rand: random(2)})
	if err != nil {
		t.Fatal(err)
	}
	b.config = lifecycle.Config{
		Rules: r, Bundle: set, Fetcher: b.net, Sanitizer: s, Store: lifecycle.NewMemStore(), Key: key(t), Rand: random(1),
		Emit:    func(r message.Record) error { b.out = append(b.out, r); return nil },
		Explain: func(tr lifecycle.Trace) { b.traces = append(b.traces, tr) },
		Purge:   func(context.Context) error { b.purged++; return nil },
	}
	if change != nil {
		change(&b.config)
	}
	b.restart()
	return b
}

func (b *bench) restart() {
	b.t.Helper()
	e, err := lifecycle.New(b.t.Context(), b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	b.engine = e
}

func (b *bench) do(ev lifecycle.Event) {
	b.t.Helper()
	ev.At = b.now
	if err := b.engine.Handle(b.t.Context(), ev); err != nil && b.crash != nil {
		b.crash(err)
	} else if err != nil {
		b.t.Fatalf("%s: %v", ev, err)
	}
}

// visit shows a page for half a minute.
func (b *bench) visit(tab int64, url, referrer string, how lifecycle.Transition) {
	b.t.Helper()
	b.do(lifecycle.Event{Kind: lifecycle.Navigated, Tab: tab, URL: url, Referrer: referrer, Transition: how})
	b.now = b.now.Add(2 * time.Second)
	if s, ok := b.net.pages[url]; ok {
		u, err := discovery.ParseURL(url)
		if err != nil {
			b.t.Fatal(err)
		}
		sig, err := discovery.Sign(u, nil, []byte(s.shown))
		if err != nil {
			b.t.Fatal(err)
		}
		b.do(lifecycle.Event{Kind: lifecycle.Signature, Tab: tab, URL: url, Page: &sig})
	}
	b.now = b.now.Add(28 * time.Second)
	b.do(lifecycle.Event{Kind: lifecycle.Activity, Tab: tab, Counts: &lifecycle.Counts{Seconds: 28, Mouse: 4, Scrolls: 2}})
}

func (b *bench) close(tab int64) {
	b.t.Helper()
	b.do(lifecycle.Event{Kind: lifecycle.Closed, Tab: tab})
}

// wait lets time pass, a tick a minute.
func (b *bench) wait(d time.Duration) {
	b.t.Helper()
	for end := b.now.Add(d); b.now.Before(end); {
		b.now = b.now.Add(time.Minute)
		b.do(lifecycle.Event{Kind: lifecycle.Tick})
	}
}

// said returns what was emitted: name and main field.
func (b *bench) said() []string {
	var all []string
	for _, r := range b.out {
		s := r.Name
		for _, f := range []string{"url", "host", "query", "engine", "second"} {
			if v, ok := r.Fields[f]; ok {
				s += " " + fmt.Sprint(v)
			}
		}
		all = append(all, s)
	}
	return all
}

func (b *bench) want(lines ...string) {
	b.t.Helper()
	got := b.said()
	slices.Sort(got)
	slices.Sort(lines)
	if !slices.Equal(got, lines) {
		b.t.Errorf("told:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
		for _, tr := range b.traces {
			b.t.Log(tr, tr.URL, tr.Reason, tr.Decision.Why().Found)
		}
	}
}
