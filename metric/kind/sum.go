package kind

import (
	"fmt"

	"github.com/shoal-project/shoal/vdaf"
)

// A Sum is a sum of integers from 0.
type Sum struct {
	Max uint64 // of one client and epoch
}

// String returns the kind's name.
func (Sum) String() string { return "sum" }

// Rows returns 1.
func (Sum) Rows() int { return 1 }

// Label returns the kind's name.
func (s Sum) Label(int) string { return s.String() }

func (Sum) number() uint8           { return 2 }
func (s Sum) wire() wire            { return wire{max: s.Max} }
func (Sum) from(w wire) Kind        { return Sum{Max: w.max} }
func (s Sum) validate() error       { return validMax(s.Max) }
func (Sum) size() (ints, reals int) { return 1, 0 }
func (s Sum) text(t *Tally) string  { return fmt.Sprint(min(t.ints[0], s.Max)) }

func (s Sum) build(m *Measure) error {
	return use[uint64, uint64](m, func(t *Tally) uint64 { return min(t.ints[0], s.Max) })(vdaf.Sum(s.Max))
}

func (s Sum) add(t *Tally, n int64) error { //nolint:unparam // other kinds fail
	t.ints[0] = saturate(t.ints[0], uint64(n))
	t.noted(t.ints[0] <= s.Max)
	return nil
}
