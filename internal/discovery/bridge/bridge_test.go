package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery/bridge"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
)

// A world is a Host with one page.
type world struct {
	answer  bridge.Answer
	err     error
	emitted []string
	traces  []string
	purged  int
	store   lifecycle.Store
}

func (w *world) Fetch(context.Context, string) (bridge.Answer, error) { return w.answer, w.err }
func (w *world) Explain(line []byte)                                  { w.traces = append(w.traces, string(line)) }
func (w *world) Store() lifecycle.Store                               { return w.store }
func (w *world) Random() io.Reader                                    { return nil }

func (w *world) Emit(line []byte) error {
	w.emitted = append(w.emitted, string(line))
	return nil
}

func (w *world) Purge(context.Context) error {
	w.purged++
	return nil
}

const page = "https://news.example.org/a-walk-along-the-river"

func html() string {
	var b strings.Builder
	b.WriteString("<html lang=en><title>A walk along the river</title><body>")
	for i := range 12 {
		fmt.Fprintf(&b, "<p>Part %c of the story tells of word%c and word%c and what lies behind the bridge.</p>", 'a'+i, 'a'+i, 'b'+i)
	}
	return b.String()
}

func open(t testing.TB, w *world, options string) *bridge.Session {
	t.Helper()
	o, err := bridge.ParseOptions([]byte(options))
	if err != nil {
		t.Fatal(err)
	}
	s, err := bridge.Open(t.Context(), o, w)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// browse shows the page and lets three hours pass.
func browse(t testing.TB, s *bridge.Session) {
	t.Helper()
	at := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	sig, err := bridge.Sign(page, nil, []byte(html()))
	if err != nil {
		t.Fatal(err)
	}
	stamp := func(d time.Duration) string { return at.Add(d).Format(time.RFC3339) }
	lines := []string{
		fmt.Sprintf(`{"at":%q,"event":"navigated","tab":1,"url":%q,"transition":"typed"}`, stamp(0), page),
		fmt.Sprintf(`{"at":%q,"event":"signature","tab":1,"url":%q,"page":%s}`, stamp(2*time.Second), page, sig),
		fmt.Sprintf(`{"at":%q,"event":"closed","tab":1}`, stamp(time.Minute)),
	}
	for d := 2 * time.Minute; d < 3*time.Hour; d += time.Minute {
		lines = append(lines, fmt.Sprintf(`{"at":%q,"event":"tick"}`, stamp(d)))
	}
	for _, line := range lines {
		if err := s.Handle(t.Context(), []byte(line)); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
}

// TestAnswers: what an embedder fetched is refused unless it is a page of the
// public Internet, whatever its content is.
func TestAnswers(t *testing.T) {
	good := bridge.Answer{Status: 200, Address: "93.184.216.34", ContentType: "text/html; charset=utf-8", Body: []byte(html())}
	with := func(change func(*bridge.Answer)) bridge.Answer {
		a := good
		change(&a)
		return a
	}
	for name, c := range map[string]struct {
		answer bridge.Answer
		told   bool
	}{
		"a page":                 {good, true},
		"XHTML, over IPv6":       {with(func(a *bridge.Answer) { a.ContentType, a.Address = "application/xhtml+xml", "2a00:1450::1" }), true},
		"no address":             {with(func(a *bridge.Answer) { a.Address = "" }), false},
		"a private address":      {with(func(a *bridge.Answer) { a.Address = "192.168.1.4" }), false},
		"a mapped address":       {with(func(a *bridge.Answer) { a.Address = "::ffff:10.0.0.1" }), false},
		"an opaque redirect":     {with(func(a *bridge.Answer) { a.Status = 0 }), false},
		"a login":                {with(func(a *bridge.Answer) { a.Status = 302 }), false},
		"no HTML":                {with(func(a *bridge.Answer) { a.ContentType = "application/pdf" }), false},
		"no type":                {with(func(a *bridge.Answer) { a.ContentType = "" }), false},
		"noindex by header":      {with(func(a *bridge.Answer) { a.Robots = []string{"noindex"} }), false},
		"another page":           {with(func(a *bridge.Answer) { a.Body = []byte("<title>Log in</title><input type=password>") }), false},
		"a body without measure": {with(func(a *bridge.Answer) { a.Body = append([]byte(html()), make([]byte, bridge.MaxBody)...) }), false},
	} {
		w := &world{answer: c.answer}
		browse(t, open(t, w, `{"now":"2026-12-01T00:00:00Z"}`))
		if told := len(w.emitted) == 1; told != c.told {
			t.Errorf("%s: told %v", name, w.emitted)
		}
		if len(w.traces) == 0 {
			t.Errorf("%s: nothing was explained", name)
		}
	}
}

// TestSession: an outage of the network reports nothing; clearing the history
// purges the outbox.
func TestSession(t *testing.T) {
	w := &world{err: errors.New("offline"), store: lifecycle.NewMemStore()}
	s := open(t, w, `{"now":"2026-12-01T00:00:00Z","store_key":"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=","titles":true}`)
	browse(t, s)
	if len(w.emitted) != 0 {
		t.Errorf("told without a network: %v", w.emitted)
	}
	stats, err := s.Stats()
	if err != nil || !strings.Contains(string(stats), `"NetworkFailures":3`) {
		t.Errorf("%s, %v", stats, err)
	}
	if err := s.Handle(t.Context(), []byte(`{"at":"2026-12-01T15:00:00Z","event":"cleared"}`)); err != nil || w.purged != 1 {
		t.Errorf("history cleared: %v, purged %d times", err, w.purged)
	}
	d, err := s.Judge("https://files.example.org/i/9f86d081884c7d65")
	if err != nil || !strings.Contains(string(d), `"rule":"path.token"`) {
		t.Errorf("%s, %v", d, err)
	}
	if err := s.Handle(t.Context(), []byte(`{"event":"navigated","tab":1,"url":"https://secret.example.org/"}`)); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("an event without transition: %v", err)
	}
}

func TestOptions(t *testing.T) {
	signed, err := bundle.Embedded(bundle.TestSite)
	if err != nil {
		t.Fatal(err)
	}
	o := bridge.Options{Now: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), Bundle: signed, Trust: []string{"nonsense"}, StoreKey: []byte("secret key of the store, 32 bytes")}
	if s := fmt.Sprintf("%v %+v %#v %s", o, o, o, o); strings.Contains(s, "secret") {
		t.Errorf("options print their key: %s", s)
	}
	if _, err := bridge.Open(t.Context(), o, &world{}); err == nil {
		t.Error("an invalid key is trusted")
	}
	o.Trust = nil
	if _, err := bridge.Open(t.Context(), o, &world{}); !errors.Is(err, bundle.ErrUnknownKey) {
		t.Errorf("a bundle that nobody vouches for: %v", err)
	}
	if _, err := bridge.Open(t.Context(), bridge.Options{}, &world{store: lifecycle.NewMemStore()}); err == nil {
		t.Error("a store without a key")
	}
	for _, text := range []string{"", "{", `{"nwo":1}`, `{} {}`, `{"timing":{"delay":"1h"}}`} {
		if _, err := bridge.ParseOptions([]byte(text)); err == nil {
			t.Errorf("%q are options", text)
		}
	}
	if _, err := bridge.Open(t.Context(), bridge.Options{Timing: bridge.Timing{Delay: -1}}, &world{}); err == nil {
		t.Error("a delay below zero")
	}
}

