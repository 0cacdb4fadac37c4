package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/shoal-project/shoal/internal/discovery"
)

// Limits of a page.
const (
	maxElements   = 200_000
	maxTexts      = 500_000
	maxAttributes = 500_000
	maxDepth      = 256     // open elements
	maxToken      = 1 << 20 // bytes of a tag, comment or script
)

// A tree is a page, flat: elements in document order, so that what is below
// element i are the elements between i and its end.
type tree struct {
	elements  []element
	texts     []text
	attrs     int // number of attributes
	attrBytes int // bytes of attribute values
}

type element struct {
	tag      string
	attrs    []html.Attribute
	parent   int32 // -1: the root
	prev     int32 // element before it among its siblings, -1 if none
	end      int32 // index after the last element below it
	nth      int32 // place among its siblings, from 1
	children int32 // elements among its children
	from, to int32 // its texts
}

type text struct {
	data string
	raw  bool // of a script or the like: not visible
}

// readTree reads a page in one pass. The tree construction of browsers (HTML
// Standard, section 13.2.6) repairs broken pages by copying elements: with
// golang.org/x/net/html 23 kB of them become 885,000 nodes. Here an element comes
// from one tag, so that time and memory are linear in the page.
func readTree(body []byte) (*tree, error) {
	if len(body) > discovery.MaxPage {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrPage, discovery.MaxPage)
	}
	g := grower{tree: &tree{}}
	g.open("html", nil)
	z := html.NewTokenizer(bytes.NewReader(body))
	z.SetMaxBuf(maxToken)
	for {
		switch z.Next() {
		case html.ErrorToken:
			if !errors.Is(z.Err(), io.EOF) {
				return nil, fmt.Errorf("%w: %w", ErrPage, z.Err())
			}
			g.closeTo(0)
			return g.tree, nil
		case html.TextToken:
			g.text(z.Text())
		case html.StartTagToken:
			g.start(z, false)
		case html.SelfClosingTagToken:
			g.start(z, true)
		case html.EndTagToken:
			name, _ := z.TagName()
			g.endTag(intern(name))
		}
		if g.err != nil {
			return nil, g.err
		}
	}
}

// A grower holds the open elements while a tree grows.
type grower struct {
	tree      *tree
	stack     []int32 // open elements
	last      []int32 // last child so far of each open element, -1 if none
	head      bool    // a head was begun
	body      bool    // a body was begun
	templates int     // open templates, whose content is no part of the page
	foreign   int     // open svg and math elements
	err       error
}

func intern(name []byte) string {
	if a := atom.Lookup(name); a != 0 {
		return a.String()
	}
	return string(name)
}

// add makes an element below the innermost open one and returns its index.
func (g *grower) add(tag string, attrs []html.Attribute) int32 {
	t := g.tree
	i := int32(len(t.elements))
	e := element{tag: tag, attrs: attrs, parent: -1, prev: -1, nth: 1, end: i + 1, from: int32(len(t.texts)), to: int32(len(t.texts))}
	if top := len(g.stack) - 1; top >= 0 {
		e.parent, e.prev = g.stack[top], g.last[top]
		g.last[top] = i
		t.elements[e.parent].children++
		e.nth = t.elements[e.parent].children
	}
	t.elements = append(t.elements, e)
	t.attrs += len(attrs)
	for _, a := range attrs {
		t.attrBytes += len(a.Val)
	}
	if len(t.elements) > maxElements || t.attrs > maxAttributes {
		g.err = fmt.Errorf("%w: too many elements or attributes", ErrPage)
	}
	return i
}

func (g *grower) open(tag string, attrs []html.Attribute) {
	i := g.add(tag, attrs)
	g.stack, g.last = append(g.stack, i), append(g.last, -1)
	if tag == "svg" || tag == "math" {
		g.foreign++
	}
	if len(g.stack) > maxDepth {
		g.err = fmt.Errorf("%w: nested too deep", ErrPage)
	}
}

// closeTo closes open elements until n are left.
func (g *grower) closeTo(n int) {
	for len(g.stack) > n {
		top := len(g.stack) - 1
		e := &g.tree.elements[g.stack[top]]
		e.end, e.to = int32(len(g.tree.elements)), int32(len(g.tree.texts))
		if e.tag == "svg" || e.tag == "math" {
			g.foreign--
		}
		g.stack, g.last = g.stack[:top], g.last[:top]
	}
}

func (g *grower) tag(i int) string { return g.tree.elements[g.stack[i]].tag }

// closeIn closes the innermost open element with one of the tags, unless an
// element with one of the bounds is further in.
func (g *grower) closeIn(tags, bounds string) {
	for i := len(g.stack) - 1; i > 0; i-- {
		switch tag := g.tag(i); {
		case word(tags, tag):
			g.closeTo(i)
			return
		case word(bounds, tag):
			return
		}
	}
}

// word reports whether a tag is in a list " a b c ".
func word(list, tag string) bool {
	i := strings.Index(list, tag)
	for i > 0 {
		if list[i-1] == ' ' && list[i+len(tag)] == ' ' {
			return true
		}
		next := strings.Index(list[i+1:], tag)
		if next < 0 {
			return false
		}
		i += 1 + next
	}
	return false
}

