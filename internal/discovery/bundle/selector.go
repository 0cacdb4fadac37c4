package bundle

// A selectorList is "a b, c > d": an element matches if one of its selectors does.
type selectorList struct {
	alternatives []complexSelector
}

// A complexSelector is compounds with a combinator before each: ' ', '>', '+'
// or '~'. The combinator before the first has a meaning inside of :has only.
type complexSelector struct {
	combinators []byte
	compounds   []compound
}

// A compound is what one element must satisfy.
type compound struct {
	tag     string // empty: any
	id      string
	classes []string
	attrs   []attrTest
	places  []placeTest
	subs    []subTest
	root    bool
}

type attrTest struct {
	key, value string
	op         byte // 0: is there; = ~ | ^ $ *
	fold       bool
}

// A placeTest is a*n+b for some n >= 0, counted from the first or last sibling.
type placeTest struct {
	a, b         int
	last, ofType bool
}

type subTest struct {
	kind string // not, is, has
	list *selectorList
}

const (
	maxSelector = 512 // bytes
	maxNested   = 4   // :not, :is and :has inside of each other
)

func (l *selectorList) size() int {
	n := 0
	for _, c := range l.alternatives {
		for i := range c.compounds {
			p := &c.compounds[i]
			n += 1 + len(p.classes) + len(p.attrs) + len(p.places)
			for _, s := range p.subs {
				n += 1 + s.list.size()
			}
		}
	}
	return n
}

// scans counts the tests that read attribute values.
func (l *selectorList) scans() int {
	n := 0
	for _, c := range l.alternatives {
		for i := range c.compounds {
			p := &c.compounds[i]
			n += len(p.classes) + len(p.attrs)
			for _, s := range p.subs {
				n += s.list.scans()
			}
		}
	}
	return n
}
