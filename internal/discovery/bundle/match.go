package bundle

import (
	"fmt"
	"strings"
)

// maxSteps bounds what all selectors of a page may cost together: a step is
// one test of one element, or one byte of an attribute that is looked at.
const maxSteps = 300 << 20

// spend charges steps and fails when none are left.
func (x *extraction) spend(n int) error {
	if x.steps -= n; x.steps < 0 {
		return fmt.Errorf("%w: its selectors take too long", ErrPage)
	}
	return nil
}

// match decides a selector for all elements at once. Each part of it is one
// pass over the elements, so that no page makes it slower than linear.
func (x *extraction) match(l *selectorList) ([]bool, error) {
	if err := x.spend(len(x.tree.elements)*l.size() + x.tree.attrBytes*l.scans()); err != nil {
		return nil, err
	}
	return x.matchList(l), nil
}

func (x *extraction) matchList(l *selectorList) []bool {
	var all []bool
	for i := range l.alternatives {
		m := x.matchComplex(&l.alternatives[i])
		if all == nil {
			all = m
			continue
		}
		for j, ok := range m {
			all[j] = all[j] || ok
		}
	}
	return all
}

// matchComplex goes from the left to the right: after each compound, matched
// marks the elements that end a match so far.
func (x *extraction) matchComplex(c *complexSelector) []bool {
	matched := x.matchCompound(&c.compounds[0])
	elements := x.tree.elements
	for i := 1; i < len(c.compounds); i++ {
		here := x.matchCompound(&c.compounds[i])
		// before[j]: an element that the combinator leads from ended a match.
		before := make([]bool, len(elements))
		for j := range elements {
			parent, prev := elements[j].parent, elements[j].prev
			switch c.combinators[i] {
			case ' ':
				before[j] = parent >= 0 && (matched[parent] || before[parent])
			case '>':
				before[j] = parent >= 0 && matched[parent]
			case '+':
				before[j] = prev >= 0 && matched[prev]
			case '~':
				before[j] = prev >= 0 && (matched[prev] || before[prev])
			}
		}
		for j := range here {
			here[j] = here[j] && before[j]
		}
		matched = here
	}
	return matched
}

// matchHas goes from the right to the left: which elements have, in the
// direction of the combinator, one that begins the rest of the match.
func (x *extraction) matchHas(l *selectorList) []bool {
	elements := x.tree.elements
	found := make([]bool, len(elements))
	for i := range l.alternatives {
		c := &l.alternatives[i]
		var has []bool // of the compound to the right, in the direction of its combinator
		for k := len(c.compounds) - 1; k >= 0; k-- {
			sat := x.matchCompound(&c.compounds[k])
			for j := range sat {
				sat[j] = sat[j] && (has == nil || has[j])
			}
			has = reach(elements, sat, c.combinators[k])
		}
		for j, ok := range has {
			found[j] = found[j] || ok
		}
	}
	return found
}

// reach returns which elements have one of those that satisfy below them (' '),
// as a child ('>'), as the next sibling ('+') or as a later one ('~').
func reach(elements []element, sat []bool, combinator byte) []bool {
	has := make([]bool, len(elements))
	for j := len(elements) - 1; j > 0; j-- {
		parent, prev := elements[j].parent, elements[j].prev
		switch combinator {
		case ' ':
			if sat[j] || has[j] {
				has[parent] = true
			}
		case '>':
			if sat[j] {
				has[parent] = true
			}
		case '+':
			if sat[j] && prev >= 0 {
				has[prev] = true
			}
		case '~':
			if (sat[j] || has[j]) && prev >= 0 {
				has[prev] = true
			}
		}
	}
	return has
}

func (x *extraction) matchCompound(c *compound) []bool {
	elements := x.tree.elements
	matched := make([]bool, len(elements))
	for j := range elements {
		matched[j] = c.plain(&elements[j])
	}
	for _, p := range c.places {
		x.matchPlace(p, matched)
	}
	for _, s := range c.subs {
		var m []bool
		if s.kind == "has" {
			m = x.matchHas(s.list)
		} else {
			m = x.matchList(s.list)
		}
		want := s.kind != "not"
		for j := range matched {
			matched[j] = matched[j] && m[j] == want
		}
	}
	return matched
}

// plain matches an element by its own tag and attributes.
func (c *compound) plain(e *element) bool {
	if c.tag != "" && c.tag != e.tag || c.root && e.parent >= 0 {
		return false
	}
	if c.id != "" && !(&attrTest{key: "id", value: c.id, op: '='}).match(e) {
		return false
	}
	for _, class := range c.classes {
		if !(&attrTest{key: "class", value: class, op: '~'}).match(e) {
			return false
		}
	}
	for i := range c.attrs {
		if !c.attrs[i].match(e) {
			return false
		}
	}
	return true
}

func (a *attrTest) match(e *element) bool {
	for i := range e.attrs {
		if e.attrs[i].Key == a.key {
			return a.holds(e.attrs[i].Val)
		}
	}
	return false
}

func (a *attrTest) holds(value string) bool {
	want := a.value
	if a.fold {
		value, want = strings.ToLower(value), strings.ToLower(want)
	}
	switch a.op {
	case 0:
		return true
	case '=':
		return value == want
	case '~':
		return listed(value, want)
	case '|':
		return value == want || strings.HasPrefix(value, want+"-")
	case '^':
		return want != "" && strings.HasPrefix(value, want)
	case '$':
		return want != "" && strings.HasSuffix(value, want)
	case '*':
		return want != "" && strings.Contains(value, want)
	}
	return false
}

// listed reports whether a word is in a list separated by spaces.
func listed(list, word string) bool {
	for list != "" {
		end := strings.IndexAny(list, " \t\n\r\f")
		if end < 0 {
			return list == word
		}
		if list[:end] == word && word != "" {
			return true
		}
		list = list[end+1:]
	}
	return false
}

// matchPlace leaves those whose place among their siblings is right.
func (x *extraction) matchPlace(p placeTest, matched []bool) {
	elements := x.tree.elements
	var places, counts []int32
	if p.ofType {
		places, counts = x.typePlaces()
	}
	for j := range elements {
		if !matched[j] {
			continue
		}
		place, count := elements[j].nth, int32(1)
		if parent := elements[j].parent; parent >= 0 {
			count = elements[parent].children
		}
		if p.ofType {
			place, count = places[j], counts[j]
		}
		if p.last {
			place = count - place + 1
		}
		matched[j] = p.fits(int(place))
	}
}

func (p placeTest) fits(place int) bool {
	rest := place - p.b
	if p.a == 0 {
		return rest == 0
	}
	return rest%p.a == 0 && rest/p.a >= 0
}

// typePlaces returns the place of each element among its siblings of the same
// tag, and how many of those there are.
func (x *extraction) typePlaces() (places, counts []int32) {
	type kind struct {
		parent int32
		tag    string
	}
	elements := x.tree.elements
	seen := make(map[kind]int32)
	places, counts = make([]int32, len(elements)), make([]int32, len(elements))
	for j := range elements {
		k := kind{elements[j].parent, elements[j].tag}
		seen[k]++
		places[j] = seen[k]
	}
	for j := range elements {
		counts[j] = seen[kind{elements[j].parent, elements[j].tag}]
	}
	return places, counts
}
