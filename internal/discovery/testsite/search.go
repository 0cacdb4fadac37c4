package testsite

import (
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2" //nolint:depguard // a simulation draws from a seed and keeps no secret
	"net/url"
	"strings"
)

// A topic is a query that many people ask, and what the engines answer.
type topic struct {
	query string
	pages []*Page // best first
}

// topics is how many queries are popular.
const topics = 240

// index makes the popular queries.
func (s *Site) index(r *rand.Rand) {
	taken := make(map[string]bool)
	codes := wordsOf("en en en en de fr es it pl ru ja ar")
	special := []string{
		"world cup 2022 2026", "windows 11 error 0x80070005", "beethoven 1770 1827", "ww2 1939-1945", "9783161484100", "kraftfahrzeughaftpflichtversicherung",
		"how long does it take to boil an egg", "วิธีทำข้าวผัดกระเพราหมูสับไข่ดาว", "भारत की राजधानी क्या है", "پایتخت ایران کجاست", "cuantos anos tiene la tierra", "premier league table 2024/2025",
	}
	for len(s.topics) < topics {
		l := s.langs[codes[r.IntN(len(codes))]]
		q := strings.Join(some(r, l.words, 2+r.IntN(3)), " ")
		if n := len(s.topics); n%20 == 10 {
			q = special[n/20]
		}
		if q = strings.ToLower(q); taken[q] {
			continue
		}
		taken[q] = true
		t := &topic{query: q}
		for range 8 {
			// The popular pages are found more often.
			at := min(r.IntN(len(s.public)), r.IntN(len(s.public)))
			t.pages = append(t.pages, s.public[at])
		}
		s.topics = append(s.topics, t)
	}
}

// Popular reports whether a query, in lower case, is one that many people ask.
func (s *Site) Popular(query string) bool { return s.topicOf(query) != nil }

func (s *Site) topicOf(query string) *topic {
	query = strings.Join(strings.Fields(strings.ToLower(query)), " ")
	for _, t := range s.topics {
		if t.query == query {
			return t
		}
	}
	return nil
}

// Addresses of the result pages.
func finchURL(query string) string { return "https://" + finch + "/search?q=" + url.QueryEscape(query) }

func marlinURL(query string) string {
	return "https://" + marlin + "/find?query=" + url.QueryEscape(query)
}

// engine answers for the two search engines; nil if the target is no result page.
func (s *Site) engine(h *Host, target string, v View) *Response {
	path, parameters, _ := strings.Cut(target, "?")
	values, _ := url.ParseQuery(parameters)
	page := &sheet{Response: Response{Status: 200, Type: "text/html; charset=utf-8"}, lang: "en", nav: []string{"/", "/settings"}}
	switch {
	case h.Name == finch && path == "/search" && values.Get("q") != "":
		q := values.Get("q")
		page.title = q + " - Finch"
		page.after = s.finchResults(q, v)
	case h.Name == marlin && path == "/find" && values.Get("query") != "":
		q := values.Get("query")
		page.title = "Marlin: " + q
		page.after = s.marlinResults(q, v)
	default:
		return nil
	}
	page.Body = page.html(s.langs["en"])
	return &page.Response
}

// found returns what the engines know for a query: little for what only one person asks.
func (s *Site) found(query string) []*Page {
	if t := s.topicOf(query); t != nil {
		return t.pages
	}
	sum := 0
	for _, c := range query {
		sum = sum*31 + int(c)
	}
	return []*Page{s.public[uint(sum)%uint(len(s.public))]}
}

