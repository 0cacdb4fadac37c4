package discovery

import (
	"bytes"
	"strings"

	"golang.org/x/net/html"
)

// Lists tells whether a feed (RSS, Atom) or a sitemap that was loaded from page
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

// IsFeed tells whether a body is a feed or a sitemap, and so no page.
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
