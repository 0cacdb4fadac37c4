package kind

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// A Kind is a kind of aggregate with its settings, for example
// Histogram{Bounds: []int64{100, 1000}}. The set is closed: [All] lists it. A Kind is
// a value that does not change and is safe for concurrent use; since some hold
// slices, Kinds are compared by their bytes or by reflect.DeepEqual, not by ==.
//
// Settings that all parties must agree on, the chunk length of the proof among them,
// are part of a Kind and so of a task's bytes.
type Kind interface {
	// String returns the kind's name, without its settings.
	String() string
	// Rows returns the number of rows of a result.
	Rows() int
	// Label returns the name of a row of the result. Row Rows() of a histogram is
	// the bucket of the clients without a value.
	Label(row int) string

	number() uint8    // in a task's bytes
	wire() wire       // the settings in a task's bytes
	from(w wire) Kind // another Kind of this type, with the settings that it has a use for
	validate() error  // of the settings
	build(*Measure) error
	size() (ints, reals int) // of the state of a tally
	text(*Tally) string      // a tally that is not empty, for the person whose data it is
}

// What only some kinds do, or do in another way than most. A kind that has no such
// method refuses the call, or has the usual behaviour.
type (
	adder interface { // takes amounts
		add(t *Tally, n int64) error
	}
	observer interface { // takes single values
		observe(t *Tally, v any, rand io.Reader) error
	}
	vectorer interface { // takes vectors
		vector(t *Tally, v any) error
	}
	checker interface { // has states of a tally that are impossible
		possible(t *Tally) bool
	}
	absent interface { // does not count a client without a value as 0
		absent() string
	}
	stepper interface { // counts in another unit than 1
		step() float64
	}
	limiter interface { // has rows with other limits than 0 and infinity
		limits() (low, high float64)
	}
	reader interface { // has another result than one row for each element
		result(m *Measure, shares [][]byte, reports uint64) (*Result, error)
	}
)

// All returns a Kind without settings of each type, by their numbers.
func All() []Kind {
	return []Kind{
		Count{},
		Sum{},
		Mean{},
		Histogram{},
		Categories{},
		Multihot{},
		Vector{},
		Bounded{},
		LInfGradient{},
		L1Gradient{},
	}
}

// A Presence decides whether the existence of a report is itself data.
type Presence uint8

// The presences.
const (
	Hidden   Presence = 0 // every client sends one report an epoch, also without a value
	Revealed Presence = 1 // only clients with a value send one
)

// String returns the presence's word.
func (p Presence) String() string {
	switch p {
	case Hidden:
		return "hidden"
	case Revealed:
		return "revealed"
	}
	return fmt.Sprintf("presence %d", uint8(p))
}

// Step returns the unit in which the VDAF counts an element of the result: 1
// except for gradients.
func Step(k Kind) float64 {
	if s, ok := k.(stepper); ok {
		return s.step()
	}
	return 1
}

// Chunk returns the chunk length of the proof, 0 for a kind whose proof has none.
func Chunk(k Kind) uint32 { return k.wire().chunk }

// Limits returns the least and the greatest number that a row of the result can
// have without noise, as far as the kind bounds them.
func Limits(k Kind) (low, high float64) {
	if l, ok := k.(limiter); ok {
		return l.limits()
	}
	return 0, math.Inf(1)
}

// Validate returns an error for nil and for settings that no task may have.
func Validate(k Kind) error {
	if k == nil {
		return errors.New("no kind of aggregate")
	}
	return k.validate()
}

// WithChunk returns the kind with the chunk length that makes its reports
// shortest: what a task is compiled with. It fails with the errors of the VDAF's
// constructor.
func WithChunk(k Kind, p Presence) (Kind, error) {
	if k == nil {
		return nil, Validate(k)
	}
	w := k.wire()
	w.chunk = 0
	m := &Measure{kind: k.from(w), presence: p}
	if err := m.kind.build(m); err != nil {
		return nil, err
	}
	w.chunk = chunkOf(m.in)
	return k.from(w), nil
}

