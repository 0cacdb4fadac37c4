package kind

import (
	"errors"
	"io"
	"slices"
)

// Categories are which one of several labels a client has.
type Categories struct {
	Labels []string // the possible values, 1 to 128 bytes each
	Chunk  uint32   // chunk length of the proof
}

// String returns the kind's name.
func (Categories) String() string { return "histogram of categories" }

// Rows returns the number of labels.
func (c Categories) Rows() int { return len(c.Labels) }

// Label returns label i.
func (c Categories) Label(i int) string {
	if i == len(c.Labels) {
		return noValue
	}
	return c.Labels[i]
}

func (Categories) number() uint8    { return 5 }
func (c Categories) wire() wire     { return wire{labels: c.Labels, chunk: c.Chunk} }
func (Categories) from(w wire) Kind { return Categories{Labels: w.labels, Chunk: w.chunk} }
func (c Categories) validate() error {
	return errors.Join(validLabels(c.Labels, 2), validChunk(c.Chunk))
}
func (Categories) size() (ints, reals int)  { return 1, 0 }
func (Categories) absent() string           { return quotedNoValue }
func (c Categories) build(m *Measure) error { return useBuckets(m, c.Rows(), c.Chunk) }
func (c Categories) text(t *Tally) string   { return bucketText(t, c) }
func (c Categories) possible(t *Tally) bool { return t.ints[0] < uint64(c.Rows()) }

func (c Categories) observe(t *Tally, v any, rand io.Reader) error {
	s, _ := v.(string)
	i := slices.Index(c.Labels, s)
	if i < 0 {
		return t.misuse("the value is not one of its labels")
	}
	return t.keep(i, rand)
}

func (c Categories) result(m *Measure, shares [][]byte, reports uint64) (*Result, error) {
	return bucketResult(m, shares, reports)
}
