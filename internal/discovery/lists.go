package discovery

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// Lists reports whether a feed (RSS, Atom) or a sitemap that was loaded from page
// lists exactly this URL, fragments apart: in link, loc or guid, as text or href.
// It is evidence (Evidence.Listed) only if it was fetched anonymously. Time is
// linear in the body.
func Lists(page URL, body []byte, target URL) bool {
	if len(body) > MaxPage {
		return false
	}
	target = target.WithoutFragment()
	is := func(ref string) bool {
		u, err := page.Resolve(strings.TrimSpace(ref))
		return err == nil && ref != "" && u.WithoutFragment() == target
	}
	z := html.NewTokenizer(bytes.NewReader(body))
	z.SetMaxBuf(maxMarkup)
	root, inside := "", ""
	for {
		switch z.Next() {
		case html.ErrorToken:
			return false
		case html.EndTagToken:
			inside = ""
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			if root == "" {
				if root = string(name); !feedRoot(root) {
					return false // a page is no feed: its links are links
				}
			}
			inside = string(name)
			if inside == "link" && root == "feed" && is(href(z, more)) {
				return true
			}
		case html.TextToken, html.CommentToken:
			switch inside {
			case "link", "loc", "guid":
				text := strings.TrimPrefix(html.UnescapeString(string(z.Text())), "[CDATA[")
				if is(strings.TrimSuffix(text, "]]")) {
					return true
				}
			}
		}
	}
}

func feedRoot(tag string) bool {
	switch tag {
	case "rss", "feed", "urlset", "sitemapindex", "rdf:rdf":
		return true
	}
	return false
}

// IsFeed reports whether a body is a feed or a sitemap, and so no page.
func IsFeed(body []byte) bool {
	z := html.NewTokenizer(bytes.NewReader(body))
	z.SetMaxBuf(maxMarkup)
	for {
		switch z.Next() {
		case html.ErrorToken:
			return false
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			return feedRoot(string(name))
		}
	}
}

// Feed returns the feed on its own site that a page names, if its URL passes the
// strict rules.
func (r *Rules) Feed(page URL, body []byte) (URL, bool) {
	if len(body) > MaxPage {
		return URL{}, false
	}
	z := html.NewTokenizer(bytes.NewReader(body))
	z.SetMaxBuf(maxMarkup)
	for {
		switch z.Next() {
		case html.ErrorToken:
			return URL{}, false
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			if string(name) != "link" || !more {
				continue
			}
			attr := attributes(z)
			kind := strings.ToLower(attr["type"])
			if !strings.EqualFold(attr["rel"], "alternate") || kind != "application/rss+xml" && kind != "application/atom+xml" {
				continue
			}
			u, err := page.Resolve(attr["href"])
			if err != nil || !u.SameSite(page) || u.Downgrades(page) || r.Page(u, Evidence{}).Verdict != Public {
				continue
			}
			return u.WithoutFragment(), true
		}
	}
}

// maxSitemaps is how many sitemaps of an index are of use.
const maxSitemaps = 3

// Sitemap returns the address at which a site lists its pages.
func (u URL) Sitemap() URL {
	u = u.WithoutFragment()
	u.path, u.query, u.hasQuery = "/sitemap.xml", "", false
	return u
}

// Robots returns the address of the robots.txt of a host, which names its sitemaps.
func (u URL) Robots() URL {
	u = u.WithoutFragment()
	u.path, u.query, u.hasQuery = "/robots.txt", "", false
	return u
}

// IsRobots reports whether a URL is that of a robots.txt.
func (u URL) IsRobots() bool { return u.path == "/robots.txt" && !u.hasQuery }

// RobotsSitemaps returns the sitemaps of its own site that a robots.txt, loaded
// from page, names in lines "Sitemap:" (RFC 9309, 2.2.4; sitemaps.org), and whose
// URLs pass the strict rules: the first three. The usual place is left out.
func (r *Rules) RobotsSitemaps(page URL, body []byte) []URL {
	if len(body) > MaxPage {
		return nil
	}
	var urls []URL
	for line := range bytes.Lines(body) {
		key, ref, ok := bytes.Cut(line, []byte(":"))
		if !ok || !bytes.EqualFold(bytes.TrimSpace(key), []byte("sitemap")) {
			continue
		}
		ref, _, _ = bytes.Cut(ref, []byte("#"))
		text := string(bytes.TrimSpace(ref))
		u, err := page.Resolve(text)
		if err != nil || text == "" || !r.sitemapOf(page, u) || u == page.Sitemap() || slices.Contains(urls, u) {
			continue
		}
		if urls = append(urls, u); len(urls) == maxSitemaps {
			break
		}
	}
	return urls
}

// sitemapOf reports whether a URL that a page names may be asked for as a sitemap.
func (r *Rules) sitemapOf(page, u URL) bool {
	return u.SameSite(page) && !u.Downgrades(page) && !strings.HasSuffix(u.path, ".gz") && r.Page(u, Evidence{}).Verdict == Public
}

// Sitemaps returns the sitemaps of its own site that an index of sitemaps names
// and whose URLs pass the strict rules: those that changed last, three at most.
func (r *Rules) Sitemaps(page URL, body []byte) []URL {
	if len(body) > MaxPage {
		return nil
	}
	type sitemap struct {
		url     URL
		of      bool // url passes
		changed string
	}
	var all []sitemap
	var one sitemap
	z := html.NewTokenizer(bytes.NewReader(body))
	z.SetMaxBuf(maxMarkup)
	root, inside := "", ""
	for {
		switch z.Next() {
		case html.ErrorToken:
			slices.SortStableFunc(all, func(a, b sitemap) int { return strings.Compare(b.changed, a.changed) })
			var urls []URL
			for _, s := range all[:min(len(all), maxSitemaps)] {
				urls = append(urls, s.url)
			}
			return urls
		case html.EndTagToken:
			name, _ := z.TagName()
			if inside = ""; string(name) == "sitemap" && one.of {
				all = append(all, one)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			if inside = string(name); root == "" {
				if root = inside; root != "sitemapindex" {
					return nil
				}
			}
			if inside == "sitemap" {
				one = sitemap{}
			}
		case html.TextToken:
			text := strings.TrimSpace(html.UnescapeString(string(z.Text())))
			switch inside {
			case "loc":
				u, err := page.Resolve(text)
				one.url = u.WithoutFragment()
				one.of = err == nil && text != "" && r.sitemapOf(page, u)
			case "lastmod":
				one.changed = text
			}
		}
	}
}