// Lists of tags, each between spaces.
const (
	voids   = " area base br col embed hr img input link meta param source track wbr "
	inHead  = " base basefont bgsound link meta noframes noscript script style template title "
	blocks  = " address article aside blockquote center details dialog dir div dl fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr main menu nav ol p pre search section summary table ul li dt dd "
	scopes  = " table td th caption button object template html svg math foreignobject "
	tabular = " table caption colgroup tbody thead tfoot tr td th "
	hidden  = " script style noscript noframes iframe noembed xmp "
)

func (g *grower) start(z *html.Tokenizer, closed bool) {
	name, more := z.TagName()
	tag := intern(name)
	switch {
	case tag == "template":
		g.templates++
		return
	case g.templates > 0:
		return
	}
	var attrs []html.Attribute
	if more {
		attrs = readAttributes(z)
	}
	switch tag {
	case "html":
		if root := &g.tree.elements[0]; root.attrs == nil {
			root.attrs = attrs
			g.tree.attrs += len(attrs)
		}
		return
	case "head":
		if !g.head && !g.body {
			g.head = true
			g.open("head", attrs)
		}
		return
	case "body":
		if !g.body {
			g.begin(attrs)
		}
		return
	}
	switch {
	case g.body:
	case !word(inHead, tag):
		g.begin(nil)
	case !g.head:
		g.head = true
		g.open("head", nil)
	}
	if g.foreign == 0 {
		g.imply(tag)
	}
	if word(voids, tag) && g.foreign == 0 || closed && g.foreign > 0 || closed && (tag == "svg" || tag == "math") {
		g.add(tag, attrs)
		return
	}
	g.open(tag, attrs)
}

// begin opens the body, and closes a head that is still open.
func (g *grower) begin(attrs []html.Attribute) {
	g.closeTo(1)
	g.head, g.body = true, true
	g.open("body", attrs)
}

// imply closes what a start tag closes implicitly.
func (g *grower) imply(tag string) {
	if word(blocks, tag) {
		g.closeIn(" p ", scopes)
	}
	switch tag {
	case "li":
		g.closeIn(" li ", " ul ol menu"+scopes)
	case "dt", "dd":
		g.closeIn(" dt dd ", " dl"+scopes)
	case "option", "optgroup":
		g.closeIn(" option ", " select"+scopes)
	case "a":
		g.closeIn(" a ", scopes)
	case "td", "th":
		g.closeIn(" td th ", " tr table template ")
	case "tr":
		g.closeIn(" tr ", " tbody thead tfoot table template ")
	case "tbody", "thead", "tfoot":
		g.closeIn(" tbody thead tfoot ", " table template ")
	}
}

func readAttributes(z *html.Tokenizer) []html.Attribute {
	attrs := make([]html.Attribute, 0, 4)
	for more := true; more; {
		var key, value []byte
		key, value, more = z.TagAttr()
		if len(key) > 0 && len(attrs) < 64 && !hasKey(attrs, key) {
			attrs = append(attrs, html.Attribute{Key: intern(key), Val: string(value)})
		}
	}
	return attrs
}

func hasKey(attrs []html.Attribute, key []byte) bool {
	for i := range attrs {
		if attrs[i].Key == string(key) {
			return true
		}
	}
	return false
}

func (g *grower) endTag(tag string) {
	switch {
	case tag == "template":
		g.templates = max(g.templates-1, 0)
		return
	case g.templates > 0 || tag == "html" || tag == "body":
		return
	case tag == "head":
		if !g.body {
			g.closeTo(1)
		}
		return
	case word(tabular, tag):
		bounds := " table template "
		if tag == "table" {
			bounds = " template "
		}
		g.closeIn(" "+tag+" ", bounds)
		return
	}
	bounds := scopes
	if word(scopes, tag) {
		bounds = " template "
	}
	g.closeIn(" "+tag+" ", bounds)
}

func (g *grower) text(data []byte) {
	if g.templates > 0 || len(data) == 0 {
		return
	}
	inside := g.tag(len(g.stack) - 1)
	if !g.body && (inside == "html" || inside == "head") {
		if len(bytes.TrimSpace(data)) == 0 {
			return
		}
		g.begin(nil)
		inside = "body"
	}
	g.tree.texts = append(g.tree.texts, text{string(data), word(hidden, inside)})
	if len(g.tree.texts) > maxTexts {
		g.err = fmt.Errorf("%w: too many texts", ErrPage)
	}
}

// text returns the text of an element; that of scripts and the like only if
// the element is one itself. It ends after most bytes.
func (t *tree) text(i, most int) string {
	e := &t.elements[i]
	raw := word(hidden, e.tag)
	var b strings.Builder
	for _, piece := range t.texts[e.from:e.to] {
		if piece.raw != raw {
			continue
		}
		if b.Len()+len(piece.data) > most {
			b.WriteString(piece.data[:most-b.Len()])
			break
		}
		b.WriteString(piece.data)
	}
	return b.String()
}

func (t *tree) attr(i int, key string) (string, bool) {
	for _, a := range t.elements[i].attrs {
		if a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}
