package vdaf

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"

	"github.com/shoal-project/shoal/crypto/field"
)

// ErrEncoding means that a message has the wrong length or holds a field element
// out of range. The report it belongs to is not valid.
var ErrEncoding = errors.New("vdaf: message is not a valid encoding")

// ErrRejected means that a report is not valid: its proof does not hold, or the
// aggregators did not see the same joint randomness.
var ErrRejected = errors.New("vdaf: report rejected")

// errQueryPoint is the rejection of a query on a point that would leak the
// measurement. It happens by chance with a probability below 2^-40 and then is no
// evidence about the client.
var errQueryPoint = fmt.Errorf("%w: query point is a root of unity", ErrRejected)

// An engine is Prio3 for one circuit (VDAF draft, section "Prio3"). It is safe
// for concurrent use.
type engine[E field.Elem] struct {
	f      field.Field[E]
	c      circuit[E]
	d      dims
	id     uint32
	shares int
	proofs int
	xof    xofKind
	idle   sync.Pool // of *sharding[E] for one application context or another
}

func newEngine[E field.Elem](f field.Field[E], c circuit[E], id uint32, shares, proofs int, xof xofKind) *engine[E] {
	return &engine[E]{f: f, c: c, d: c.dims(), id: id, shares: shares, proofs: proofs, xof: xof}
}

// sizes returns the lengths of all messages.
func (e *engine[E]) sizes() Sizes {
	s := Sizes{
		Rand:           seedSize * e.shares,
		LeaderShare:    e.f.Size() * (e.d.meas + e.proofs*e.d.proof),
		HelperShare:    seedSize,
		VerifierShare:  e.f.Size() * e.proofs * e.d.verifier,
		AggregateShare: e.f.Size() * e.d.out,
	}
	if e.d.joint > 0 {
		s.Rand *= 2
		s.PublicShare = seedSize * e.shares
		s.LeaderShare += seedSize
		s.HelperShare += seedSize
		s.VerifierShare += seedSize
		s.VerifierMessage = seedSize
	}
	return s
}

// heads are the starts of all XOF inputs in one application context.
type heads [usages][]byte

func (e *engine[E]) heads(ctx []byte) (*heads, error) {
	h := new(heads)
	for u := uint16(1); u < usages; u++ {
		b, err := e.xof.head(e.id, u, ctx)
		if err != nil {
			return nil, err
		}
		h[u] = b
	}
	return h, nil
}

// message is an XOF input for one usage: room for the head, a seed and a binder
// of the given length.
func (h *heads) message(usage int, binder int) []byte {
	b := make([]byte, len(h[usage])+seedSize+binder)
	copy(b, h[usage])
	return b
}

// seed and binder are the parts of a message after the head.
func (h *heads) seed(usage int, msg []byte) []byte {
	return msg[len(h[usage]):][:seedSize]
}

func (h *heads) binder(usage int, msg []byte) []byte {
	return msg[len(h[usage])+seedSize:]
}

// sample makes raw, the output of the XOF for msg, into field elements. If one
// of them is not below the prime, which happens with a probability below 2^-31
// for each, it draws the whole vector again, leaving such values out.
func (e *engine[E]) sample(dst []E, raw, msg []byte, head int) error {
	if e.f.Decode(dst, raw) == nil {
		return nil
	}
	r, err := e.xof.stream(msg, head)
	if err != nil {
		return err
	}
	return e.resample(dst, raw, r.Read)
}

func (e *engine[E]) resample(dst []E, raw []byte, read func([]byte) (int, error)) error {
	size := e.f.Size()
	for i := range dst {
		b := raw[i*size:][:size]
		for {
			if _, err := read(b); err != nil {
				return fmt.Errorf("reading the XOF: %w", err)
			}
			if e.f.Decode(dst[i:i+1], b) == nil {
				break
			}
		}
	}
	return nil
}

// A combiner turns verifier shares into the verifier message.
type combiner[E field.Elem] struct {
	e      *engine[E]
	h      *heads
	sum, v []E
	msg    []byte // XOF input of the joint randomness seed
}

func (e *engine[E]) newCombiner(h *heads) *combiner[E] {
	n := e.proofs * e.d.verifier
	c := &combiner[E]{e: e, h: h, sum: make([]E, n), v: make([]E, n)}
	if e.d.joint > 0 {
		c.msg = h.message(usageJointRandSeed, seedSize*e.shares)
	}
	return c
}

// combine adds up verifier shares, decides, and writes the verifier message.
func (c *combiner[E]) combine(x *xofRunner, message []byte, shares [][]byte) error {
	e := c.e
	if len(shares) != e.shares {
		return fmt.Errorf("%w: %d verifier shares, want %d", ErrEncoding, len(shares), e.shares)
	}
	clear(c.sum)
	size := len(c.v) * e.f.Size()
	want := size
	if e.d.joint > 0 {
		want += seedSize
	}
	for i, s := range shares {
		if len(s) != want {
			return fmt.Errorf("%w: verifier share %d has %d bytes, want %d", ErrEncoding, i, len(s), want)
		}
		if err := e.f.Decode(c.v, s[:size]); err != nil {
			return fmt.Errorf("%w: verifier share %d: %w", ErrEncoding, i, err)
		}
		e.f.AddVec(c.sum, c.v)
		if e.d.joint > 0 {
			copy(c.h.binder(usageJointRandSeed, c.msg)[i*seedSize:], s[size:])
		}
	}
	for i := range e.proofs {
		if !e.c.decide(part(c.sum, i, e.d.verifier)) {
			return fmt.Errorf("%w: proof does not hold", ErrRejected)
		}
	}
	if e.d.joint > 0 {
		x.add(message, c.msg, len(c.h[usageJointRandSeed]))
		x.flush()
	}
	return nil
}

// next checks the verifier message against the seed that this party computed.
func next(seed, message []byte) error {
	if len(message) != len(seed) {
		return fmt.Errorf("%w: verifier message has %d bytes, want %d", ErrEncoding, len(message), len(seed))
	}
	if subtle.ConstantTimeCompare(seed, message) != 1 {
		return fmt.Errorf("%w: joint randomness differs", ErrRejected)
	}
	return nil
}
