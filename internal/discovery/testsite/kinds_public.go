package testsite

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/shoal-project/shoal/internal/discovery/tokengen"
)

// publicKinds are the pages that the engine is there to find.
func publicKinds() []Kind {
	dated := func(d *draw) string {
		return fmt.Sprintf("/2026/%02d/%02d/%s", 1+d.IntN(12), 1+d.IntN(28), d.slug(3, 6))
	}
	return []Kind{
		{Name: "news, English", Host: herald, lang: "en", count: 120, path: dated},
		{Name: "news, German", Host: tageblatt, lang: "de", count: 60, path: func(d *draw) string { return "/" + d.lang.slug(d.Rand, 1, "") + "/" + d.slug(3, 6) + ".html" }},
		{Name: "news, French", Host: journal, lang: "fr", count: 50, path: func(d *draw) string {
			return "/monde/article/" + d.slug(3, 6) + "_" + d.number(1_000_000, 9_999_999) + ".html"
		}},
		{Name: "news, Spanish", Host: diario, lang: "es", count: 40, path: dated},
		{Name: "news, Italian", Host: gazzetta, lang: "it", count: 30, path: func(d *draw) string { return "/notizie/" + d.slug(3, 6) + "/" }},
		{Name: "news, Polish", Host: kurier, lang: "pl", count: 30, path: func(d *draw) string { return "/" + d.slug(3, 6) + "," + d.number(100, 9999) }},
		{Name: "news, Russian", Host: vestnik, lang: "ru", count: 30, path: func(d *draw) string { return "/novosti/" + d.slug(2, 5) }},
		{Name: "news, Japanese", Host: shimbun, lang: "ja", count: 30, path: func(d *draw) string {
			return "/articles/" + url.PathEscape(strings.Join(some(d.Rand, d.lang.words, 3), ""))
		}},
		{Name: "news, Arabic", Host: sahifa, lang: "ar", count: 20, path: func(d *draw) string {
			return "/akhbar/" + url.PathEscape(strings.Join(some(d.Rand, d.lang.words, 3), "-"))
		}},
		{Name: "home page", Host: herald, lang: "en", count: 1, path: func(*draw) string { return "/" }},
		{Name: "home page in German", Host: tageblatt, lang: "de", count: 1, path: func(*draw) string { return "/" }},
		{Name: "section of a newspaper", Host: herald, lang: "en", count: 12, path: func(d *draw) string { return "/section/" + d.lang.slug(d.Rand, 1, "") + "-" + fmt.Sprint(d.index) }},
		{Name: "product", Host: shop, lang: "en", count: 120, listed: true, path: func(d *draw) string { return "/p/" + tokengen.Product(d.Rand, d.lang.slugs) }, show: func(s *Site, p *Page, v View, h *sheet) {
			basketForm(s, p, v, h)
			own(s, p, v, h)
		}},
		{Name: "product by number", Host: shop, lang: "en", count: 30, path: func(d *draw) string { return "/item?id=" + d.number(1000, 99999) }, show: basketForm},
		{Name: "category of a shop", Host: shop, lang: "en", count: 20, path: func(d *draw) string { return "/c/" + d.slug(1, 2) + "-" + fmt.Sprint(d.index) }},
		{Name: "second page of a category", Host: shop, lang: "en", count: 15, path: func(d *draw) string { return "/browse/" + d.slug(1, 2) + "?page=" + d.number(2, 9) }},
		{Name: "thread of a forum", Host: talk, lang: "en", count: 80, path: func(d *draw) string { return "/t/" + d.slug(3, 6) + "/" + d.number(100, 99999) }},
		{Name: "board of a forum", Host: talk, lang: "en", count: 10, path: func(d *draw) string { return "/board/" + d.slug(1, 2) + "-" + fmt.Sprint(d.index) }},
		{Name: "documentation", Host: docs, lang: "en", count: 60, path: func(d *draw) string { return "/guide/" + d.slug(1, 3) + "-" + fmt.Sprint(d.index) + ".html" }},
		{Name: "documentation with a fragment", Host: docs, lang: "en", count: 15, path: func(d *draw) string { return "/manual/" + d.slug(2, 3) + "/" }, fragment: func(*draw) string { return "#setup" }},
		{Name: "documentation of a version", Host: docs, lang: "en", count: 20, path: func(d *draw) string {
			return fmt.Sprintf("/v%d.%d/%s", 1+d.IntN(4), d.IntN(20), d.slug(2, 3))
		}},
		{Name: "encyclopedia", Host: reference, lang: "en", count: 100, path: func(d *draw) string {
			return "/wiki/" + strings.Join(titled(some(d.Rand, d.lang.slugs, 2+d.IntN(2))), "_")
		}},
		{Name: "encyclopedia with encoded letters", Host: reference, lang: "de", count: 20, path: func(d *draw) string {
			return "/wiki/" + url.PathEscape(strings.Join(titled(some(d.Rand, d.lang.words, 2)), "_"))
		}},
		{Name: "blog, over http", Host: notes, lang: "en", count: 40, path: func(d *draw) string { return "/2026/" + d.slug(3, 5) + "/" }},
		{Name: "recipe", Host: kitchen, lang: "en", count: 60, path: func(d *draw) string { return "/recipes/" + d.slug(2, 4) + "-" + fmt.Sprint(d.index) }},
		{Name: "recipe in French", Host: kitchen, lang: "fr", count: 20, path: func(d *draw) string { return "/fr/recettes/" + d.slug(2, 4) }},
		{Name: "video by name", Host: films, lang: "en", count: 30, path: func(d *draw) string { return "/watch/" + d.slug(3, 5) }},
		{Name: "video by random identifier", Host: films, lang: "en", count: 6, path: func(d *draw) string { return "/watch?v=" + tokengen.Text(d.Rand, tokengen.Base62, 11) }},
		{Name: "public profile", Host: people, lang: "en", count: 25, path: func(d *draw) string {
			return "/in/" + strings.ToLower(firstNames()[d.IntN(20)]+"-"+lastNames()[d.IntN(16)])
		}},
		{Name: "event", Host: events, lang: "en", count: 30, path: func(d *draw) string { return "/event/" + d.slug(3, 5) }},
		{Name: "job", Host: jobs, lang: "en", count: 30, path: func(d *draw) string { return "/jobs/" + d.slug(3, 4) + "-" + d.number(1000, 99999) }},
		{Name: "service of a city", Host: city, lang: "en", count: 25, path: func(d *draw) string { return "/services/" + d.slug(2, 3) }},
		{Name: "repository", Host: code, lang: "en", count: 40, path: func(d *draw) string { return "/" + d.slug(1, 1) + "-labs/" + d.slug(2, 2) }},
		{Name: "file of a repository", Host: code, lang: "en", count: 20, path: func(d *draw) string {
			return "/" + d.slug(1, 1) + "-labs/" + d.slug(2, 2) + "/blob/main/" + d.slug(1, 2) + ".go"
		}},
		{Name: "place by name", Host: atlas, lang: "en", count: 20, path: func(d *draw) string { return "/place/" + d.slug(2, 3) }},
		{Name: "many segments", Host: docs, lang: "en", count: 8, path: func(d *draw) string { return "/archive/en/" + strings.Join(some(d.Rand, d.lang.slugs, 5), "/") }},
	}
}

