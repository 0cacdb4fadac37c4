package testsite

import (
	"fmt"
	"strings"

	"github.com/shoal-project/shoal/internal/discovery/tokengen"
)

// closedKinds are pages behind logins, pages that everybody sees differently,
// and pages whose owners do not want them reported.
func closedKinds() []Kind {
	at := func(prefix string, least, most int) func(*draw) string {
		return func(d *draw) string { return prefix + d.slug(least, most) }
	}
	fixed := func(target string) func(*draw) string { return func(*draw) string { return target } }
	// members shows the page to people that are logged in, and calls others for everybody else.
	members := func(others func(*Site, *Page, View, *sheet)) func(*Site, *Page, View, *sheet) {
		return func(s *Site, p *Page, v View, h *sheet) {
			if v.Person < 0 || !v.LoggedIn {
				others(s, p, v, h)
			}
		}
	}
	redirect := func(status int) func(*Site, *Page, View, *sheet) {
		return members(func(_ *Site, p *Page, _ View, h *sheet) {
			h.redirect(status, "/login?next="+strings.ReplaceAll(p.Target, "/", "%2F"))
		})
	}
	status := func(code int, title string) func(*Site, *Page, View, *sheet) {
		return members(func(_ *Site, _ *Page, _ View, h *sheet) { h.plain(code, title) })
	}
	return []Kind{
		{Name: "login page", Truth: Login, Host: bank, lang: "en", count: 1, path: fixed("/login"), show: func(_ *Site, _ *Page, _ View, h *sheet) { h.wall("Log in to your bank") }},
		{Name: "login page at a plain address", Truth: Login, Host: bank, lang: "en", count: 3, path: at("/welcome/", 1, 2), show: func(_ *Site, p *Page, _ View, h *sheet) { h.wall(p.Title) }},
		{Name: "account that redirects to the login", Truth: Login, Host: bank, lang: "en", count: 20, depends: true, path: at("/overview/", 1, 3), show: redirect(302)},
		{Name: "statement that redirects (303)", Truth: Login, Audience: Owner, Host: bank, lang: "en", count: 40, depends: true, path: at("/statements/", 2, 3), show: redirect(303)},
		{Name: "page that redirects permanently (308)", Truth: Login, Host: bank, lang: "en", count: 10, depends: true, path: at("/funds/", 2, 3), show: redirect(308)},
		{Name: "login in place, same address", Truth: Login, Host: jobs, lang: "en", count: 20, depends: true, path: at("/applications/", 2, 3), show: members(func(_ *Site, _ *Page, _ View, h *sheet) { h.wall("Please log in") })},
		{Name: "login in place, same title", Truth: Login, Host: jobs, lang: "en", count: 20, depends: true, path: at("/saved/", 2, 3), show: members(func(_ *Site, p *Page, _ View, h *sheet) { h.wall(p.Title) })},
		{Name: "login by a frame", Truth: Login, Host: jobs, lang: "en", count: 10, depends: true, path: at("/messages/", 2, 3), show: members(func(_ *Site, p *Page, _ View, h *sheet) {
			h.plain(200, p.Title)
			h.after = `<iframe src="/login-box"></iframe>`
		})},
		{Name: "login by a link, same title", Truth: Login, Host: talk, lang: "en", count: 15, depends: true, path: at("/lounge/", 2, 3), show: members(func(_ *Site, p *Page, _ View, h *sheet) {
			h.plain(200, p.Title)
			h.lines = []string{`You must <a href="/login">log in</a> to read this thread.`}
		})},
		{Name: "login by meta refresh", Truth: Login, Host: mail, lang: "en", count: 10, depends: true, path: at("/folder/", 1, 2), show: members(func(_ *Site, p *Page, _ View, h *sheet) {
			h.plain(200, p.Title)
			h.head = `<meta http-equiv="refresh" content="0; url=/login">`
		})},
		{Name: "401 for others", Truth: Login, Host: docs, lang: "en", count: 10, depends: true, path: at("/staff/", 2, 3), show: status(401, "Unauthorised")},
		{Name: "403 for others", Truth: Login, Host: docs, lang: "en", count: 10, depends: true, path: at("/partners/", 2, 3), show: status(403, "Forbidden")},
		{Name: "private repository, 404 for others", Truth: Login, Audience: Few, Host: code, lang: "en", count: 40, depends: true, path: func(d *draw) string {
			return "/" + d.slug(1, 1) + "-home/" + d.slug(2, 3)
		}, show: status(404, "Not found")},
		{Name: "mail", Truth: Login, Audience: Owner, Host: mail, lang: "en", count: 80, depends: true, path: at("/read/", 3, 5), show: redirect(302)},
		{Name: "list of orders", Truth: Login, Host: shop, lang: "en", count: 1, depends: true, path: fixed("/orders"), show: redirect(302)},
		{Name: "settings", Truth: Login, Host: people, lang: "en", count: 1, depends: true, path: fixed("/account/settings"), show: redirect(302)},
		{Name: "administration", Truth: Login, Host: talk, lang: "en", count: 1, depends: true, path: fixed("/admin/reports"), show: status(403, "Forbidden")},
		{Name: "document that asks for access", Truth: Login, Audience: Few, Host: papers, lang: "en", count: 40, depends: true, path: at("/d/", 3, 5), show: members(func(_ *Site, p *Page, _ View, h *sheet) {
			h.plain(200, p.Title)
			h.after = `<form method="post" action="/ask"><button>Ask for access</button></form>`
		})},
		{Name: "article for subscribers", Truth: Login, Host: herald, lang: "en", count: 20, depends: true, path: at("/plus/", 3, 5), show: func(_ *Site, _ *Page, v View, h *sheet) {
			h.paragraphs = 14
			if v.Person < 0 || !v.LoggedIn {
				h.paragraphs, h.after = 1, `<p><a href="/login">Log in</a> or <a href="/subscribe">subscribe</a> to read on.</p>`
			}
		}},
		{Name: "private group", Truth: Login, Audience: Few, Host: people, lang: "en", count: 30, depends: true, path: at("/groups/", 2, 4), show: members(func(_ *Site, p *Page, _ View, h *sheet) {
			h.plain(200, p.Title)
			h.lines = []string{"This group is private.", `<a href="/login">Log in</a>`, `<a href="/join">Join</a>`}
		})},

		{Name: "feed with the person's name in its title", Truth: Personalised, Host: people, lang: "en", count: 10, depends: true, path: at("/stream/", 1, 2), show: func(_ *Site, p *Page, v View, h *sheet) {
			h.title = "Welcome to the network"
			if v.Person >= 0 {
				h.title, h.seed = v.name()+"'s feed", p.seed+1+uint64(v.Person)
			}
		}},
		{Name: "feed with the same title", Truth: Personalised, Host: people, lang: "en", count: 10, depends: true, path: at("/wall/", 1, 2), show: func(_ *Site, p *Page, v View, h *sheet) {
			h.paragraphs = 2
			if v.Person >= 0 {
				h.seed, h.paragraphs = p.seed+1+uint64(v.Person), 12
			}
		}},
		{Name: "recommendations of the same shape", Truth: Personalised, Host: shop, lang: "en", count: 10, depends: true, path: at("/picks/", 1, 2), show: func(s *Site, p *Page, v View, h *sheet) {
			if v.Person >= 0 {
				h.seed = p.seed + 1 + uint64(v.Person) // other words, as many
				h.related = s.taste(v.Person, len(h.related))
			}
		}},
		{Name: "basket", Truth: Personalised, Host: shop, lang: "en", count: 4, depends: true, path: at("/bag/", 1, 2), show: func(_ *Site, _ *Page, v View, h *sheet) {
			h.title, h.paragraphs = "Your basket is empty", 1
			if v.Person >= 0 {
				h.title, h.paragraphs = fmt.Sprintf("Your basket (%d)", 1+v.Person%7), 2+v.Person%7
			}
		}},
		{Name: "dashboard", Truth: Personalised, Host: city, lang: "en", count: 4, depends: true, path: at("/portal/", 1, 2), show: func(_ *Site, p *Page, v View, h *sheet) {
			if v.Person >= 0 {
				h.after = fill(9<<10, "<li>a form that you have sent in</li>")
				h.seed = p.seed + 1 + uint64(v.Person)
			}
		}},
		{Name: "one's own profile, with a form", Truth: Personalised, Audience: Owner, Host: people, lang: "en", count: 30, depends: true, path: func(d *draw) string {
			return "/in/" + strings.ToLower(firstNames()[d.IntN(20)]+"-"+lastNames()[d.IntN(16)]) + "-" + fmt.Sprint(d.index+2)
		}, show: func(_ *Site, _ *Page, v View, h *sheet) {
			if v.Person >= 0 {
				h.after = `<form method="post" action="/profile"><input name="headline"><textarea name="about"></textarea><button>Save</button></form>`
			}
		}},
		{Name: "prices for the signed-in", Truth: Personalised, Host: shop, lang: "en", count: 6, depends: true, path: at("/offers/", 1, 2), show: func(_ *Site, p *Page, v View, h *sheet) {
			h.title = p.Title + " from 20"
			if v.Person >= 0 {
				h.title = fmt.Sprintf("%s for %s, %d points", v.name(), p.Title, 10*v.Person)
			}
		}},
		{Name: "cookie wall", Truth: Personalised, Host: journal, lang: "fr", count: 8, path: at("/lecture/", 3, 4), show: func(_ *Site, p *Page, v View, h *sheet) {
			if v.Person < 0 {
				h.redirect(302, "/consent")
				h.Cookie = "seen=1; Path=/"
			}
		}},

		{Name: "noindex by meta", Truth: Noindex, Host: notes, lang: "en", count: 20, robots: "noindex, follow", path: at("/drafts/", 3, 4)},
		{Name: "noindex for one robot", Truth: Noindex, Host: notes, lang: "en", count: 8, path: at("/quiet/", 3, 4), show: head(`<meta name="Finchbot" content="NOINDEX">`)},
		{Name: "noindex by header", Truth: Noindex, Host: papers, lang: "en", count: 20, header: "noindex", path: at("/paper/", 3, 4)},
		{Name: "noindex by header, for one robot", Truth: Noindex, Host: papers, lang: "en", count: 8, header: "finchbot: noindex, nofollow", path: at("/note/", 3, 4)},
		{Name: "noindex as none", Truth: Noindex, Host: notes, lang: "en", count: 8, robots: "none", path: at("/scratch/", 3, 4)},
		{Name: "noindex as unavailable_after", Truth: Noindex, Host: events, lang: "en", count: 8, path: at("/past/", 3, 4), show: head(`<meta name="robots" content="unavailable_after: 2020-09-21">`)},
		{Name: "noindex in http-equiv", Truth: Noindex, Host: events, lang: "en", count: 6, path: at("/guestlist/", 2, 3), show: head(`<meta http-equiv="X-Robots-Tag" content="noindex">`)},
		{Name: "noindex late in a broken head", Truth: Noindex, Host: odd, lang: "en", count: 6, path: at("/late/", 3, 4), show: func(_ *Site, _ *Page, _ View, h *sheet) {
			h.head = "</head><p>early text" + fill(4<<10, "<!-- padding -->") + `<META NAME=robots CONTENT=noindex>`
		}},
		{Name: "noindex for the anonymous only", Truth: Noindex, Host: people, lang: "en", count: 8, path: at("/posts/", 3, 4), show: func(_ *Site, _ *Page, v View, h *sheet) {
			if v.Person < 0 {
				h.robots = "noindex"
			}
		}},
		{Name: "noindex, linked from public pages", Truth: Noindex, Host: notes, lang: "en", count: 10, linked: true, robots: "noindex", path: at("/tagged/", 2, 3)},
		{Name: "noindex with a number for a token", Truth: Noindex, Audience: Few, Host: files, lang: "en", count: 20, header: "noindex, noarchive", path: func(d *draw) string { return "/n/" + tokengen.Text(d.Rand, tokengen.Digits, 7) }},
	}
}

