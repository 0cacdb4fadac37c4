package discovery

import (
	"bytes"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// LinksTo reports whether a page links to a URL: whether an a or area element
// that is seen, on the page that was loaded from there, leads to exactly this
// URL, fragments apart. The page is evidence of a public link (Evidence) only
// if it was fetched anonymously. Time is linear in the body.
func LinksTo(page URL, body []byte, target URL) bool {
	if len(body) > MaxPage {
		return false
	}
	target = target.WithoutFragment()
	base, hasBase := page, false
	z := html.NewTokenizer(bytes.NewReader(body))
	z.SetMaxBuf(maxMarkup)
	var raw atom.Atom
	for {
		switch z.Next() {
		case html.ErrorToken:
			return false
		case html.EndTagToken:
			if name, _ := z.TagName(); atom.Lookup(name) == raw {
				raw = 0
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			switch tag := atom.Lookup(name); tag {
			case atom.Script, atom.Style, atom.Noscript, atom.Template:
				if raw == 0 {
					raw = tag
				}
			case atom.Base:
				if u, err := page.Resolve(href(z, more)); err == nil && !hasBase {
					base, hasBase = u, true
				}
			case atom.A, atom.Area:
				ref := href(z, more)
				if raw != 0 || ref == "" {
					continue
				}
				if u, err := base.Resolve(ref); err == nil && u.WithoutFragment() == target {
					return true
				}
			}
		}
	}
}

// href returns the first href of a tag.
func href(z *html.Tokenizer, more bool) string {
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		if string(key) == "href" {
			return string(value)
		}
	}
	return ""
}
