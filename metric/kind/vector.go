package kind

import (
	"errors"
	"fmt"
	"slices"

	"github.com/shoal-project/shoal/vdaf"
)

// A Vector is a vector of integers from 0, each with the same bound.
type Vector struct {
	Length uint32 // number of elements
	Max    uint64 // of an element of one client and epoch
	Chunk  uint32 // chunk length of the proof
}

// String returns the kind's name.
func (Vector) String() string { return "vector" }

// Rows returns the number of elements.
func (v Vector) Rows() int { return int(v.Length) }

// Label returns the index.
func (Vector) Label(i int) string { return fmt.Sprint(i) }

func (Vector) number() uint8 { return 7 }
func (v Vector) wire() wire  { return wire{length: v.Length, max: v.Max, chunk: v.Chunk} }

func (Vector) from(w wire) Kind          { return Vector{Length: w.length, Max: w.max, Chunk: w.chunk} }
func (v Vector) size() (ints, reals int) { return int(v.Length), 0 }
func (v Vector) text(t *Tally) string    { return vectorText(v.cut(t)) }

func (v Vector) validate() error {
	return errors.Join(validLength(v.Length), validMax(v.Max), validChunk(v.Chunk))
}

func (v Vector) build(m *Measure) error {
	return use[[]uint64, []uint64](m, v.cut)(vdaf.SumVec(int(v.Length), v.Max, int(v.Chunk)))
}

func (v Vector) vector(t *Tally, x any) error {
	if err := t.addIntegers(x); err != nil {
		return err
	}
	t.noted(slices.Max(t.ints) <= v.Max)
	return nil
}

// cut returns the elements, each cut to the bound.
func (v Vector) cut(t *Tally) []uint64 {
	out := slices.Clone(t.ints)
	for i := range out {
		out[i] = min(out[i], v.Max)
	}
	return out
}
