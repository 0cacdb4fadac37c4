package bundle

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
)

// compile checks a document and makes it ready for use.
func compile(doc *Document) (*Bundle, error) {
	lifetime := doc.Expires.Sub(doc.NotBefore)
	switch {
	case doc.Format != format1 && doc.Format != format2:
		return nil, fmt.Errorf("format %d, want 1 or 2", doc.Format)
	case !validName(doc.Name):
		return nil, fmt.Errorf("name %q: want 1 to %d of a-z, 0-9, - and _", doc.Name, maxName)
	case len(doc.About) > maxText:
		return nil, errors.New("about: too long")
	case doc.Version == 0 || doc.Version > 1<<53:
		return nil, fmt.Errorf("version %d: want 1 to 2^53", doc.Version)
	case lifetime <= 0 || lifetime > maxLifetime:
		return nil, fmt.Errorf("expires: want at most %d days after not_before", maxLifetime/(24*time.Hour))
	case doc.NotBefore.Nanosecond() != 0 || doc.Expires.Nanosecond() != 0:
		return nil, errors.New("not_before and expires: want whole seconds")
	case len(doc.Engines) == 0 || len(doc.Engines) > maxEngines:
		return nil, fmt.Errorf("engines: %d, want 1 to %d", len(doc.Engines), maxEngines)
	}
	b := &Bundle{doc: doc}
	seen := map[string]bool{}
	for i := range doc.Engines {
		e, err := compileEngine(&doc.Engines[i], doc.Format)
		if err == nil && seen[e.name] {
			err = errors.New("duplicate")
		}
		if err != nil {
			return nil, fmt.Errorf("engine %q: %w", doc.Engines[i].Name, err)
		}
		seen[e.name] = true
		b.engines = append(b.engines, e)
	}
	return b, nil
}

func compileEngine(doc *Engine, format int) (engine, error) {
	e, most := engine{name: doc.Name, rendered: doc.Rendered}, boundsOf(format)
	switch {
	case !validName(doc.Name):
		return e, fmt.Errorf("name: want 1 to %d of a-z, 0-9, - and _", maxName)
	case len(doc.Pages) == 0 || len(doc.Pages) > maxPatterns:
		return e, fmt.Errorf("pages: %d, want 1 to %d", len(doc.Pages), maxPatterns)
	case doc.Rendered && format < format2:
		return e, errors.New("rendered: wants format 2")
	case len(doc.Content) > maxStyles:
		return e, fmt.Errorf("content: %d styles, want at most %d", len(doc.Content), maxStyles)
	}
	for i := range doc.Pages {
		p, err := compilePattern(&doc.Pages[i], format)
		if err != nil {
			return e, fmt.Errorf("page %d: %w", i, err)
		}
		e.patterns = append(e.patterns, p)
	}
	for i := range e.patterns {
		if err := e.checkClean(&e.patterns[i], format); err != nil {
			return e, fmt.Errorf("page %d: %w", i, err)
		}
	}
	size := 0
	for i := range doc.Content {
		s, err := compileStyle(&doc.Content[i], most)
		if err != nil {
			return e, fmt.Errorf("content %d: %w", i, err)
		}
		size += s.size
		e.styles = append(e.styles, s)
	}
	if size > most.selectors {
		return e, fmt.Errorf("content: selectors have %d parts together, want at most %d", size, most.selectors)
	}
	return e, nil
}

