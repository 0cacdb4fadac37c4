package kind

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/vdaf"
)

// A Multihot is which of several labels a client has, a limited number of them.
type Multihot struct {
	Labels []string // the possible values, 1 to 128 bytes each
	Max    uint64   // labels of one client and epoch
	Chunk  uint32   // chunk length of the proof
}

// String returns the kind's name.
func (Multihot) String() string { return "multihot" }

// Rows returns the number of labels.
func (k Multihot) Rows() int { return len(k.Labels) }

// Label returns label i.
func (k Multihot) Label(i int) string { return k.Labels[i] }

func (Multihot) number() uint8 { return 6 }
func (k Multihot) wire() wire  { return wire{labels: k.Labels, max: k.Max, chunk: k.Chunk} }

func (Multihot) from(w wire) Kind          { return Multihot{Labels: w.labels, Max: w.max, Chunk: w.chunk} }
func (k Multihot) size() (ints, reals int) { return (len(k.Labels) + 63) / 64, 0 }
func (Multihot) absent() string            { return "{}" }

func (k Multihot) validate() error {
	if k.Max > uint64(len(k.Labels)) {
		return fmt.Errorf("at most %d labels of %d", k.Max, len(k.Labels))
	}
	return errors.Join(validLabels(k.Labels, 1), validMax(k.Max), validChunk(k.Chunk))
}

func (k Multihot) build(m *Measure) error {
	labels := func(t *Tally) []bool {
		out := make([]bool, len(k.Labels))
		for i := range out {
			out[i] = t.has(i)
		}
		return out
	}
	return use[[]bool, []uint64](m, labels)(vdaf.MultihotCountVec(len(k.Labels), k.Max, int(k.Chunk)))
}

func (k Multihot) text(t *Tally) string {
	var in []string
	for i, l := range k.Labels {
		if t.has(i) {
			in = append(in, l)
		}
	}
	if len(in) > shown {
		in = append(in[:shown], fmt.Sprintf("... %d in all", len(in)))
	}
	return "{" + strings.Join(in, ", ") + "}"
}

func (k Multihot) possible(t *Tally) bool {
	set := uint64(0)
	for i := range 64 * len(t.ints) {
		if t.has(i) {
			set++
			if i >= len(k.Labels) {
				return false
			}
		}
	}
	return set <= k.Max
}

// observe sets labels, as many as the maximum.
func (k Multihot) observe(t *Tally, v any, _ io.Reader) error {
	indexes, err := k.indexes(t, v)
	if err != nil {
		return err
	}
	set := uint64(0)
	for i := range k.Labels {
		if t.has(i) {
			set++
		}
	}
	whole, known := true, t.n > 0
	for _, i := range indexes {
		switch {
		case t.has(i):
			continue
		case set < k.Max:
			t.ints[i/64] |= 1 << (i % 64)
			set++
		default:
			whole = false
		}
		known = false
	}
	if !known { // labels that are set need not be stored again
		t.noted(whole)
	}
	return nil
}

// indexes returns the indexes of a label or a list of labels.
func (k Multihot) indexes(t *Tally, v any) ([]int, error) {
	var words []string
	switch x := v.(type) {
	case string:
		words = []string{x}
	case []string:
		words = x
	default:
		return nil, t.misuse("a %T is neither a string nor a list of them", v)
	}
	indexes := make([]int, len(words))
	for i, w := range words {
		if indexes[i] = slices.Index(k.Labels, w); indexes[i] < 0 {
			return nil, t.misuse("a value is not one of its labels")
		}
	}
	return indexes, nil
}

// has reports whether label i is set in the tally of a Multihot.
func (t *Tally) has(i int) bool { return t.ints[i/64]>>(i%64)&1 == 1 }
