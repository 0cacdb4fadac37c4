package discovery

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Limits of pages. A page that exceeds them has no signature, and a page without
// signature is private.
const (
	MaxPage   = 10 << 20 // bytes
	maxMarkup = 1 << 20  // bytes of one tag, comment or script
	maxField  = 2 << 10  // bytes of a title or a canonical URL

	maxLanguage = 35 // bytes of a language tag
)

// ErrPage is returned for pages that have no signature: too large, or with a
// tag too large.
var ErrPage = errors.New("the page exceeds the limits of a signature")

// A Signature is what two fetches of a page are compared by. It is made of the
// bytes of the HTML, without running anything. Counts are of start tags.
type Signature struct {
	Bytes          int    `json:"bytes"`                      // length of the HTML
	Text           int    `json:"text"`                       // characters of text outside of scripts and styles, runs of spaces as one
	Words          Sketch `json:"words"`                      // the sketch of that text
	Title          string `json:"title"`                      // of the first title, spaces collapsed
	Links          int    `json:"links"`                      // a and area with href
	Inputs         int    `json:"inputs,omitempty"`           // input, textarea, select, button, except hidden inputs
	Hidden         int    `json:"hidden,omitempty"`           // hidden inputs
	Passwords      int    `json:"passwords,omitempty"`        // password inputs, among Inputs
	Forms          int    `json:"forms,omitempty"`            //
	FormsSameHost  int    `json:"forms_same_host,omitempty"`  // forms that are sent to the page's own host
	Frames         int    `json:"frames,omitempty"`           // iframe and frame
	FramesSameHost int    `json:"frames_same_host,omitempty"` // of the page's own host
	FramesSameSite int    `json:"frames_same_site,omitempty"` // of its own registrable domain, those of the host included
	Language       string `json:"language,omitempty"`         // as the html element declares it
	Canonical      string `json:"canonical,omitempty"`        // normalised canonical URL; empty if the page names none, or several that differ
	Indexable      bool   `json:"indexable"`                  // neither the page nor its header forbids to index it
}

// Sign makes the signature of a page: where it was loaded from, the values of
// its X-Robots-Tag headers, and its body in UTF-8. Time is linear in the body,
// memory bounded; nesting does not matter, because no tree is built.
func Sign(page URL, robots []string, body []byte) (Signature, error) {
	if len(body) > MaxPage {
		return Signature{}, ErrPage
	}
	s := signer{page: page, base: page}
	s.words.sketch = &s.sig.Words
	s.sig.Bytes, s.sig.Indexable = len(body), true
	for _, header := range robots {
		s.robots(header)
	}
	z := html.NewTokenizer(bytes.NewReader(body))
	z.SetMaxBuf(maxMarkup)
	for {
		switch z.Next() {
		case html.ErrorToken:
			if !errors.Is(z.Err(), io.EOF) {
				return Signature{}, ErrPage
			}
			return s.finish(), nil
		case html.TextToken:
			s.text(z.Text())
		case html.StartTagToken, html.SelfClosingTagToken:
			s.start(z)
		case html.EndTagToken:
			name, _ := z.TagName()
			s.end(atom.Lookup(name))
		}
	}
}

// A signer holds the state of one pass over a page.
type signer struct {
	page, base   URL
	sig          Signature
	words        sketcher
	raw          atom.Atom // the script, style, noscript or template that we are inside of: its content is not visible
	svg          int       // depth of svg elements, whose titles are not the page's
	inTitle      bool
	hasTitle     bool
	hasBase      bool
	space        bool // the text so far ends in a space
	canonical    string
	canonicalBad bool
	title        []byte
}

func (s *signer) text(text []byte) {
	if s.inTitle {
		s.title = append(s.title, text[:min(len(text), maxField-min(len(s.title), maxField))]...)
		return
	}
	if s.raw != 0 {
		return
	}
	for _, r := range string(text) {
		space := unicode.IsSpace(r)
		if !space || !s.space {
			s.sig.Text++
		}
		s.space = space
		s.words.rune(r)
	}
	s.words.end()
}

func (s *signer) start(z *html.Tokenizer) {
	name, more := z.TagName()
	tag := atom.Lookup(name)
	var attr map[string]string
	if more && reads(tag) {
		attr = attributes(z)
	}
	switch tag {
	case atom.Script, atom.Style, atom.Noscript, atom.Template:
		if s.raw == 0 {
			s.raw = tag
		}
	case atom.Svg:
		s.svg++
	case atom.Title:
		s.inTitle = !s.hasTitle && s.svg == 0
	case atom.Html:
		if s.sig.Language == "" {
			lang := strings.ToValidUTF8(attr["lang"], "\uFFFD")
			s.sig.Language = strings.ToLower(strings.TrimSpace(lang[:min(len(lang), maxLanguage)]))
		}
	case atom.Base:
		s.setBase(attr["href"])
	case atom.Meta:
		s.meta(attr)
	case atom.Link:
		s.link(attr)
	default:
		if s.raw == 0 {
			s.count(tag, attr)
		}
	}
}

