package lifecycle

import "github.com/shoal-project/shoal/internal/discovery"

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
