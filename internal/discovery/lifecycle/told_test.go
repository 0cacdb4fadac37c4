package lifecycle_test

import (
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
)

// Words that few results make too special to be reported do not leave with the page
// that was opened from them either.
func TestSpecialSearch(t *testing.T) {
	b := newBench(t, nil)
	b.visit(1, search("very special words"), "", lifecycle.Typed)
	b.visit(1, "https://news.example.org/about", search("very special words"), lifecycle.Link)
	b.close(1)
	b.wait(4 * time.Hour)
	b.want("page https://news.example.org/about")
}

// What a long fragment names is not what the URL without it leads to: nothing is
// reported or fetched of it, and it does not make private what follows.
func TestFragment(t *testing.T) {
	b := newBench(t, nil)
	b.visit(1, "https://news.example.org/list#key=9f86d081884c7d65", "", lifecycle.Typed)
	b.visit(1, "https://news.example.org/about", "https://news.example.org/list", lifecycle.Link)
	b.close(1)
	b.wait(4 * time.Hour)
	b.want("page https://news.example.org/about")
	for _, tr := range b.traces {
		if tr.Decision.Rule == discovery.RuleFragment && tr.Outcome == lifecycle.Refused {
			return
		}
	}
	t.Error("no trace says that the fragment was refused")
}

// A search in other letters is the same search.
func TestSameSearch(t *testing.T) {
	b := newBench(t, nil)
	b.net.pages[search("River Walk")] = b.net.pages[search("river walk")]
	for _, words := range []string{"river walk", "River Walk", "river walk"} {
		b.visit(1, search(words), "", lifecycle.Typed)
		b.close(1)
		b.wait(time.Hour)
	}
	b.want("query river walk finch")
}
