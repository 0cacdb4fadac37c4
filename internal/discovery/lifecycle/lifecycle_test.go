package lifecycle_test

import (
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
)

// A page that anybody gets is reported once, by its URL, after the delay.
func TestPublicPage(t *testing.T) {
	b := newBench(t, nil)
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	b.close(1)
	b.wait(59 * time.Minute)
	if len(b.net.log) > 0 {
		t.Fatalf("fetched before the delay: %v", b.net.log)
	}
	b.wait(2 * time.Hour)
	b.want("page https://news.example.org/about")
	if r := b.out[0]; r.Fields["dwell"] != int64(15) || r.Fields["activity"] != int64(1) || r.Day != "2026-11-20" {
		t.Errorf("%v", r.Fields)
	}
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	b.close(1)
	b.wait(3 * time.Hour)
	if len(b.net.log) != 1 || len(b.out) != 1 {
		t.Errorf("a second visit: %d fetches, %d messages", len(b.net.log), len(b.out))
	}
	if n := b.engine.Stats().Pending; n != 0 {
		t.Errorf("%d wait", n)
	}
}

// The shortest URL that yields the same page is the one that is reported.
func TestShortestURL(t *testing.T) {
	b := newBench(t, nil)
	b.visit(1, "https://news.example.org/2026/spring/river-walk?utm_source=letter&utm_x=one", "", lifecycle.Typed)
	b.visit(1, "https://shop.example.com/lamps/desk?color=3", "", lifecycle.Typed)
	b.close(1)
	b.wait(3 * time.Hour)
	b.want("page https://news.example.org/2026/spring/river-walk", "page https://shop.example.com/lamps/desk")
	for _, u := range b.net.urls() {
		if u == "https://news.example.org/2026/spring/river-walk?utm_source=letter&utm_x=one" {
			t.Error("a URL that the rules refuse was fetched")
		}
	}
}

// Other pages of an engine's results are neither searches nor pages, and nothing
// is fetched for them.
func TestOtherResultPages(t *testing.T) {
	b := newBench(t, nil)
	b.visit(1, "https://finch.example.net/search?page=2", "", lifecycle.Typed)
	b.close(1)
	b.wait(4 * time.Hour)
	if len(b.net.log) > 0 || len(b.out) > 0 || b.engine.Stats().Pending > 0 {
		t.Errorf("%d fetches, %d messages, %d wait", len(b.net.log), len(b.out), b.engine.Stats().Pending)
	}
}

// A search is reported with its engine; the page that was opened from it too.
func TestSearch(t *testing.T) {
	b := newBench(t, nil)
	b.visit(1, search("river walk")+"&source=x", "", lifecycle.Typed)
	b.visit(1, "https://news.example.org/2026/spring/river-walk", "https://finch.example.net/", lifecycle.Link)
	b.visit(1, "https://news.example.org/about", "https://news.example.org/2026/spring/river-walk", lifecycle.Link)
	b.visit(1, search("very special words"), "", lifecycle.Typed)
	b.visit(1, search("call me on 0309 555 1234"), "", lifecycle.Typed)
	b.close(1)
	b.wait(4 * time.Hour)
	b.want("query river walk finch", "page https://news.example.org/2026/spring/river-walk",
		"page_query https://news.example.org/2026/spring/river-walk river walk finch", "page https://news.example.org/about")
}

// What a login changes is private for ever, and so is what it leads to.
func TestPrivate(t *testing.T) {
	for _, url := range []string{
		"https://mail.example.com/folder", "https://mail.example.com/news", "https://wall.example.com/feed", "https://paper.example.org/draft",
		"https://files.example.org/i/9f86d081884c7d65", "https://nowhere.example.org/",
	} {
		b := newBench(t, nil)
		b.visit(1, url, "", lifecycle.Typed)
		b.close(1)
		b.wait(3 * time.Hour)
		fetches := len(b.net.log)
		b.net.pages[url] = site{shown: html("Open now", "")}
		b.visit(1, url, "", lifecycle.Typed)
		b.visit(1, "https://news.example.org/about", url, lifecycle.Link)
		b.close(1)
		b.wait(3 * time.Hour)
		if url == "https://nowhere.example.org/" {
			continue // it had no signature
		}
		b.want()
		if len(b.net.log) != fetches {
			t.Errorf("%s: fetched again: %v", url, b.net.urls())
		}
	}
}

// Three failures of the network make a page private.
func TestAttempts(t *testing.T) {
	b := newBench(t, nil)
	b.visit(1, "https://weak.example.org/page", "", lifecycle.Typed)
	b.close(1)
	b.wait(5 * time.Hour)
	if len(b.net.log) != 3 || b.engine.Stats().Withheld != 1 {
		t.Errorf("%d attempts, %+v", len(b.net.log), b.engine.Stats())
	}
}

// A page whose URL the strict rules refuse is fetched only after a page that
// was fetched anonymously was found to link to it.
func TestPublicLink(t *testing.T) {
	const list = "https://news.example.org/list?topic=valley&part=second"
	b := newBench(t, nil)
	b.visit(1, "https://news.example.org/", "", lifecycle.Typed)
	b.visit(1, list, "https://news.example.org/", lifecycle.Link)
	b.close(1)
	b.wait(4 * time.Hour)
	b.want("page https://news.example.org/", "page "+list)
	if s := b.engine.Stats(); s.FetchesLinked != 1 || s.FetchesEvidence != 1 {
		t.Errorf("%+v", s)
	}
	b = newBench(t, nil)
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	b.visit(1, list, "https://news.example.org/about", lifecycle.Link)
	b.close(1)
	b.wait(4 * time.Hour)
	b.want("page https://news.example.org/about")
}