func FuzzOptions(f *testing.F) {
	f.Add([]byte(`{"now":"2026-12-01T00:00:00Z","timing":{"delay":3600},"trust":["ed25519:x"],"countries":{"DE":80000000}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := bridge.ParseOptions(text)
		if err != nil {
			return
		}
		if s, err := bridge.Open(t.Context(), o, &world{}); err == nil {
			if err := s.Handle(t.Context(), []byte(`{"at":"2026-12-01T00:00:00Z","event":"tick"}`)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzHandle gives hostile lines to a session that has a page under way.
func FuzzHandle(f *testing.F) {
	f.Add([]byte(`{"at":"2026-12-01T09:00:00Z","event":"navigated","tab":1,"url":"https://news.example.org/","transition":"typed"}`))
	f.Add([]byte(`{"at":"2026-12-01T09:00:00Z","event":"cleared"}`))
	f.Add([]byte(`{"at":"2026-12-01T09:00:00Z","event":"private","on":true}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		w := &world{answer: bridge.Answer{Status: 200, Address: "93.184.216.34", ContentType: "text/html", Body: []byte(html())}}
		s := open(t, w, `{"now":"2026-12-01T00:00:00Z"}`)
		_ = s.Handle(t.Context(), line)
		if _, err := s.Stats(); err != nil {
			t.Fatal(err)
		}
	})
}

func Example() {
	o, err := bridge.ParseOptions([]byte(`{"now":"2026-12-01T00:00:00Z"}`))
	if err != nil {
		panic(err)
	}
	s, err := bridge.Open(context.Background(), o, &world{})
	if err != nil {
		panic(err)
	}
	d, err := s.Judge("http://0x7f.1/")
	if err != nil {
		panic(err)
	}
	fmt.Println(string(d)[:45])
	// Output: {"verdict":"private","rule":"host.address","s
}
