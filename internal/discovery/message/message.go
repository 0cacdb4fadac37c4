package message

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/anonymous"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
)

// A Message is one fact that may leave the device if the sanitizer agrees. Its
// implementations are those of this package.
type Message interface {
	// Schema returns the shape of the record that the message becomes.
	Schema() Schema
	// fill judges everything again and fills the fields of the record.
	fill(*gate) map[string]any
}

// Errors of the constructors.
var (
	ErrNoResults = errors.New("the bundle finds no search results on the page")
	ErrNotSearch = errors.New("the page is not the clean page of the search")
)

// Engagement is what a person did on a page. Little of it leaves: the time,
// rounded down to one of five values, and whether none, few or most of the kinds
// of things were done at all. Negative values count as none.
type Engagement struct {
	Dwell   time.Duration // time in which the page was looked at
	Scrolls int
	Mouse   int // movements
	Links   int // followed
	Keys    int // pressed
	Copies  int // of text
}

// A Page is a page that was fetched anonymously. It is immutable and safe for
// concurrent use.
type Page struct {
	page   anonymous.Page
	sig    discovery.Signature
	linked bool
	listed bool
}

// NewPage reads the answer to an anonymous request. The URL that may leave is
// the one that was asked: ask the shortest that yields the same page.
func NewPage(p anonymous.Page) (*Page, error) {
	sig, err := discovery.Sign(p.URL(), p.Robots(), p.Body())
	if err != nil {
		return nil, fmt.Errorf("making a page message: %w", err)
	}
	return &Page{page: p, sig: sig}, nil
}

// Linked returns the page with the evidence that another page, fetched
// anonymously too, links to exactly its URL; without that link, the page itself.
func (p *Page) Linked(from anonymous.Page) *Page {
	if p.linked || from.URL() == p.page.URL() || !discovery.LinksTo(from.URL(), from.Body(), p.page.URL()) {
		return p
	}
	linked := *p
	linked.linked = true
	return &linked
}

// Listed returns the page with the evidence that a result page, which was fetched
// anonymously, lists exactly its URL; without, the page itself.
func (p *Page) Listed(q *Query) *Page {
	if p.listed || !q.Lists(p.page.URL()) {
		return p
	}
	listed := *p
	listed.listed = true
	return &listed
}

// ListedBy does the same for a feed or a sitemap.
func (p *Page) ListedBy(from anonymous.Page) *Page {
	if p.listed || from.URL() == p.page.URL() || !discovery.Lists(from.URL(), from.Body(), p.page.URL()) {
		return p
	}
	listed := *p
	listed.listed = true
	return &listed
}

// Signature returns the signature of the anonymously fetched page.
func (p *Page) Signature() discovery.Signature { return p.sig }

// URL returns the URL that was asked.
func (p *Page) URL() discovery.URL { return p.page.URL() }

// evidence is what another page shows: that the page names a canonical URL for
// itself proves nothing at the last gate, since a page that has an address for
// each person can do the same.
func (p *Page) evidence() discovery.Evidence {
	return discovery.Evidence{PublicLink: p.linked, Listed: p.listed}
}

// Engaged reports that the page was visited, and how much was done there.
func (p *Page) Engaged(e Engagement) Message { return engaged{p, e} }

// Titled reports the title of the page.
func (p *Page) Titled() Message { return titled{p} }

// AfterQuery reports that the page was reached by a search, depth links away from
// the result page. Only depth 1 may leave: more would be a path.
func (p *Page) AfterQuery(s bundle.Search, depth int) Message { return afterQuery{p, s, depth} }

// AfterPage reports from which site the page was reached; of the referrer only
// the masked URL leaves.
func (p *Page) AfterPage(referrer string) Message { return afterPage{p, referrer} }

type (
	engaged struct {
		page *Page
		done Engagement
	}
	titled     struct{ page *Page }
	afterQuery struct {
		page   *Page
		search bundle.Search
		depth  int
	}
	afterPage struct {
		page     *Page
		referrer string
	}
)

func (engaged) Schema() Schema    { return pageSchema() }
func (titled) Schema() Schema     { return titleSchema() }
func (afterQuery) Schema() Schema { return pageQuerySchema() }
func (afterPage) Schema() Schema  { return referrerSchema() }

// A Query is a search, with the results that its clean page gave when it was
// fetched anonymously. As a Message it holds the words and the engine. It is
// immutable and safe for concurrent use.
type Query struct {
	search  bundle.Search
	results []bundle.Item
}