func (s *Site) finchResults(q string, v View) string {
	if len(q)%4 == 1 {
		return s.finchCards(q, v)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<form action="/search"><input name="q" value="%s"></form>`, html.EscapeString(q))
	if v.Person >= 0 {
		fmt.Fprintf(&b, `<section class="personal"><h2>Only for %s</h2><a href="https://%s/read/your-own-letter">From your mail</a></section>`, v.name(), mail)
	}
	b.WriteString(`<ol id="results">`)
	fmt.Fprintf(&b, `<li class="result ad"><h3><a href="https://ads.example.net/click/%d">A product that is paid for</a></h3></li>`, v.Variation%9)
	for _, p := range s.found(q) {
		fmt.Fprintf(&b, `<li class="result"><h3><a href="%s">%s</a></h3><cite>%s</cite><p class="snippet">About %s and more.</p></li>`,
			html.EscapeString(p.URL()), html.EscapeString(p.Title), p.Host.Name, html.EscapeString(strings.ToLower(p.Title)))
	}
	b.WriteString(`</ol><div id="related">`)
	for i := range 4 {
		fmt.Fprintf(&b, `<a class="suggestion" href="/search?q=%s">%[1]s</a>`, html.EscapeString(s.topics[(len(q)*7+i*13)%len(s.topics)].query))
	}
	b.WriteString(`</div>`)
	return b.String()
}

// finchCards is the engine's other style of markup.
func (s *Site) finchCards(q string, v View) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<input class="words" value="%s">`, html.EscapeString(q))
	if v.Person >= 0 {
		fmt.Fprintf(&b, `<aside>Only for %s: <a href="https://%s/read/your-own-letter">from your mail</a></aside>`, v.name(), mail)
	}
	b.WriteString(`<main><div class="card"><a class="go" href="https://ads.example.net/1">Paid by its place</a></div>`)
	fmt.Fprintf(&b, `<div class="card"><p><span class="sponsor-note">paid</span></p><a class="go" href="https://ads.example.net/click/%d">Paid by its note</a></div>`, v.Variation%9)
	for _, p := range s.found(q) {
		fmt.Fprintf(&b, `<div class="card"><a class="go" href="/out?to=%s">%s</a></div>`, url.QueryEscape(p.URL()), html.EscapeString(p.Title))
	}
	b.WriteString(`</main>`)
	return b.String()
}

func (s *Site) marlinResults(q string, v View) string {
	if len(q)%4 == 2 {
		return s.marlinScripts(q, v)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<form action="/find"><input name="query" value="%s"><input type="hidden" name="session" value="%d"></form>`, html.EscapeString(q), v.Variation)
	b.WriteString(`<div class="hits">`)
	for i, p := range s.found(q) {
		fmt.Fprintf(&b, `<article data-rank="%d"><a class="hit" href="/go?to=%s"><span class="headline">%s</span></a><span class="source">%s</span></article>`,
			i+1, url.QueryEscape(p.URL()), html.EscapeString(p.Title), p.Host.Name)
	}
	if v.Person >= 0 {
		fmt.Fprintf(&b, `<article data-rank="0" class="mine"><a class="hit" href="/go?to=%s"><span class="headline">%s's own-notes</span></a></article>`,
			url.QueryEscape("https://"+papers+"/d/your-own-notes"), v.name())
	}
	b.WriteString(`</div>`)
	return b.String()
}

// marlinScripts is the engine's other style: results that a script would draw.
func (s *Site) marlinScripts(q string, v View) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<input type="search" value="%s"><ul>`, html.EscapeString(q))
	if v.Person >= 0 {
		fmt.Fprintf(&b, `<li>%s's own-notes</li>`, v.name())
	}
	for i, p := range s.found(q) {
		hit, err := json.Marshal(map[string]any{"hit": map[string]any{"url": p.URL(), "title": p.Title, "rank": i + 1}})
		if err != nil {
			panic("testsite: " + err.Error())
		}
		fmt.Fprintf(&b, `<li class="slot"><script type="application/json">%s</script></li>`, hit)
	}
	fmt.Fprintf(&b, `<li class="slot paid"><script type="application/json">{"hit":{"url":"https://ads.example.net/%d","title":"Paid"}}</script></li></ul>`, v.Variation%9)
	return b.String()
}
