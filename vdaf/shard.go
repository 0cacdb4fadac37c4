package vdaf

import (
	"bytes"
	"fmt"
	"io"

	"github.com/shoal-project/shoal/crypto/field"
)

// A sharder makes the shares of one measurement after another. It is an engine's
// scratch memory without the element type.
type sharder interface {
	// encoded is where the encoded measurement goes.
	encoded() []uint8
	// shard makes the shares of it.
	shard(rand io.Reader, nonce Nonce) (*Sharded, error)
	// release erases what the measurement has left and hands the memory back.
	release()
}

// sharder returns a sharder for an application context.
func (e *engine[E]) sharder(ctx []byte) (sharder, error) {
	s, ok := e.idle.Get().(*sharding[E])
	if ok && bytes.Equal(s.ctx, ctx) {
		return s, nil
	}
	return e.newSharding(ctx)
}

// sharding is the scratch memory of shard. All that depends on randomness or
// measurement is in secretElems, secretBytes and the XOF.
type sharding[E field.Elem] struct {
	e   *engine[E]
	ctx []byte
	h   *heads
	x   *xofRunner

	secretElems vault[E]
	secretBytes vault[byte]

	meas8     []uint8 // the encoded measurement
	random    []byte
	meas      []E
	leader    []E // the leader's measurement share
	proofs    []E
	prove     []E // prover randomness of all proofs
	jointRand []E
	scratch   []E // of the circuit
	helpers   []helperShare[E]
	draws     []draw[E] // what does not depend on the measurement

	// Only with joint randomness: the leader's blind and XOF input of its part,
	// the XOF input of the joint randomness seed, and the joint randomness.
	blind, part, seedMsg []byte
	joint                draw[E]
}

// A helperShare is what a helper expands its input share to.
type helperShare[E field.Elem] struct {
	seeds       []byte // share and, with joint randomness, blind: the input share itself
	meas, proof []E
	part        []byte // XOF input of the joint randomness part; ends in the encoded share
}

// A draw is a vector that the XOF gives for a seed.
type draw[E field.Elem] struct {
	dst      []E
	raw, msg []byte
	usage    int
	seed     []byte
	binder   [2]byte
	bind     int // bytes of binder
}

// A vault is memory that is erased as a whole.
type vault[T any] [][]T

func (v *vault[T]) make(n int) []T {
	s := make([]T, n)
	*v = append(*v, s)
	return s
}

func (v vault[T]) erase() {
	for _, s := range v {
		clear(s)
	}
}

func (e *engine[E]) newSharding(ctx []byte) (*sharding[E], error) {
	h, err := e.heads(ctx)
	if err != nil {
		return nil, err
	}
	x, err := newXOFRunner(e.xof)
	if err != nil {
		return nil, err
	}
	s := &sharding[E]{e: e, ctx: bytes.Clone(ctx), h: h, x: x}
	elems, raw := &s.secretElems, &s.secretBytes
	s.meas8 = raw.make(e.d.meas)
	s.random = raw.make(e.sizes().Rand)
	s.meas = elems.make(e.d.meas)
	s.leader = elems.make(e.d.meas)
	s.proofs = elems.make(e.proofs * e.d.proof)
	s.prove = elems.make(e.proofs * e.d.prove)
	s.jointRand = elems.make(e.proofs * e.d.joint)
	s.scratch = elems.make(e.c.proveScratch())

	random, per := s.random, e.sizes().HelperShare
	for j := range e.shares - 1 {
		hs := helperShare[E]{
			seeds: random[:per],
			meas:  elems.make(e.d.meas),
			proof: elems.make(e.proofs * e.d.proof),
		}
		random = random[per:]
		meas := s.newDraw(hs.meas, usageMeasShare, hs.seeds, byte(j+1))
		if n := e.d.meas * e.f.Size(); e.d.joint > 0 {
			hs.part = s.message(usageJointRandPart, 1+nonceSize+n)
			meas.raw = hs.part[len(hs.part)-n:]
		} else {
			meas.raw = raw.make(n)
		}
		proof := s.newDraw(hs.proof, usageProofShare, hs.seeds, byte(e.proofs), byte(j+1))
		proof.raw = raw.make(len(hs.proof) * e.f.Size())
		s.helpers = append(s.helpers, hs)
		s.draws = append(s.draws, meas, proof)
	}
	if e.d.joint > 0 {
		s.blind, random = random[:seedSize], random[seedSize:]
		s.part = s.message(usageJointRandPart, 1+nonceSize+e.d.meas*e.f.Size())
		s.seedMsg = s.message(usageJointRandSeed, seedSize*e.shares)
		s.joint = s.newDraw(s.jointRand, usageJointRand, raw.make(seedSize), byte(e.proofs))
		s.joint.raw = raw.make(len(s.jointRand) * e.f.Size())
	}
	prove := s.newDraw(s.prove, usageProveRand, random, byte(e.proofs))
	prove.raw = raw.make(len(s.prove) * e.f.Size())
	s.draws = append(s.draws, prove)
	return s, nil
}

// message makes room for an XOF input.
func (s *sharding[E]) message(usage, binder int) []byte {
	return s.secretBytes.make(len(s.h[usage]) + seedSize + binder)
}

