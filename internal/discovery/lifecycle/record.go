package lifecycle

import (
	"encoding/json"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
)

// A record is a page or a search on its way: shown, waiting, or being fetched.
type record struct {
	id string // its key in the store; empty until the page has a signature

	url    discovery.URL // without fragment; of a search, the clean URL
	query  bool          // it is a search
	open   bool          // it is shown
	first  time.Time     // of the visits
	last   time.Time     // activity
	due    time.Time     // not to be fetched before
	search *bundle.Search
	source discovery.URL        // the page before; zero if it is unknown
	before *discovery.Signature // of the page as it was shown
	counts Counts

	attempts int   // of the present fetch
	fetches  int   // all of them
	step     *step // what is known since it became due; not stored
}

// A name is what a waiting record is found by: searches and pages apart.
type name struct {
	url   discovery.URL
	query bool
}

func (r *record) name() name { return name{r.url, r.query} }

// String returns the name as it is hashed.
func (n name) String() string {
	if n.query {
		return "search " + n.url.String()
	}
	return n.url.String()
}

// sourced tells whether the page before is known.
func (r *record) sourced() bool { return r.source != discovery.URL{} }

// A storedRecord is a record in the store. Its URLs are text.
type storedRecord struct {
	URL   string    `json:"url"`
	Open  bool      `json:"open,omitempty"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Due   time.Time `json:"due"`

	Search *storedSearch        `json:"search,omitempty"` // of a search; of a page, the search that led straight to it
	Query  bool                 `json:"query,omitempty"`
	Before *discovery.Signature `json:"before,omitempty"`
	Counts Counts               `json:"counts"`
	Source string               `json:"source,omitempty"`

	Attempts int `json:"attempts,omitempty"`
	Fetches  int `json:"fetches,omitempty"`
}

// A storedSearch is a search in the store.
type storedSearch struct {
	Engine string `json:"engine"`
	Query  string `json:"query"`
	Clean  string `json:"clean"`
}

func (r *record) encode() ([]byte, error) {
	s := storedRecord{
		URL: r.url.String(), Open: r.open, First: r.first, Last: r.last, Due: r.due, Query: r.query,
		Before: r.before, Counts: r.counts, Attempts: r.attempts, Fetches: r.fetches,
	}
	if r.search != nil {
		s.Search = &storedSearch{r.search.Engine, r.search.Query, r.search.Clean.String()}
	}
	if r.sourced() {
		s.Source = r.source.String()
	}
	return json.Marshal(s)
}

// decodeRecord reads what encode wrote. It returns ErrStore for all else.
func decodeRecord(id string, data []byte) (*record, error) {
	var s storedRecord
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, ErrStore
	}
	r := &record{
		id: id, query: s.Query, open: s.Open, first: s.First, last: s.Last, due: s.Due,
		before: s.Before, counts: s.Counts, attempts: s.Attempts, fetches: s.Fetches,
	}
	var err error
	if r.url, err = discovery.ParseURL(s.URL); err != nil || r.query && s.Search == nil {
		return nil, ErrStore
	}
	if s.Source != "" {
		if r.source, err = discovery.ParseURL(s.Source); err != nil {
			return nil, ErrStore
		}
	}
	if s.Search != nil {
		r.search = &bundle.Search{Engine: s.Search.Engine, Query: s.Search.Query}
		if r.search.Clean, err = discovery.ParseURL(s.Search.Clean); err != nil {
			return nil, ErrStore
		}
	}
	return r, nil
}
