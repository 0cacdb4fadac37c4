package kind

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/shoal-project/shoal/vdaf"
)

// ErrUse means that a value does not fit the kind: the app calls the wrong
// function, or gives a value that the kind does not know.
var ErrUse = errors.New("the value does not fit the question")

// tallyVersion is the first of the bytes of a tally.
const tallyVersion = 1

// A Tally is what one device accumulates in one epoch. It is not safe for
// concurrent use.
type Tally struct {
	m       *Measure
	n       uint64    // calls of the app
	clipped uint64    // calls of these of which some part did not count
	ints    []uint64  // a sum, the index of a bucket, a set of labels in words, or the elements of a vector
	reals   []float64 // the elements of a gradient
}

// Empty returns the tally of a client without a value.
func (m *Measure) Empty() *Tally {
	ints, reals := m.kind.size()
	return &Tally{m: m, ints: make([]uint64, ints), reals: make([]float64, reals)}
}

// Bytes returns the tally for storage: the app's data in the clear.
func (t *Tally) Bytes() []byte {
	b := make([]byte, 0, 17+8*(len(t.ints)+len(t.reals)))
	b = append(b, tallyVersion)
	b = binary.BigEndian.AppendUint64(b, t.n)
	b = binary.BigEndian.AppendUint64(b, t.clipped)
	for _, x := range t.ints {
		b = binary.BigEndian.AppendUint64(b, x)
	}
	for _, x := range t.reals {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(x))
	}
	return b
}

// Parse reads what [Tally.Bytes] returned for the same measure.
func (m *Measure) Parse(b []byte) (*Tally, error) {
	t := m.Empty()
	if len(b) != 17+8*(len(t.ints)+len(t.reals)) || b[0] != tallyVersion {
		return nil, fmt.Errorf("reading the tally of a %s: %d bytes of version %d", m.kind, len(b), append(b[:min(1, len(b)):1], 0)[0])
	}
	t.n, t.clipped = binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[9:])
	b = b[17:]
	for i := range t.ints {
		t.ints[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	for i := range t.reals {
		t.reals[i] = math.Float64frombits(binary.BigEndian.Uint64(b[8*i:]))
		if math.IsNaN(t.reals[i]) || math.IsInf(t.reals[i], 0) {
			return nil, fmt.Errorf("reading the tally of a %s: element %d is no number", m.kind, i)
		}
	}
	if c, ok := m.kind.(checker); t.clipped > t.n || ok && !c.possible(t) {
		return nil, fmt.Errorf("reading the tally of a %s: impossible content", m.kind)
	}
	return t, nil
}

// Said returns the number of the app's calls, without those that repeat a value of
// which once is as good as often, and how many of them went beyond the bounds and
// were cut.
func (t *Tally) Said() (times, clipped uint64) { return t.n, t.clipped }

func (t *Tally) misuse(format string, args ...any) error {
	return fmt.Errorf("%w, a %s: %s", ErrUse, t.m.kind, fmt.Sprintf(format, args...))
}

// noted counts a call.
func (t *Tally) noted(whole bool) {
	t.n = saturate(t.n, 1)
	if !whole {
		t.clipped = saturate(t.clipped, 1)
	}
}

// Add adds n to a count or a sum. It fails with [ErrUse].
func (t *Tally) Add(n int64) error {
	k, ok := t.m.kind.(adder)
	if !ok {
		return t.misuse("Count and Add are for counts and sums")
	}
	if n < 0 {
		return t.misuse("a negative number")
	}
	return k.add(t, n)
}

// Observe adds a value of a mean (an integer; a float is rounded up or down at
// random, so that it is unbiased) or a histogram (an integer; a float is rounded
// down), of categories (a string) or of a multihot (a string or a []string). rand is
// used by histograms and for rounding. A time.Duration is refused. It fails with
// [ErrUse], and where rand does.
func (t *Tally) Observe(v any, rand io.Reader) error {
	if d, ok := v.(time.Duration); ok {
		return t.misuse("a time.Duration counts nanoseconds: pass %T(d.Milliseconds()), or the number of the unit that the question is in", d.Milliseconds())
	}
	k, ok := t.m.kind.(observer)
	if !ok {
		return t.misuse("Observe is for means, histograms and multihot questions")
	}
	return k.observe(t, v, rand)
}

// Vector adds a vector: integers from 0 for a vector, numbers for a gradient. It
// fails with [ErrUse].
func (t *Tally) Vector(v any) error {
	k, ok := t.m.kind.(vectorer)
	if !ok {
		return t.misuse("Vector is for vectors and gradients")
	}
	return k.vector(t, v)
}

// Shard turns the tally into the shares of one report, see
// [vdaf.Prio3.Shard]. What is out of bounds is cut back as the package comment
// describes, so that it fails only where rand does.
func (t *Tally) Shard(rand io.Reader, ctx []byte, nonce vdaf.Nonce) (*vdaf.Sharded, error) {
	return t.m.shard(t, rand, ctx, nonce)
}

// String describes what the tally counts for, to the person whose data it is.
func (t *Tally) String() string {
	if t.n > 0 {
		return t.m.kind.text(t)
	}
	nothing := "0"
	if a, ok := t.m.kind.(absent); ok {
		nothing = a.absent()
	}
	return "nothing so far: counts as " + nothing
}
