package testsite

import (
	"fmt"
	"time"
)

// oddKinds are addresses that reveal a person by themselves, and pages that
// cannot be fetched, compared or reported.
func oddKinds() []Kind {
	at := func(prefix string) func(*draw) string {
		return func(d *draw) string { return prefix + d.slug(2, 4) }
	}
	gone := func(status int, title string) func(*Site, *Page, View, *sheet) {
		return func(_ *Site, _ *Page, v View, h *sheet) {
			if v.Person < 0 {
				h.plain(status, title)
			}
		}
	}
	return []Kind{
		{Name: "search within a site", Truth: Typed, Audience: Few, Host: shop, lang: "en", count: 40, path: func(d *draw) string { return "/search?q=" + d.lang.slug(d.Rand, 3, "+") }},
		{Name: "search within a site, in the path", Truth: Typed, Audience: Few, Host: docs, lang: "en", count: 20, path: func(d *draw) string { return "/search/" + d.slug(2, 3) }},
		{Name: "place by coordinates", Truth: Typed, Audience: Owner, Host: atlas, lang: "en", count: 40, path: func(d *draw) string {
			return fmt.Sprintf("/map/@%d.%05d,%d.%05d,17z", 40+d.IntN(20), d.IntN(100000), d.IntN(30), d.IntN(100000))
		}},
		{Name: "form sent by GET", Truth: Typed, Audience: Owner, Host: city, lang: "en", count: 30, path: func(d *draw) string {
			return "/appointment?name=" + firstNames()[d.IntN(20)] + "+" + lastNames()[d.IntN(16)] + "&phone=0" + d.number(30_000_000, 99_000_000)
		}},
		{Name: "another address within", Truth: Typed, Audience: Few, Host: mirror, lang: "en", count: 20, path: func(d *draw) string { return "/open/https%3A%2F%2Fbank.example.com%2Foverview%2F" + d.slug(1, 2) }},

		{Name: "gone, 404", Truth: Unusable, Host: odd, lang: "en", count: 8, path: at("/gone/"), show: gone(404, "Not found")},
		{Name: "gone, 410", Truth: Unusable, Host: odd, lang: "en", count: 6, path: at("/removed/"), show: gone(410, "Gone")},
		{Name: "soft 404", Truth: Unusable, Host: odd, lang: "en", count: 8, path: at("/soft/"), show: gone(200, "Sorry, we could not find that")},
		{Name: "out of order, 503", Truth: Unusable, Host: odd, lang: "en", count: 6, path: at("/busy/"), show: gone(503, "Try again later")},
		{Name: "no content", Truth: Unusable, Host: odd, lang: "en", count: 4, path: at("/empty/"), show: func(_ *Site, _ *Page, v View, h *sheet) {
			if v.Person < 0 {
				h.raw = []byte{}
			}
		}},
		{Name: "no title", Truth: Unusable, Host: odd, lang: "en", count: 6, path: at("/untitled/"), show: func(_ *Site, _ *Page, _ View, h *sheet) { h.title = "" }},
		{Name: "title with a number of a customer", Truth: Unusable, Host: odd, lang: "en", count: 6, path: at("/ticket-of/"), show: func(_ *Site, p *Page, _ View, h *sheet) {
			h.title = fmt.Sprintf("%s, customer %d", p.Title, 1_000_000_000+p.seed%9_000_000_000)
		}},
		{Name: "PDF", Truth: Unusable, Host: papers, lang: "en", count: 6, path: func(d *draw) string { return "/leaflets/" + d.slug(2, 3) + ".pdf" }, show: func(_ *Site, _ *Page, _ View, h *sheet) {
			h.Type, h.raw = "application/pdf", []byte("%PDF-1.7\n1 0 obj <</Type /Catalog>> endobj\n%%EOF\n")
		}},
		{Name: "plain text", Truth: Unusable, Host: code, lang: "en", count: 6, path: func(d *draw) string { return "/raw/" + d.slug(2, 3) + ".txt" }, show: func(_ *Site, _ *Page, _ View, h *sheet) {
			h.Type, h.raw = "text/plain; charset=utf-8", []byte("nothing but text\n")
		}},
		{Name: "slow", Truth: Unusable, Host: odd, lang: "en", count: 4, path: at("/slow/"), show: func(_ *Site, _ *Page, v View, h *sheet) {
			if v.Person < 0 {
				h.Wait = 2 * time.Minute
			}
		}},
		{Name: "of 12 MB", Truth: Unusable, Host: odd, lang: "en", count: 2, path: at("/huge/"), show: func(_ *Site, _ *Page, v View, h *sheet) {
			if v.Person < 0 {
				h.lines = append(h.lines, fill(12<<20, "Another line of an endless page. "))
			}
		}},
		{Name: "redirect to another site", Truth: Unusable, Host: odd, lang: "en", count: 6, path: at("/away/"), show: func(_ *Site, p *Page, v View, h *sheet) {
			if v.Person < 0 {
				h.redirect(302, "https://herald.example.org/")
			}
		}},
		{Name: "redirect to itself", Truth: Unusable, Host: odd, lang: "en", count: 4, path: at("/round/"), show: func(_ *Site, p *Page, v View, h *sheet) {
			if v.Person < 0 {
				h.redirect(301, p.Target)
			}
		}},
		{Name: "route behind a fragment", Truth: Unusable, Host: films, lang: "en", count: 1, path: func(*draw) string { return "/player" }, fragment: func(d *draw) string {
			return fmt.Sprintf("#/list/%d/item/%d", d.IntN(50), d.IntN(1000))
		}},
		{Name: "frames only", Truth: Unusable, Host: odd, lang: "en", count: 4, path: at("/frames/"), show: func(_ *Site, p *Page, _ View, h *sheet) {
			h.raw = []byte(`<html><head><title>` + p.Title + `</title></head><frameset cols="20,*"><frame src="/left"><frame src="/right"></frameset></html>`)
		}},
	}
}
