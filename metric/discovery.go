package metric

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// DiscoveryMetrics returns the names that belong to what the discovery engine
// reports, one for each of its messages: their crowd is the clean URL or the query.
func DiscoveryMetrics() []string {
	return []string{"page", "page_title", "page_query", "page_referrer", "query", "result"}
}

// ReadSimulated is [Read] of questions that only simulated people answer: it lets all
// metrics of the discovery engine pass, of which Read wants every protection.
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

// collected are the messages of the discovery engine that real people may be asked for.
func collected(name string) bool { return name == "page" || name == "query" }

// checkDiscovery refuses the metrics of the discovery engine where real people would
// answer, unless no single party can learn what they read: a URL or a query is what a
// guess confirms best. Messages that join two facts are refused in any case.
func (m *Metric) checkDiscovery(r *reader, b beside, simulated bool) {
	if simulated || !slices.Contains(DiscoveryMetrics(), m.Name) {
		return
	}
	if !collected(m.Name) {
		r.failAt(m.at.at, "name: %q joins two facts of the discovery engine in one message, which `shoal demo` alone may ask; of its messages page and query can be collected; another question needs another name", m.Name)
		return
	}
	t := m.task
	m.protect(&t, b)
	if missing := t.Missing(); len(missing) > 0 {
		r.failAt(m.at.at, "name: %q is what the discovery engine tells, with the clean URL or the query as crowd, of which a single party could confirm a guess; it needs a relay, credentials and a hardened quorum, and is without %s; name relay and randomness under parties and write encoding: quorum, or give another question another name",
			m.Name, strings.Join(missing, ", "))
	}
}