func compilePattern(doc *Pattern, format int) (pattern, error) {
	p := pattern{Pattern: *doc, exact: map[string]bool{}}
	switch {
	case doc.Scheme != "https" && doc.Scheme != "http":
		return p, fmt.Errorf("scheme %q: want https or http", doc.Scheme)
	case len(doc.Hosts) == 0 || len(doc.Hosts) > maxHosts:
		return p, fmt.Errorf("hosts: %d, want 1 to %d", len(doc.Hosts), maxHosts)
	case !strings.HasPrefix(doc.Path, "/") || len(doc.Path) > maxText || strings.Contains(strings.TrimSuffix(doc.Path, "*"), "*") || strings.HasSuffix(doc.Path, "*") && !strings.HasSuffix(doc.Path, "/*"):
		return p, fmt.Errorf("path %q: want /path or /path/*", doc.Path)
	case doc.Query == "" || len(doc.Query) > maxName || slices.Contains(doc.Not, doc.Query):
		return p, fmt.Errorf("query %q: want the name of a parameter that is not in not", doc.Query)
	case len(doc.Not) > boundsOf(format1).arguments || tooLong(doc.Not):
		return p, errors.New("not: too many names, or too long")
	}
	for _, h := range doc.Hosts {
		if name, ok := strings.CutSuffix(h, ".<tld>"); ok && format >= format2 {
			if u, err := discovery.ParseURL(doc.Scheme + "://" + name + ".com/"); err != nil || u.Host() != name+".com" || strings.Contains(name, "*") {
				return p, fmt.Errorf("host %q: want a host as browsers write it before .<tld>", h)
			}
			p.prefixes = append(p.prefixes, name+".")
			continue
		}
		name, wild := strings.CutPrefix(h, "*.")
		u, err := discovery.ParseURL(doc.Scheme + "://" + name + "/")
		if err != nil || u.Host() != name || u.Port() != defaultPort(doc.Scheme) || u.HasCredentials() || strings.Contains(name, "*") {
			return p, fmt.Errorf("host %q: want a host as browsers write it", h)
		}
		if wild {
			p.suffixes = append(p.suffixes, "."+name)
			continue
		}
		p.exact[name] = true
	}
	clean, err := discovery.ParseURL(doc.Clean)
	if err != nil || clean.String() != doc.Clean || strings.ContainsAny(doc.Clean, "?#") || clean.Scheme() != doc.Scheme || clean.HasCredentials() || len(doc.Clean) > maxText {
		return p, fmt.Errorf("clean %q: want a normalised URL of the same scheme, without query and fragment", doc.Clean)
	}
	return p, nil
}

// checkClean checks that the clean URL of a pattern is recognised as the same search:
// in format 1 by the pattern itself, in format 2 by any pattern of the engine, which
// gives the same clean URL again.
func (e *engine) checkClean(p *pattern, format int) error {
	const probe = "probe"
	u, err := p.clean(probe)
	if err != nil {
		return fmt.Errorf("clean %q: no words can be put behind it", p.Clean)
	}
	if format == format1 {
		if words, ok := p.match(u); !ok || words != probe {
			return fmt.Errorf("clean %q: the pattern does not recognise it", p.Clean)
		}
		return nil
	}
	for i := range e.patterns {
		if words, ok := e.patterns[i].match(u); ok {
			if again, err := e.patterns[i].clean(words); err != nil || words != probe || again != u {
				return fmt.Errorf("clean %q: it leads to another clean URL", p.Clean)
			}
			return nil
		}
	}
	return fmt.Errorf("clean %q: no pattern of the engine recognises it", p.Clean)
}

func compileStyle(doc *Style, most bounds) (style, error) {
	s := style{}
	switch {
	case len(doc.About) > maxText:
		return s, errors.New("about: too long")
	case len(doc.Input) == 0 || len(doc.Input) > most.inputs:
		return s, fmt.Errorf("input: %d, want 1 to %d", len(doc.Input), most.inputs)
	case len(doc.Out) == 0 || len(doc.Out) > most.actions:
		return s, fmt.Errorf("output: %d actions, want 1 to %d", len(doc.Out), most.actions)
	}
	for i := range doc.Input {
		in, err := compileInput(&doc.Input[i], most)
		if err == nil && s.input(in.name) != nil {
			err = errors.New("duplicate")
		}
		if err != nil {
			return s, fmt.Errorf("input %q: %w", doc.Input[i].Name, err)
		}
		s.inputs = append(s.inputs, in)
		s.size += in.size
	}
	for i := range doc.Out {
		a, err := s.compileOutput(&doc.Out[i], most)
		if err != nil {
			return s, fmt.Errorf("action %q: %w", doc.Out[i].Action, err)
		}
		s.actions = append(s.actions, a)
	}
	return s, nil
}

