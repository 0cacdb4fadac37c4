package kind

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// A Histogram is in which of several ranges one number lies.
type Histogram struct {
	Bounds []int64 // the inner bounds, strictly increasing; a value on a bound is above it
	Chunk  uint32  // chunk length of the proof
}

// String returns the kind's name.
func (Histogram) String() string { return "histogram" }

// Rows returns the number of ranges.
func (h Histogram) Rows() int { return len(h.Bounds) + 1 }

// Label describes range i.
func (h Histogram) Label(i int) string {
	switch i {
	case 0:
		return fmt.Sprintf("below %d", h.Bounds[0])
	case len(h.Bounds):
		return fmt.Sprintf("%d and above", h.Bounds[i-1])
	case h.Rows():
		return noValue
	}
	if h.Bounds[i]-1 == h.Bounds[i-1] {
		return fmt.Sprint(h.Bounds[i-1])
	}
	return fmt.Sprintf("%d to %d", h.Bounds[i-1], h.Bounds[i]-1)
}

// Range returns the index of the range in which n lies.
func (h Histogram) Range(n int64) int {
	i, found := slices.BinarySearch(h.Bounds, n)
	if found {
		i++ // a value on a bound is above it
	}
	return i
}

func (Histogram) number() uint8            { return 4 }
func (h Histogram) wire() wire             { return wire{bounds: h.Bounds, chunk: h.Chunk} }
func (Histogram) from(w wire) Kind         { return Histogram{Bounds: w.bounds, Chunk: w.chunk} }
func (h Histogram) validate() error        { return errors.Join(validBounds(h.Bounds), validChunk(h.Chunk)) }
func (Histogram) size() (ints, reals int)  { return 1, 0 }
func (Histogram) absent() string           { return quotedNoValue }
func (h Histogram) build(m *Measure) error { return useBuckets(m, h.Rows(), h.Chunk) }
func (h Histogram) text(t *Tally) string   { return bucketText(t, h) }
func (h Histogram) possible(t *Tally) bool { return t.ints[0] < uint64(h.Rows()) }

func (h Histogram) observe(t *Tally, v any, rand io.Reader) error {
	n, ok := integer(v)
	if !ok {
		return t.misuse("a %T is not a number", v)
	}
	return t.keep(h.Range(n), rand)
}

func (h Histogram) result(m *Measure, shares [][]byte, reports uint64) (*Result, error) {
	return bucketResult(m, shares, reports)
}
