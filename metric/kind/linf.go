package kind

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-project/shoal/vdaf"
)

// An LInfGradient is a vector of real numbers, each with the same bound.
type LInfGradient struct {
	Length uint32  // number of elements
	Bound  float64 // of the absolute value of each element
	Bits   uint8   // of the quantisation
	Chunk  uint32  // chunk length of the proof; only the shortest report's is known
}

// String returns the kind's name.
func (LInfGradient) String() string { return "gradient" }

// Rows returns the number of elements.
func (g LInfGradient) Rows() int { return int(g.Length) }

// Label returns the index.
func (LInfGradient) Label(i int) string { return fmt.Sprint(i) }

func (LInfGradient) number() uint8 { return 9 }

func (g LInfGradient) wire() wire {
	return wire{length: g.Length, bound: g.Bound, bits: g.Bits, chunk: g.Chunk}
}

func (LInfGradient) from(w wire) Kind {
	return LInfGradient{Length: w.length, Bound: w.bound, Bits: w.bits, Chunk: w.chunk}
}

func (g LInfGradient) validate() error {
	return errors.Join(validGradient(g.Bound, g.Bits), validLength(g.Length), validChunk(g.Chunk))
}

func (g LInfGradient) size() (ints, reals int)   { return 0, int(g.Length) }
func (g LInfGradient) text(t *Tally) string      { return vectorText(g.cut(t)) }
func (LInfGradient) limits() (low, high float64) { return math.Inf(-1), math.Inf(1) }
func (g LInfGradient) step() float64             { return 2 * g.Bound / float64(uint64(1)<<g.Bits-1) }

func (g LInfGradient) build(m *Measure) error {
	return use[[]float64, []float64](m, g.cut)(vdaf.LInfGradient(int(g.Length), g.Bound, int(g.Bits)))
}

func (g LInfGradient) vector(t *Tally, x any) error {
	if err := t.addReals(x); err != nil {
		return err
	}
	t.noted(!slices.ContainsFunc(t.reals, func(x float64) bool { return math.Abs(x) > g.Bound }))
	return nil
}

// cut returns the elements, each cut to the bound.
func (g LInfGradient) cut(t *Tally) []float64 {
	out := slices.Clone(t.reals)
	for i, x := range out {
		out[i] = max(-g.Bound, min(g.Bound, x))
	}
	return out
}

func (g LInfGradient) result(m *Measure, shares [][]byte, reports uint64) (*Result, error) {
	return m.realRows(shares, reports, m.spread())
}
