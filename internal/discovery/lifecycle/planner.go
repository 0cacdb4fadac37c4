package lifecycle

import (
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/anonymous"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// A step is what comes next for a record, and what its earlier fetches showed.
// It lives in memory only: after a restart a record begins again.
type step struct {
	stage  Stage
	target discovery.URL
	rest   []discovery.URL // further shorter URLs to try, or sitemaps that robots.txt names
	within []discovery.URL // sitemaps that an index names

	instead bool            // target is a shorter URL in place of the page's own
	search  bool            // target, of a link fetch, is the result page that led to the page
	render  bool            // target is a page that shows nothing without its scripts
	feed    bool            // target, of a link fetch, is the feed of the page before
	sitemap bool            // or a sitemap of the page's site
	index   bool            // which may be an index of others
	robots  bool            // or the robots.txt that names sitemaps
	asked   bool            // for robots.txt
	from    *anonymous.Page // links to the page
	listing *message.Query  // lists the page
	listed  *anonymous.Page // feed or sitemap that lists the page
	page    *message.Page   // the page as anybody gets it

	doubt *discovery.Decision // the strict comparison of page: evidence is sought for a lax one
}

// evident tells whether there is evidence for the page beside its URL.
func (s *step) evident() bool { return s.from != nil || s.listing != nil || s.listed != nil }

// about is the URL that evidence is sought for.
func (s *step) about(r *record) discovery.URL {
	if s.page != nil {
		return s.page.URL()
	}
	return r.url
}

// Bounds of what is remembered of sitemaps that did not list a page.
const (
	maxMisses     = 3    // of a site, then its sitemap is not asked for
	maxMissedSite = 1000 // sites
	missesKept    = 24 * time.Hour
)

// misses counts how often the sitemap of a site was of no use.
type misses struct {
	since time.Time
	n     int
}

// A planner chooses what to fetch for a page, so that nothing is asked for that
// might be meant for one person.
type planner struct {
	scene    *scene
	memory   *memory
	sitemaps map[string]misses // by site, in memory only
}

func (p *planner) reset() { p.sitemaps = make(map[string]misses) }

// plan returns the first step for a page, or why it has no step: a URL that the
// strict rules refuse is not asked for unless there is public evidence. Evidence
// is that a shorter URL, which passes them, stands for it (instead): then only
// that is asked for. Or it is a page that was fetched anonymously and links to it,
// or lists it (evidence).
func (p *planner) plan(r *record) (*step, discovery.Decision) {
	if r.query {
		return &step{stage: StageQuery, target: r.url}, discovery.Decision{Verdict: discovery.Public}
	}
	rules := p.scene.config.Rules
	d := rules.Page(r.url, discovery.Evidence{})
	if d.Verdict != discovery.Mask {
		return &step{stage: StageDouble, target: r.url}, d
	}
	if c, ok := p.instead(r); ok {
		return &step{stage: StageDouble, target: c, instead: true}, rules.Page(c, discovery.Evidence{})
	}
	listed := rules.Page(r.url, discovery.Evidence{Listed: true})
	if listed.Verdict != discovery.Public {
		return nil, d
	}
	if lax := rules.Page(r.url, discovery.Evidence{PublicLink: true}); lax.Verdict == discovery.Public {
		listed = lax
	}
	s := p.proof(r, r.url)
	if s == nil {
		return nil, d
	}
	return s, listed
}

// instead returns a shorter URL that may be fetched in place of one that the
// strict rules refuse: the one without parameters of advertisements and letters,
// or the canonical one of the page as shown. Both pass the strict rules.
func (p *planner) instead(r *record) (discovery.URL, bool) {
	if c, ok := p.canonical(r); ok {
		return c, true
	}
	u, ok := r.url.WithoutTracking()
	return u, ok && p.scene.strict(u)
}

// canonical returns the URL that the page as shown calls its canonical one, if
// it is on the same site, shorter, does not lead from https to http, and passes
// the strict rules itself: it may be fetched in place of a URL that they refuse.
// What the page showed to the person proves nothing; the anonymous fetch must.
func (p *planner) canonical(r *record) (discovery.URL, bool) {
	if r.before == nil || r.before.Canonical == "" {
		return discovery.URL{}, false
	}
	c, err := discovery.ParseURL(r.before.Canonical)
	if err != nil {
		return discovery.URL{}, false
	}
	c = c.WithoutFragment()
	if !c.SameSite(r.url) || c.Downgrades(r.url) || len(c.String()) >= len(r.url.String()) {
		return discovery.URL{}, false
	}
	return c, p.scene.strict(c)
}

// proof returns the first fetch that may bring evidence for a page, nil if nothing can.
func (p *planner) proof(r *record, target discovery.URL) *step {
	if s := p.evidence(r); s != nil {
		return s
	}
	return p.sitemap(r, target)
}

// evidence returns the fetch that may bring evidence for a page: of the page
// before, if the strict rules let it pass and it is not known to be private, which
// may link to it or name a feed that lists it; or of the result page from which it
// was reached.
func (p *planner) evidence(r *record) *step {
	if r.sourced() {
		if p.memory.private.has(r.source) || !p.scene.strict(r.source) {
			return nil
		}
		return &step{stage: StageLink, target: r.source}
	}
	b := p.scene.bundle()
	if r.search == nil || b == nil {
		return nil
	}
	found := *r.search
	if again, ok := b.SearchPage(found.Clean); !ok || again != found || p.scene.config.Rules.Query(found.Query).Verdict != discovery.Public {
		return nil
	}
	return &step{stage: StageLink, target: found.Clean, search: true}
}

// sitemap returns the fetch of the sitemap of a page's site, which may list the
// page: evidence where neither a link nor a search led to it, or they gave none.
// It is not asked for unless the page, as shown, names itself as its canonical
// URL, as pages that are to be found do, nor again on a day on which it was of no use.
func (p *planner) sitemap(r *record, target discovery.URL) *step {
	if r.before == nil || r.before.Canonical != target.String() {
		return nil
	}
	m := p.sitemaps[target.Host()]
	if m.n >= maxMisses && p.scene.now.Sub(m.since) < missesKept {
		return nil
	}
	return p.siteFile(target, target.Sitemap())
}

// robots returns the fetch of robots.txt, which may name sitemaps at other places.
func (p *planner) robots(target discovery.URL) *step {
	s := p.siteFile(target, target.Robots())
	if s != nil {
		s.robots, s.asked = true, true
	}
	return s
}

// siteFile returns the fetch of a file that a site keeps at a fixed place.
func (p *planner) siteFile(target, u discovery.URL) *step {
	if u == target || p.memory.private.has(u) || !p.scene.strict(u) {
		return nil
	}
	return &step{stage: StageLink, target: u, feed: true, sitemap: true, index: true}
}

// furtherProof returns the next fetch for evidence after one that gave none: the
// sitemap at its usual place, those of an index, those that robots.txt names.
func (p *planner) furtherProof(r *record) *step {
	s := r.step
	var next *step
	switch {
	case !s.sitemap:
		next = p.sitemap(r, s.about(r))
	case len(s.within) > 0:
		next = &step{target: s.within[0], within: s.within[1:], rest: s.rest}
	case len(s.rest) > 0:
		next = &step{target: s.rest[0], rest: s.rest[1:], index: true}
	case !s.asked:
		next = p.robots(s.about(r))
	}
	if next == nil {
		if s.sitemap {
			p.missed(s.about(r).Host())
		}
		return nil
	}
	next.stage, next.feed, next.sitemap = StageLink, true, true
	next.asked = next.asked || s.asked
	next.page, next.doubt = s.page, s.doubt
	return next
}

// missed counts that the sitemaps of a host did not list a page of it.
func (p *planner) missed(host string) {
	m := p.sitemaps[host]
	if p.scene.now.Sub(m.since) >= missesKept {
		m = misses{since: p.scene.now}
	}
	m.n++
	if len(p.sitemaps) >= maxMissedSite {
		clear(p.sitemaps)
	}
	p.sitemaps[host] = m
}

// renders tells whether the next fetch of a record is of a page that scripts write,
// and can be rendered.
func (p *planner) renders(r *record) bool {
	c := &p.scene.config
	if c.Renderer != nil && r.step.render && r.step.stage == StageDouble {
		return true
	}
	if c.Renderer == nil || c.Bundle == nil || r.search == nil {
		return false
	}
	return (r.step.stage == StageQuery || r.step.search) && c.Bundle.Rendered(r.search.Engine)
}
