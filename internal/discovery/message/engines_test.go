package message_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/anonymous"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// A layout writes the result page of an engine as the public source that its
// style cites describes it.
type layout struct {
	engine, clean string
	box           string                         // with the words
	result        func(url, title string) string // organic
	paid          string                         // advertisements and other things that are no results
	around        string                         // with %s for box and results
	redirect      func(url string) string        // how links are written, if not as they are
	names         [][2]string                    // of the structure, each with another one
}

const decoys = `<nav><a href="https://nav.example.com/a">Images</a><a href="/settings">Settings</a></nav><a href="https://related.example.com/">People also search</a>`

func layouts() []layout {
	plain := func(u string) string { return u }
	return []layout{
		{
			engine: "brave", clean: "https://search.brave.com/search?q=green+tea",
			box: `<form action="/search"><input name="q" value="green tea"></form>`,
			result: func(u, t string) string {
				return `<div class="snippet fdb" data-type="web"><a class="result-header" href="` + u + `"><cite>site</cite><span class="snippet-title">` + t + `</span></a><p class="snippet-description">Text</p></div>`
			},
			paid:     `<div class="snippet" data-type="ad"><a class="result-header" href="https://ads.example.com/"><span class="snippet-title">Buy tea</span></a></div>`,
			around:   `<main id="results">%s</main>`,
			redirect: plain,
			names:    [][2]string{{"snippet fdb", "card"}, {`data-type="web"`, `data-kind="web"`}, {"result-header", "head"}, {"snippet-title", "title"}},
		},
		{
			engine: "google", clean: "https://www.google.com/search?q=green+tea",
			box: ``,
			result: func(u, t string) string {
				return `<div class="g"><div class="yuRUbf"><div><span><a jsname="UWckNb" href="` + u + `"><br><h3>` + t + `</h3></a></span></div></div><div>Text</div></div>`
			},
			paid:     `<div id="tads"><div data-text-ad="1"><a class="sVXRqc" href="https://ads.example.com/"><h3>Buy tea</h3></a></div></div>`,
			around:   `<div id="main"><div id="search"><div id="rso" data-async-context="query:green%%20tea">%s</div></div></div>`,
			redirect: plain,
			names:    [][2]string{{`class="g"`, `class="h"`}, {"yuRUbf", "zZzZzZ"}, {`id="rso"`, `id="res2"`}, {"<h3>", "<h4>"}},
		},
		{
			engine: "bing", clean: "https://www.bing.com/search?q=green+tea",
			box: `<form id="sb_form"><input id="sb_form_q" name="q" value="green tea"></form>`,
			result: func(u, t string) string {
				return `<li class="b_algo"><h2><a href="` + u + `">` + t + `</a></h2><p>Text</p></li>`
			},
			paid:   `<li class="b_ad"><h2><a href="https://ads.example.com/">Buy tea</a></h2></li>`,
			around: `<ol id="b_results">%s</ol>`,
			redirect: func(u string) string {
				return "https://www.bing.com/ck/a?!&amp;&amp;p=1&amp;u=a1" + base64.RawURLEncoding.EncodeToString([]byte(u)) + "&amp;ntb=1"
			},
			names: [][2]string{{"b_algo", "b_item"}, {"b_results", "b_list"}, {"<h2>", "<h3>"}, {"sb_form_q", "sb_q"}},
		},
		{
			engine: "yahoo", clean: "https://search.yahoo.com/search?p=green+tea",
			box: `<div class="sbq-w"><input id="yschsp" name="p" value="green tea"></div>`,
			result: func(u, t string) string {
				return `<li><div class="dd algo algo-sr"><div class="compTitle"><h3 class="title"><a href="` + u + `">` + t + `</a></h3></div><div class="compText">Text</div></div></li>`
			},
			paid:   `<li><div class="dd ads"><div class="compTitle"><h3><a href="https://ads.example.com/">Buy tea</a></h3></div></div></li>`,
			around: `<div id="web"><ol>%s</ol></div>`,
			redirect: func(u string) string {
				return "https://r.search.yahoo.com/_ylt=A/RV=2/RE=1/RO=10/RU=" + url.QueryEscape(u) + "/RK=2/RS=x-"
			},
			names: [][2]string{{"dd algo algo-sr", "dd item"}, {"/RU=", "/RX="}, {"yschsp", "ybar"}, {`<h3 class="title">`, `<h4>`}},
		},
		{
			engine: "linkedin", clean: "https://www.linkedin.com/jobs/search?keywords=green+tea",
			box: `<form><input name="keywords" value="green tea"></form>`,
			result: func(u, t string) string {
				return `<li><div class="base-search-card"><a class="base-card__full-link" href="` + u + `?refId=1&amp;trackingId=2"></a><h3 class="base-search-card__title">` + t + `</h3></div></li>`
			},
			paid:     `<li><div class="promo"><a href="https://www.linkedin.com/signup">Join</a></div></li>`,
			around:   `<ul class="jobs-search__results-list">%s</ul>`,
			redirect: plain,
			names:    [][2]string{{"jobs-search__results-list", "jobs-list"}, {"base-search-card__title", "card__title"}, {`name="keywords"`, `name="words"`}, {"/jobs/view/", "/jobs/see/"}},
		},
		{
			engine: "duckduckgo", clean: "https://html.duckduckgo.com/html/?q=green+tea",
			box: `<form action="/html/"><input name="q" value="green tea"></form>`,
			result: func(u, t string) string {
				return `<div class="result results_links results_links_deep web-result"><div class="links_main"><h2 class="result__title"><a class="result__a" href="` + u + `">` + t + `</a></h2></div></div>`
			},
			paid:   `<div class="result result--ad web-result"><h2><a href="https://duckduckgo.com/y.js?ad_domain=ads.example.com">Buy tea</a></h2></div>`,
			around: `<div id="links" class="results">%s</div>`,
			redirect: func(u string) string {
				return "//duckduckgo.com/l/?uddg=" + url.QueryEscape(u) + "&amp;rut=1"
			},
			names: [][2]string{{"web-result", "wr"}, {`id="links"`, `id="list"`}, {"<h2 class", "<h5 class"}, {"uddg=", "target="}},
		},
	}
}

