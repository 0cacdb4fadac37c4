package kind

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-project/shoal/vdaf"
)

// An L1Gradient is a vector of real numbers whose absolute values have a bounded
// sum.
type L1Gradient struct {
	Length uint32  // number of elements
	Bound  float64 // of the sum of the absolute values
	Bits   uint8   // of the quantisation
	Chunk  uint32  // chunk length of the proof; only the shortest report's is known
}

// String returns the kind's name.
func (L1Gradient) String() string { return "gradient of bounded L1 norm" }

// Rows returns the number of elements.
func (g L1Gradient) Rows() int { return int(g.Length) }

// Label returns the index.
func (L1Gradient) Label(i int) string { return fmt.Sprint(i) }

func (L1Gradient) number() uint8 { return 10 }

func (g L1Gradient) wire() wire {
	return wire{length: g.Length, bound: g.Bound, bits: g.Bits, chunk: g.Chunk}
}

func (L1Gradient) from(w wire) Kind {
	return L1Gradient{Length: w.length, Bound: w.bound, Bits: w.bits, Chunk: w.chunk}
}

func (g L1Gradient) validate() error {
	return errors.Join(validGradient(g.Bound, g.Bits), validLength(g.Length), validChunk(g.Chunk))
}

func (g L1Gradient) size() (ints, reals int)   { return 0, int(g.Length) }
func (g L1Gradient) text(t *Tally) string      { return vectorText(g.scale(t)) }
func (L1Gradient) limits() (low, high float64) { return math.Inf(-1), math.Inf(1) }
func (g L1Gradient) step() float64             { return g.Bound / math.Exp2(float64(g.Bits)) }

func (g L1Gradient) build(m *Measure) error {
	return use[[]float64, []float64](m, g.scale)(vdaf.L1Gradient(int(g.Length), g.Bound, int(g.Bits)))
}

func (g L1Gradient) vector(t *Tally, x any) error {
	if err := t.addReals(x); err != nil {
		return err
	}
	t.noted(norm(t.reals) <= g.Bound)
	return nil
}

func norm(reals []float64) float64 {
	sum := 0.0
	for _, x := range reals {
		sum += math.Abs(x)
	}
	return sum
}

// scale returns the elements, reduced by one factor if their norm exceeds the
// bound. It works in two steps, since the norm may be infinite, and stays a little
// below the bound, since the sum of rounded products may exceed it.
func (g L1Gradient) scale(t *Tally) []float64 {
	out := slices.Clone(t.reals)
	if norm(out) <= g.Bound {
		return out
	}
	largest := 0.0
	for _, x := range out {
		largest = max(largest, math.Abs(x))
	}
	sum := 0.0
	for i, x := range out {
		out[i] = x / largest
		sum += math.Abs(out[i])
	}
	factor := g.Bound / sum * (1 - 1e-9)
	for i := range out {
		out[i] *= factor
	}
	return out
}

// An element is the difference of two, so that the noise of both is in it.
func (g L1Gradient) result(m *Measure, shares [][]byte, reports uint64) (*Result, error) {
	s := m.spread()
	s.wide, s.deviation = float64(m.noise.Difference95())*g.step(), s.deviation*math.Sqrt2
	return m.realRows(shares, reports, s)
}