// newDraw makes a draw, all but raw.
func (s *sharding[E]) newDraw(dst []E, usage int, seed []byte, binder ...byte) draw[E] {
	d := draw[E]{
		dst:   dst,
		msg:   s.message(usage, len(binder)),
		usage: usage,
		seed:  seed,
	}
	d.bind = copy(d.binder[:], binder)
	return d
}

func (s *sharding[E]) encoded() []uint8 { return s.meas8 }

func (s *sharding[E]) release() {
	s.secretElems.erase()
	s.secretBytes.erase()
	s.x.erase()
	s.e.idle.Put(s)
}

// shard makes the shares of the encoded measurement: the public share and one
// input share for each aggregator (VDAF draft, section "Sharding" of Prio3).
func (s *sharding[E]) shard(rand io.Reader, nonce Nonce) (*Sharded, error) {
	if _, err := io.ReadFull(rand, s.random); err != nil {
		return nil, fmt.Errorf("vdaf: reading %d random bytes: %w", len(s.random), err)
	}
	out := s.e.newSharded()
	if err := s.expand(); err != nil {
		return nil, err
	}
	s.e.f.FromUint8(s.meas, s.meas8)
	copy(s.leader, s.meas)
	for i := range s.helpers {
		s.e.f.SubVec(s.leader, s.helpers[i].meas)
	}
	s.e.f.Encode(out.InputShares[0], s.leader)
	if s.e.d.joint > 0 {
		if err := s.deriveJoint(nonce, out); err != nil {
			return nil, err
		}
	}
	s.inputs(out)
	return out, nil
}

// newSharded makes room for the shares of one measurement.
func (e *engine[E]) newSharded() *Sharded {
	n := e.sizes()
	b := make([]byte, n.PublicShare+n.LeaderShare+(e.shares-1)*n.HelperShare)
	next := func(size int) []byte {
		v := b[:size:size]
		b = b[size:]
		return v
	}
	out := &Sharded{InputShares: make([][]byte, e.shares)}
	if n.PublicShare > 0 {
		out.PublicShare = next(n.PublicShare)
	}
	out.InputShares[0] = next(n.LeaderShare)
	for j := 1; j < e.shares; j++ {
		out.InputShares[j] = next(n.HelperShare)
	}
	return out
}

// start writes the head of an XOF input and its seed, nil for zeros, and returns
// the binder.
func (s *sharding[E]) start(msg []byte, usage int, seed []byte) []byte {
	msg = msg[copy(msg, s.h[usage]):]
	clear(msg[copy(msg[:seedSize], seed):seedSize])
	return msg[seedSize:]
}

// queue puts a draw in a lane of the XOF.
func (s *sharding[E]) queue(d *draw[E]) {
	copy(s.start(d.msg, d.usage, d.seed), d.binder[:d.bind])
	s.x.add(d.raw, d.msg, len(s.h[d.usage]))
}

func (s *sharding[E]) sample(d *draw[E]) error {
	return s.e.sample(d.dst, d.raw, d.msg, len(s.h[d.usage]))
}

// expand draws what does not depend on the measurement.
func (s *sharding[E]) expand() error {
	for i := range s.draws {
		s.queue(&s.draws[i])
	}
	s.x.flush()
	for i := range s.draws {
		if err := s.sample(&s.draws[i]); err != nil {
			return err
		}
	}
	return nil
}

// deriveJoint writes the public share, the joint randomness parts, and derives
// the joint randomness.
func (s *sharding[E]) deriveJoint(nonce Nonce, out *Sharded) error {
	e, h := s.e, s.h
	for j := range e.shares {
		msg, blind := s.part, s.blind
		if j > 0 {
			msg, blind = s.helpers[j-1].part, s.helpers[j-1].seeds[seedSize:]
		}
		b := s.start(msg, usageJointRandPart, blind)
		b[0] = byte(j)
		b = b[1+copy(b[1:], nonce[:]):]
		if j == 0 {
			copy(b, out.InputShares[0])
		}
		s.x.add(part(out.PublicShare, j, seedSize), msg, len(h[usageJointRandPart]))
	}
	s.x.flush()

	copy(s.start(s.seedMsg, usageJointRandSeed, nil), out.PublicShare)
	s.x.add(s.joint.seed, s.seedMsg, len(h[usageJointRandSeed]))
	s.x.flush()
	s.queue(&s.joint)
	s.x.flush()
	return s.sample(&s.joint)
}

// inputs makes the proofs and the rest of the input shares.
func (s *sharding[E]) inputs(out *Sharded) {
	e := s.e
	for i := range e.proofs {
		e.c.prove(s.scratch,
			part(s.proofs, i, e.d.proof), s.meas,
			part(s.prove, i, e.d.prove),
			part(s.jointRand, i, e.d.joint))
	}
	for i := range s.helpers {
		e.f.SubVec(s.proofs, s.helpers[i].proof)
		copy(out.InputShares[i+1], s.helpers[i].seeds)
	}
	leader := out.InputShares[0][e.d.meas*e.f.Size():]
	e.f.Encode(leader, s.proofs)
	copy(leader[len(s.proofs)*e.f.Size():], s.blind)
}
