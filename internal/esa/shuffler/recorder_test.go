package shuffler_test

import (
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
)

// A recorder counts the calls of its metrics.
type recorder struct {
	mu      sync.Mutex
	reports map[shuffler.Outcome]int
	batches map[shuffler.State]int
}

func (r *recorder) Report(o shuffler.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reports == nil {
		r.reports = map[shuffler.Outcome]int{}
	}
	r.reports[o]++
}

func (r *recorder) Batch(s shuffler.State, _ esa.Counts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.batches == nil {
		r.batches = map[shuffler.State]int{}
	}
	r.batches[s]++
}

func (r *recorder) Took(time.Duration) {}

// exactCounts are the analyzer operator's counts of batches, by their IDs.
type exactCounts struct {
	of map[string]analyzer.OperatorCounts
}

func (e *exactCounts) Batch(_ analyzer.State, m *analyzer.Manifest, c *analyzer.OperatorCounts) {
	if e.of == nil {
		e.of = map[string]analyzer.OperatorCounts{}
	}
	if c != nil {
		e.of[m.Batch] = *c
	}
}

func (e *exactCounts) Took(time.Duration) {}
