package testsite

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// A Result is what a population's engines reported, beside the truth.
type Result struct {
	Seed   uint64 `json:"seed"`
	People int    `json:"people"`
	Visits int    `json:"visits"`
	Crowd  int    `json:"crowd"` // people whose engines must report the same

	Kinds    []KindResult         `json:"kinds"`
	Truths   map[string]TruthSums `json:"truths"`
	Messages map[string]int       `json:"messages"` // by name

	// Public pages that at least Crowd people visited, and those of them that at
	// least Crowd people reported by the same clean URL.
	AboveCrowd int `json:"public_pages_above_crowd"`
	Recovered  int `json:"recovered"`

	QueriesAbove     int `json:"queries_above_crowd"` // popular ones that at least Crowd people asked
	QueriesRecovered int `json:"queries_recovered"`
	QueriesPrivate   int `json:"private_queries_asked"`
	QueriesLeaked    int `json:"private_queries_told"`

	Visitors map[*Page]int  `json:"-"` // how many people visited a page
	Askers   map[string]int `json:"-"` // how many people asked a popular query, by "words, engine"

	Stray       []string       `json:"stray,omitempty"` // reported addresses that lead to no page
	Secretly    int            `json:"private_mode_visits"`
	SecretTold  int            `json:"private_mode_told"` // what was seen only in private mode, and still reported
	Unexplained int            `json:"unexplained"`       // refusals without a reason
	Silent      int            `json:"silent"`            // visits without any trace
	Reasons     map[string]int `json:"reasons"`           // of refusals

	Fetches       int `json:"anonymous_fetches"`
	PrivateAsked  int `json:"private_network_requests"` // that reached a host of a private network
	OnceFetched   int `json:"one_time_links_fetched"`
	OnceByLink    int `json:"one_time_links_fetched_on_public_evidence"`
	MarkedFetches int `json:"marked_fetches"` // anonymous requests that carried something of a person
}

// A KindResult is what became of the pages of one kind.
type KindResult struct {
	Kind     string `json:"kind"`
	Truth    string `json:"truth"`
	Pages    int    `json:"pages"`    // that were visited
	Visits   int    `json:"visits"`   // of them
	Told     int    `json:"told"`     // pages that at least one message names
	Released int    `json:"released"` // pages that Crowd people reported

	Above     int `json:"above_crowd"` // pages, if public, that at least Crowd people visited
	Recovered int `json:"recovered"`   // of these, those that Crowd people reported
}

// TruthSums are the sums of the kinds of one truth.
type TruthSums struct {
	Pages    int `json:"pages"`
	Visits   int `json:"visits"`
	Told     int `json:"told"`
	Released int `json:"released"`
}

// Leaked returns how many pages were reported that must stay: behind logins,
// personalised, on private networks, or not to be indexed.
func (r *Result) Leaked() int {
	n := 0
	for _, t := range Truths() {
		if t.MustStay() {
			n += r.Truths[t.String()].Told
		}
	}
	return n
}

// tally collects what people's engines do.
type tally struct {
	site    *Site
	bundle  *bundle.Bundle
	sum     Result
	visitor map[*Page]map[int]bool // the people that visited
	teller  map[string]int         // by clean URL: how many people reported it
	visits  map[*Page]int
	asked   map[string]int // by query and engine: how many people asked
	told    map[string]int // by query and engine: how many people reported it
	people  int
}

func newTally(s *Site, b *bundle.Bundle) *tally {
	return &tally{
		site: s, bundle: b, visitor: make(map[*Page]map[int]bool), teller: make(map[string]int),
		visits: make(map[*Page]int), asked: make(map[string]int), told: make(map[string]int),
		sum: Result{Seed: s.seed, Messages: make(map[string]int), Reasons: make(map[string]int), Truths: make(map[string]TruthSums)},
	}
}

// A oneTally is the part of one person.
type oneTally struct {
	t        *tally
	visits   []*Page
	asked    map[string]bool
	urls     map[string]bool // clean URLs that messages name
	queries  map[string]bool
	messages map[string]int
	reasons  map[string]int
	seen     map[string]bool // addresses that a trace names
	went     []string
	openly   map[*Page]bool // visited out of private mode
	hidden   map[*Page]bool // visited in it
	secretly int
	fetches  int
	bare     int
}

