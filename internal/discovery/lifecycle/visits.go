package lifecycle

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// visits are the pages that the tabs of the browser show.
type visits struct {
	scene   *scene
	trail   *trail
	memory  *memory
	queue   *queue
	planner *planner

	tabs   map[int64]*tab
	recent *recent
	mode   mode
}

// A tab is what a tab of the browser shows.
type tab struct {
	place *place
	visit *record // nil if nothing of it is to be kept, or the visit is over
	used  time.Time
}

// reset forgets what is shown, but not where private mode is on.
func (v *visits) reset() { v.tabs, v.recent = make(map[int64]*tab), newRecent() }

// handle takes an event of a tab.
func (v *visits) handle(ev Event) error {
	switch ev.Kind {
	case Navigated:
		return v.navigated(ev)
	case Activity:
		return v.activity(ev)
	case Signature:
		return v.signature(ev)
	case Hidden:
		if t := v.tabs[ev.Tab]; t != nil && t.visit != nil && t.visit.id != "" {
			v.queue.changed(t.visit)
		}
	case Closed:
		if t := v.tabs[ev.Tab]; t != nil {
			delete(v.tabs, ev.Tab)
			return v.leave(t)
		}
	}
	return nil
}

// navigated begins a visit.
func (v *visits) navigated(ev Event) error {
	v.trail.stats.Navigations++
	if ev.Opener != 0 && v.mode.tabs[ev.Opener] {
		// What private mode leads to is part of it, and all that follows there.
		v.hideTab(ev.Tab)
		return nil
	}
	t, err := v.tab(ev.Tab)
	if err != nil {
		return err
	}
	raw, err := discovery.ParseURL(ev.URL)
	u := raw.WithoutFragment()
	if err == nil && t.visit != nil && u == t.visit.url {
		t.visit.last = v.scene.now // a reload, or another part of the same page
		return nil
	}
	before := t.place
	if leaveErr := v.leave(t); leaveErr != nil {
		return leaveErr
	}
	rules := v.scene.config.Rules
	if err != nil {
		t.place = &place{closed: true}
		v.trail.text(StageNavigated, Ignored, ev.URL, string(discovery.RuleUnreadable), rules.URL(ev.URL, discovery.Evidence{}))
		return nil
	}
	p := &place{url: u}
	t.place = p
	if s, ok := v.scene.searchPage(raw); ok {
		p.search = &s
		v.recent.put(p)
		return v.searched(s)
	}
	v.recent.put(p)
	if b := v.scene.config.Bundle; b != nil && b.ResultPage(raw) {
		// Another page of results holds what was typed, and is no page.
		v.trail.text(StageNavigated, Ignored, ev.URL, string(message.RuleSearch), discovery.Decision{})
		return nil
	}
	source := v.source(ev, before)
	if source != nil {
		p.depth = source.depth + 1
	}
	if raw.Fragment() != "" {
		if d := rules.Page(raw, discovery.Evidence{}); d.Rule == discovery.RuleFragment {
			// What was shown is not what the URL without fragment leads to.
			v.trail.text(StageNavigated, Refused, ev.URL, string(d.Rule), d)
			v.trail.stats.Refused++
			return nil
		}
	}
	return v.admit(t, p, source)
}

// admit asks what can be asked when a page is shown: its URL, where it was
// reached from, and whether it is known to be private.
func (v *visits) admit(t *tab, p, source *place) error {
	rules := v.scene.config.Rules
	d := rules.Page(p.url, discovery.Evidence{})
	switch {
	case d.Verdict == discovery.Private:
		p.closed = true
		v.trail.page(StageNavigated, Ignored, p.url, string(d.Rule), d)
		return nil
	case v.memory.private.has(p.url):
		p.closed = true
		v.trail.page(StageNavigated, Ignored, p.url, reasonKnown, d)
		return nil
	case source != nil && v.privateSource(source) && v.reachedPublicly(p.url):
		v.trail.page(StageNavigated, Ignored, p.url, reasonPublicly, d)
		return nil
	case source != nil && v.privateSource(source):
		p.closed = true
		return v.queue.withhold(StageNavigated, p.url, reasonSource, d)
	case p.depth > maxChain:
		p.closed = true
		return v.queue.withhold(StageNavigated, p.url, reasonChain, d)
	}
	if d.Verdict == discovery.Mask {
		listed := source != nil && source.search != nil // its result page may be evidence
		p.doubt = rules.Page(p.url, discovery.Evidence{PublicLink: true, Listed: listed}).Verdict != discovery.Public
	}
	r := &record{url: p.url, first: v.scene.now, last: v.scene.now}
	switch {
	case source == nil || source.unseen:
	case source.search != nil:
		r.search = source.search
	default:
		r.source = source.url
	}
	t.visit, p.visit = r, r
	return nil
}

