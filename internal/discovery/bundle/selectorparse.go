package bundle

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The grammar is that of CSS Selectors Level 4 (W3C working draft), as far as
// docs/spec/rule-bundles.md lists it.

func parseSelector(s string) (*selectorList, error) {
	if len(s) > maxSelector {
		return nil, fmt.Errorf("selector: %d bytes, want at most %d", len(s), maxSelector)
	}
	p := selectorParser{s: s}
	list, err := p.list(0, false)
	if err == nil && p.i < len(s) {
		err = errors.New("something is left over")
	}
	if err != nil {
		return nil, fmt.Errorf("selector %q at byte %d: %w", s, p.i, err)
	}
	return list, nil
}

type selectorParser struct {
	s string
	i int
}

func (p *selectorParser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *selectorParser) take(c byte) bool {
	if p.peek() == c && p.i < len(p.s) {
		p.i++
		return true
	}
	return false
}

func (p *selectorParser) space() bool {
	start := p.i
	for p.i < len(p.s) && strings.IndexByte(" \t\n\r\f", p.s[p.i]) >= 0 {
		p.i++
	}
	return p.i > start
}

func (p *selectorParser) list(depth int, relative bool) (*selectorList, error) {
	if depth > maxNested {
		return nil, fmt.Errorf("more than %d pseudo-classes inside of each other", maxNested)
	}
	l := &selectorList{}
	for {
		c, err := p.complexSelector(depth, relative)
		if err != nil {
			return nil, err
		}
		l.alternatives = append(l.alternatives, c)
		if !p.take(',') {
			return l, nil
		}
	}
}

func (p *selectorParser) complexSelector(depth int, relative bool) (complexSelector, error) {
	var c complexSelector
	p.space()
	combinator := byte(' ')
	if relative {
		if k := p.peek(); k == '>' || k == '+' || k == '~' {
			combinator = k
			p.i++
			p.space()
		}
	}
	for {
		one, err := p.compound(depth)
		if err != nil {
			return c, err
		}
		c.combinators, c.compounds = append(c.combinators, combinator), append(c.compounds, one)
		space := p.space()
		switch k := p.peek(); {
		case k == '>' || k == '+' || k == '~':
			combinator = k
			p.i++
			p.space()
		case space && k != 0 && k != ',' && k != ')':
			combinator = ' '
		default:
			return c, nil
		}
	}
}

func (p *selectorParser) compound(depth int) (compound, error) {
	var c compound
	start := p.i
	if !p.take('*') && identStart(p.peek()) {
		name, err := p.ident()
		if err != nil {
			return c, err
		}
		c.tag = strings.ToLower(name)
	}
	for {
		var err error
		switch p.peek() {
		case '#':
			p.i++
			if c.id != "" {
				return c, errors.New("two ids")
			}
			c.id, err = p.ident()
		case '.':
			p.i++
			var class string
			class, err = p.ident()
			c.classes = append(c.classes, class)
		case '[':
			var a attrTest
			a, err = p.attribute()
			c.attrs = append(c.attrs, a)
		case ':':
			p.i++
			err = p.pseudo(&c, depth)
		default:
			if p.i == start {
				return c, errors.New("want a tag, a class, an id, an attribute or a pseudo-class")
			}
			return c, nil
		}
		if err != nil {
			return c, err
		}
	}
}

func identStart(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '-' || c == '\\' || c >= 0x80
}

func (p *selectorParser) ident() (string, error) {
	var b strings.Builder
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case c == '\\':
			if err := p.escape(&b); err != nil {
				return "", err
			}
			continue
		case identStart(c) || c >= '0' && c <= '9' && b.Len() > 0:
			b.WriteByte(c)
			p.i++
			continue
		}
		break
	}
	if b.Len() == 0 || b.String() == "-" {
		return "", errors.New("want a name")
	}
	return b.String(), nil
}

// escape reads "\" and a character, or up to six hexadecimal digits.
func (p *selectorParser) escape(b *strings.Builder) error {
	p.i++
	start := p.i
	for p.i < len(p.s) && p.i-start < 6 && hexDigit(p.s[p.i]) >= 0 {
		p.i++
	}
	if p.i > start {
		n, err := strconv.ParseUint(p.s[start:p.i], 16, 32)
		if err != nil || n == 0 || n > 0x10ffff {
			return errors.New("an escape that is no character")
		}
		b.WriteRune(rune(n))
		if strings.IndexByte(" \t\n\r\f", p.peek()) >= 0 && p.i < len(p.s) {
			p.i++
		}
		return nil
	}
	if p.i >= len(p.s) || p.s[p.i] == '\n' {
		return errors.New("an escape of nothing")
	}
	b.WriteByte(p.s[p.i])
	p.i++
	return nil
}

