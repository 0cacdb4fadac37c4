package lifecycle_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/discovery/lifecycle"
)

// A lifecycleCase plays what an entry of discovery/testdata/cases.json says, and
// returns what is wrong.
type lifecycleCase func(t *testing.T) string

// unfetched plays a typed visit to a page that is equal for everybody.
func unfetched(url string) lifecycleCase {
	return func(t *testing.T) string {
		b := newBench(t, nil)
		b.net.pages[url] = site{shown: html("A page that anybody gets", "")}
		b.visit(1, url, "", lifecycle.Typed)
		b.close(1)
		b.wait(3 * time.Hour)
		if len(b.net.log) > 0 || len(b.out) > 0 {
			return "fetched or reported"
		}
		return ""
	}
}

// section plays a visit to the heading of an article.
func section(t *testing.T) string {
	const story = "https://news.example.org/story-of-the-river"
	b := newBench(t, nil)
	shown := site{shown: html("The story of the river", "")}
	b.net.pages[story], b.net.pages[story+"#the-second-part-of-the-story"] = shown, shown
	b.visit(1, story+"#the-second-part-of-the-story", "", lifecycle.Typed)
	b.close(1)
	b.wait(3 * time.Hour)
	if !slices.Contains(b.said(), "page "+story) {
		return "not reported"
	}
	return ""
}

func notPlayed(*testing.T) string { return "not played yet" }

// TestCases runs the cases of the lifecycle. Those that are not right yet are
// listed; the list may only shrink.
func TestCases(t *testing.T) {
	cases := map[string]lifecycleCase{
		"typed visit to https://seite.example.de/abmelden/8127, page equal for everybody":                                                    unfetched("https://seite.example.de/abmelden/8127"),
		"typed visit to https://boutique.example.fr/commande/58213, page equal for everybody":                                                unfetched("https://boutique.example.fr/commande/58213"),
		"typed visit to https://checkin.air.example.com/boardingpass/XK9QZP/MUELLER":                                                         unfetched("https://checkin.air.example.com/boardingpass/XK9QZP/MUELLER"),
		"page at …/story-of-the-river#the-second-part-of-the-story":                                                                          section,
		"equal page with one password input and 2,500 characters of text, canonical = itself, linked from an anonymously fetched front page": notPlayed,
		"peer fixture goetze-wm-2014-tor": notPlayed,
	}
	known := []string{
		"equal page with one password input and 2,500 characters of text, canonical = itself, linked from an anonymously fetched front page",
		"peer fixture goetze-wm-2014-tor",
	}
	data, err := os.ReadFile("../testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct{ Kind, Input, Expected string }
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	played := 0
	for _, c := range file.Cases {
		if c.Kind != "lifecycle" {
			continue
		}
		played++
		play := cases[c.Input]
		if play == nil {
			t.Fatalf("no check for %q", c.Input)
		}
		switch got, listed := play(t), slices.Contains(known, c.Input); {
		case got == "" && listed:
			t.Errorf("%q is right: remove it from the known failures", c.Input)
		case got != "" && !listed:
			t.Errorf("%q: %s, want %s", c.Input, got, c.Expected)
		case got != "":
			t.Logf("known failure: %q: %s, want %s", c.Input, got, c.Expected)
		}
	}
	if played != len(cases) {
		t.Errorf("%d cases of the lifecycle, want %d", played, len(cases))
	}
}