func head(element string) func(*Site, *Page, View, *sheet) {
	return func(_ *Site, _ *Page, _ View, h *sheet) { h.head = element }
}

// taste returns n public pages that a shop recommends to one person.
func (s *Site) taste(person, n int) []*Page {
	out := make([]*Page, n)
	for i := range out {
		out[i] = s.public[(person*7919+i*104729)%len(s.public)]
	}
	return out
}

// networkKinds are pages that only a private network shows.
func networkKinds() []Kind {
	at := func(d *draw) string { return "/" + d.slug(2, 3) }
	var all []Kind
	for _, k := range []struct{ name, host string }{
		{"router by its address", router},
		{"single-label name", intranet},
		{"printer, .local", printer},
		{"wiki, .corp", wiki},
		{"vault, .internal", cloud},
		{"disk at home, .home.arpa", homeNAS},
		{"hidden service, .onion", onion},
		{"router by its IPv6 address", ulaHost},
		{"public name, 10.x", branch},
		{"public name, 127.0.0.1", loop},
		{"public name, 169.254.x", metadata},
		{"public name, fd00::", ula},
		{"public name, mapped 10.x", mapped},
		{"public name, 100.64.x", carrier},
		{"public name, 198.18.x", benchmark},
		{"public name, NAT64 of 10.x", nat64},
		{"address written as a name", embedded},
		{"port of its own", develop + ":8443"},
	} {
		all = append(all, Kind{Name: k.name, Truth: Private, Host: k.host, lang: "en", count: 5, path: at})
	}
	return all
}