// reads reports whether a signature depends on attributes of a tag.
func reads(tag atom.Atom) bool {
	switch tag {
	case atom.A, atom.Area, atom.Input, atom.Form, atom.Iframe, atom.Frame, atom.Html, atom.Base, atom.Meta, atom.Link:
		return true
	}
	return false
}

// attributes reads those attributes of a tag that a signature depends on. The
// first of its name counts.
func attributes(z *html.Tokenizer) map[string]string {
	attr := make(map[string]string, 4)
	for more := true; more; {
		var key, value []byte
		key, value, more = z.TagAttr()
		switch string(key) {
		case "href", "type", "action", "src", "lang", "rel", "name", "content", "http-equiv":
			if _, again := attr[string(key)]; !again {
				attr[string(key)] = string(value)
			}
		}
	}
	return attr
}

func (s *signer) count(tag atom.Atom, attr map[string]string) {
	switch tag {
	case atom.A, atom.Area:
		if _, ok := attr["href"]; ok {
			s.sig.Links++
		}
	case atom.Textarea, atom.Select, atom.Button:
		s.sig.Inputs++
	case atom.Input:
		switch strings.ToLower(strings.TrimSpace(attr["type"])) {
		case "hidden":
			s.sig.Hidden++
		case "password":
			s.sig.Passwords++
			s.sig.Inputs++
		default:
			s.sig.Inputs++
		}
	case atom.Form:
		s.sig.Forms++
		if s.sameHost(attr["action"]) {
			s.sig.FormsSameHost++
		}
	case atom.Iframe, atom.Frame:
		s.sig.Frames++
		if u, err := s.base.Resolve(attr["src"]); err == nil && u.SameSite(s.page) {
			s.sig.FramesSameSite++
			if u.host == s.page.host {
				s.sig.FramesSameHost++
			}
		}
	}
}

func (s *signer) end(tag atom.Atom) {
	switch tag {
	case s.raw:
		s.raw = 0
	case atom.Svg:
		s.svg = max(s.svg-1, 0)
	case atom.Title:
		s.hasTitle = s.hasTitle || s.inTitle
		s.inTitle = false
	}
}

// sameHost reports whether a reference leads to the host of the page; an empty
// one does.
func (s *signer) sameHost(ref string) bool {
	u, err := s.base.Resolve(ref)
	return err == nil && u.host == s.page.host
}

func (s *signer) setBase(ref string) {
	if s.hasBase || ref == "" {
		return
	}
	s.hasBase = true
	if u, err := s.page.Resolve(ref); err == nil {
		s.base = u
	}
}

// meta reads the robots rules, those for single robots included: a page that
// forbids one robot to index it is not meant to be public.
func (s *signer) meta(attr map[string]string) {
	name := strings.ToLower(strings.TrimSpace(attr["name"]))
	if strings.EqualFold(attr["http-equiv"], "x-robots-tag") || name == "robots" || strings.HasSuffix(name, "bot") || name == "slurp" {
		s.robots(attr["content"])
	}
}

func (s *signer) robots(rules string) {
	for rule := range strings.FieldsFuncSeq(strings.ToLower(rules), func(r rune) bool { return r == ',' || r == ':' || r == ';' || unicode.IsSpace(r) }) {
		if rule == "noindex" || rule == "none" || rule == "unavailable_after" {
			s.sig.Indexable = false
		}
	}
}

func (s *signer) link(attr map[string]string) {
	for rel := range strings.FieldsSeq(strings.ToLower(attr["rel"])) {
		if rel != "canonical" || attr["href"] == "" {
			continue
		}
		u, err := s.base.Resolve(attr["href"])
		if err != nil || len(attr["href"]) > maxField || s.canonical != "" && s.canonical != u.String() {
			s.canonicalBad = true
			continue
		}
		s.canonical = u.String()
	}
}

func (s *signer) finish() Signature {
	s.sig.Title = collapse(string(bytes.ToValidUTF8(s.title, []byte("\uFFFD"))))
	if !s.canonicalBad {
		s.sig.Canonical = s.canonical
	}
	return s.sig
}
