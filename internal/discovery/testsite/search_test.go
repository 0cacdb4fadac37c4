package testsite

import (
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
)

// TestEngines: the rules read what the engines show to an anonymous request, and neither
// advertisements nor what they show to one person.
func TestEngines(t *testing.T) {
	s := New(Options{Seed: 5, People: 30})
	b, err := Rules(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	styles := make(map[string]bool)
	for i := range 40 {
		topic := s.topics[i/2]
		address, query := []func(string) string{finchURL, marlinURL}[i%2], topic.query
		u, err := discovery.ParseURL(address(query) + "&session=12345")
		if err != nil {
			t.Fatal(err)
		}
		search, ok := b.SearchPage(u)
		if !ok || search.Query != query {
			t.Fatalf("%s: read as %q, %t", u, search.Query, ok)
		}
		for _, v := range []View{Nobody(2), {Person: 4, LoggedIn: true}} {
			h, target, ok := s.target(search.Clean.String())
			if !ok {
				t.Fatal(search.Clean)
			}
			page := s.Serve(h, target, v)
			actions, err := b.Extract(search.Clean, page.Body)
			if err != nil {
				t.Fatal(err)
			}
			results := actions[0].Lists["results"]
			if len(results) != len(topic.pages) {
				t.Fatalf("%s: %d results", search.Engine, len(results))
			}
			for _, mark := range []string{"<ol ", "class=\"card\"", "<article ", "application/json"} {
				styles[mark] = styles[mark] || strings.Contains(string(page.Body), mark)
			}
			for i, r := range results {
				if got, want := r["url"], topic.pages[i].URL(); got != want {
					t.Errorf("%s: result %d is %s, want %s", search.Engine, i, got, want)
				}
			}
			if mine := strings.Contains(string(page.Body), "own-"); mine != (v.Person >= 0) {
				t.Errorf("%s: shows something of the person to %d: %t", search.Engine, v.Person, mine)
			}
		}
	}
	for mark, met := range styles {
		if !met {
			t.Errorf("no result page has %s", mark)
		}
	}
	if _, ok := b.SearchPage(mustURL(t, "https://finch.example.net/settings")); ok {
		t.Error("the settings are a result page")
	}
	if s.Popular("a query that nobody else asks") || !s.Popular("  "+strings.ToUpper(s.topics[0].query)) {
		t.Error("what many ask is not told from what one asks")
	}
}

func mustURL(t *testing.T, address string) discovery.URL {
	t.Helper()
	u, err := discovery.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
