package lifecycle_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// A tab that a private tab opened stays private, wherever it goes.
func TestPrivateTabOpens(t *testing.T) {
	const about, list = "https://news.example.org/about", "https://news.example.org/list"
	b := newBench(t, nil)
	b.do(lifecycle.Event{Kind: lifecycle.Private, Tab: 5, On: true})
	b.visit(5, "https://news.example.org/", "", lifecycle.Typed)
	b.do(lifecycle.Event{Kind: lifecycle.Navigated, Tab: 7, URL: about, Opener: 5, Transition: lifecycle.Link})
	b.visit(7, list, about, lifecycle.Link)
	b.close(7)
	b.visit(7, "https://shop.example.com/lamps/desk", "", lifecycle.Typed) // another tab of the same number
	b.close(7)
	b.wait(3 * time.Hour)
	b.want("page https://shop.example.com/lamps/desk")
}

// What private mode saw, or was cleared, is not kept, or asked for, because a
// later page names it as its referrer.
func TestForgottenReferrers(t *testing.T) {
	const front, linked = "https://news.example.org/", "https://news.example.org/list?topic=valley&part=second"
	for name, c := range map[string]struct {
		steps func(*bench)
		want  bool
	}{
		"seen": {func(b *bench) { b.visit(1, front, "", lifecycle.Typed) }, true},
		"in private mode": {func(b *bench) {
			b.do(lifecycle.Event{Kind: lifecycle.Private, On: true})
			b.visit(1, front, "", lifecycle.Typed)
			b.do(lifecycle.Event{Kind: lifecycle.Private})
		}, false},
		"in a private tab": {func(b *bench) {
			b.do(lifecycle.Event{Kind: lifecycle.Private, Tab: 1, On: true})
			b.visit(1, front, "", lifecycle.Typed)
			b.do(lifecycle.Event{Kind: lifecycle.Private, Tab: 1})
		}, false},
		"cleared": {func(b *bench) {
			b.visit(1, front, "", lifecycle.Typed)
			b.do(lifecycle.Event{Kind: lifecycle.Cleared})
		}, false},
		"cleared alone": {func(b *bench) {
			b.visit(1, front, "", lifecycle.Typed)
			b.do(lifecycle.Event{Kind: lifecycle.Cleared, URL: front})
		}, false},
	} {
		b := newBench(t, nil)
		c.steps(b)
		b.visit(1, linked, front, lifecycle.Link) // its address needs a public link
		b.close(1)
		b.wait(5 * time.Hour)
		if got := slices.Contains(b.net.urls(), front); got != c.want {
			t.Errorf("%s: the page before was asked for: %v, want %v", name, got, c.want)
		}
	}
}

// Nothing goes from https to http because a page calls that its canonical URL.
func TestNoDowngrade(t *testing.T) {
	const plain, shown = "http://news.example.org/walk", "https://news.example.org/walk?utm_source=letter&utm_x=one"
	b := newBench(t, nil)
	body := html("A walk", canonical(plain))
	b.net.pages[plain], b.net.pages[shown], b.net.pages["https://news.example.org/walk"] = site{shown: body}, site{shown: body}, site{shown: body}
	for _, u := range []string{shown, "https://news.example.org/walk"} {
		b.visit(1, u, "", lifecycle.Typed)
		b.close(1)
		b.wait(3 * time.Hour)
	}
	if slices.Contains(b.net.urls(), plain) {
		t.Errorf("asked for in the open: %v", b.net.urls())
	}
	b.want("page https://news.example.org/walk")
}

// A history that is cleared while a message is on its way to the outbox takes
// that message along.
func TestClearDuringEmit(t *testing.T) {
	var b *bench
	var box []string
	b = newBench(t, func(c *lifecycle.Config) {
		c.Facts.Titles = true
		c.Emit = func(r message.Record) error {
			b.do(lifecycle.Event{Kind: lifecycle.Cleared}) // before the outbox has it
			box = append(box, r.Name)
			return nil
		}
		c.Purge = func(context.Context) error { b.purged++; box = nil; return nil }
	})
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	b.close(1)
	b.wait(3 * time.Hour)
	if b.purged != 2 || len(box) > 0 {
		t.Errorf("purged %d times, in the outbox are %v", b.purged, box)
	}
}

// Searches are not recognised by a bundle that expired while it was in use, and
// their pages are no pages all the same.
func TestBundleExpires(t *testing.T) {
	b := newBench(t, nil)
	b.now = b.config.Bundle.Expires()
	b.visit(1, search("river walk"), "", lifecycle.Typed)
	b.close(1)
	b.wait(3 * time.Hour)
	b.want()
	if len(b.net.log) > 0 || len(b.engine.Pending()) > 0 {
		t.Errorf("asked for %v", b.net.urls())
	}
}

// Clearing a result page, by whatever URL it was shown, takes along the search
// and the pages that hold its words.
func TestClearSearch(t *testing.T) {
	shown := search("river walk") + "&page_size=20"
	b := newBench(t, nil)
	b.visit(1, shown, "", lifecycle.Typed)
	b.visit(1, "https://news.example.org/about", shown, lifecycle.Link)
	b.visit(1, "https://news.example.org/", "", lifecycle.Typed)
	b.close(1)
	if n := records(t, b.config.Store); n != 3 {
		t.Fatalf("%d records, want those of a search and two pages", n)
	}
	b.do(lifecycle.Event{Kind: lifecycle.Cleared, URL: shown})
	if n := records(t, b.config.Store); n != 1 {
		t.Errorf("%d records are left, want that of the other page", n)
	}
	b.wait(3 * time.Hour)
	b.want("page https://news.example.org/")
}

// A page that is still open when the page before it is cleared is not
// reported later, and keeps nothing of it.
func TestClearBefore(t *testing.T) {
	const front, about = "https://news.example.org/", "https://news.example.org/about"
	b := newBench(t, nil)
	b.visit(1, front, "", lifecycle.Typed)
	b.visit(1, about, front, lifecycle.Link)
	b.do(lifecycle.Event{Kind: lifecycle.Cleared, URL: front})
	if n := records(t, b.config.Store); n != 0 {
		t.Errorf("%d records are left", n)
	}
	b.close(1)
	b.wait(3 * time.Hour)
	b.want()
	if len(b.net.log) > 0 {
		t.Errorf("asked for %v", b.net.urls())
	}
}
