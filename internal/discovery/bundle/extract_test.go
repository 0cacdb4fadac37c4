package bundle

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// What the invented engines answer; docs/spec/rule-bundles.md shows both.
const (
	finchList = `<!doctype html><html lang=en><head><title>tea - Finch</title></head><body>
<form action="/search"><input name="q" value=" green  tea "></form>
<section class="personal"><a href="https://mail.example.com/read/your-own-letter">From your mail</a></section>
<ol id="results">
<li class="result ad"><h3><a href="https://ads.example.net/click/3">A product that is paid for</a></h3></li>
<li class="result"><h3><a href="https://herald.example.org/tea?utm_source=finch#top">All about <b>tea</b></a></h3><p class="snippet">Leaves,
 and water.</p></li>
<li class="result"><h3><a href="/help">Help</a></h3><p class="snippet">No description.</p></li>
<li class="result"><h3>No link</h3></li>
<li class="result"><h3><a href="javascript:alert(1)">A trick</a></h3></li>
</ol><div id="related"><a class="suggestion" href="/search?q=black+tea">black</a><a class="suggestion">white tea</a></div></body></html>`

	finchCards = `<body><input class=words value=tea><main>
<div class=card><a class=go href=https://ads.example.net/1>Paid by place</a></div>
<div class=card><div><p><span class=sponsor-note>paid</span></p></div><a class=go href=https://ads.example.net/2>Paid by note</a></div>
<div class=card><a class=go href="/out?to=https%3A%2F%2Fherald.example.org%2Ftea">Tea</a></div>
<div class=card><a class=go href=https://papers.example.org/tea>More tea</a></div></main>`

	marlinArticles = `<div class="hits"><article data-rank="1"><a class="hit" href="/go?to=https%3A%2F%2Fherald.example.org%2Ftea"><span class="headline">Tea</span></a></article>
<article data-rank="0" class="mine"><a class="hit" href="/go?to=https%3A%2F%2Fpapers.example.org%2Fd%2Fyour-own-notes"><span class="headline">own notes</span></a></article>
<article><span class="headline">no link</span></article></div>`

	marlinScripts = `<ul><li class=slot><script type="application/json">{"hit":{"url":"https://herald.example.org/tea","title":"  Tea "}}</script></li>
<li class="slot paid"><script type="application/json">{"hit":{"url":"https://ads.example.net/","title":"Paid"}}</script></li>
<li class=slot><script type="application/json">{"hit":broken</script></li>
<li class=slot><script>{"hit":{"url":"https://x.example.org/","title":"another script"}}</script></li></ul>`
)

