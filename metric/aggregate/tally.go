package aggregate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

// ErrUse means that a value does not fit the question's kind: the app calls the
// wrong function, or gives a value that the question does not know.
var ErrUse = errors.New("the value does not fit the question")

// tallyVersion is the first byte of a tally.
const tallyVersion = 1

// A Tally is what one device gathers of a question in one epoch. It is not safe
// for concurrent use.
type Tally struct {
	q       *Question
	n       uint64    // how often the app recorded a value
	clipped uint64    // how often of these some of it did not count
	ints    []uint64  // a sum, the index of a bucket, a set of labels in words, or the elements of a vector
	reals   []float64 // the elements of a gradient
}

// Empty returns the tally of a client without a value.
func (q *Question) Empty() *Tally {
	t := &Tally{q: q}
	switch q.a.Kind {
	case task.LInfGradient, task.L1Gradient:
		t.reals = make([]float64, q.a.Length)
	case task.Vector, task.Bounded:
		t.ints = make([]uint64, q.a.Length)
	case task.Multihot:
		t.ints = make([]uint64, (len(q.a.Labels)+63)/64)
	default:
		t.ints = make([]uint64, 1)
	}
	return t
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

// Parse reads what [Tally.Bytes] returned for the same question.
func (q *Question) Parse(b []byte) (*Tally, error) {
	t := q.Empty()
	if len(b) != 17+8*(len(t.ints)+len(t.reals)) || b[0] != tallyVersion {
		return nil, fmt.Errorf("reading the tally of a %s: %d bytes of version %d", q.a.Kind, len(b), append(b[:min(1, len(b)):1], 0)[0])
	}
	t.n, t.clipped = binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[9:])
	b = b[17:]
	for i := range t.ints {
		t.ints[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	for i := range t.reals {
		t.reals[i] = math.Float64frombits(binary.BigEndian.Uint64(b[8*i:]))
		if math.IsNaN(t.reals[i]) || math.IsInf(t.reals[i], 0) {
			return nil, fmt.Errorf("reading the tally of a %s: element %d is no number", q.a.Kind, i)
		}
	}
	return t, t.check()
}

// check refuses bytes that no tally has.
func (t *Tally) check() error {
	a := &t.q.a
	bad := t.clipped > t.n
	switch a.Kind {
	case task.Histogram, task.Categories:
		bad = bad || t.ints[0] >= uint64(t.q.values())
	case task.Multihot:
		set := uint64(0)
		for i := range 64 * len(t.ints) {
			if t.has(i) {
				set++
				bad = bad || i >= len(a.Labels)
			}
		}
		bad = bad || set > a.Max
	}
	if bad {
		return fmt.Errorf("reading the tally of a %s: impossible content", a.Kind)
	}
	return nil
}

// Said returns how often the app recorded a value, except values recorded before where
// only the first counts, and how often a value went beyond the question's bounds and was
// cut.
func (t *Tally) Said() (times, clipped uint64) { return t.n, t.clipped }

func (t *Tally) misuse(format string, args ...any) error {
	return fmt.Errorf("%w, a %s: %s", ErrUse, t.q.a.Kind, fmt.Sprintf(format, args...))
}

// noted counts a call.
func (t *Tally) noted(whole bool) {
	t.n = saturate(t.n, 1)
	if !whole {
		t.clipped = saturate(t.clipped, 1)
	}
}

func saturate(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

// Add adds n to a count or a sum. It fails with [ErrUse].
func (t *Tally) Add(n int64) error {
	if k := t.q.a.Kind; k != task.Count && k != task.Sum {
		return t.misuse("Count and Add are for counts and sums")
	}
	if n < 0 {
		return t.misuse("a negative number")
	}
	whether := t.q.a.Kind == task.Count && t.q.a.Max == 1
	if whether && t.ints[0] > 0 {
		return nil // once is as good as often, and need not be stored again
	}
	t.ints[0] = saturate(t.ints[0], uint64(n))
	t.noted(whether || t.ints[0] <= t.q.a.Max)
	return nil
}

// Observe adds a value of a mean (an integer; a float is rounded up or down at
// random, so that it counts for itself on the average) or a histogram (an integer;
// a float is rounded down), of a histogram of categories or a multihot question (a string; for the
// latter also a []string). rand is used by histograms and for rounding. A time.Duration is refused. It fails with
// [ErrUse], and where rand does.
func (t *Tally) Observe(v any, rand io.Reader) error {
	if d, ok := v.(time.Duration); ok {
		return t.misuse("a time.Duration counts nanoseconds: pass %T(d.Milliseconds()), or the number of the unit that the question is in", d.Milliseconds())
	}
	switch t.q.a.Kind {
	case task.Mean:
		n, ok, err := rounded(v, rand)
		if err != nil {
			return fmt.Errorf("rounding a value: %w", err)
		}
		if !ok {
			return t.misuse("a %T is not a number", v)
		}
		in := min(uint64(max(n, 0)), t.q.a.Max)
		t.ints[0] = saturate(t.ints[0], in)
		t.noted(n >= 0 && in == uint64(n))
		return nil
	case task.Histogram:
		n, ok := integer(v)
		if !ok {
			return t.misuse("a %T is not a number", v)
		}
		i, found := slices.BinarySearch(t.q.a.Bounds, n)
		if found {
			i++ // a value on a bound is above it
		}
		return t.keep(i, rand)
	case task.Categories:
		s, _ := v.(string)
		i := slices.Index(t.q.a.Labels, s)
		if i < 0 {
			return t.misuse("the value is not one of its labels")
		}
		return t.keep(i, rand)
	case task.Multihot:
		return t.mark(v)
	}
	return t.misuse("Observe is for means, histograms and multihot questions")
}

// keep chooses between the bucket kept so far and another, so that after n
// values each has been kept with a chance of 1 in n.
func (t *Tally) keep(bucket int, rand io.Reader) error {
	if t.n < math.MaxUint32 { // later values practically never win
		x, err := below(rand, t.n+1)
		if err != nil {
			return fmt.Errorf("choosing one of the values: %w", err)
		}
		if x == 0 {
			t.ints[0] = uint64(bucket)
		}
	}
	t.noted(true)
	return nil
}

// below returns a uniform number of [0, n), n >= 1.
func below(rand io.Reader, n uint64) (uint64, error) {
	limit := math.MaxUint64 - (math.MaxUint64%n+1)%n
	for {
		var b [8]byte
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return 0, err
		}
		if x := binary.BigEndian.Uint64(b[:]); x <= limit {
			return x % n, nil
		}
	}
}

// mark sets labels, as many as the maximum.
func (t *Tally) mark(v any) error {
	var words []string
	switch x := v.(type) {
	case string:
		words = []string{x}
	case []string:
		words = x
	default:
		return t.misuse("a %T is neither a string nor a list of them", v)
	}
	indexes := make([]int, len(words))
	for i, w := range words {
		if indexes[i] = slices.Index(t.q.a.Labels, w); indexes[i] < 0 {
			return t.misuse("a value is not one of its labels")
		}
	}
	set := uint64(0)
	for i := range t.q.a.Labels {
		if t.has(i) {
			set++
		}
	}
	whole, known := true, t.n > 0
	for _, i := range indexes {
		switch {
		case t.has(i):
			continue
		case set < t.q.a.Max:
			t.ints[i/64] |= 1 << (i % 64)
			set++
		default:
			whole = false
		}
		known = false
	}
	if !known { // what was recorded before need not be stored again
		t.noted(whole)
	}
	return nil
}

func (t *Tally) has(i int) bool { return t.ints[i/64]>>(i%64)&1 == 1 }

// Vector adds a vector: integers that are not negative for a vector, numbers for
// a gradient. It fails with [ErrUse].
func (t *Tally) Vector(v any) error {
	switch t.q.a.Kind {
	case task.Vector, task.Bounded:
		ints, ok := integers(v)
		if !ok {
			return t.misuse("a %T is no vector of whole numbers from 0", v)
		}
		if len(ints) != len(t.ints) {
			return t.misuse("%d elements, want %d", len(ints), len(t.ints))
		}
		for i, x := range ints {
			t.ints[i] = saturate(t.ints[i], x)
		}
		t.noted(t.vectorFits())
		return nil
	case task.LInfGradient, task.L1Gradient:
		reals, ok := realsOf(v)
		if !ok {
			return t.misuse("a %T is no vector of numbers", v)
		}
		if len(reals) != len(t.reals) {
			return t.misuse("%d elements, want %d", len(reals), len(t.reals))
		}
		next := make([]float64, len(reals))
		for i, x := range reals {
			next[i] = t.reals[i] + x
			if math.IsNaN(next[i]) || math.IsInf(next[i], 0) {
				return t.misuse("element %d is no finite number", i)
			}
		}
		t.reals = next
		t.noted(t.gradientFits())
		return nil
	}
	return t.misuse("Vector is for vectors and gradients")
}

// Shard turns the tally into the shares of one report, see
// [vdaf.Prio3.Shard]. What is out of bounds is cut back as the package comment
// describes, so that it fails only if rand fails.
func (t *Tally) Shard(rand io.Reader, ctx []byte, nonce vdaf.Nonce) (*vdaf.Sharded, error) {
	return t.q.shard(t, rand, ctx, nonce)
}