func (l *layout) urls() []string {
	var all []string
	for i := range 6 {
		u := fmt.Sprintf("https://site-%c.example.org/tea/guide", 'a'+i)
		if l.engine == "linkedin" {
			u = fmt.Sprintf("https://www.linkedin.com/jobs/view/tea-taster-%c", 'a'+i)
		}
		all = append(all, u)
	}
	return all
}

func (l *layout) page() string {
	var b strings.Builder
	b.WriteString(l.paid)
	for i, u := range l.urls() {
		b.WriteString(l.result(l.redirect(u), fmt.Sprintf("All about tea, part %c", 'a'+i)))
	}
	return "<html><head><title>green tea</title></head><body>" + l.box + decoys + fmt.Sprintf(l.around, b.String()) + "</body></html>"
}

func shipped(t testing.TB) *bundle.Bundle {
	t.Helper()
	signed, err := bundle.Embedded(bundle.SearchEngines)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(signed, []ed25519.PublicKey{bundle.DevelopmentKey()}, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), 0)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// read returns the URLs of the results that the shipped rules read.
func read(t testing.TB, b *bundle.Bundle, clean, html string) []string {
	t.Helper()
	u, err := discovery.ParseURL(clean)
	if err != nil {
		t.Fatal(err)
	}
	search, ok := b.SearchPage(u)
	if !ok || search.Clean != u {
		t.Fatalf("%s is no clean page of a search: %+v", clean, search)
	}
	q, err := message.NewQuery(b, search, anonymous.New(u, nil, []byte(html)))
	if err != nil {
		return nil
	}
	return q.URLs()
}

// TestEngines: of the page of each engine that has content rules, exactly the
// organic results are read.
func TestEngines(t *testing.T) {
	b := shipped(t)
	for _, l := range layouts() {
		want := l.urls()
		if got := read(t, b, l.clean, l.page()); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: got %v, want %v", l.engine, got, want)
		}
	}
}

// TestAlteredLayouts: a page that is not written as the rules expect it gives
// nothing, rather than something wrong.
func TestAlteredLayouts(t *testing.T) {
	b := shipped(t)
	for _, l := range layouts() {
		page := l.page()
		altered := map[string]string{
			"consent":       `<html><body><form action="/consent"><input name="q" value="green tea"><button>Accept</button></form>` + decoys + `</body></html>`,
			"captcha":       `<html><body><form id="challenge-form"><img src="/c"></form>` + decoys + `</body></html>`,
			"other words":   strings.NewReplacer(`value="green tea"`, `value="anna steiner"`, "query:green%20tea", "query:anna%20steiner").Replace(page),
			"no words":      strings.NewReplacer(`value="green tea"`, ``, "query:green%20tea", "").Replace(page),
			"only paid":     "<html><body>" + l.box + decoys + fmt.Sprintf(l.around, l.paid) + "</body></html>",
			"by script":     "<html><body>" + l.box + decoys + `<script type="application/json">` + strings.ReplaceAll(fmt.Sprintf(l.around, l.result(l.urls()[0], "Tea")), "</", `<\/`) + "</script></body></html>",
			"in a template": "<html><body>" + l.box + decoys + "<template>" + fmt.Sprintf(l.around, l.result(l.urls()[0], "Tea")) + "</template></body></html>",
		}
		for _, n := range l.names {
			if strings.Contains(page, n[0]) {
				altered["without "+n[0]] = strings.ReplaceAll(page, n[0], n[1])
			} else {
				t.Errorf("%s: the page has no %q", l.engine, n[0])
			}
		}
		if len(altered) < 10 {
			t.Errorf("%s: %d altered layouts", l.engine, len(altered))
		}
		for name, html := range altered {
			if got := read(t, b, l.clean, html); len(got) > 0 {
				t.Errorf("%s, %s: read %v", l.engine, name, got)
			}
		}
	}
}

// TestSavedResultPages reads saved result pages, which are not part of the
// repository: SHOAL_RESULT_PAGES names a directory of <engine>.<words>.html.
func TestSavedResultPages(t *testing.T) {
	dir := os.Getenv("SHOAL_RESULT_PAGES")
	if dir == "" {
		t.Skip("SHOAL_RESULT_PAGES is not set")
	}
	b := shipped(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.html"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no pages in %s: %v", dir, err)
	}
	for _, name := range files {
		html, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(filepath.Base(name), ".")
		for _, l := range layouts() {
			if l.engine == parts[0] {
				got := read(t, b, strings.Replace(l.clean, "green+tea", url.QueryEscape(strings.ReplaceAll(parts[1], "_", " ")), 1), string(html))
				t.Logf("%s: %d results %v", filepath.Base(name), len(got), got)
			}
		}
	}
}