// NewQuery reads the result page that an anonymous request for search.Clean
// returned, with the rules of the bundle: the action "query" with the list
// "results" of items with "url". If the action has a text "words" it must be what
// was searched for. It returns ErrNotSearch for another page, and ErrNoResults if
// the rules find nothing.
func NewQuery(b *bundle.Bundle, search bundle.Search, p anonymous.Page) (*Query, error) {
	if p.URL() != search.Clean {
		return nil, fmt.Errorf("making a query message: %w", ErrNotSearch)
	}
	actions, err := b.Extract(p.URL(), p.Body())
	if err != nil {
		return nil, fmt.Errorf("making a query message: %w", err)
	}
	for _, a := range actions {
		if words, ok := a.Texts["words"]; ok && !sameWords(words, search.Query) {
			continue // the page answers something else
		}
		if items := a.Lists["results"]; a.Name == "query" && len(items) > 0 {
			return &Query{search, items}, nil
		}
	}
	return nil, fmt.Errorf("making a query message: %w", ErrNoResults)
}

// sameWords reports whether two spellings are one search: case and space apart.
func sameWords(a, b string) bool {
	return strings.EqualFold(strings.Join(strings.Fields(a), " "), strings.Join(strings.Fields(b), " "))
}

// URLs returns what the results lead to, as the page has it.
func (q *Query) URLs() []string {
	all := make([]string, len(q.results))
	for i, item := range q.results {
		all[i] = item["url"]
	}
	return all
}

// Schema implements Message.
func (*Query) Schema() Schema { return querySchema() }

// Lists reports whether one of the results is exactly this URL, fragments apart.
func (q *Query) Lists(u discovery.URL) bool {
	for _, item := range q.results {
		if r, err := discovery.ParseURL(item["url"]); err == nil && r.WithoutFragment() == u.WithoutFragment() {
			return true
		}
	}
	return false
}

// Results returns one message for each of the first ten results that the page
// gave: that the engine answers the words with it.
func (q *Query) Results() []Message {
	var all []Message
	for i := range q.results[:min(len(q.results), maxResults)] {
		all = append(all, result{q, i})
	}
	return all
}

const (
	maxResults   = 10 // that are reported of a query
	leastResults = 4  // without which a query is too special to be reported
)

type result struct {
	query *Query
	i     int
}

func (result) Schema() Schema { return resultSchema() }

// An Answer is what a question that is answered on the device reports.
type Answer struct {
	schema Schema
	values map[string]any
}

// NewAnswer makes an answer. The schema must pass Lint; values has one value a
// field, the envelope apart: a *Page for URL and Host, so that nothing is reported of
// a page that was not found public; a string for Words, Engine and Choice; an
// int64 for Bucket, which is rounded down. Title, Masked and Language are in
// no answer.
func NewAnswer(s Schema, values map[string]any) (*Answer, error) {
	if err := checkAnswer(s); err != nil {
		return nil, fmt.Errorf("making an answer: %w", err)
	}
	kept := make(map[string]any, len(values))
	for _, f := range s.Fields {
		if f.enveloped() {
			continue
		}
		v, ok := values[f.Name]
		if !ok || !f.takes(v) {
			return nil, fmt.Errorf("making an answer: %s: field %q has no value of kind %q", s.Name, f.Name, f.Kind)
		}
		kept[f.Name] = v
	}
	if len(kept) != len(values) {
		return nil, fmt.Errorf("making an answer: %s: a value without field", s.Name)
	}
	return &Answer{s, kept}, nil
}

// Schema implements Message.
func (a *Answer) Schema() Schema { return a.schema }

func (f *Field) enveloped() bool { return f.Kind == Day || f.Kind == Country || f.Kind == Nonce }

func (f *Field) takes(v any) bool {
	switch v := v.(type) {
	case *Page:
		return v != nil && (f.Kind == URL || f.Kind == Host)
	case string:
		return f.Kind == Words || f.Kind == Engine || f.Kind == Choice
	case int64:
		return f.Kind == Bucket
	}
	return false
}

func checkAnswer(s Schema) error {
	for _, f := range s.Fields {
		switch f.Kind {
		case Title, Masked, Language:
			return fmt.Errorf("%s: field %q: kind %q stands in no answer", s.Name, f.Name, f.Kind)
		}
	}
	for _, f := range Lint(s) {
		if f.Refused {
			return fmt.Errorf("%s: %s", s.Name, f)
		}
	}
	return nil
}
