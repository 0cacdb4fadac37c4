package lifecycle_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

func marlin(words string) string {
	return "https://marlin.example.org/find?query=" + words
}

func marlinResults() string {
	var b strings.Builder
	b.WriteString("<title>Marlin: river walk</title><div class=hits>")
	for i := range 5 {
		u := fmt.Sprintf("https://news.example.org/story-%c", 'a'+i)
		fmt.Fprintf(&b, `<article><a class=hit href="/go?to=%s"><span class=headline>A story, part %c</span></a></article>`, url.QueryEscape(u), 'a'+i)
	}
	return b.String() + "</div>"
}

// asked makes a bench with questions.
func asked(t *testing.T, q ...lifecycle.Question) *bench {
	t.Helper()
	return newBench(t, func(c *lifecycle.Config) { c.Questions = q })
}

// only returns what was reported under one name.
func (b *bench) only(name string) []string {
	var all []string
	for _, r := range b.out {
		if r.Name == name {
			all = append(all, fmt.Sprint(r.Fields))
		}
	}
	return all
}

// A page of a site on the first visit of a day, once a day.
func TestAudience(t *testing.T) {
	// With random(1) one of the pages would be among the 1 % that the filter of
	// private pages takes for private by chance.
	b := newBench(t, func(c *lifecycle.Config) {
		c.Questions, c.Rand = []lifecycle.Question{lifecycle.Audience()}, random(3)
	})
	for d := range 3 {
		b.now = start.Add(time.Duration(d) * 24 * time.Hour)
		b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
		b.visit(1, "https://news.example.org/", "", lifecycle.Typed)
		b.visit(1, "https://mail.example.com/news", "", lifecycle.Typed) // private
		b.close(1)
		b.wait(3 * time.Hour)
		if got := b.only("audience"); len(got) != d+1 || got[d] != "map[host:news.example.org]" {
			t.Fatalf("day %d: %v", d, got)
		}
		b.restart()
	}
	if got := b.only("page"); len(got) != 2 {
		t.Errorf("pages are told of again with a question: %v", got)
	}
}

// A search on a second engine within an hour, reported once, whichever is fetched first.
func TestBadQueries(t *testing.T) {
	engines := map[string]func(string) string{"finch": search, "marlin": marlin}
	for name, c := range map[string]struct {
		first, second string
		apart         time.Duration
		want          int
	}{
		"second engine":      {"finch", "marlin", 10 * time.Minute, 1},
		"the other way":      {"marlin", "finch", 10 * time.Minute, 1},
		"same engine":        {"finch", "finch", 10 * time.Minute, 0},
		"more than an hour":  {"finch", "marlin", 70 * time.Minute, 0},
		"just under an hour": {"finch", "marlin", 58 * time.Minute, 1},
	} {
		b := asked(t, lifecycle.BadQueries())
		b.net.pages[marlin("river+walk")] = site{shown: marlinResults()}
		b.visit(1, engines[c.first]("river+walk"), "", lifecycle.Typed)
		b.now = b.now.Add(c.apart)
		b.visit(2, engines[c.second]("river+walk"), "", lifecycle.Typed)
		b.wait(2 * time.Hour)
		got := b.only("bad_query")
		if len(got) != c.want {
			t.Errorf("%s: %v (%v)", name, got, b.said())
			for _, tr := range b.traces {
				t.Log(tr, tr.URL, tr.Reason, tr.Decision.Why())
			}
		}
		if len(got) > 0 && got[0] != fmt.Sprintf("map[engine:%s query:river walk second:%s]", c.first, c.second) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// The memory of a question is bounded, and so is how long it lasts.
func TestMemory(t *testing.T) {
	seen := make(map[string]bool)
	q := lifecycle.Audience()
	q.Entries, q.Retention = 2, 5*time.Hour
	inner := q.Ask
	q.Ask = func(m *lifecycle.Memory, o lifecycle.Observation) map[string]any {
		seen[o.Page.URL().Host()] = true
		answer := inner(m, o)
		if o.Page.URL().Host() == "c.example.org" {
			if _, _, ok := m.Get("a.example.org", o.Visited.Format(time.DateOnly)); ok {
				t.Error("the oldest of three entries is there, two are allowed")
			}
		}
		return answer
	}
	b := asked(t, q)
	for _, host := range []string{"a", "d", "c"} {
		u := "https://" + host + ".example.org/page"
		b.net.pages[u] = site{shown: html("Page of "+host, "")}
		b.visit(1, u, "", lifecycle.Typed)
		b.close(1)
		b.wait(100 * time.Minute)
	}
	if len(seen) != 3 || len(b.only("audience")) != 3 {
		t.Fatalf("%v %v", seen, b.said())
	}
	n := records(t, b.config.Store)
	b.wait(6 * time.Hour)
	if m := records(t, b.config.Store); m != n-1 {
		t.Errorf("%d records, want one fewer than %d: the memory is stale", m, n)
	}
}

// An answer that does not fit its schema is dropped with a reason.
func TestBadAnswer(t *testing.T) {
	q := lifecycle.Audience()
	q.Ask = func(*lifecycle.Memory, lifecycle.Observation) map[string]any {
		return map[string]any{"host": "any.example.org"}
	}
	b := asked(t, q)
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	b.close(1)
	b.wait(3 * time.Hour)
	b.want("page https://news.example.org/about")
	dropped := false
	for _, tr := range b.traces {
		dropped = dropped || tr.Stage == lifecycle.StageQuestion && tr.Outcome == lifecycle.Dropped
	}
	if !dropped {
		t.Error("no trace of it")
	}
}

// How long pages are looked at that were reached from a search.
func TestResultEngagement(t *testing.T) {
	b := asked(t, lifecycle.ResultEngagement())
	b.visit(1, search("river walk"), "", lifecycle.Typed)
	b.visit(1, "https://news.example.org/about", search("river walk"), lifecycle.Link)
	b.visit(1, "https://news.example.org/", "", lifecycle.Typed)
	b.close(1)
	b.wait(4 * time.Hour)
	if got := b.only("result_engagement"); len(got) != 1 || got[0] != "map[dwell:15 engine:finch]" {
		t.Errorf("%v", got)
	}
}

// The schemas of the questions pass the linter without a refusal.
func TestQuestionSchemas(t *testing.T) {
	for _, q := range []lifecycle.Question{lifecycle.BadQueries(), lifecycle.Audience(), lifecycle.ResultEngagement()} {
		for _, f := range message.Lint(q.Schema) {
			if f.Refused {
				t.Errorf("%s: %s", q.Name, f)
			}
			t.Log(q.Name, f)
		}
	}
}
