package kind

import (
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/shoal-project/shoal/vdaf"
)

// A Bounded is a vector of integers from 0 whose sum has a bound.
type Bounded struct {
	Length uint32 // number of elements
	Max    uint64 // of the sum of all elements of one client and epoch
	Chunk  uint32 // chunk length of the proof
}

// String returns the kind's name.
func (Bounded) String() string { return "bounded vector" }

// Rows returns the number of elements.
func (b Bounded) Rows() int { return int(b.Length) }

// Label returns the index.
func (Bounded) Label(i int) string { return fmt.Sprint(i) }

func (Bounded) number() uint8 { return 8 }
func (b Bounded) wire() wire  { return wire{length: b.Length, max: b.Max, chunk: b.Chunk} }

func (Bounded) from(w wire) Kind          { return Bounded{Length: w.length, Max: w.max, Chunk: w.chunk} }
func (b Bounded) size() (ints, reals int) { return int(b.Length), 0 }
func (b Bounded) text(t *Tally) string    { return vectorText(b.scale(t)) }

func (b Bounded) validate() error {
	return errors.Join(validLength(b.Length), validMax(b.Max), validChunk(b.Chunk))
}

func (b Bounded) build(m *Measure) error {
	return use[[]uint64, []uint64](m, b.scale)(vdaf.L1BoundSum(int(b.Length), b.Max, int(b.Chunk)))
}

func (b Bounded) vector(t *Tally, x any) error {
	if err := t.addIntegers(x); err != nil {
		return err
	}
	t.noted(b.fits(total(t.ints)))
	return nil
}

func (b Bounded) fits(sum *big.Int) bool { return sum.Cmp(new(big.Int).SetUint64(b.Max)) <= 0 }

// total returns the sum of the elements.
func total(ints []uint64) *big.Int {
	sum := new(big.Int)
	for _, x := range ints {
		sum.Add(sum, new(big.Int).SetUint64(x))
	}
	return sum
}

// scale returns the elements, reduced by one factor if their sum exceeds the bound.
func (b Bounded) scale(t *Tally) []uint64 {
	out, sum := slices.Clone(t.ints), total(t.ints)
	if b.fits(sum) {
		return out
	}
	limit := new(big.Int).SetUint64(b.Max)
	for i, x := range out {
		y := new(big.Int).SetUint64(x)
		out[i] = y.Mul(y, limit).Quo(y, sum).Uint64() // rounded down: the sum stays within the limit
	}
	return out
}