func TestExtract(t *testing.T) {
	b := openEmbedded(t, TestSite)
	finch, marlin := "https://finch.example.net/search?q=green+tea", "https://marlin.example.org/find?query=tea"
	for name, c := range map[string]struct {
		url, body string
		words     string
		results   []Item
		related   []Item
	}{
		"finch, list": {
			finch, finchList, "green tea",
			[]Item{
				{"url": "https://herald.example.org/tea#top", "title": "All about tea", "snippet": "Leaves, and water."},
				{"url": "https://finch.example.net/help", "title": "Help"},
			},
			[]Item{{"words": "black tea"}, {"words": "white tea"}},
		},
		"finch, cards": {
			finch, finchCards, "tea",
			[]Item{{"url": "https://herald.example.org/tea", "title": "Tea"}, {"url": "https://papers.example.org/tea", "title": "More tea"}},
			nil,
		},
		"marlin, articles": {marlin, marlinArticles, "", []Item{{"url": "https://herald.example.org/tea", "title": "Tea"}}, nil},
		"marlin, scripts":  {marlin, marlinScripts, "", []Item{{"url": "https://herald.example.org/tea", "title": "Tea"}}, nil},
	} {
		actions, err := b.Extract(parseURL(t, c.url), []byte(c.body))
		if err != nil || len(actions) != 1 || actions[0].Name != "query" {
			t.Errorf("%s: %+v, %v", name, actions, err)
			continue
		}
		a := actions[0]
		if a.Texts["words"] != c.words || !reflect.DeepEqual(a.Lists["results"], c.results) || !slices.EqualFunc(a.Lists["related"], c.related, func(x, y Item) bool { return reflect.DeepEqual(x, y) }) {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if actions, err := b.Extract(parseURL(t, finch), []byte("<p>no result")); err != nil || len(actions) != 0 {
		t.Errorf("a page without results: %v, %v", actions, err)
	}
	if _, err := b.Extract(parseURL(t, "https://herald.example.org/"), nil); !errors.Is(err, ErrNoRules) {
		t.Errorf("a page that is no search: %v", err)
	}
	if _, err := openEmbedded(t, SearchEngines).Extract(parseURL(t, "https://www.ecosia.org/search?q=tea"), nil); !errors.Is(err, ErrNoRules) {
		t.Errorf("an engine without content rules: %v", err)
	}
}

// costly are the selectors that make other engines quadratic or worse.
const costly = `"div:has(div:has(div:has(b.none)))", "b ~ b ~ b ~ i.none", "b:nth-child(2n+1):nth-last-of-type(3) ~ i.none", "div div div div div i.none", "div:not(:has(+ div)) > i.none"`

func costlyBundle(t testing.TB) *Bundle {
	t.Helper()
	var inputs []string
	for i, s := range strings.Split(costly, `", "`) {
		inputs = append(inputs, fmt.Sprintf(`{"name":"i%d","all":%q,"fields":[{"name":"t","ways":[{"text":true}]}]}`, i, strings.Trim(s, `"`)))
	}
	doc, err := Parse([]byte(`{"format":1,"name":"costly","version":1,"not_before":"2026-11-01T00:00:00Z","expires":"2027-11-01T00:00:00Z","engines":[{"name":"e",
"pages":[{"scheme":"https","hosts":["e.example.org"],"path":"/s","query":"q","clean":"https://e.example.org/s"}],
"content":[{"input":[` + strings.Join(inputs, ",") + `],"output":[{"action":"a","fields":[{"key":"k","from":"i0"}]}]}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	b, err := compile(doc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestHostilePages: 10 MB that are made to stall a reader are read or refused,
// and nothing is done that grows faster than the page. A quadratic selector, or
// a parser that copies elements, would not end within a test's time.
func TestHostilePages(t *testing.T) {
	if testing.Short() {
		t.Skip("megabytes of HTML")
	}
	b := costlyBundle(t)
	u := parseURL(t, "https://e.example.org/s?q=tea")
	for i, unit := range []string{
		"<b></b>", "<i class='a b c d'>t</i>", "<p><b id=1>", "<a b c d>", // the first four in full size
		"<div>", "<b>", "<div></div>", "<p>", "<li>", "</p>", "<body a1>", "<table><tr><td>", "<svg><foreignObject>",
		"<template>", "<select><option>", "<", "&amp;", "<!-- -->", "<script>", "<textarea>", "\x00", "é", "<x-y>", "<b id=1><svg><foreignObject></b></foreignObject></svg>",
	} {
		size := 1 << 20
		if i < 4 {
			size = 10 << 20
		}
		body := []byte(strings.Repeat(unit, size/len(unit)))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := b.Extract(u, body); err != nil && !errors.Is(err, ErrPage) {
			t.Errorf("%q: %v", unit, err)
		}
		runtime.ReadMemStats(&after)
		if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 300 {
			t.Errorf("%q: %d MB allocated", unit, mb)
		}
	}
	// Just below the limits, so that every selector runs in full.
	var deep strings.Builder
	for range maxElements / 200 {
		deep.WriteString(strings.Repeat("<div>", 199) + strings.Repeat("</div>", 199))
	}
	if _, err := b.Extract(u, []byte(deep.String())); err != nil {
		t.Errorf("deep: %v", err)
	}
	if _, err := b.Extract(u, []byte(strings.Repeat("<b></b>", maxElements-10))); err != nil {
		t.Errorf("wide: %v", err)
	}
	if _, err := b.Extract(u, make([]byte, 11<<20)); !errors.Is(err, ErrPage) {
		t.Errorf("too large: %v", err)
	}
}

func TestTree(t *testing.T) {
	for page, want := range map[string]string{
		"<p>a<p>b":                          "html(body(p p))",
		"a<b>c</i>d</b>":                    "html(body(b))",
		"<title>x</title><h1>y":             "html(head(title) body(h1))",
		"<ul><li>a<li>b<ul><li>c</ul></ul>": "html(body(ul(li li(ul(li)))))",
		"<table><tr><td>a<td>b<tr><td>c<table><tr><td>d</table></table><i>": "html(body(table(tr(td td) tr(td(table(tr(td))))) i))",
		"<select><option>a<option>b</select><i>":                            "html(body(select(option option) i))",
		"<dl><dt>a<dd>b<dt>c</dl>":                                          "html(body(dl(dt dd dt)))",
		"<br/><img><input></br><i/>x":                                       "html(body(br img input i))",
		"<svg><a/><b/></svg><i>":                                            "html(body(svg(a b) i))",
		"<template><i></i><b></template><u>":                                "html(body(u))",
		"</div></p></html><i>":                                              "html(body(i))",
		"<body><body class=x><head><html lang=de>":                          "html(body)",
		"<a href=1>x<a href=2>y":                                            "html(body(a a))",
		"<p><table><td></p></table>x":                                       "html(body(p table(td)))",
	} {
		tree, err := readTree([]byte(page))
		if err != nil {
			t.Fatal(err)
		}
		// Tables are written without the tbody that browsers put in.
		if got := strings.NewReplacer("tbody(", "(", " )", ")").Replace(draw(tree, 0)); got != want {
			t.Errorf("%s: %s, want %s", page, got, want)
		}
	}
}

func draw(t *tree, i int) string {
	e := t.elements[i]
	var below []string
	for j := i + 1; j < int(e.end); j = int(t.elements[j].end) {
		below = append(below, draw(t, j))
	}
	if below == nil {
		return e.tag
	}
	return e.tag + "(" + strings.Join(below, " ") + ")"
}

func FuzzExtract(f *testing.F) {
	b := openEmbedded(f, TestSite)
	c := costlyBundle(f)
	for _, page := range []string{finchList, finchCards, marlinArticles, marlinScripts, "<p><b id=1><svg><td></b>"} {
		f.Add([]byte(page))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for url, rules := range map[string]*Bundle{"https://finch.example.net/search?q=x": b, "https://marlin.example.org/find?query=x": b, "https://e.example.org/s?q=x": c} {
			actions, err := rules.Extract(parseURL(t, url), body)
			if err != nil && !errors.Is(err, ErrPage) {
				t.Fatal(err)
			}
			for _, a := range actions {
				for _, items := range a.Lists {
					if len(items) > maxMatches {
						t.Fatalf("%d items", len(items))
					}
					for _, item := range items {
						if u := item["url"]; u != "" {
							parseURL(t, u)
						}
						for _, v := range item {
							if len(v) > maxValue {
								t.Fatalf("a value of %d bytes", len(v))
							}
						}
					}
				}
			}
		}
		tree, err := readTree(body)
		if err != nil {
			return
		}
		for i := range tree.elements {
			e := &tree.elements[i]
			if int(e.end) <= i || i > 0 && (int(e.parent) >= i || e.end > tree.elements[e.parent].end) || e.from > e.to {
				t.Fatalf("element %d: %+v", i, e)
			}
		}
	})
}

func BenchmarkExtract(b *testing.B) {
	rules := openEmbedded(b, TestSite)
	u := parseURL(b, "https://finch.example.net/search?q=tea")
	page := []byte(strings.Replace(finchList, "</ol>", strings.Repeat(`<li class="result"><h3><a href="https://herald.example.org/story">A story of tea</a></h3><p class="snippet">Words and words.</p></li>`, 1500)+"</ol>", 1))
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rules.Extract(u, page); err != nil {
			b.Fatal(err)
		}
	}
}