// reachedPublicly tells whether a page was found public in the last 30 days, or
// waits after a visit that came from a search or from a page that is not known to
// be private: that a private page leads there, too, does not make it private.
func (v *visits) reachedPublicly(u discovery.URL) bool {
	r := v.queue.page(u)
	return r != nil && (r.search != nil || r.sourced()) || v.memory.reported.public(u)
}

// searched makes a search one that waits.
func (v *visits) searched(s bundle.Search) error {
	v.trail.stats.Searches++
	r := &record{url: s.Clean, first: v.scene.now, last: v.scene.now, search: &s, query: true}
	rules := v.scene.config.Rules
	d := rules.Query(s.Query)
	page := rules.Page(s.Clean, discovery.Evidence{SearchPage: true})
	switch {
	case d.Verdict != discovery.Public:
		v.trail.text(StageNavigated, Ignored, s.Query, reasonWords, d)
		return nil
	case page.Verdict == discovery.Private:
		v.trail.page(StageNavigated, Ignored, r.url, string(page.Rule), page)
		return nil
	case v.queue.waiting[r.name()] != nil:
		return nil
	case len(v.queue.waiting) >= v.scene.config.Timing.Pending:
		v.trail.text(StageNavigated, Dropped, s.Query, reasonFull, d)
		return nil
	case v.memory.reported.settled(r):
		v.trail.text(StageNavigated, Dropped, s.Query, reasonReported, d)
		return nil
	}
	if err := v.queue.search(r); err != nil {
		return err
	}
	v.trail.text(StageNavigated, Waiting, s.Query, "", d)
	return nil
}

// tab returns the state of a tab. If there are too many, the one that was not
// used for longest counts as closed.
func (v *visits) tab(id int64) (*tab, error) {
	t := v.tabs[id]
	if t == nil {
		if len(v.tabs) >= maxTabs {
			if err := v.dropTab(); err != nil {
				return nil, err
			}
		}
		t = new(tab)
		v.tabs[id] = t
	}
	t.used = v.scene.now
	return t, nil
}

func (v *visits) dropTab() error {
	oldest := int64(0)
	for id, t := range v.tabs {
		if o := v.tabs[oldest]; o == nil || t.used.Before(o.used) || t.used.Equal(o.used) && id < oldest {
			oldest = id
		}
	}
	t := v.tabs[oldest]
	delete(v.tabs, oldest)
	return v.leave(t)
}

// visit returns the visit that a tab shows, if its URL is the one given, or
// none is. A visit that has been idle for too long is over.
func (v *visits) visit(ev Event) (*record, error) {
	t := v.tabs[ev.Tab]
	if t == nil || t.visit == nil {
		return nil, nil
	}
	if ev.URL != "" {
		u, err := discovery.ParseURL(ev.URL)
		if err != nil || u.WithoutFragment() != t.visit.url {
			return nil, nil // it is late: the tab shows another page
		}
	}
	if v.idle(t) {
		return nil, v.leave(t)
	}
	t.used = v.scene.now
	return t.visit, nil
}

func (v *visits) idle(t *tab) bool {
	return v.scene.now.Sub(t.visit.last) >= v.scene.config.Timing.Idle
}

func (v *visits) activity(ev Event) error {
	r, err := v.visit(ev)
	if r != nil {
		r.counts.add(*ev.Counts)
		r.last = v.scene.now
	}
	return err
}

func (v *visits) signature(ev Event) error {
	r, err := v.visit(ev)
	if r == nil {
		return err
	}
	timing := v.scene.config.Timing
	if r.id == "" {
		if len(v.queue.records) >= timing.Pending+maxTabs {
			return nil
		}
		if err := v.queue.keep(r); err != nil {
			return err
		}
	}
	r.before, r.open, r.last = ev.Page, true, v.scene.now
	r.due = v.scene.now.Add(timing.Delay)
	v.queue.changed(r)
	return nil
}