func (t *tally) person() *oneTally {
	return &oneTally{
		t: t, asked: make(map[string]bool), urls: make(map[string]bool), queries: make(map[string]bool),
		messages: make(map[string]int), reasons: make(map[string]int), seen: make(map[string]bool),
		openly: make(map[*Page]bool), hidden: make(map[*Page]bool),
	}
}

func (o *oneTally) visit(v Visit) {
	if v.Secretly {
		o.secretly++
		if v.Page != nil {
			o.hidden[v.Page] = true
		}
		return
	}
	o.went = append(o.went, address(v.URL))
	if v.Page == nil {
		o.asked[asking(strings.ToLower(v.Query), v.Engine)] = true
		return
	}
	o.visits = append(o.visits, v.Page)
	o.openly[v.Page] = true
}

// asking names a search: the words and the engine, as a message does.
func asking(query, engine string) string { return query + ", " + engine }

// address is a URL as traces name it.
func address(url string) string {
	u, err := discovery.ParseURL(url)
	if err != nil {
		return url
	}
	return u.WithoutFragment().String()
}

func (o *oneTally) tell(r message.Record) {
	o.messages[r.Name]++
	if url, ok := r.Fields["url"].(string); ok {
		o.urls[url] = true
	}
	query, ok1 := r.Fields["query"].(string)
	engine, ok2 := r.Fields["engine"].(string)
	if ok1 && ok2 {
		o.queries[asking(query, engine)] = true
	}
}

func (o *oneTally) explain(t lifecycle.Trace) {
	if t.URL != "" {
		o.seen[address(t.URL)] = true
	}
	switch t.Outcome {
	case lifecycle.Ignored, lifecycle.Refused, lifecycle.Withheld, lifecycle.Dropped:
		reason := t.Reason
		if rule := t.Decision.Rule; rule != discovery.RuleNone {
			reason = string(rule)
		}
		if reason == "" {
			o.bare++
		}
		o.reasons[reason]++
	}
}

func (o *oneTally) finish(s lifecycle.Stats) { o.fetches = s.Fetches }

// merge adds a person. It is called by one goroutine at a time.
func (t *tally) merge(o *oneTally) {
	person := t.people
	t.people++
	t.sum.Visits += len(o.went) + o.secretly
	t.sum.Secretly += o.secretly
	for url := range o.urls {
		if p, ok := t.site.Lookup(url); ok && o.hidden[p] && !o.openly[p] {
			t.sum.SecretTold++
		}
	}
	for _, p := range o.visits {
		t.visits[p]++
		if t.visitor[p] == nil {
			t.visitor[p] = make(map[int]bool)
		}
		t.visitor[p][person] = true
	}
	for q := range o.asked {
		t.asked[q]++
	}
	for q := range o.queries {
		t.told[q]++
	}
	for u := range o.urls {
		t.teller[u]++
	}
	for name, n := range o.messages {
		t.sum.Messages[name] += n
	}
	for reason, n := range o.reasons {
		t.sum.Reasons[reason] += n
	}
	for _, url := range o.went {
		if !o.seen[url] && !o.recognised(url) {
			t.sum.Silent++
		}
	}
	t.sum.Fetches += o.fetches
	t.sum.Unexplained += o.bare
}

// recognised reports whether a trace names a result page by its search.
func (o *oneTally) recognised(url string) bool {
	u, err := discovery.ParseURL(url)
	if err != nil {
		return false
	}
	search, ok := o.t.bundle.SearchPage(u)
	return ok && (o.seen[search.Query] || o.seen[search.Clean.String()])
}

// result compares with the truth.
func (t *tally) result(crowd int) *Result {
	r := &t.sum
	r.People, r.Crowd = t.people, crowd
	most := make(map[*Page]int) // people that reported a page by one URL
	for url, n := range t.teller {
		p, ok := t.site.Lookup(url)
		if !ok {
			if !t.known(url) {
				r.Stray = append(r.Stray, url)
			}
			continue
		}
		most[p] = max(most[p], n)
	}
	slices.Sort(r.Stray)
	t.kinds(r, most)
	r.Askers = make(map[string]int)
	for q, n := range t.asked {
		words := q[:strings.LastIndex(q, ", ")]
		if t.site.Popular(words) {
			r.Askers[q] = n
		}
		switch popular := t.site.Popular(words); {
		case popular && n >= crowd:
			r.QueriesAbove++
			if t.told[q] >= crowd {
				r.QueriesRecovered++
			}
		case !popular:
			r.QueriesPrivate++
			if t.told[q] > 0 {
				r.QueriesLeaked++
			}
		}
	}
	r.PrivateAsked, r.MarkedFetches = t.site.Fetched(Private), t.site.Marked()
	for _, p := range t.site.pages {
		switch n := p.Anonymous(); {
		case p.Truth() != OneTime:
		case p.Kind.linked:
			r.OnceByLink += n
		default:
			r.OnceFetched += n
		}
	}
	return r
}

