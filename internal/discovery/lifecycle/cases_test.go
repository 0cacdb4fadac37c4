package lifecycle_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
)

// A lifecycleCase plays an entry of discovery/testdata/cases.json, and
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

// loginBox plays a visit to an article of 2,500 characters with a box to log in,
// to which a front page links that was fetched anonymously.
func loginBox(t *testing.T) string {
	const home, story = "https://paper.example.org/", "https://paper.example.org/walks/river"
	b := newBench(t, nil)
	text := html("A walk along the river", canonical(story)+"<form><input name=user><input type=password></form>")
	u, err := discovery.ParseURL(story)
	if err != nil {
		t.Fatal(err)
	}
	for {
		sig, err := discovery.Sign(u, nil, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if sig.Text >= 2500 {
			break
		}
		text += "<p>One more line of a long walk along the river.</p>"
	}
	b.net.pages[home] = site{shown: html("The paper", `<a href="/walks/river">A walk</a>`)}
	b.net.pages[story] = site{shown: text}
	b.visit(1, home, "", lifecycle.Typed)
	b.visit(1, story, home, lifecycle.Link)
	b.close(1)
	b.wait(5 * time.Hour)
	if !slices.Contains(b.said(), "page "+story) {
		return "not reported"
	}
	return ""
}

// videos plays a search whose results are videos for the most part, each known by
// a random identifier, as in the peer's fixture (whose page is not ours to copy).
func videos(t *testing.T) string {
	b := newBench(t, nil)
	urls := make([]string, 0, 10)
	for _, id := range []string{"TExcZ-6l1Pa", "YjWllGdNJTE", "t8xm_Jngtub", "j_huXT3I-AR", "lv_0zPUTdQE", "1RJ6O8Yxjl4", "AY-BzW8X06v", "h67gj4VA8z1"} {
		urls = append(urls, "https://www.videos.example.com/watch?v="+id)
	}
	urls = append(urls, "https://www.dfb.example.de/news/detail/siegtreffer-ist-das-tor-des-jahrzehnts-215608/", "https://www.zeitung.example.de/sport/wm-2014-tor-finale-1.4971888")
	b.net.pages[search("goetze wm 2014 tor")] = site{shown: results("goetze wm 2014 tor", urls...)}
	b.visit(1, search("goetze wm 2014 tor"), "", lifecycle.Typed)
	b.close(1)
	b.wait(3 * time.Hour)
	if !slices.Contains(b.said(), "query goetze wm 2014 tor finch") {
		return "not reported"
	}
	return ""
}

// TestCases runs the cases of the lifecycle.
func TestCases(t *testing.T) {
	cases := map[string]lifecycleCase{
		"typed visit to https://seite.example.de/abmelden/8127, page equal for everybody":                                                    unfetched("https://seite.example.de/abmelden/8127"),
		"typed visit to https://boutique.example.fr/commande/58213, page equal for everybody":                                                unfetched("https://boutique.example.fr/commande/58213"),
		"typed visit to https://checkin.air.example.com/boardingpass/XK9QZP/MUELLER":                                                         unfetched("https://checkin.air.example.com/boardingpass/XK9QZP/MUELLER"),
		"page at …/story-of-the-river#the-second-part-of-the-story":                                                                          section,
		"equal page with one password input and 2,500 characters of text, canonical = itself, linked from an anonymously fetched front page": loginBox,
		"peer fixture goetze-wm-2014-tor": videos,
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
		if got := play(t); got != "" {
			t.Errorf("%q: %s, want %s", c.Input, got, c.Expected)
		}
	}
	if played != len(cases) {
		t.Errorf("%d cases of the lifecycle, want %d", played, len(cases))
	}
}