func (p *selectorParser) attribute() (attrTest, error) {
	var a attrTest
	p.i++
	p.space()
	name, err := p.ident()
	if err != nil {
		return a, err
	}
	a.key = strings.ToLower(name)
	p.space()
	if p.take(']') {
		return a, nil
	}
	a.op = p.peek()
	if a.op != '=' {
		if a.op == 0 || strings.IndexByte("~|^$*", a.op) < 0 {
			return a, errors.New("want = ~= |= ^= $= or *=")
		}
		p.i++
	}
	if !p.take('=') {
		return a, errors.New("want = ~= |= ^= $= or *=")
	}
	p.space()
	if a.value, err = p.stringOrIdent(); err != nil {
		return a, err
	}
	p.space()
	if p.peek()|0x20 == 'i' {
		p.i++
		a.fold = true
		p.space()
	}
	if !p.take(']') {
		return a, errors.New("want ]")
	}
	return a, nil
}

func (p *selectorParser) stringOrIdent() (string, error) {
	quote := p.peek()
	if quote != '"' && quote != '\'' {
		return p.ident()
	}
	p.i++
	var b strings.Builder
	for p.i < len(p.s) {
		switch c := p.s[p.i]; c {
		case quote:
			p.i++
			return b.String(), nil
		case '\\':
			if err := p.escape(&b); err != nil {
				return "", err
			}
		default:
			b.WriteByte(c)
			p.i++
		}
	}
	return "", errors.New("a string without end")
}

func (p *selectorParser) pseudo(c *compound, depth int) error {
	name, err := p.ident()
	if err != nil {
		return err
	}
	switch name = strings.ToLower(name); name {
	case "root":
		c.root = true
		return nil
	case "first-child":
		c.places = append(c.places, placeTest{b: 1})
		return nil
	case "last-child":
		c.places = append(c.places, placeTest{b: 1, last: true})
		return nil
	case "only-child":
		c.places = append(c.places, placeTest{b: 1}, placeTest{b: 1, last: true})
		return nil
	case "first-of-type":
		c.places = append(c.places, placeTest{b: 1, ofType: true})
		return nil
	case "last-of-type":
		c.places = append(c.places, placeTest{b: 1, last: true, ofType: true})
		return nil
	}
	if !p.take('(') {
		return fmt.Errorf("unknown pseudo-class :%s", name)
	}
	switch name {
	case "not", "is", "where", "has":
		kind := name
		if kind == "where" {
			kind = "is"
		}
		list, err := p.list(depth+1, kind == "has")
		if err != nil {
			return err
		}
		c.subs = append(c.subs, subTest{kind, list})
	case "nth-child", "nth-last-child", "nth-of-type", "nth-last-of-type":
		end := strings.IndexByte(p.s[p.i:], ')')
		if end < 0 {
			return errors.New("want )")
		}
		t, err := parseNth(p.s[p.i : p.i+end])
		if err != nil {
			return err
		}
		p.i += end
		t.last, t.ofType = strings.Contains(name, "last"), strings.HasSuffix(name, "type")
		c.places = append(c.places, t)
	default:
		return fmt.Errorf("unknown pseudo-class :%s", name)
	}
	p.space()
	if !p.take(')') {
		return errors.New("want )")
	}
	return nil
}

// parseNth reads "odd", "even", "3", "2n", "-n+3" and the like.
func parseNth(s string) (placeTest, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	switch s {
	case "odd":
		return placeTest{a: 2, b: 1}, nil
	case "even":
		return placeTest{a: 2}, nil
	}
	var t placeTest
	step, offset, isStep := strings.Cut(s, "n")
	if !isStep {
		step, offset = "", s
	}
	var err error
	switch {
	case !isStep:
	case step == "" || step == "+":
		t.a = 1
	case step == "-":
		t.a = -1
	default:
		t.a, err = strconv.Atoi(step)
	}
	if offset = strings.ReplaceAll(offset, " ", ""); err == nil && (offset != "" || !isStep) {
		t.b, err = strconv.Atoi(offset)
	}
	if isStep && offset != "" && offset[0] != '+' && offset[0] != '-' {
		err = errors.New("no sign")
	}
	const most = 1 << 20
	if err != nil || t.a > most || t.a < -most || t.b > most || t.b < -most {
		return t, fmt.Errorf("%q is no place such as 3, 2n+1, odd", s)
	}
	return t, nil
}
