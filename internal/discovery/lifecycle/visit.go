package lifecycle

import (
	"fmt"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// A tab is what a tab of the browser shows.
type tab struct {
	place *place
	visit *record // nil if nothing is to be reported of it, or the visit is over
	used  time.Time
}

// navigated begins a visit.
func (e *Engine) navigated(ev Event) error {
	e.stats.Navigations++
	if ev.Opener != 0 && e.privateTabs[ev.Opener] {
		// What private mode leads to is part of it, and all that follows there.
		return e.privateMode(Event{Kind: Private, Tab: ev.Tab, On: true})
	}
	t, err := e.tab(ev.Tab)
	if err != nil {
		return err
	}
	raw, err := discovery.ParseURL(ev.URL)
	u := raw.WithoutFragment()
	if err == nil && t.visit != nil && u == t.visit.url {
		t.visit.Last = e.now // a reload, or another part of the same page
		return nil
	}
	before := t.place
	if leaveErr := e.leave(t); leaveErr != nil {
		return leaveErr
	}
	if err != nil {
		t.place = &place{closed: true}
		e.explain(StageNavigated, Ignored, ev.URL, string(discovery.RuleUnreadable), e.config.Rules.URL(ev.URL, discovery.Evidence{}))
		return nil
	}
	if s, ok := e.searchPage(raw); ok {
		t.place = &place{url: u, search: searchOf(s)}
		e.recent.put(t.place)
		return e.searched(s)
	}
	p := &place{url: u}
	t.place = p
	e.recent.put(p)
	if b := e.config.Bundle; b != nil && b.ResultPage(raw) {
		// Another page of results holds what was typed, and is no page.
		e.explain(StageNavigated, Ignored, ev.URL, string(message.RuleSearch), discovery.Decision{})
		return nil
	}
	source := e.source(ev, before)
	if source != nil {
		p.depth = source.depth + 1
	}
	if raw.Fragment() != "" {
		if d := e.config.Rules.Page(raw, discovery.Evidence{}); d.Rule == discovery.RuleFragment {
			// What was shown is not what the URL without fragment leads to.
			e.explain(StageNavigated, Refused, ev.URL, string(d.Rule), d)
			e.stats.Refused++
			return nil
		}
	}
	return e.admit(t, p, source)
}

// admit asks what can be asked when a page is shown: its URL, where it was
// reached from, and whether it is known to be private.
func (e *Engine) admit(t *tab, p, source *place) error {
	rules, url := e.config.Rules, p.url.String()
	d := rules.Page(p.url, discovery.Evidence{})
	switch {
	case d.Verdict == discovery.Private:
		p.closed = true
		e.explain(StageNavigated, Ignored, url, string(d.Rule), d)
		return nil
	case e.isPrivate(url):
		p.closed = true
		e.explain(StageNavigated, Ignored, url, reasonKnown, d)
		return nil
	case source != nil && e.privateSource(source) && e.reachedPublicly(url):
		e.explain(StageNavigated, Ignored, url, reasonPublicly, d)
		return nil
	case source != nil && e.privateSource(source):
		p.closed = true
		return e.withhold(StageNavigated, url, reasonSource, d)
	case p.depth > maxChain:
		p.closed = true
		return e.withhold(StageNavigated, url, reasonChain, d)
	}
	if d.Verdict == discovery.Mask {
		listed := source != nil && source.search != nil // its result page may be evidence
		p.doubt = rules.Page(p.url, discovery.Evidence{PublicLink: true, Listed: listed}).Verdict != discovery.Public
	}
	r := &record{URL: url, url: p.url, First: e.now, Last: e.now}
	switch {
	case source == nil || source.unseen:
	case source.search != nil:
		r.Search = source.search
	default:
		r.Source = source.url.String()
	}
	t.visit, p.visit = r, r
	return nil
}

// reachedPublicly reports whether a page was found public in the last 30 days, or
// waits after a visit that came from a search or from a page that is not known to
// be private: that a private page leads there, too, does not make it private.
func (e *Engine) reachedPublicly(url string) bool {
	r := e.pages[url]
	return r != nil && (r.Search != nil || r.Source != "") || e.granted(e.pageGrants(url))
}

// instead returns a shorter URL that may be fetched in place of one that the
// strict rules refuse: the one without parameters of advertisements and letters,
// or the canonical one of the page as shown. Both pass the strict rules.
func (e *Engine) instead(r *record) (discovery.URL, bool) {
	if c, ok := e.canonical(r); ok {
		return c, true
	}
	u, ok := r.url.WithoutTracking()
	return u, ok && e.config.Rules.Page(u, discovery.Evidence{}).Verdict == discovery.Public
}

// canonical returns the URL that the page as shown calls its canonical one, if
// it is on the same site, shorter, does not lead from https to http, and passes
// the strict rules itself: it may be fetched in place of a URL that they refuse.
// What was shown to the person proves nothing; the anonymous fetch must.
func (e *Engine) canonical(r *record) (discovery.URL, bool) {
	if r.Before == nil || r.Before.Canonical == "" {
		return discovery.URL{}, false
	}
	c, err := discovery.ParseURL(r.Before.Canonical)
	if err != nil {
		return discovery.URL{}, false
	}
	c = c.WithoutFragment()
	if !c.SameSite(r.url) || c.Downgrades(r.url) || len(c.String()) >= len(r.URL) {
		return discovery.URL{}, false
	}
	return c, e.config.Rules.Page(c, discovery.Evidence{}).Verdict == discovery.Public
}

func (e *Engine) searchPage(u discovery.URL) (bundle.Search, bool) {
	if b := e.config.Bundle; b == nil || !e.now.Before(b.Expires()) {
		return bundle.Search{}, false
	}
	return e.config.Bundle.SearchPage(u)
}

// tab returns the state of a tab. If there are too many, the one that was not
// used for longest counts as closed.
func (e *Engine) tab(id int64) (*tab, error) {
	t := e.tabs[id]
	if t == nil {
		if len(e.tabs) >= maxTabs {
			if err := e.dropTab(); err != nil {
				return nil, err
			}
		}
		t = new(tab)
		e.tabs[id] = t
	}
	t.used = e.now
	return t, nil
}

func (e *Engine) dropTab() error {
	oldest := int64(0)
	for id, t := range e.tabs {
		if o := e.tabs[oldest]; o == nil || t.used.Before(o.used) || t.used.Equal(o.used) && id < oldest {
			oldest = id
		}
	}
	t := e.tabs[oldest]
	delete(e.tabs, oldest)
	return e.leave(t)
}

// visit returns the visit that a tab shows, if its URL is the one given, or
// none is. A visit that has been idle for too long is over.
func (e *Engine) visit(ev Event) (*record, error) {
	t := e.tabs[ev.Tab]
	if t == nil || t.visit == nil {
		return nil, nil
	}
	if ev.URL != "" {
		u, err := discovery.ParseURL(ev.URL)
		if err != nil || u.WithoutFragment() != t.visit.url {
			return nil, nil // it is late: the tab shows another page
		}
	}
	if e.now.Sub(t.visit.Last) >= e.config.Timing.Idle {
		return nil, e.leave(t)
	}
	t.used = e.now
	return t.visit, nil
}

func (e *Engine) activity(ev Event) error {
	r, err := e.visit(ev)
	if r != nil {
		r.Counts.add(*ev.Counts)
		r.Last = e.now
	}
	return err
}

func (e *Engine) signature(ev Event) error {
	r, err := e.visit(ev)
	if r == nil {
		return err
	}
	if r.id == "" {
		if len(e.records) >= e.config.Timing.Pending+maxTabs {
			return nil
		}
		if r.id, err = e.vault.fresh(); err != nil {
			return err
		}
		e.records[r.id] = r
	}
	r.Before, r.Open, r.Last = ev.Page, true, e.now
	r.Due = e.now.Add(e.config.Timing.Delay)
	e.touch(labelRecord, r.id)
	return nil
}

func (e *Engine) closed(ev Event) error {
	t := e.tabs[ev.Tab]
	if t == nil {
		return nil
	}
	delete(e.tabs, ev.Tab)
	return e.leave(t)
}

// sweep ends visits that have been idle for too long, and forgets what is old.
func (e *Engine) sweep() error {
	for _, t := range e.sortedTabs() {
		if t.visit != nil && e.now.Sub(t.visit.Last) >= e.config.Timing.Idle {
			if err := e.leave(t); err != nil {
				return err
			}
		}
	}
	e.expire()
	return nil
}

// leave ends the visit that a tab shows: from now on it waits.
func (e *Engine) leave(t *tab) error {
	r := t.visit
	t.visit = nil
	if r == nil {
		return nil
	}
	if r.Before == nil {
		e.explain(StageClosed, Dropped, r.URL, reasonUnsigned, discovery.Decision{})
		return nil
	}
	r.Open = false
	e.touch(labelRecord, r.id)
	if keep, err := e.wanted(r); err != nil || !keep {
		delete(e.records, r.id)
		return err
	}
	if old := e.pages[r.URL]; old != nil {
		e.merge(old, r)
		return e.wait(old)
	}
	if e.full(r) {
		delete(e.records, r.id)
		e.explain(StageClosed, Dropped, r.URL, reasonFull, discovery.Decision{})
		return nil
	}
	if err := e.wait(r); err != nil {
		return err
	}
	e.index(r)
	e.explain(StageClosed, Waiting, r.URL, "", discovery.Decision{})
	return nil
}

// full reports whether no more may wait: at all, or of one site, so that a site
// that makes up addresses does not crowd out the others.
func (e *Engine) full(r *record) bool {
	if len(e.pages) >= e.config.Timing.Pending {
		return true
	}
	n, site := 0, r.url.Site()
	for _, o := range e.pages {
		host := o.host
		if at := len(host) - len(site); at >= 0 && host[at:] == site && (at == 0 || host[at-1] == '.') {
			n++
		}
	}
	return n >= max(e.config.Timing.Pending/4, 2)
}

// wanted reports whether a visit that is over is worth keeping. What the rules
// refuse for want of evidence is not kept if no evidence can be had.
func (e *Engine) wanted(r *record) (bool, error) {
	if e.isPrivate(r.URL) {
		e.explain(StageClosed, Dropped, r.URL, reasonKnown, discovery.Decision{})
		return false, nil
	}
	if !r.Before.Indexable {
		rule := discovery.RuleCompareIndex
		return false, e.withhold(StageClosed, r.URL, string(rule), discovery.Decision{
			Rule: rule, Trace: []discovery.Step{{Rule: rule, Found: "noindex", Verdict: discovery.Private}},
		})
	}
	if step, d := e.plan(r); step == nil {
		e.stats.Refused++
		e.explain(StageClosed, Refused, r.URL, string(d.Rule), d)
		return false, nil
	}
	return true, nil
}

// wait sets when a record is due: at least the delay after its last visit.
func (e *Engine) wait(r *record) error {
	jitter, err := e.uniform(e.config.Timing.Delay / 2)
	r.Due = r.Last.Add(e.config.Timing.Delay + jitter)
	return err
}

// merge adds a later visit to a page that waits: it is judged by what was shown
// last.
func (e *Engine) merge(old, r *record) {
	old.step = nil
	if !r.Last.Before(old.Last) {
		old.Last, old.Before = r.Last, r.Before
	}
	if r.Source != "" {
		old.Source = r.Source
	}
	if r.Search != nil {
		old.Search = r.Search
	}
	old.Counts.add(r.Counts)
	if e.current == old {
		e.current = nil
		e.generation++
	}
	delete(e.records, r.id)
	e.touch(labelRecord, r.id)
	e.touch(labelRecord, old.id)
}

// index makes a record one that waits.
func (e *Engine) index(r *record) {
	r.host = r.url.Host()
	e.pages[r.name()] = r
}

// name is what a record is found by: searches and pages apart.
func (r *record) name() string {
	if r.Query {
		return "search " + r.URL
	}
	return r.URL
}

// drop forgets a record.
func (e *Engine) drop(r *record) {
	if r == nil || r.id == "" {
		return
	}
	delete(e.records, r.id)
	if e.pages[r.name()] == r {
		delete(e.pages, r.name())
	}
	if e.current == r {
		e.current = nil
	}
	e.touch(labelRecord, r.id)
}

// searched makes a search one that waits.
func (e *Engine) searched(s bundle.Search) error {
	e.stats.Searches++
	r := &record{URL: s.Clean.String(), url: s.Clean, First: e.now, Last: e.now, Search: searchOf(s), Query: true}
	d := e.config.Rules.Query(s.Query)
	page := e.config.Rules.Page(s.Clean, discovery.Evidence{SearchPage: true})
	switch {
	case d.Verdict != discovery.Public:
		e.explain(StageNavigated, Ignored, s.Query, reasonWords, d)
		return nil
	case page.Verdict == discovery.Private:
		e.explain(StageNavigated, Ignored, r.URL, string(page.Rule), page)
		return nil
	case e.pages[r.name()] != nil:
		return nil
	case len(e.pages) >= e.config.Timing.Pending:
		e.explain(StageNavigated, Dropped, s.Query, reasonFull, d)
		return nil
	case e.settled(r):
		e.explain(StageNavigated, Dropped, s.Query, reasonReported, d)
		return nil
	}
	var err error
	if r.id, err = e.vault.fresh(); err != nil {
		return fmt.Errorf("keeping a search: %w", err)
	}
	timing := e.config.Timing
	jitter, err := e.uniform(timing.QueryMax - timing.QueryMin)
	if err != nil {
		return err
	}
	r.Due = e.now.Add(timing.QueryMin + jitter)
	e.records[r.id] = r
	e.index(r)
	e.touch(labelRecord, r.id)
	e.explain(StageNavigated, Waiting, s.Query, "", d)
	return nil
}
