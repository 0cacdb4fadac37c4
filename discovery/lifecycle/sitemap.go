package lifecycle

import (
	"time"

	"github.com/shoal-project/shoal/discovery"
)

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

// sitemap returns the fetch of the sitemap of a page's site, which may list the
// page: evidence where neither a link nor a search led to it, or they gave none.
// It is not asked for unless the page, as shown, names itself as its canonical
// URL, as pages that are to be found do, nor again on a day on which it was of no use.
func (e *Engine) sitemap(r *record, target discovery.URL) *step {
	if r.Before == nil || r.Before.Canonical != target.String() {
		return nil
	}
	u := target.Sitemap()
	m := e.sitemaps[u.Host()]
	if u == target || m.n >= maxMisses && e.now.Sub(m.since) < missesKept || e.isPrivate(u.String()) ||
		e.config.Rules.Page(u, discovery.Evidence{}).Verdict != discovery.Public {
		return nil
	}
	return &step{stage: StageLink, target: u, feed: true, sitemap: true}
}

// proof returns the first fetch that may bring evidence for a page, nil if none.
func (e *Engine) proof(r *record, target discovery.URL) *step {
	if s := e.evidence(r); s != nil {
		return s
	}
	return e.sitemap(r, target)
}

// furtherProof returns the next fetch for evidence after one that gave none.
func (e *Engine) furtherProof(r *record) *step {
	s := r.step
	var next *step
	switch {
	case !s.sitemap:
		next = e.sitemap(r, s.about(r))
	case len(s.rest) > 0:
		next = &step{stage: StageLink, target: s.rest[0], rest: s.rest[1:], feed: true, sitemap: true}
	default:
		e.missed(s.target)
	}
	if next != nil {
		next.page, next.doubt = s.page, s.doubt
	}
	return next
}

// missed counts a sitemap that did not list a page.
func (e *Engine) missed(sitemap discovery.URL) {
	m := e.sitemaps[sitemap.Host()]
	if e.now.Sub(m.since) >= missesKept {
		m = misses{since: e.now}
	}
	m.n++
	if len(e.sitemaps) >= maxMissedSite {
		clear(e.sitemaps)
	}
	e.sitemaps[sitemap.Host()] = m
}

// about is the URL that evidence is sought for.
func (s *step) about(r *record) discovery.URL {
	if s.page != nil {
		return s.page.URL()
	}
	return r.url
}