// A wire is the settings of all kinds, in the order of a task's bytes. Those that a
// kind does not have are zero.
type wire struct {
	max    uint64
	length uint32
	labels []string
	bounds []int64
	bound  float64
	bits   uint8
	chunk  uint32
}

func (w wire) equal(o wire) bool {
	return w.max == o.max && w.length == o.length && slices.Equal(w.labels, o.labels) && slices.Equal(w.bounds, o.bounds) &&
		math.Float64bits(w.bound) == math.Float64bits(o.bound) && w.bits == o.bits && w.chunk == o.chunk
}

// Number returns the kind's number in a task's bytes. It is never 0.
func Number(k Kind) uint8 { return k.number() }

// Append writes the settings of a kind:
//
//	struct {
//	    uint64 max; uint32 length;
//	    opaque labels<0..2^24-1>;  /* each opaque label<1..2^8-1> */
//	    int64 bounds<0..2^16-1>;
//	    uint64 bound;              /* IEEE 754 binary64 */
//	    uint8 bits; uint32 chunk;
//	} Settings;
func Append(b *cryptobyte.Builder, k Kind) {
	w := k.wire()
	b.AddUint64(w.max)
	b.AddUint32(w.length)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, l := range w.labels {
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(l)) })
		}
	})
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, v := range w.bounds {
			b.AddUint64(uint64(v))
		}
	})
	b.AddUint64(math.Float64bits(w.bound))
	b.AddUint8(w.bits)
	b.AddUint32(w.chunk)
}

// Read reads what [Append] writes of the kind with a number. It reports whether
// the form was right; a number that is not known, or a setting that the kind does
// not have, is an error of [Validate].
func Read(s *cryptobyte.String, number uint8) (Kind, bool) {
	w, ok := readWire(s)
	if !ok {
		return nil, false
	}
	for _, k := range All() {
		if k.number() != number {
			continue
		}
		if made := k.from(w); made.wire().equal(w) {
			return made, true
		}
		return invalid{number, w, errors.New("a setting that its kind does not use is not zero")}, true
	}
	return invalid{number, w, fmt.Errorf("unknown kind %d", number)}, true
}

func readWire(s *cryptobyte.String) (w wire, ok bool) {
	var labels, bounds cryptobyte.String
	var bound uint64
	ok = s.ReadUint64(&w.max) && s.ReadUint32(&w.length) &&
		s.ReadUint24LengthPrefixed(&labels) && s.ReadUint16LengthPrefixed(&bounds) &&
		s.ReadUint64(&bound) && s.ReadUint8(&w.bits) && s.ReadUint32(&w.chunk)
	w.bound = math.Float64frombits(bound)
	for ok && !labels.Empty() && len(w.labels) <= maxLabels {
		var l cryptobyte.String
		ok = labels.ReadUint8LengthPrefixed(&l)
		w.labels = append(w.labels, string(l))
	}
	for ok && !bounds.Empty() && len(w.bounds) <= maxInner {
		var v uint64
		ok = bounds.ReadUint64(&v)
		w.bounds = append(w.bounds, int64(v))
	}
	return w, ok && labels.Empty() && bounds.Empty()
}

// invalid is what bytes hold that are no kind of this version. It validates to its
// error and has the same bytes again.
type invalid struct {
	n   uint8
	w   wire
	err error
}

func (i invalid) String() string          { return fmt.Sprintf("kind %d", i.n) }
func (i invalid) Rows() int               { return 0 }
func (i invalid) Label(row int) string    { return fmt.Sprint(row) }
func (i invalid) number() uint8           { return i.n }
func (i invalid) wire() wire              { return i.w }
func (i invalid) from(w wire) Kind        { return invalid{i.n, w, i.err} }
func (i invalid) validate() error         { return i.err }
func (i invalid) build(*Measure) error    { return i.err }
func (i invalid) size() (ints, reals int) { return 0, 0 }
func (i invalid) text(*Tally) string      { return "" }