// known reports whether a URL is a result page.
func (t *tally) known(url string) bool {
	u, err := discovery.ParseURL(url)
	if err != nil {
		return false
	}
	_, ok := t.bundle.SearchPage(u)
	return ok
}

func (t *tally) kinds(r *Result, most map[*Page]int) {
	r.Kinds, r.Visitors = make([]KindResult, len(t.site.kinds)), make(map[*Page]int)
	byKind := make(map[*Kind]*KindResult)
	for i := range t.site.kinds {
		k := &t.site.kinds[i]
		r.Kinds[i] = KindResult{Kind: k.Name, Truth: k.Truth.String()}
		byKind[k] = &r.Kinds[i]
	}
	for _, p := range t.site.pages {
		k := byKind[p.Kind]
		if n := len(t.visitor[p]); n > 0 {
			r.Visitors[p] = n
		}
		if t.visits[p] > 0 {
			k.Pages++
			k.Visits += t.visits[p]
		}
		if most[p] > 0 {
			k.Told++
		}
		if most[p] >= r.Crowd {
			k.Released++
		}
		if p.Truth() == Public && len(t.visitor[p]) >= r.Crowd {
			r.AboveCrowd++
			k.Above++
			if most[p] >= r.Crowd {
				r.Recovered++
				k.Recovered++
			}
		}
	}
	for _, k := range r.Kinds {
		s := r.Truths[k.Truth]
		s.Pages += k.Pages
		s.Visits += k.Visits
		s.Told += k.Told
		s.Released += k.Released
		r.Truths[k.Truth] = s
	}
}

// WriteTable prints the sums and what is missing or too much.
func (r *Result) WriteTable(w io.Writer, kinds bool) error {
	fmt.Fprintf(w, "seed %d: %d people, %d visits, %d kinds of page, %d anonymous fetches; a crowd is %d people\n\n",
		r.Seed, r.People, r.Visits, len(r.Kinds), r.Fetches, r.Crowd)
	table := tabwriter.NewWriter(w, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "truth\tpages met\tvisits\ttold of by anybody\treleased to a crowd\t\n")
	for _, t := range Truths() {
		s := r.Truths[t.String()]
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t\n", t, s.Pages, s.Visits, s.Told, s.Released)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\npublic pages above the crowd: %d, recovered %d (%.1f %%)\n", r.AboveCrowd, r.Recovered, percent(r.Recovered, r.AboveCrowd))
	fmt.Fprintf(w, "queries above the crowd: %d, recovered %d (%.1f %%); private queries asked %d, told %d\n",
		r.QueriesAbove, r.QueriesRecovered, percent(r.QueriesRecovered, r.QueriesAbove), r.QueriesPrivate, r.QueriesLeaked)
	fmt.Fprintf(w, "visits in private mode: %d, told of: %d\n", r.Secretly, r.SecretTold)
	fmt.Fprintf(w, "refusals without a reason: %d; visits without a trace: %d; told addresses that lead nowhere: %d\n", r.Unexplained, r.Silent, len(r.Stray))
	fmt.Fprintf(w, "one-time links fetched: %d (on public evidence: %d); requests to private networks: %d; fetches with a mark of a person: %d\n",
		r.OnceFetched, r.OnceByLink, r.PrivateAsked, r.MarkedFetches)
	if !kinds {
		return nil
	}
	fmt.Fprintln(w)
	table = tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	fmt.Fprint(table, "kind\ttruth\tpages\tvisits\ttold\treleased\tabove the crowd\trecovered\n")
	for _, k := range r.Kinds {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\n", k.Kind, k.Truth, k.Pages, k.Visits, k.Told, k.Released, k.Above, k.Recovered)
	}
	return table.Flush()
}

func percent(part, whole int) float64 {
	if whole == 0 {
		return 100
	}
	return 100 * float64(part) / float64(whole)
}
