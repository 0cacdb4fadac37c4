package testsite

import (
	"fmt"
	"html"
	"strings"
)

// listed returns the pages of a host that its sitemap lists.
func (s *Site) listed(h *Host) []*Page {
	var all []*Page
	for _, p := range s.pages {
		if p.Host == h && p.Kind.listed {
			all = append(all, p)
		}
	}
	return all
}

// catalogue is the sitemap of a host that names it in its robots.txt.
const catalogue = "/catalogue/all.xml"

// listing answers for sitemaps and feeds; nil for all other targets. The shop has
// an index of sitemaps, as large sites do; that of the papers is at a place that
// only its robots.txt names.
func (s *Site) listing(h *Host, target string) *Response {
	sitemap, feed := target == "/sitemap.xml" && h.Name != papers, target == "/feed.xml" && h.Name == films
	named := h.Name == papers && (target == catalogue || target == "/robots.txt")
	if !sitemap && !feed && !named && target != "/sitemap-products.xml" {
		return nil
	}
	pages := s.listed(h)
	if len(pages) == 0 {
		return nil
	}
	if target == "/robots.txt" {
		return &Response{Status: 200, Type: "text/plain", Body: fmt.Appendf(nil, "User-agent: *\nDisallow: /search\nSitemap: https://%s%s\n", h.Name, catalogue)}
	}
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	switch {
	case feed:
		b.WriteString(`<rss version="2.0"><channel><title>New films</title>`)
		for _, p := range pages {
			fmt.Fprintf(&b, "<item><title>%s</title><link>%s</link></item>\n", html.EscapeString(p.Title), html.EscapeString(p.URL()))
		}
		b.WriteString(`</channel></rss>`)
	case sitemap && h.Name == shop:
		fmt.Fprintf(&b, `<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><sitemap><loc>https://%s/sitemap-products.xml</loc></sitemap></sitemapindex>`, h.Name)
	default:
		b.WriteString(`<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">`)
		for _, p := range pages {
			fmt.Fprintf(&b, "<url><loc>%s</loc></url>\n", html.EscapeString(p.URL()))
		}
		b.WriteString(`</urlset>`)
	}
	return &Response{Status: 200, Type: "application/xml", Body: []byte(b.String())}
}
