package message_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A blindPage is a result page that was written without knowledge of the rules, and
// what its engine may rename one day.
type blindPage struct {
	engine, clean string
	renamed       [][2]string // what, by what
}

func blindPages() []blindPage {
	return []blindPage{
		{"brave", "https://search.brave.com/search?q=prune+roses", [][2]string{
			{`class="snippet svelte`, `class="entry svelte`},
			{`data-type="web"`, `data-kind="web"`},
			{`class="result-header"`, `class="head"`},
			{`class="snippet-title"`, `class="name"`},
			{`name="q"`, `name="query"`},
			{`value="prune roses"`, `value="roses"`},
			{`type="search"`, `type="hidden"`},
			{`<a href=`, `<a data-href=`},
			{`<div class="snippet`, `<article class="snippet`},
			{`<span class="snippet-title">`, `<span class="snippet-title" hidden><i>Other</i></span><span>`},
		}},
		{"google", "https://www.google.com/search?q=prune+roses", [][2]string{
			{`id="rso"`, `id="results"`},
			{`class="g Ww4FFb`, `class="hit Ww4FFb`},
			{`class="yuRUbf"`, `class="zzUbf"`},
			{`jsname="UWckNb"`, `data-name="UWckNb"`},
			{`<h3`, `<h4`},
			{`id="search"`, `id="found"`},
			{`data-async-context="query:prune%20roses"`, `data-async-context="query:roses"`},
			{`data-async-context=`, `data-context=`},
			{`href="https://`, `data-url="https://`},
			{`<br><h3`, `<h3`},
		}},
		{"bing", "https://www.bing.com/search?q=prune+roses", [][2]string{
			{`id="b_results"`, `id="results"`},
			{`class="b_algo"`, `class="b_hit"`},
			{`<h2>`, `<h3>`},
			{`id="sb_form_q"`, `id="form_q"`},
			{`value="prune roses"`, `value="roses"`},
			{`<ol`, `<ul`},
			{`<li class="b_algo"`, `<div class="b_algo"`},
			{`u=a1`, `u=b2`},
			{`bing.com/ck/a?`, `bing.com/xx/b?`},
			{`<a href=`, `<a data-href=`},
		}},
		{"yahoo", "https://search.yahoo.com/search?p=prune+roses", [][2]string{
			{`algo-sr`, `found-sr`},
			{`class="dd algo`, `class="row hit`},
			{`class="compTitle`, `class="headline`},
			{`/RU=`, `/RX=`},
			{`<h3`, `<h4`},
			{`id="yschsp"`, `id="box"`},
			{`class="sbq-w"`, `class="box"`},
			{`value="prune roses"`, `value="roses"`},
			{`/RK=2/RS=`, `/RQ=2/RT=`},
			{`href="https://r.search`, `data-href="https://r.search`},
		}},
		{"duckduckgo", "https://html.duckduckgo.com/html/?q=prune+roses", [][2]string{
			{`id="links"`, `id="hits"`},
			{`web-result`, `web-hit`},
			{`<h2`, `<h3`},
			{`uddg=`, `target=`},
			{`name="q"`, `name="query"`},
			{`value="prune roses"`, `value="roses"`},
			{`/l/?`, `/redirect/?`},
			{`href="//duckduckgo`, `data-href="//duckduckgo`},
			{`web-result `, `result--ad `},
			{`class="result results_links results_links_deep web-result "`, `class="row"`},
		}},
		{"linkedin", "https://www.linkedin.com/jobs/search?keywords=prune+roses", [][2]string{
			{`jobs-search__results-list`, `jobs-found`},
			{`base-card__full-link`, `base-card__cover`},
			{`base-search-card__title`, `base-search-card__name`},
			{`<ul`, `<ol`},
			{`<h3`, `<h5`},
			{`name="keywords"`, `name="words"`},
			{`value="prune roses"`, `value="roses"`},
			{`href="https://www.linkedin.com/jobs/view`, `data-href="https://www.linkedin.com/jobs/view`},
			{`/jobs/view/`, `/authwall/`},
			{`base-search-card`, `base-found-card`},
		}},
	}
}

func blindPageText(t *testing.T, engine string) (html string, want []string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("testdata", "result-pages", engine+".html"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(filepath.Join("testdata", "result-pages", "results.txt"))
	if err != nil {
		t.Fatal(err)
	}
	set := "web"
	if engine == "linkedin" {
		set = engine
	}
	for line := range strings.Lines(string(list)) {
		if u, ok := strings.CutPrefix(strings.TrimSpace(line), set+" "); ok {
			want = append(want, u)
		}
	}
	return string(page), want
}

// TestBlindResultPages: of result pages that were written from the public sources
// without knowledge of the rules, exactly the organic results are read. Of ten altered
// ones each gives those, where the rules do not need what was renamed, or nothing.
func TestBlindResultPages(t *testing.T) {
	b := shipped(t)
	for _, p := range blindPages() {
		html, want := blindPageText(t, p.engine)
		if got := read(t, b, p.clean, html); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: got %v, want %v", p.engine, got, want)
			continue
		}
		if len(p.renamed) < 10 {
			t.Errorf("%s: %d altered layouts", p.engine, len(p.renamed))
		}
		nothing := 0
		for _, pair := range p.renamed {
			before, after := pair[0], pair[1]
			if !strings.Contains(html, before) {
				t.Errorf("%s: the page has no %q", p.engine, before)
			}
			got := read(t, b, p.clean, strings.ReplaceAll(html, before, after))
			switch {
			case len(got) == 0:
				nothing++
			case strings.Join(got, " ") != strings.Join(want, " "):
				t.Errorf("%s, %q: read %v", p.engine, pair, got)
			}
		}
		t.Logf("%s: %d of %d altered layouts give nothing, the others the same", p.engine, nothing, len(p.renamed))
	}
}