// sweep ends visits that have been idle for too long.
func (v *visits) sweep() error {
	for _, t := range v.sorted() {
		if t.visit != nil && v.idle(t) {
			if err := v.leave(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// leave ends the visit that a tab shows: from now on it waits.
func (v *visits) leave(t *tab) error {
	r := t.visit
	t.visit = nil
	if r == nil {
		return nil
	}
	if r.before == nil {
		v.trail.page(StageClosed, Dropped, r.url, reasonUnsigned, discovery.Decision{})
		return nil
	}
	r.open = false
	v.queue.changed(r)
	if keep, err := v.wanted(r); err != nil || !keep {
		v.queue.drop(r)
		return err
	}
	return v.queue.leave(r)
}

// wanted tells whether a visit that is over is worth keeping. What the rules
// refuse for want of evidence is not kept if no evidence can be had.
func (v *visits) wanted(r *record) (bool, error) {
	if v.memory.private.has(r.url) {
		v.trail.page(StageClosed, Dropped, r.url, reasonKnown, discovery.Decision{})
		return false, nil
	}
	if !r.before.Indexable {
		rule := discovery.RuleCompareIndex
		return false, v.queue.withhold(StageClosed, r.url, string(rule), discovery.Decision{
			Rule: rule, Trace: []discovery.Step{{Rule: rule, Found: "noindex", Verdict: discovery.Private}},
		})
	}
	if step, d := v.planner.plan(r); step == nil {
		v.queue.refuse(StageClosed, r, string(d.Rule), d)
		return false, nil
	}
	return true, nil
}

// before returns the page before a page, if it was first shown earlier and it is
// not known yet whether it is private: it waits, or is still shown.
func (v *visits) before(r *record) *record {
	if !r.sourced() || v.memory.reported.public(r.source) {
		return nil
	}
	before := v.queue.page(r.source)
	for _, t := range v.sorted() {
		if before == nil && t.visit != nil && t.visit.url == r.source {
			before = t.visit
		}
	}
	if before == nil || before == r || !before.first.Before(r.first) {
		return nil
	}
	return before
}

// private begins or ends private mode, of all tabs or of one. What was shown when
// it began is forgotten: on which side it was cannot be known.
func (v *visits) private(ev Event) {
	switch {
	case ev.Tab != 0 && ev.On:
		v.hideTab(ev.Tab)
	case ev.Tab != 0:
		delete(v.mode.tabs, ev.Tab)
	default:
		if ev.On && !v.mode.off {
			for _, t := range v.sorted() {
				v.hide(t)
			}
			clear(v.tabs)
			v.recent = newRecent()
			v.queue.pause()
		}
		v.mode.off = ev.On
	}
}

// hideTab begins private mode in a tab.
func (v *visits) hideTab(id int64) {
	if t := v.tabs[id]; t != nil {
		v.hide(t)
		delete(v.tabs, id)
	}
	v.mode.tabs[id] = true
}

// hide forgets the page that a tab shows, because private mode begins.
func (v *visits) hide(t *tab) {
	if t.visit != nil {
		v.trail.page(StageMode, Dropped, t.visit.url, reasonOff, discovery.Decision{})
	}
	v.queue.drop(t.visit)
}

// remove forgets a page: where it is shown, and as the start of others. clean is
// the clean URL, if it is a search page.
func (v *visits) remove(u, clean discovery.URL, holds func(*record) bool) {
	for _, t := range v.sorted() {
		if t.visit != nil && holds(t.visit) {
			v.queue.drop(t.visit)
			t.visit = nil
		}
		if p := t.place; p != nil && (p.url == u || p.search != nil && p.search.Clean == clean) {
			t.place = nil
		}
	}
	v.recent.remove(u)
}

// sorted returns the tabs in the order of their numbers.
func (v *visits) sorted() []*tab {
	all := make([]*tab, 0, len(v.tabs))
	for _, id := range slices.SortedFunc(maps.Keys(v.tabs), cmp.Compare) {
		all = append(all, v.tabs[id])
	}
	return all
}
