package message

import (
	"bytes"

	"golang.org/x/net/html"

	"github.com/shoal-project/shoal/discovery"
	"github.com/shoal-project/shoal/discovery/internal/anonymous"
)

// links tells whether a page has a link to exactly this URL. Links relative to
// a base element are read relative to it.
func links(from anonymous.Page, to discovery.URL) bool {
	if len(from.Body()) > discovery.MaxPage {
		return false
	}
	base, hasBase := from.URL(), false
	z := html.NewTokenizer(bytes.NewReader(from.Body()))
	z.SetMaxBuf(1 << 20)
	for {
		switch z.Next() {
		case html.ErrorToken:
			return false
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			tag := string(name)
			if !more || tag != "a" && tag != "area" && tag != "base" {
				continue
			}
			u, err := base.Resolve(href(z))
			switch {
			case err != nil:
			case tag == "base":
				if !hasBase {
					base, hasBase = u, true
				}
			case u.WithoutFragment() == to:
				return true
			}
		}
	}
}

// href returns the first href of the tag that the tokenizer stands at.
func href(z *html.Tokenizer) string {
	for {
		key, value, more := z.TagAttr()
		if string(key) == "href" {
			return string(value)
		}
		if !more {
			return ""
		}
	}
}
