package bridge_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery/bridge"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
)

// signed returns the bundle of the test site in another version and, if name is
// given, as another series; rendered marks its first engine.
func signed(t *testing.T, key ed25519.PrivateKey, name string, version uint64, rendered bool) []byte {
	t.Helper()
	source, err := bundle.Embedded(bundle.TestSite)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := bundle.Verify(source, []ed25519.PublicKey{bundle.DevelopmentKey()})
	if err != nil {
		t.Fatal(err)
	}
	doc.Name, doc.Version = name, version
	if rendered {
		doc.Format, doc.Engines[0].Rendered = 2, true
	}
	b, err := bundle.Sign(doc, key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func options(t *testing.T, b []byte, public ed25519.PublicKey, more string) string {
	t.Helper()
	return fmt.Sprintf(`{"now":"2026-12-01T00:00:00Z","store_key":"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=","bundle":%q,"trust":["ed25519:%s"]%s}`,
		base64.StdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(public), more)
}

// TestUpdate: a downloaded bundle is used if it is signed by a trusted key, of the
// same series, valid, and not older than any that was seen, after a restart and
// after the history was cleared, too.
func TestUpdate(t *testing.T) {
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	w := &world{store: lifecycle.NewMemStore()}
	opts := options(t, signed(t, key, "site", 3, false), public, "")
	s := open(t, w, opts)
	for _, c := range []struct {
		name string
		b    []byte
		at   time.Time
		want error
	}{
		{"newer", signed(t, key, "site", 5, false), now, nil},
		{"the same again", signed(t, key, "site", 5, false), now, nil},
		{"older", signed(t, key, "site", 4, false), now, bundle.ErrDowngraded},
		{"another signer", signed(t, other, "site", 9, false), now, bundle.ErrUnknownKey},
		{"expired", signed(t, key, "site", 9, false), now.AddDate(5, 0, 0), bundle.ErrExpired},
		{"no bundle", []byte("shoal-rule-bundle-1 x y\n{}"), now, bundle.ErrUnsigned},
	} {
		v, err := s.Update(t.Context(), c.b, c.at)
		if !errors.Is(err, c.want) || err == nil && v != 5 {
			t.Errorf("%s: version %d, %v; want %v", c.name, v, err, c.want)
		}
	}
	if _, err := s.Update(t.Context(), signed(t, key, "another", 9, false), now); err == nil {
		t.Error("a bundle of another series is used")
	}
	if err := s.Handle(t.Context(), []byte(`{"at":"2026-12-01T15:00:00Z","event":"cleared"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), signed(t, key, "site", 4, false), now); !errors.Is(err, bundle.ErrDowngraded) {
		t.Errorf("older, after the history was cleared: %v", err)
	}
	if _, err := s.Update(t.Context(), signed(t, key, "site", 6, false), now); err != nil {
		t.Fatal(err)
	}
	o, err := bridge.ParseOptions([]byte(opts))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bridge.Open(t.Context(), o, w); !errors.Is(err, bundle.ErrDowngraded) {
		t.Errorf("after a restart version 3 is used again: %v", err)
	}
}

// A painter is a Host that renders.
type painter struct {
	*world
	rendered int
	mark     bool
}

func (p *painter) CanRender() bool { return true }

func (p *painter) Render(context.Context, string) (bridge.Answer, error) {
	p.rendered++
	a := p.answer
	a.Rendered = p.mark
	var b strings.Builder
	b.WriteString(`<html lang=en><title>tea</title><form action="/search"><input name=q value="green tea"></form><ol id=results>`)
	for i := range 5 {
		fmt.Fprintf(&b, `<li class="result"><h3><a href="https://news.example.org/story-%c">About tea</a></h3></li>`, 'a'+i)
	}
	a.Body = []byte(b.String() + "</ol>")
	return a, nil
}

// searchFor searches on one engine or two and lets an hour pass.
func searchFor(t *testing.T, s *bridge.Session, urls ...string) {
	t.Helper()
	at := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	for i, u := range urls {
		line := fmt.Sprintf(`{"at":%q,"event":"navigated","tab":%d,"url":%q,"transition":"form"}`, at.Format(time.RFC3339), i+1, u)
		if err := s.Handle(t.Context(), []byte(line)); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Second)
	}
	for range 60 {
		at = at.Add(time.Minute)
		if err := s.Handle(t.Context(), fmt.Appendf(nil, `{"at":%q,"event":"tick"}`, at.Format(time.RFC3339))); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRendered: the result page of an engine that is written by script comes from
// the embedder's renderer, and only if it is marked; without a renderer nothing is
// reported.
func TestRendered(t *testing.T) {
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	opts := options(t, signed(t, key, "site", 1, true), public, "")
	empty := bridge.Answer{Status: 200, Address: "93.184.216.34", ContentType: "text/html", Body: []byte("<title>tea</title><div id=app></div>")}
	for _, c := range []struct{ mark, told bool }{{true, true}, {false, false}} {
		p := &painter{world: &world{answer: empty, store: lifecycle.NewMemStore()}, mark: c.mark}
		o, err := bridge.ParseOptions([]byte(opts))
		if err != nil {
			t.Fatal(err)
		}
		s, err := bridge.Open(t.Context(), o, p)
		if err != nil {
			t.Fatal(err)
		}
		searchFor(t, s, "https://finch.example.net/search?q=green+tea")
		if p.rendered != 1 || (len(p.emitted) == 1) != c.told {
			t.Errorf("marked %v: rendered %d times, told %v", c.mark, p.rendered, p.emitted)
		}
		stats, err := s.Stats()
		if err != nil || !strings.Contains(string(stats), `"FetchesRendered":1`) {
			t.Errorf("%s, %v", stats, err)
		}
	}
	w := &world{answer: empty, store: lifecycle.NewMemStore()}
	s := open(t, w, opts)
	searchFor(t, s, "https://finch.example.net/search?q=green+tea")
	if len(w.emitted) != 0 {
		t.Errorf("told without a renderer: %v", w.emitted)
	}
}

// TestQuestions: questions that an embedder names are answered in a session.
func TestQuestions(t *testing.T) {
	w := &world{answer: bridge.Answer{Status: 200, Address: "93.184.216.34", ContentType: "text/html", Body: []byte(html())}}
	s := open(t, w, `{"now":"2026-12-01T00:00:00Z","questions":["audience","bad_query","result_engagement"]}`)
	browse(t, s)
	names := map[string]bool{}
	for _, line := range w.emitted {
		var m struct{ Name string }
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		names[m.Name] = true
	}
	if !names["page"] || !names["audience"] {
		t.Errorf("told: %v", w.emitted)
	}
	if _, err := bridge.Open(t.Context(), bridge.Options{Questions: []string{"everything"}}, &world{}); err == nil {
		t.Error("a question that does not exist is asked")
	}
}
