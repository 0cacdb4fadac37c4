package ledger

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/shoal-project/shoal/dap"
)

// marks record which buckets were collected.
type marks struct {
	intervals []dap.Interval // by start; they neither overlap nor touch
	batches   map[dap.BatchID]bool
}

// add adds the batch of a selector.
func (m *marks) add(s dap.BatchSelector) error {
	first, last, batch, err := Range(s)
	if err != nil {
		return fmt.Errorf("mark of a collection: %w", err)
	}
	if batch != nil {
		if m.batches == nil {
			m.batches = make(map[dap.BatchID]bool)
		}
		m.batches[*batch] = true
		return nil
	}
	// A new slice: what readers hold stays as it is.
	lo, hi := first, last+1
	var kept []dap.Interval
	for _, i := range m.intervals {
		end := i.Start + dap.Time(i.Duration)
		if end < lo || i.Start > hi {
			kept = append(kept, i)
			continue
		}
		lo, hi = min(lo, i.Start), max(hi, end)
	}
	kept = append(kept, dap.Interval{Start: lo, Duration: dap.Duration(hi - lo)})
	slices.SortFunc(kept, func(a, b dap.Interval) int { return cmp.Compare(a.Start, b.Start) })
	m.intervals = kept
	return nil
}

// collected reports whether a bucket of a task in the given mode is marked.
func (m *marks) collected(mode dap.BatchMode, b dap.Bucket) bool {
	if mode == dap.LeaderSelectedMode {
		return m.batches[b.Batch]
	}
	return m.overlaps(b.Unit, b.Unit)
}

// overlaps reports whether a unit from first to last is marked.
func (m *marks) overlaps(first, last dap.Time) bool {
	at, _ := slices.BinarySearchFunc(m.intervals, first, func(i dap.Interval, t dap.Time) int {
		if !i.After(t) {
			return 0 // the first that ends after t; those before it are smaller
		}
		return -1
	})
	return at < len(m.intervals) && m.intervals[at].Start <= last
}

// selects reports whether a bucket of the batch of a selector is marked.
func (m *marks) selects(s dap.BatchSelector) (bool, error) {
	first, last, batch, err := Range(s)
	if err != nil {
		return false, err
	}
	if batch != nil {
		return m.batches[*batch], nil
	}
	return m.overlaps(first, last), nil
}
