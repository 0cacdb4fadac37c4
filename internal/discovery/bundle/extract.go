package bundle

import (
	"strings"

	"github.com/shoal-project/shoal/internal/discovery"
)

// A style is a Style, compiled.
type style struct {
	inputs  []input
	actions []action
	size    int // parts of all selectors
}

type input struct {
	name     string
	all      bool
	selector *selectorList
	fields   []field
	size     int
}

type field struct {
	name string
	ways []way
}

type way struct {
	selector   *selectorList // nil: the element itself
	attr       string        // empty: its text
	transforms []transform
}

type action struct {
	name   string
	fields []outField
}

type outField struct {
	key, input, field string
	require           []string
	optional          bool
}

func (s *style) input(name string) *input {
	for i := range s.inputs {
		if s.inputs[i].name == name {
			return &s.inputs[i]
		}
	}
	return nil
}

func (in *input) has(field string) bool {
	for _, f := range in.fields {
		if f.name == field {
			return true
		}
	}
	return false
}

// Limits of what a page gives.
const (
	maxMatches = 100       // elements of an input; more are left out
	maxRead    = 256 << 10 // bytes of a text or attribute before its transforms
	maxValue   = 2 << 10   // bytes of a value
)

// Extract reads the page at the clean URL of a search: body is
// what an anonymous request for u returned, in UTF-8. It returns the actions of
// the first style of the engine that gives any, or none if the page gives none.
// The error is ErrNoRules if the bundle has no content rules for u, and ErrPage,
// wrapped, if the page exceeds the limits.
func (b *Bundle) Extract(u discovery.URL, body []byte) ([]Action, error) {
	e, _ := b.find(u)
	if e == nil || len(e.styles) == 0 {
		return nil, ErrNoRules
	}
	t, err := readTree(body)
	if err != nil {
		return nil, err
	}
	x := extraction{tree: t, page: u, steps: maxSteps}
	for i := range e.styles {
		actions, err := x.style(&e.styles[i])
		if err != nil {
			return nil, err
		}
		if len(actions) > 0 {
			return actions, nil
		}
	}
	return nil, nil
}

// An extraction is one page that is being read.
type extraction struct {
	tree  *tree
	page  discovery.URL
	steps int // that are left
}

// A harvest is what an input gave: an item for each element.
type harvest map[string][]Item

func (x *extraction) style(s *style) ([]Action, error) {
	got := make(harvest, len(s.inputs))
	for i := range s.inputs {
		items, err := x.input(&s.inputs[i])
		if err != nil {
			return nil, err
		}
		got[s.inputs[i].name] = items
	}
	if err := x.spend(0); err != nil {
		return nil, err
	}
	var actions []Action
	for i := range s.actions {
		if a, ok := s.actions[i].fill(got); ok {
			actions = append(actions, a)
		}
	}
	return actions, nil
}

// input reads the fields of the elements that an input selects.
func (x *extraction) input(in *input) ([]Item, error) {
	matched, err := x.match(in.selector)
	if err != nil {
		return nil, err
	}
	elements := make([]int, 0, 16)
	for i, ok := range matched {
		if ok && len(elements) < maxMatches {
			elements = append(elements, i)
			if !in.all {
				break
			}
		}
	}
	items := make([]Item, len(elements))
	for i := range items {
		items[i] = Item{}
	}
	if len(elements) == 0 {
		return nil, nil
	}
	for _, f := range in.fields {
		for _, w := range f.ways {
			if err := x.way(f.name, w, elements, items); err != nil {
				return nil, err
			}
		}
	}
	return items, nil
}

// way reads one field of those elements that do not have it yet.
func (x *extraction) way(name string, w way, elements []int, items []Item) error {
	var next []int32
	if w.selector != nil {
		matched, err := x.match(w.selector)
		if err != nil {
			return err
		}
		next = nextMatch(matched)
	}
	for i, e := range elements {
		if _, done := items[i][name]; done {
			continue
		}
		if next != nil {
			// The first match after the element itself, if it is still below it.
			below := int(next[e+1])
			if below >= int(x.tree.elements[e].end) {
				continue
			}
			e = below
		}
		if value, ok := x.value(w, e); ok {
			items[i][name] = value
		}
	}
	return nil
}

// nextMatch returns for each index the first match at or after it; past the
// last match it is the number of elements.
func nextMatch(matched []bool) []int32 {
	next := make([]int32, len(matched)+1)
	next[len(matched)] = int32(len(matched))
	for i := len(matched) - 1; i >= 0; i-- {
		next[i] = next[i+1]
		if matched[i] {
			next[i] = int32(i)
		}
	}
	return next
}

// value reads and reshapes one value.
func (x *extraction) value(w way, element int) (string, bool) {
	var text string
	if w.attr == "" {
		text = x.tree.text(element, maxRead)
	} else {
		value, ok := x.tree.attr(element, w.attr)
		if !ok || len(value) > maxRead {
			return "", false
		}
		text = value
	}
	if x.steps -= len(text); x.steps < 0 {
		return "", false
	}
	for _, t := range w.transforms {
		var ok bool
		if text, ok = t(x.page, text); !ok {
			return "", false
		}
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	return text, text != "" && len(text) <= maxValue
}

// fill makes an action, unless a required field is missing.
func (a *action) fill(got harvest) (Action, bool) {
	out := Action{Name: a.name, Texts: map[string]string{}, Lists: map[string][]Item{}}
	for _, f := range a.fields {
		items := got[f.input]
		if f.field != "" {
			if len(items) > 0 && items[0][f.field] != "" {
				out.Texts[f.key] = items[0][f.field]
				continue
			}
		} else if kept := whole(items, f.require); len(kept) > 0 {
			out.Lists[f.key] = kept
			continue
		}
		if !f.optional {
			return Action{}, false
		}
	}
	return out, true
}

// whole returns the items that have all required fields, and any field at all.
func whole(items []Item, require []string) []Item {
	var kept []Item
items:
	for _, item := range items {
		for _, r := range require {
			if item[r] == "" {
				continue items
			}
		}
		if len(item) > 0 {
			kept = append(kept, item)
		}
	}
	return kept
}
