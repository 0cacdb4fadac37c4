package testsite

import (
	"fmt"
	"html"
	"math/rand/v2" //nolint:depguard // a simulation draws from a seed and keeps no secret
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/html/charset"
)

// A View is the reader of a page.
type View struct {
	Person    int    // negative for an anonymous request
	LoggedIn  bool   // the person has an account on the page's host
	Variation uint64 // what changes from one loading to the next
	Scripts   bool   // the scripts of the page run for an anonymous request, too
}

// Nobody is how an anonymous request sees a page.
func Nobody(variation uint64) View { return View{Person: -1, Variation: variation} }

// name returns what the site calls the person.
func (v View) name() string {
	if v.Person < 0 {
		return ""
	}
	first := firstNames()
	return first[v.Person%len(first)]
}

// A Response is what the site answers.
type Response struct {
	Status   int
	Type     string // Content-Type
	Robots   string // X-Robots-Tag
	Location string
	Cookie   string // Set-Cookie
	Body     []byte
	Wait     time.Duration // how long the server takes before it answers
}

// A sheet is a page of HTML before it is written.
type sheet struct {
	Response
	lang, title, canonical, robots string
	head                           string   // more of the head
	banner                         string   // personal or not, above the text
	nav                            []string // hrefs of the host's own pages
	related                        []*Page
	paragraphs                     int
	lines                          []string // further lines of text
	after                          string   // forms, frames and the like, after the text
	seed                           uint64   // of the text
	raw                            []byte   // instead of everything
}

// article is the ordinary page: what every kind starts from.
func (s *Site) article(p *Page, v View) *sheet {
	h := &sheet{
		Response: Response{Status: 200, Type: "text/html; charset=utf-8", Robots: p.Kind.header},
		lang:     p.Kind.lang, title: p.Title, robots: p.Kind.robots,
		nav: []string{"/", "/about", "/contact", "/topics"}, related: p.links,
		paragraphs: 4 + int(p.seed%5), seed: p.seed,
	}
	// Pages differ a little each time: how many advertisements, how many readers.
	for i := range v.Variation % 3 {
		h.lines = append(h.lines, `<a href="https://ads.example.net/click/`+strconv.FormatUint(i+v.Variation%7, 10)+`">advertisement</a>`)
	}
	h.lines = append(h.lines, "Read by "+strconv.FormatUint(100+v.Variation%90, 10)+" people today.")
	if p.Host.Name == films {
		h.head = `<link rel="alternate" type="application/rss+xml" href="/feed.xml">`
	}
	if v.LoggedIn {
		h.banner = `<p>Hello ` + v.name() + ` <a href="/account">account</a> <a href="/logout">log out</a></p>`
	}
	return h
}

// html writes the sheet. It reads nothing but the sheet, so that the same view
// of the same page is the same bytes.
func (h *sheet) html(l *language) []byte {
	if h.raw != nil {
		return h.raw
	}
	b := make([]byte, 0, 3<<10)
	b = append(b, "<!doctype html>\n<html lang=\""...)
	b = append(b, h.lang...)
	b = append(b, "\"><head><meta charset=\"utf-8\"><title>"...)
	b = append(b, html.EscapeString(h.title)...)
	b = append(b, "</title>"...)
	if h.canonical != "" {
		b = append(b, `<link rel="canonical" href="`+html.EscapeString(h.canonical)+`">`...)
	}
	if h.robots != "" {
		b = append(b, `<meta name="robots" content="`+h.robots+`">`...)
	}
	b = append(b, h.head...)
	b = append(b, "</head><body>"...)
	b = append(b, h.banner...)
	b = append(b, "<nav>"...)
	for _, n := range h.nav {
		b = append(b, `<a href="`+n+`">`+n[1:]+`</a> `...)
	}
	b = append(b, "</nav><main><h1>"...)
	b = append(b, html.EscapeString(h.title)...)
	b = append(b, "</h1>\n"...)
	r := rand.New(rand.NewPCG(h.seed, 1))
	for range h.paragraphs {
		b = append(b, "<p>"...)
		for range 20 + r.IntN(30) {
			b = append(b, l.words[r.IntN(len(l.words))]...)
			b = append(b, ' ')
		}
		b = append(b, "</p>\n"...)
	}
	for _, line := range h.lines {
		b = append(b, "<p>"...)
		b = append(b, line...)
		b = append(b, "</p>\n"...)
	}
	b = append(b, "</main><aside>"...)
	for _, p := range h.related {
		b = append(b, `<a href="`+html.EscapeString(p.URL())+`">`+html.EscapeString(p.Title)+"</a>\n"...)
	}
	b = append(b, "</aside>"...)
	b = append(b, h.after...)
	return append(b, "</body></html>\n"...)
}

// Forms that pages hold.
const (
	loginForm = `<form method="post" action="/login"><input name="user"><input name="pass" type="password">` +
		`<input type="hidden" name="next"><button>Log in</button></form>`
	searchForm     = `<form action="/search"><input name="q"><button>Search</button></form>`
	newsletterForm = `<form method="post" action="/newsletter"><input name="address" type="email"><button>Subscribe</button></form>`
)

// redirect makes the sheet a redirect.
func (h *sheet) redirect(status int, to string) {
	h.Status, h.Location, h.raw = status, to, []byte("moved\n")
}

// plain makes the sheet a short answer with a status.
func (h *sheet) plain(status int, title string) {
	h.Status, h.title, h.banner, h.related, h.paragraphs, h.lines, h.after = status, title, "", nil, 0, nil, ""
}

// wall makes the sheet the page for readers that are not logged in.
func (h *sheet) wall(title string) {
	h.plain(200, title)
	h.after = loginForm
}

// draw is what paths are drawn with.
type draw struct {
	*rand.Rand
	lang  *language
	index int // of the page among those of its kind
	seed  uint64
}

func (d *draw) slug(least, most int) string {
	return d.lang.slug(d.Rand, least+d.IntN(most-least+1), "-")
}

func (d *draw) number(low, high int) string { return fmt.Sprint(low + d.IntN(high-low)) }

// encode writes the page in another character encoding. A browser shows the
// person the same letters, so that only the anonymous view has other bytes.
func (h *sheet) encode(s *Site, p *Page, v View, name string) {
	if v.Person >= 0 {
		return
	}
	e, _ := charset.Lookup(name)
	body := strings.Replace(string(h.html(s.langs[p.Kind.lang])), `charset="utf-8"`, `charset="`+name+`"`, 1)
	b, err := e.NewEncoder().Bytes([]byte(body))
	if err != nil {
		panic("testsite: a page that " + name + " cannot write: " + err.Error())
	}
	h.raw, h.Type = b, "text/html; charset="+name
}

// fill returns n bytes of text, for pages that are large on purpose.
func fill(n int, unit string) string { return strings.Repeat(unit, n/len(unit)+1)[:n] }
