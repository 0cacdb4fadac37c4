package discovery_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/testsite"
	"github.com/shoal-project/shoal/internal/golden"
)

// published is the comparison of the Web Discovery Project's client of August
// 2026, as far as our signatures have what it looks at: titles, indexing,
// canonical URLs, lengths, links, password inputs and forms.
func published(before, after discovery.Signature, strict bool) bool {
	out := func(a, b int) bool { r := float64(a) / float64(a+b); return r < 0.1 || r > 0.9 }
	gained := func(a, b int) bool { return a == 0 && b > 0 }
	switch {
	case before.Title == "" || after.Title == "" || !before.Indexable || !after.Indexable:
		return false
	case before.Canonical != after.Canonical && (before.Canonical != "" || after.Canonical == ""):
		return false
	case strict && before.Bytes > 10<<10 && out(before.Bytes, after.Bytes) && out(before.Links, after.Links):
		return false
	case after.Canonical == "" && (gained(before.Passwords, after.Passwords) || gained(before.Forms, after.Forms)):
		return false
	case before.Title == after.Title:
		return true
	}
	a, b := titleTokens(before.Title), titleTokens(after.Title)
	common := 0
	for w := range a {
		if b[w] {
			common++
		}
	}
	share := float64(common) / float64(len(a)+len(b)-common)
	if max(len(a), len(b)) <= 4 {
		return share >= 0.5
	}
	return share > 0.5 && !gained(before.Passwords, after.Passwords) && !gained(before.Forms, after.Forms)
}

func titleTokens(title string) map[string]bool {
	words := make(map[string]bool)
	for w := range strings.SplitSeq(title, " ") {
		if len(w) > 1 {
			words[w] = true
		}
	}
	return words
}

// A tally counts pages of one kind of truth, and how many of them each
// comparison takes for what anybody gets.
type tally struct{ pages, publishedStrict, publishedLax, strict, lax int }

// TestComparisonOnTestSite lets the published comparison and ours judge the
// pages of the test site, as a person with an account is shown them and as
// an anonymous request is, whatever their URLs. -update rewrites the table in the
// documentation.
func TestComparisonOnTestSite(t *testing.T) {
	r, err := discovery.NewRules()
	if err != nil {
		t.Fatal(err)
	}
	site := testsite.New(testsite.Options{Seed: 11, People: 60, Scale: 0.5})
	sums := make(map[testsite.Truth]*tally)
	for i, p := range site.Pages() {
		u, err := discovery.ParseURL(p.URL())
		if err != nil {
			t.Fatal(err)
		}
		person := 5
		if readers := p.Readers(); len(readers) > 0 {
			person = readers[0]
		}
		sign := func(v testsite.View) (discovery.Signature, bool) {
			a := site.Serve(p.Host, p.Target, v)
			if a.Status != 200 || !strings.HasPrefix(a.Type, "text/html") || strings.Contains(strings.ToLower(a.Type), "charset=") && !strings.Contains(strings.ToLower(a.Type), "utf-8") || len(a.Body) > 2<<20 {
				return discovery.Signature{}, false
			}
			var robots []string
			if a.Robots != "" {
				robots = []string{a.Robots}
			}
			s, err := discovery.Sign(u, robots, a.Body)
			return s, err == nil
		}
		before, ok := sign(testsite.View{Person: person, LoggedIn: true, Variation: uint64(2 * i)})
		after, fetched := sign(testsite.Nobody(uint64(2*i + 1)))
		if !ok || !fetched {
			continue // no comparison is asked
		}
		s := sums[p.Truth()]
		if s == nil {
			s = new(tally)
			sums[p.Truth()] = s
		}
		s.pages++
		for n, passes := range map[*int]bool{
			&s.publishedStrict: published(before, after, true), &s.publishedLax: published(before, after, false),
			&s.strict: r.Compare(before, after, discovery.Strict).Verdict == discovery.Public, &s.lax: r.Compare(before, after, discovery.Lax).Verdict == discovery.Public,
		} {
			if passes {
				*n++
			}
		}
	}
	var b strings.Builder
	b.WriteString("| pages of the test site | pages | published, strict | published, lax | ours, strict | ours, lax |\n|---|---:|---:|---:|---:|---:|\n")
	share := func(n, of int) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of)) }
	for _, truth := range []testsite.Truth{testsite.Public, testsite.Login, testsite.Personalised, testsite.Noindex} {
		s := sums[truth]
		if s == nil || s.pages < 20 {
			t.Fatalf("%s: too few pages", truth)
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s | %s |\n", truth, s.pages, share(s.publishedStrict, s.pages), share(s.publishedLax, s.pages), share(s.strict, s.pages), share(s.lax, s.pages))
		switch {
		case truth == testsite.Public && 100*s.strict < 95*s.pages:
			t.Errorf("%d of %d public pages pass strictly", s.strict, s.pages)
		case truth != testsite.Public && s.strict+s.lax > 0:
			t.Errorf("%s: of %d pass %d strictly, %d laxly", truth, s.pages, s.strict, s.lax)
		}
	}
	golden.Sections(t, "testdata/figures.md", map[string]string{"double-fetch": b.String()})
}
