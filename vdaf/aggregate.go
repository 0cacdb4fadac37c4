package vdaf

import (
	"errors"
	"fmt"
	"math"

	"github.com/shoal-project/shoal/crypto/field"
)

// ErrOverflow means that an aggregate does not fit in the result type.
var ErrOverflow = errors.New("vdaf: aggregate does not fit in 64 bits")

// An AggregateShare is one aggregator's share of an aggregate: the sum of its
// output shares. It is not safe for concurrent use.
type AggregateShare struct{ sum aggregate }

// aggregate is a vector sum without its element type.
type aggregate interface {
	add(encoded []byte) error
	merge(other aggregate) error
	addInt(i int, n int64) error
	length() int
	bytes() []byte
}

// Add adds an output share. It fails with [ErrEncoding] and then changes
// nothing.
func (a *AggregateShare) Add(outputShare []byte) error { return a.sum.add(outputShare) }

// Merge adds another aggregate share of the same aggregator and instance. It
// fails with [ErrEncoding] if their shapes differ.
func (a *AggregateShare) Merge(other *AggregateShare) error { return a.sum.merge(other.sum) }

// AddNoise adds n to element i. An aggregator calls it for every element, with
// noise of its own, before the share leaves it; [Instance.UnshardSigned] then
// gives results that may be negative.
func (a *AggregateShare) AddNoise(i int, n int64) error { return a.sum.addInt(i, n) }

// Len returns the number of elements.
func (a *AggregateShare) Len() int { return a.sum.length() }

// Bytes returns the encoded share, Sizes.AggregateShare bytes.
func (a *AggregateShare) Bytes() []byte { return a.sum.bytes() }

// Format hides the share under every verb.
func (a *AggregateShare) Format(s fmt.State, _ rune) { fmt.Fprint(s, "vdaf.AggregateShare(redacted)") }

// vector implements aggregate.
type vector[E field.Elem] struct {
	f      field.Field[E]
	v, tmp []E
}

func (e *engine[E]) newAggregate() aggregate {
	return &vector[E]{f: e.f, v: make([]E, e.d.out), tmp: make([]E, e.d.out)}
}

func (s *vector[E]) add(encoded []byte) error {
	if err := s.f.Decode(s.tmp, encoded); err != nil {
		return fmt.Errorf("%w: share of an aggregate: %w", ErrEncoding, err)
	}
	s.f.AddVec(s.v, s.tmp)
	return nil
}

func (s *vector[E]) merge(other aggregate) error {
	o, ok := other.(*vector[E])
	if !ok || len(o.v) != len(s.v) {
		return fmt.Errorf("%w: aggregate shares of different instances", ErrEncoding)
	}
	s.f.AddVec(s.v, o.v)
	return nil
}

func (s *vector[E]) addInt(i int, n int64) error {
	if i < 0 || i >= len(s.v) {
		return fmt.Errorf("vdaf: noise for element %d of %d", i, len(s.v))
	}
	// |n| as a field element, added or subtracted without a branch on n, which
	// is secret: n = (n with its sign bit cleared) - 2^63 if negative.
	low := s.f.FromUint64(uint64(n) & math.MaxInt64)
	high := s.f.FromUint64(uint64(n) & (1 << 63))
	s.v[i] = s.f.Sub(s.f.Add(s.v[i], low), high)
	return nil
}

func (s *vector[E]) length() int { return len(s.v) }

func (s *vector[E]) bytes() []byte {
	b := make([]byte, len(s.v)*s.f.Size())
	s.f.Encode(b, s.v)
	return b
}

// A sum is an element of an aggregate: hi*2^64 + lo, and less the prime.
type sum struct {
	lo, hi       uint64
	negLo, negHi uint64 // the prime less the sum
}

func (e *engine[E]) unshard(shares [][]byte) ([]sum, error) {
	if len(shares) != e.shares {
		return nil, fmt.Errorf("%w: %d aggregate shares, want %d", ErrEncoding, len(shares), e.shares)
	}
	total := e.newAggregate().(*vector[E])
	for _, s := range shares {
		if err := total.add(s); err != nil {
			return nil, err
		}
	}
	out := make([]sum, len(total.v))
	zero := e.f.FromUint64(0)
	for i, x := range total.v {
		out[i].lo, out[i].hi = words(e.f, x)
		out[i].negLo, out[i].negHi = words(e.f, e.f.Sub(zero, x))
	}
	return out, nil
}

// words returns the integer of an element.
func words[E field.Elem](f field.Field[E], x E) (lo, hi uint64) {
	var b [16]byte
	f.Encode(b[:f.Size()], []E{x})
	for i := 7; i >= 0; i-- {
		lo, hi = lo<<8|uint64(b[i]), hi<<8|uint64(b[8+i])
	}
	return lo, hi
}

// unsigned returns sums as they are.
func unsigned(sums []sum, _ uint64) ([]uint64, error) {
	out := make([]uint64, len(sums))
	for i, s := range sums {
		if s.hi != 0 {
			return nil, fmt.Errorf("%w: element %d", ErrOverflow, i)
		}
		out[i] = s.lo
	}
	return out, nil
}

// single is unsigned for one sum.
func single(sums []sum, count uint64) (uint64, error) {
	out, err := unsigned(sums, count)
	if err != nil {
		return 0, err
	}
	return out[0], nil
}

// signed returns the representatives of least absolute value.
func signed(sums []sum) ([]int64, error) {
	out := make([]int64, len(sums))
	for i, s := range sums {
		switch {
		case s.hi == 0 && s.lo <= math.MaxInt64:
			out[i] = int64(s.lo)
		case s.negHi == 0 && s.negLo <= 1<<63:
			out[i] = -int64(s.negLo)
		default:
			return nil, fmt.Errorf("%w: element %d", ErrOverflow, i)
		}
	}
	return out, nil
}
