package leader

import (
	"sync"

	"github.com/shoal-project/shoal/dap"
)

// recent remembers the IDs of reports that were acknowledged a short while ago,
// in bounded memory: two generations of IDs, of which the older one goes when the
// newer one is full. It makes repeated uploads cheap; what it has forgotten is
// found when reports are aggregated.
type recent struct {
	mu    sync.Mutex
	limit int // IDs a generation
	young map[dap.ReportID]struct{}
	old   map[dap.ReportID]struct{}
}

func newRecent(limit int) *recent {
	return &recent{limit: max(1, limit), young: make(map[dap.ReportID]struct{})}
}

// has reports whether the report was acknowledged.
func (r *recent) has(id dap.ReportID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.young[id]; ok {
		return true
	}
	_, ok := r.old[id]
	return ok
}

// add remembers reports that are durable.
func (r *recent) add(ids ...dap.ReportID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		if len(r.young) >= r.limit {
			r.old, r.young = r.young, make(map[dap.ReportID]struct{}, r.limit)
		}
		r.young[id] = struct{}{}
	}
}
