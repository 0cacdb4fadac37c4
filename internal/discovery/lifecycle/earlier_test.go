package lifecycle_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
)

// TestEarlierStore: the engine goes on from a store that the version of 2026-11-30
// wrote: what waited is fetched and reported, what was private stays so, and what was
// reported is not reported again.
func TestEarlierStore(t *testing.T) {
	saved, err := os.ReadFile(filepath.Join("testdata", "store-2026-11-30"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "store"), saved, 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := lifecycle.OpenFileStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	b := newBench(t, func(c *lifecycle.Config) {
		c.Store = store
		c.Questions = []lifecycle.Question{lifecycle.Audience(), lifecycle.BadQueries()}
	})
	b.now = start.Add(3 * time.Hour)
	const story, lamp = "https://news.example.org/2026/spring/river-walk", "https://shop.example.com/lamps/desk"
	var waiting []string
	for _, p := range b.engine.Pending() {
		waiting = append(waiting, p.URL)
	}
	slices.Sort(waiting)
	want := []string{"https://finch.example.net/search?q=goetze+wm+tor", story, "https://news.example.org/about", lamp + "?color=3"}
	if !slices.Equal(waiting, want) {
		t.Fatalf("waiting:\n%q\nwant\n%q", waiting, want)
	}
	b.net.pages[search("goetze wm tor")] = site{shown: results("goetze wm tor", "https://news.example.org/", "https://news.example.org/about", "https://news.example.org/list", lamp)}
	b.visit(5, "https://mail.example.com/news", "", lifecycle.Typed) // it is private since
	b.close(5)
	b.visit(6, search("river walk"), "", lifecycle.Typed) // it was reported
	b.close(6)
	b.wait(4 * time.Hour)
	b.want("audience news.example.org", "audience shop.example.com", "page "+lamp, "page "+story, "page https://news.example.org/about",
		"page_query "+story+" river walk finch", "query goetze wm tor finch")
}