func titled(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		r := []rune(w)
		out[i] = strings.ToUpper(string(r[:1])) + string(r[1:])
	}
	return out
}

func basketForm(_ *Site, _ *Page, _ View, h *sheet) {
	h.after = `<form method="post" action="/basket"><input type="hidden" name="item"><button>Put into the basket</button></form>` + searchForm
}

// variantKinds are public pages that are hard to see as such: written or
// addressed in unusual ways, or under several addresses.
func variantKinds() []Kind {
	other := func(suffix string) func(*draw) string {
		return func(d *draw) string { return "/" + d.slug(3, 5) + suffix }
	}
	return []Kind{
		{Name: "with tracking parameters", Host: herald, lang: "en", count: 30, unlisted: true, also: clean, path: other("?utm_source=letter&utm_medium=mail"), show: func(_ *Site, p *Page, _ View, h *sheet) { h.canonical = p.Host.Scheme + "://" + p.Host.Name + path(p) }},
		{Name: "with tracking parameters and no canonical", Host: herald, lang: "en", count: 20, unlisted: true, also: clean, path: other("?utm_source=letter&utm_campaign=spring")},
		{Name: "with the identifier of a click", Host: shop, lang: "en", count: 10, unlisted: true, also: clean, path: func(d *draw) string {
			return "/ideas/" + d.slug(3, 5) + "?fbclid=" + tokengen.Text(d.Rand, tokengen.Base62, 24)
		}},
		{Name: "article with a login box for everybody", Host: talk, lang: "en", count: 12, path: func(d *draw) string { return "/essays/" + d.slug(3, 5) }, show: func(_ *Site, _ *Page, _ View, h *sheet) {
			h.lines, h.after = append(h.lines, fill(3000, "One more line of a long essay about the valley. ")), loginForm
		}},
		{Name: "with parameters that a canonical URL drops", Host: shop, lang: "en", count: 20, also: clean, path: func(d *draw) string {
			return "/deals/" + d.slug(2, 4) + "?color=" + d.slug(1, 1) + "&size=" + d.number(1, 60)
		}, show: func(_ *Site, p *Page, _ View, h *sheet) { h.canonical = path(p) }},
		{Name: "canonical of itself", Host: notes, lang: "en", count: 12, path: func(d *draw) string { return "/post/" + d.slug(3, 5) }, show: func(_ *Site, p *Page, _ View, h *sheet) { h.canonical = p.URL() }},
		{Name: "canonical on another host", Host: mirror, lang: "en", count: 10, also: func(p *Page) (string, string) { return herald, p.Target }, show: func(_ *Site, p *Page, _ View, h *sheet) {
			h.canonical = "https://" + herald + p.Target
		}},
		{Name: "canonical that is longer", Host: notes, lang: "en", count: 8, also: func(p *Page) (string, string) { return notes, p.Target + "/full-text" }, path: func(d *draw) string { return "/s/" + d.slug(2, 3) }, show: func(_ *Site, p *Page, _ View, h *sheet) { h.canonical = p.URL() + "/full-text" }},
		{Name: "two canonicals that differ", Host: notes, lang: "en", count: 6, path: func(d *draw) string { return "/twice/" + d.slug(2, 3) }, show: func(_ *Site, p *Page, _ View, h *sheet) {
			h.canonical, h.head = p.URL(), `<link rel="canonical" href="/somewhere/else">`
		}},
		{Name: "printed version", Host: herald, lang: "en", count: 10, also: clean, path: other("?print=1"), show: func(_ *Site, p *Page, _ View, h *sheet) { h.canonical = path(p) }},
		{Name: "with a newsletter form", Host: kitchen, lang: "en", count: 15, path: func(d *draw) string { return "/stories/" + d.slug(3, 4) }, show: func(_ *Site, _ *Page, _ View, h *sheet) { h.after = newsletterForm + searchForm }},
		{Name: "with a login box", Host: talk, lang: "en", count: 8, path: func(d *draw) string { return "/articles/" + d.slug(3, 4) }, show: func(_ *Site, _ *Page, v View, h *sheet) {
			if !v.LoggedIn {
				h.after = loginForm
			}
		}},
		{Name: "with frames of its own host", Host: city, lang: "en", count: 8, path: func(d *draw) string { return "/timetable/" + d.slug(2, 3) }, show: func(_ *Site, _ *Page, _ View, h *sheet) {
			h.after = `<iframe src="/map"></iframe><iframe src="https://films.example.com/embed/harbour"></iframe>`
		}},
		{Name: "in Windows-1252", Host: tageblatt, lang: "de", count: 10, path: func(d *draw) string { return "/archiv/" + d.slug(3, 4) }, show: func(s *Site, p *Page, v View, h *sheet) { h.encode(s, p, v, "windows-1252") }},
		{Name: "in Shift JIS", Host: shimbun, lang: "ja", count: 8, path: func(d *draw) string { return "/old/" + d.slug(3, 4) }, show: func(s *Site, p *Page, v View, h *sheet) { h.encode(s, p, v, "shift_jis") }},
		{Name: "in UTF-8 with a byte order mark", Host: journal, lang: "fr", count: 8, path: func(d *draw) string { return "/dossier/" + d.slug(3, 4) }, show: func(s *Site, p *Page, _ View, h *sheet) {
			h.raw = append([]byte("\xef\xbb\xbf"), h.html(s.langs[p.Kind.lang])...)
		}},
		{Name: "broken HTML", Host: odd, lang: "en", count: 12, path: func(d *draw) string { return "/broken/" + d.slug(3, 4) }, show: broken},
		{Name: "as XHTML", Host: odd, lang: "en", count: 6, path: func(d *draw) string { return "/strict/" + d.slug(3, 4) }, show: func(_ *Site, _ *Page, _ View, h *sheet) { h.Type = "application/xhtml+xml" }},
		{Name: "with a drawing that has a title", Host: odd, lang: "en", count: 6, path: func(d *draw) string { return "/drawing/" + d.slug(3, 4) }, show: func(_ *Site, _ *Page, _ View, h *sheet) {
			h.after = `<svg><title>A circle</title><circle r="4"/></svg><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">`
		}},
		{Name: "of 200 kB", Host: reference, lang: "en", count: 6, path: func(d *draw) string { return "/list/" + d.slug(2, 3) }, show: func(_ *Site, _ *Page, _ View, h *sheet) {
			h.lines = append(h.lines, fill(200<<10, "One more line of a long list. "))
		}},
		{Name: "drawn by script", Host: films, lang: "en", count: 6, path: func(d *draw) string { return "/app/" + d.slug(2, 3) }, show: func(_ *Site, _ *Page, v View, h *sheet) {
			if v.Person < 0 && !v.Scripts {
				h.plain(200, "Loading")
				h.after = `<div id="root"></div><script src="/app.js"></script>`
			}
		}},
		{Name: "nested 100,000 deep", Host: odd, lang: "en", count: 2, path: func(d *draw) string { return "/nested/" + d.slug(2, 4) }, show: func(_ *Site, _ *Page, _ View, h *sheet) {
			h.after = strings.Repeat("<div>", 100_000)
		}},
		{Name: "with the time of day in its title", Host: events, lang: "en", count: 6, path: func(d *draw) string { return "/live/" + d.slug(2, 3) }, show: func(_ *Site, p *Page, v View, h *sheet) {
			h.title = fmt.Sprintf("%s, %d waiting", p.Title, v.Variation%50)
		}},
	}
}

// clean is the address without its parameters.
func clean(p *Page) (host, target string) { return p.Host.Authority(), path(p) }

func path(p *Page) string {
	before, _, _ := strings.Cut(p.Target, "?")
	return before
}

// broken writes markup that browsers repair: open elements, stray ends, quotes that
// never close.
func broken(s *Site, p *Page, _ View, h *sheet) {
	h.after = `<table><tr><td><b><i>unclosed</table></p></div></span><p><a href=/more class="x" class=y>more<br/>` +
		`<div <span>& &unknown; &#xFFFFFF; < 3 <!-- never closed`
	h.head = "<meta><style>p{}</style></style></head></head>"
	body := h.html(s.langs[p.Kind.lang])
	h.raw = []byte(strings.ReplaceAll(strings.ReplaceAll(string(body), "</p>", ""), "</body></html>", ""))
}
