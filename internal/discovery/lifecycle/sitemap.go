package lifecycle

import (
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
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
	m := e.sitemaps[target.Host()]
	if m.n >= maxMisses && e.now.Sub(m.since) < missesKept {
		return nil
	}
	return e.siteFile(target, target.Sitemap())
}

// robots returns the fetch of robots.txt, which may name sitemaps at other places.
func (e *Engine) robots(target discovery.URL) *step {
	s := e.siteFile(target, target.Robots())
	if s != nil {
		s.robots, s.asked = true, true
	}
	return s
}

// siteFile returns the fetch of a file that a site keeps at a fixed place.
func (e *Engine) siteFile(target, u discovery.URL) *step {
	if u == target || e.isPrivate(u.String()) || e.config.Rules.Page(u, discovery.Evidence{}).Verdict != discovery.Public {
		return nil
	}
	return &step{stage: StageLink, target: u, feed: true, sitemap: true, index: true}
}

// proof returns the first fetch that may bring evidence for a page, nil if none.
func (e *Engine) proof(r *record, target discovery.URL) *step {
	if s := e.evidence(r); s != nil {
		return s
	}
	return e.sitemap(r, target)
}

// furtherProof returns the next fetch for evidence after one that gave none: the
// sitemap at its usual place, those of an index, those that robots.txt names.
func (e *Engine) furtherProof(r *record) *step {
	s := r.step
	var next *step
	switch {
	case !s.sitemap:
		next = e.sitemap(r, s.about(r))
	case len(s.within) > 0:
		next = &step{target: s.within[0], within: s.within[1:], rest: s.rest}
	case len(s.rest) > 0:
		next = &step{target: s.rest[0], rest: s.rest[1:], index: true}
	case !s.asked:
		next = e.robots(s.about(r))
	}
	if next == nil {
		if s.sitemap {
			e.missed(s.about(r).Host())
		}
		return nil
	}
	next.stage, next.feed, next.sitemap = StageLink, true, true
	next.asked = next.asked || s.asked
	next.page, next.doubt = s.page, s.doubt
	return next
}

// missed counts that the sitemaps of a host did not list a page of it.
func (e *Engine) missed(host string) {
	m := e.sitemaps[host]
	if e.now.Sub(m.since) >= missesKept {
		m = misses{since: e.now}
	}
	m.n++
	if len(e.sitemaps) >= maxMissedSite {
		clear(e.sitemaps)
	}
	e.sitemaps[host] = m
}

// about is the URL that evidence is sought for.
func (s *step) about(r *record) discovery.URL {
	if s.page != nil {
		return s.page.URL()
	}
	return r.url
}
