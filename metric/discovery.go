package metric

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// DiscoveryMetrics returns the names that belong to what the discovery engine
// reports, one for each of its messages: their crowd is the clean URL or the query.
func DiscoveryMetrics() []string {
	return []string{"page", "page_title", "page_query", "page_referrer", "query", "result"}
}

// ReadSimulated is [Read] of questions that only simulated people answer: it
// lets the metrics of the discovery engine pass, which Read refuses.
func ReadSimulated(name string, src []byte, now time.Time) (*File, error) {
	return read(name, src, now, true)
}

// LoadSimulated is [Load] of questions that only simulated people answer.
func LoadSimulated(path string, now time.Time) (*File, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	return ReadSimulated(filepath.ToSlash(path), src, now)
}

// checkDiscovery refuses the metrics of the discovery engine where real people
// would answer. A URL or a query is what a single shuffler can confirm best: it
// sees the sender's address beside a hash of it.
func (m *Metric) checkDiscovery(r *reader, simulated bool) {
	if simulated || !slices.Contains(DiscoveryMetrics(), m.Name) {
		return
	}
	r.failAt(m.at.at, "name: %q is what the discovery engine tells, with the clean URL or the query as crowd; a single shuffler sees the sender's address beside a hash of that and can confirm what it guesses; until a relay and an OPRF-hardened quorum stand between, it runs in `shoal demo` only; another question needs another name", m.Name)
}
