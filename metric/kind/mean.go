package kind

import (
	"errors"
	"fmt"
	"io"

	"github.com/shoal-project/shoal/vdaf"
)

// A Mean is the mean of integers from 0, of the clients that have one.
type Mean struct {
	Max   uint64 // of one client and epoch
	Chunk uint32 // chunk length of the proof
}

// String returns the kind's name.
func (Mean) String() string { return "mean" }

// Rows returns 1.
func (Mean) Rows() int { return 1 }

// Label returns the kind's name.
func (k Mean) Label(int) string { return k.String() }

func (Mean) number() uint8                 { return 3 }
func (k Mean) wire() wire                  { return wire{max: k.Max, chunk: k.Chunk} }
func (Mean) from(w wire) Kind              { return Mean{Max: w.max, Chunk: w.chunk} }
func (k Mean) validate() error             { return errors.Join(validMax(k.Max), validChunk(k.Chunk)) }
func (Mean) size() (ints, reals int)       { return 1, 0 }
func (Mean) absent() string                { return "nobody" }
func (k Mean) limits() (low, high float64) { return 0, float64(k.Max) }

func (Mean) text(t *Tally) string {
	return fmt.Sprintf("%.6g, the mean of %d", float64(t.ints[0])/float64(t.n), t.n)
}

func (k Mean) build(m *Measure) error {
	return useRandom[[]uint64, []uint64](m, k.measure)(vdaf.SumVec(2, k.Max, int(k.Chunk)))
}

// measure returns the mean of the client's values, rounded up with the probability
// of its fraction, so that it is unbiased, and the weight. It fails where rand does.
func (k Mean) measure(t *Tally, rand io.Reader) ([]uint64, error) {
	if t.n == 0 {
		return []uint64{0, 0}, nil
	}
	m, rest := t.ints[0]/t.n, t.ints[0]%t.n
	if rest > 0 {
		x, err := below(rand, t.n)
		if err != nil {
			return nil, fmt.Errorf("rounding the mean of %d values: %w", t.n, err)
		}
		if x < rest {
			m++
		}
	}
	return []uint64{min(m, k.Max), k.Max}, nil
}

func (k Mean) observe(t *Tally, v any, rand io.Reader) error {
	n, ok, err := rounded(v, rand)
	if err != nil {
		return fmt.Errorf("rounding a value: %w", err)
	}
	if !ok {
		return t.misuse("a %T is not a number", v)
	}
	in := min(uint64(max(n, 0)), k.Max)
	t.ints[0] = saturate(t.ints[0], in)
	t.noted(n >= 0 && in == uint64(n))
	return nil
}

func (k Mean) result(m *Measure, shares [][]byte, reports uint64) (*Result, error) {
	ints, err := m.integers(shares)
	if err != nil {
		return nil, err
	}
	top, spread := float64(k.Max), m.spread()
	answered := spread.over(top).row("answered", float64(ints[1])/top)
	return &Result{
		Reports: reports, Answered: &answered,
		Rows: []Row{spread.mean(k.Label(0), float64(ints[0]), answered.Estimate, top)},
	}, nil
}
