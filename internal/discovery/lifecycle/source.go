package lifecycle

import "github.com/shoal-project/shoal/internal/discovery"

// A place is a page as the start of the next one.
type place struct {
	url    discovery.URL
	depth  int
	search *search // it is a search page
	closed bool    // nothing is known of it except that it is private
	doubt  bool    // its URL looks like access for one person, even laxly
	visit  *record
	unseen bool // it was not seen, or only in private mode, or the history was cleared: it is not kept
}

// source returns the page from which a page was reached, nil if from none.
func (e *Engine) source(ev Event, before *place) *place {
	switch ev.Transition {
	case Link, Form, History:
	default:
		return nil
	}
	if o := e.tabs[ev.Opener]; ev.Opener != 0 && ev.Opener != ev.Tab && o != nil {
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
	if p := e.recent.get(ref); p != nil {
		return p
	}
	if before != nil && before.closed {
		return before // it was left out why; in doubt the page before is the one
	}
	p := &place{url: ref, unseen: e.pages[ref.String()] == nil}
	if s, ok := e.searchPage(ref); ok {
		p.search = searchOf(s)
	}
	return p
}

// privateSource reports whether whatever is reached from a page is private.
func (e *Engine) privateSource(p *place) bool {
	switch {
	case p.closed:
		return true
	case p.search != nil:
		return false
	case e.isPrivate(p.url.String()):
		return true
	}
	if p.visit == nil { // a referrer that was not seen
		d := e.config.Rules.Page(p.url, discovery.Evidence{PublicLink: true})
		return d.Verdict != discovery.Public
	}
	if !p.doubt {
		return false
	}
	_, ok := e.instead(p.visit)
	return !ok
}

// undecided delays a record while it is not known yet whether the page before it
// is private: that comes first, unless it was found public in the last 30 days.
func (e *Engine) undecided(r *record) bool {
	before := e.pages[r.Source]
	for _, t := range e.sortedTabs() {
		if before == nil && t.visit != nil && t.visit.URL == r.Source {
			before = t.visit
		}
	}
	if r.Source == "" || e.granted(e.pageGrants(r.Source)) || before == nil || before == r || !before.First.Before(r.First) {
		return false
	}
	r.Due = e.now
	if before.Due.After(r.Due) {
		r.Due = before.Due
	}
	r.Due = r.Due.Add(e.config.Timing.Interval)
	r.step, e.current = nil, nil
	e.touch(labelRecord, r.id)
	return true
}
