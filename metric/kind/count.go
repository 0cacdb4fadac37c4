package kind

import (
	"fmt"

	"github.com/shoal-project/shoal/vdaf"
)

// A Count is whether something happened, or how often.
type Count struct {
	Max uint64 // of one client and epoch; 1: whether it happened
}

// String returns the kind's name.
func (Count) String() string { return "count" }

// Rows returns 1.
func (Count) Rows() int { return 1 }

// Label returns the kind's name.
func (c Count) Label(int) string { return c.String() }

func (Count) number() uint8           { return 1 }
func (c Count) wire() wire            { return wire{max: c.Max} }
func (Count) from(w wire) Kind        { return Count{Max: w.max} }
func (c Count) validate() error       { return validMax(c.Max) }
func (Count) size() (ints, reals int) { return 1, 0 }
func (c Count) text(t *Tally) string  { return fmt.Sprint(min(t.ints[0], c.Max)) }

func (c Count) build(m *Measure) error {
	if c.Max == 1 {
		return use[bool, uint64](m, func(t *Tally) bool { return t.ints[0] > 0 })(vdaf.Count())
	}
	return use[uint64, uint64](m, func(t *Tally) uint64 { return min(t.ints[0], c.Max) })(vdaf.Sum(c.Max))
}

func (c Count) add(t *Tally, n int64) error { //nolint:unparam // other kinds fail
	if c.Max == 1 && t.ints[0] > 0 {
		return nil // once is as good as often, and need not be stored again
	}
	t.ints[0] = saturate(t.ints[0], uint64(n))
	t.noted(c.Max == 1 || t.ints[0] <= c.Max)
	return nil
}
