package lifecycle

import (
	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
)

// A place is a page as the start of the next one.
type place struct {
	url    discovery.URL
	depth  int
	search *bundle.Search // it is a search page
	closed bool           // nothing is known of it but that it is private
	doubt  bool           // its URL looks like access for one person, even laxly
	visit  *record
	unseen bool // it was shown to nobody, or in private mode, or the history was cleared: it is not kept
}

// recent remembers the last places by URL, in memory only, so that a page that
// names one as its referrer is known to come from it.
type recent struct {
	places map[discovery.URL]*place
	order  []discovery.URL // a ring
	at     int
}

func newRecent() *recent { return &recent{places: make(map[discovery.URL]*place)} }

func (r *recent) get(u discovery.URL) *place { return r.places[u] }

func (r *recent) put(p *place) {
	if _, again := r.places[p.url]; !again {
		if len(r.order) < maxRecent {
			r.order = append(r.order, p.url)
		} else {
			delete(r.places, r.order[r.at])
			r.order[r.at] = p.url
			r.at = (r.at + 1) % maxRecent
		}
	}
	r.places[p.url] = p
}

func (r *recent) remove(u discovery.URL) { delete(r.places, u) }

// source returns the page from which a page was reached, nil if from none: of the
// pages that were shown, of one that is before in its tab, or a page that nobody saw.
func (v *visits) source(ev Event, before *place) *place {
	switch ev.Transition {
	case Link, Form, History:
	default:
		return nil
	}
	if o := v.tabs[ev.Opener]; ev.Opener != 0 && ev.Opener != ev.Tab && o != nil {
		before = o.place
	}
	if ev.Referrer == "" {
		return before
	}
	ref, err := discovery.ParseURL(ev.Referrer)
	if err != nil {
		return &place{closed: true} // another scheme: an app, a page of the browser
	}
	ref = ref.WithoutFragment()
	if before != nil && !before.closed {
		origin := ref.Path() == "/" && ref.Query() == "" && ref.Scheme() == before.url.Scheme() && ref.Host() == before.url.Host() && ref.Port() == before.url.Port()
		if ref == before.url || origin {
			return before
		}
	}
	if p := v.recent.get(ref); p != nil {
		return p
	}
	if before != nil && before.closed {
		return before // why it was left out is not known; in doubt the page before is the one
	}
	p := &place{url: ref, unseen: v.queue.page(ref) == nil}
	if s, ok := v.scene.searchPage(ref); ok {
		p.search = &s
	}
	return p
}

// privateSource tells whether all that is reached from a page is private.
func (v *visits) privateSource(p *place) bool {
	switch {
	case p.closed:
		return true
	case p.search != nil:
		return false
	case v.memory.private.has(p.url):
		return true
	}
	if p.visit == nil { // a referrer that was not seen
		d := v.scene.config.Rules.Page(p.url, discovery.Evidence{PublicLink: true})
		return d.Verdict != discovery.Public
	}
	if !p.doubt {
		return false
	}
	_, ok := v.planner.instead(p.visit)
	return !ok
}