func compileInput(doc *Input, most bounds) (input, error) {
	in := input{name: doc.Name, all: doc.All != ""}
	if !validName(doc.Name) {
		return in, fmt.Errorf("name: want 1 to %d of a-z, 0-9, - and _", maxName)
	}
	if (doc.First == "") == (doc.All == "") {
		return in, errors.New("want either first or all")
	}
	if len(doc.Fields) == 0 || len(doc.Fields) > most.fields {
		return in, fmt.Errorf("fields: %d, want 1 to %d", len(doc.Fields), most.fields)
	}
	var err error
	if in.selector, err = parseSelector(doc.First + doc.All); err != nil {
		return in, err
	}
	in.size = in.selector.size()
	seen := map[string]bool{}
	for _, f := range doc.Fields {
		if !validName(f.Name) || seen[f.Name] || len(f.Ways) == 0 || len(f.Ways) > most.ways {
			return in, fmt.Errorf("field %q: want a name that stands once, and 1 to %d ways", f.Name, most.ways)
		}
		seen[f.Name] = true
		c := field{name: f.Name}
		for _, w := range f.Ways {
			compiled, err := compileWay(w, most)
			if err != nil {
				return in, fmt.Errorf("field %q: %w", f.Name, err)
			}
			if compiled.selector != nil {
				in.size += compiled.selector.size()
			}
			c.ways = append(c.ways, compiled)
		}
		in.fields = append(in.fields, c)
	}
	return in, nil
}

func compileWay(doc Way, most bounds) (way, error) {
	w := way{attr: doc.Attr}
	if (doc.Attr != "") == doc.Text {
		return w, errors.New("want either attr or text")
	}
	if doc.Attr != strings.ToLower(doc.Attr) || len(doc.Attr) > maxName {
		return w, fmt.Errorf("attr %q: want lower case", doc.Attr)
	}
	if len(doc.Transform) > maxTransforms {
		return w, fmt.Errorf("transform: %d, want at most %d", len(doc.Transform), maxTransforms)
	}
	if doc.Select != "" {
		s, err := parseSelector(doc.Select)
		if err != nil {
			return w, err
		}
		w.selector = s
	}
	for _, t := range doc.Transform {
		compiled, err := compileTransform(t, most)
		if err != nil {
			return w, err
		}
		w.transforms = append(w.transforms, compiled)
	}
	return w, nil
}

func (s *style) compileOutput(doc *Output, most bounds) (action, error) {
	a := action{name: doc.Action}
	if !validName(doc.Action) {
		return a, fmt.Errorf("name: want 1 to %d of a-z, 0-9, - and _", maxName)
	}
	if len(doc.Fields) == 0 || len(doc.Fields) > most.fields {
		return a, fmt.Errorf("fields: %d, want 1 to %d", len(doc.Fields), most.fields)
	}
	seen := map[string]bool{}
	for _, f := range doc.Fields {
		name, field, single := strings.Cut(f.From, ".")
		in := s.input(name)
		switch {
		case !validName(f.Key) || seen[f.Key]:
			return a, fmt.Errorf("key %q: want a name that stands once", f.Key)
		case in == nil:
			return a, fmt.Errorf("from %q: no such input", f.From)
		case single == in.all:
			return a, fmt.Errorf("from %q: want input.field of an input that takes the first, or an input that takes all", f.From)
		case single && !in.has(field):
			return a, fmt.Errorf("from %q: no such field", f.From)
		case single && len(f.Require) > 0:
			return a, fmt.Errorf("from %q: require has a meaning for inputs that take all only", f.From)
		}
		for _, r := range f.Require {
			if !in.has(r) {
				return a, fmt.Errorf("require %q: no such field", r)
			}
		}
		seen[f.Key] = true
		a.fields = append(a.fields, outField{key: f.Key, input: name, field: field, require: f.Require, optional: f.Optional})
	}
	return a, nil
}

func validName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

func tooLong(list []string) bool {
	for _, s := range list {
		if s == "" || len(s) > maxText {
			return true
		}
	}
	return false
}
