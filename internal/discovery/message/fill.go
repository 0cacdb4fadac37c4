package message

import (
	"fmt"
	"strings"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
)

// page judges a page and returns its clean URL.
func (g *gate) page(p *Page) string {
	d := g.config.Rules.Page(p.page.URL(), p.evidence())
	g.level = d.Strictness
	url := g.take(d)
	switch b := g.rules; {
	case b != nil && b.ResultPage(p.page.URL()):
		g.refuse(RuleSearch, url, "a result page")
	default:
		g.pass(RuleSearch, url)
	}
	switch {
	case g.refused:
	case !p.sig.Indexable:
		g.refuse(RuleNoindex, url, "the page forbids to index it")
	default:
		g.pass(RuleNoindex, url)
	}
	g.take(g.config.Rules.Title(p.sig.Title))
	return url
}

func (e engaged) fill(g *gate) map[string]any {
	s := pageSchema()
	return map[string]any{
		"url":      g.page(e.page),
		"dwell":    s.field("dwell").bucket(int64(e.done.Dwell.Seconds())),
		"activity": s.field("activity").bucket(e.done.activity()),
	}
}

// activity counts which of five kinds of things were done at all, not how often.
func (e Engagement) activity() int64 {
	kinds := int64(0)
	for _, n := range []int{e.Scrolls, e.Mouse, e.Links, e.Keys, e.Copies} {
		if n > 0 {
			kinds++
		}
	}
	return kinds
}

func (t titled) fill(g *gate) map[string]any {
	url := g.page(t.page)
	return map[string]any{"url": url, "title": g.config.Rules.Title(t.page.sig.Title).Text, "language": primary(t.page.sig.Language)}
}

// primary returns the primary subtag of a language, "und" if it is not a valid one.
func primary(tag string) string {
	first, _, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(tag), "_", "-"), "-")
	if len(first) < 2 || len(first) > 3 || strings.Trim(first, "abcdefghijklmnopqrstuvwxyz") != "" {
		return "und"
	}
	return first
}

func (a afterQuery) fill(g *gate) map[string]any {
	if a.depth != 1 {
		g.refuse(RuleDepth, fmt.Sprint(a.depth), "not straight from the results")
		return nil
	}
	g.pass(RuleDepth, "1")
	url := g.page(a.page)
	return map[string]any{"url": url, "query": g.search(a.search), "engine": a.search.Engine}
}

func (a afterPage) fill(g *gate) map[string]any {
	url := g.page(a.page)
	d := g.config.Rules.Referrer(a.referrer)
	if d.Verdict == discovery.Mask {
		// Masked is all that a referrer may be, and is enough.
		g.pass(discovery.RuleReferrer, a.referrer)
	} else {
		g.take(d)
	}
	return map[string]any{"url": url, "referrer": d.Text}
}

// search judges the words of a search, and that a bundle knows the engine.
func (g *gate) search(s bundle.Search) string {
	words := g.take(g.config.Rules.Query(s.Query))
	if g.rules == nil {
		g.refuse(RuleEngine, s.Engine, "there is no bundle")
		return ""
	}
	if !g.now.Before(g.rules.Expires()) {
		g.refuse(RuleEngine, s.Engine, "the bundle has expired")
		return ""
	}
	again, ok := g.rules.SearchPage(s.Clean)
	if !ok || again != s {
		g.refuse(RuleEngine, s.Engine, "the bundle does not know the search")
		return ""
	}
	if !g.refused {
		g.pass(RuleEngine, s.Engine)
	}
	return words
}

// safe returns the clean URL of a result, or nothing. That an anonymous result
// page lists it is evidence.
func (g *gate) safe(item bundle.Item) string {
	rules := g.config.Rules
	d := rules.URL(item["url"], discovery.Evidence{Listed: true})
	if d.Verdict != discovery.Public {
		return ""
	}
	if title := item["title"]; title != "" && rules.Title(title).Verdict != discovery.Public {
		return ""
	}
	return d.Text
}

// results refuses a search that has too few results that may be reported.
func (g *gate) results(q *Query) {
	seen := make(map[string]bool)
	for _, item := range q.results[:min(len(q.results), maxResults)] {
		if url := g.safe(item); url != "" {
			seen[url] = true
		}
	}
	if len(seen) < leastResults {
		g.refuse(RuleResults, fmt.Sprint(len(seen)), fmt.Sprintf("fewer than %d results that may be told", leastResults))
		return
	}
	g.pass(RuleResults, fmt.Sprint(len(seen)))
}

func (q *Query) fill(g *gate) map[string]any {
	words := g.search(q.search)
	if !g.refused {
		g.results(q)
	}
	return map[string]any{"query": words, "engine": q.search.Engine}
}

func (r result) fill(g *gate) map[string]any {
	fields := r.query.fill(g)
	if g.refused {
		return nil
	}
	item := r.query.results[r.i]
	url := g.safe(item)
	if url == "" {
		g.refuse(RuleResults, item["url"], "the result may not be told")
		return nil
	}
	g.level = discovery.Lax
	fields["url"], fields["rank"] = url, int64(r.i+1)
	return fields
}

func (a *Answer) fill(g *gate) map[string]any {
	fields := make(map[string]any, len(a.values))
	for i := range a.schema.Fields {
		f := &a.schema.Fields[i]
		if f.enveloped() || g.refused {
			continue
		}
		switch v := a.values[f.Name].(type) {
		case *Page:
			url := g.page(v)
			if f.Kind == Host {
				url = v.URL().Host()
			}
			fields[f.Name] = url
		case int64:
			fields[f.Name] = f.bucket(v)
		case string:
			switch f.Kind {
			case Words:
				v = g.take(g.config.Rules.Query(v))
			case Engine:
				if g.rules == nil || !known(g.rules, v) {
					g.refuse(RuleEngine, v, "the bundle does not know the engine")
				}
			}
			fields[f.Name] = v
		}
	}
	return fields
}

func known(b *bundle.Bundle, engine string) bool {
	for _, name := range b.Engines() {
		if name == engine {
			return true
		}
	}
	return false
}
