package bridge_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/internal/discovery/bridge"
)

// A web is a Host with several pages; it records what is asked.
type web struct {
	world
	pages map[string]string
	asked []string
	down  bool
}

func (w *web) Fetch(_ context.Context, url string) (bridge.Answer, error) {
	w.asked = append(w.asked, url)
	if w.down {
		return bridge.Answer{}, errors.New("no network")
	}
	body, ok := w.pages[url]
	if !ok {
		return bridge.Answer{Status: 404, Address: "93.184.216.34", ContentType: "text/html"}, nil
	}
	return bridge.Answer{Status: 200, Address: "93.184.216.34", ContentType: "text/html", Body: []byte(body)}, nil
}

// TestClean holds which address is found for sharing, and what is fetched for it.
func TestClean(t *testing.T) {
	const login = "<title>Log in</title><form><input type=password></form>"
	for name, c := range map[string]struct {
		url, shown        string
		pages             map[string]string
		link, stage, rule string
		asked             []string
	}{
		"tracking is taken off": {
			url: page + "?utm_source=letter&utm_medium=email", shown: html(), pages: map[string]string{page: html()},
			link: page, stage: "shorter", asked: []string{page},
		},
		"a query that does not matter": {
			url: page + "?from=home", pages: map[string]string{page: html(), page + "?from=home": html()},
			link: page, stage: "shorter", asked: []string{page + "?from=home", page},
		},
		"a query that matters": {
			url: page + "?part=two", pages: map[string]string{page: "<title>Another</title><p>words of another page</p>", page + "?part=two": html()},
			link: page + "?part=two", stage: "shorter", asked: []string{page + "?part=two", page},
		},
		"the canonical address in place of one that is refused": {
			url: page + "?session=a8Kq02LmX9z", shown: `<link rel=canonical href="` + page + `">` + html(), pages: map[string]string{page: `<link rel=canonical href="` + page + `">` + html()},
			link: page, stage: "shorter", asked: []string{page},
		},
		"a token in the fragment": {url: page + "#access_token=a8Kq02LmX9zPq77", stage: "address", rule: "url.fragment"},
		"a capability link is not fetched": {
			url: "https://files.example.org/s/9f86d081884c7d659a2feaa0c55ad015", stage: "address", rule: "path.token",
		},
		"what only the person sees": {
			url: page, shown: "<title>Your orders</title><p>the orders of one person, and what they cost</p>", pages: map[string]string{page: html()},
			stage: "page", rule: "compare.title", asked: []string{page},
		},
		"a login behind the shorter address": {
			url: page + "?from=home", pages: map[string]string{page: login, page + "?from=home": html()},
			stage: "page", asked: []string{page + "?from=home", page},
		},
		"a page that is gone for others": {url: page, shown: html(), stage: "page", asked: []string{page}},
		"no address":                     {url: "about:blank", stage: "address", rule: "url.scheme"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &web{pages: c.pages}
			s := openWeb(t, w)
			text, err := s.Clean(t.Context(), c.url, []byte(c.shown))
			if err != nil {
				t.Fatal(err)
			}
			var got bridge.Link
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			if got.URL != c.link || got.Stage != c.stage || c.rule != "" && got.Decision.Rule != c.rule || !slices.Equal(w.asked, c.asked) {
				t.Errorf("got %s after asking for %q, want %q by stage %q and rule %q after %q", text, w.asked, c.link, c.stage, c.rule, c.asked)
			}
			if len(w.emitted)+len(w.traces) > 0 {
				t.Errorf("something was reported: %q, %q", w.emitted, w.traces)
			}
		})
	}
	s := openWeb(t, &web{down: true})
	if text, err := s.Clean(t.Context(), page, nil); err == nil {
		t.Errorf("without a network: %s", text)
	}
}

func openWeb(t *testing.T, w *web) *bridge.Session {
	t.Helper()
	s, err := bridge.Open(t.Context(), bridge.Options{}, w)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
