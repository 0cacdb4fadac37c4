package vdaf

import (
	"fmt"
	"io"

	"github.com/shoal-project/shoal/crypto/field"
)

// shard makes the shares of an encoded measurement: the public share and one
// input share for each aggregator (VDAF draft, section "Sharding" of Prio3).
func (e *engine[E]) shard(rand io.Reader, ctx []byte, nonce *Nonce, encoded []uint8) ([]byte, [][]byte, error) {
	h, err := e.heads(ctx)
	if err != nil {
		return nil, nil, err
	}
	random := make([]byte, e.sizes().Rand)
	if _, err := io.ReadFull(rand, random); err != nil {
		return nil, nil, fmt.Errorf("vdaf: reading %d random bytes: %w", len(random), err)
	}
	x, err := newXOFRunner(e.xof)
	if err != nil {
		return nil, nil, err
	}
	s := sharding[E]{e: e, h: h, x: x, nonce: nonce}
	if err := s.expand(random); err != nil {
		return nil, nil, err
	}
	meas := make([]E, e.d.meas)
	for i, m := range encoded {
		meas[i] = e.f.FromUint64(uint64(m))
	}
	if err := s.joint(meas); err != nil {
		return nil, nil, err
	}
	return s.public, s.inputs(meas), nil
}

// sharding is the state of one report on its way through shard.
type sharding[E field.Elem] struct {
	e     *engine[E]
	h     *heads
	x     *xofRunner
	nonce *Nonce

	helpers     []helperShare[E]
	blind       []byte // the leader's
	prove       []E    // prover randomness of all proofs
	leaderMeas  []E
	leaderPart  []byte // XOF input of the leader's joint randomness part
	public      []byte
	jointRand   []E
	leaderProof []E
}

type helperShare[E field.Elem] struct {
	seeds []byte // share and, with joint randomness, blind: the input share itself
	meas  []E
	proof []E
	part  []byte // XOF input of the joint randomness part; ends in the encoded share
}

// expand takes the seeds from the randomness and draws from them what does not
// depend on the measurement.
func (s *sharding[E]) expand(random []byte) error {
	e, h := s.e, s.h
	per := seedSize
	if e.d.joint > 0 {
		per *= 2
	}
	type job struct {
		dst      []E
		raw, msg []byte
		usage    int
	}
	var jobs []job
	for j := range e.shares - 1 {
		hs := helperShare[E]{
			seeds: random[:per],
			meas:  make([]E, e.d.meas),
			proof: make([]E, e.proofs*e.d.proof),
			part:  h.message(usageJointRandPart, 1+nonceSize+e.d.meas*e.f.Size()),
		}
		random = random[per:]
		meas := h.message(usageMeasShare, 1)
		copy(h.seed(usageMeasShare, meas), hs.seeds)
		h.binder(usageMeasShare, meas)[0] = byte(j + 1)
		jobs = append(jobs, job{hs.meas, hs.part[len(hs.part)-e.d.meas*e.f.Size():], meas, usageMeasShare})

		proof := h.message(usageProofShare, 2)
		copy(h.seed(usageProofShare, proof), hs.seeds)
		copy(h.binder(usageProofShare, proof), []byte{byte(e.proofs), byte(j + 1)})
		jobs = append(jobs, job{hs.proof, make([]byte, len(hs.proof)*e.f.Size()), proof, usageProofShare})
		s.helpers = append(s.helpers, hs)
	}
	if e.d.joint > 0 {
		s.blind, random = random[:seedSize], random[seedSize:]
	}
	s.prove = make([]E, e.proofs*e.d.prove)
	prove := h.message(usageProveRand, 1)
	copy(h.seed(usageProveRand, prove), random)
	h.binder(usageProveRand, prove)[0] = byte(e.proofs)
	jobs = append(jobs, job{s.prove, make([]byte, len(s.prove)*e.f.Size()), prove, usageProveRand})

	for _, j := range jobs {
		s.x.add(j.raw, j.msg, len(h[j.usage]))
	}
	s.x.flush()
	for _, j := range jobs {
		if err := e.sample(j.dst, j.raw, j.msg, len(h[j.usage])); err != nil {
			return err
		}
	}
	return nil
}

// joint shares the measurement and derives the joint randomness.
func (s *sharding[E]) joint(meas []E) error {
	e, h := s.e, s.h
	s.leaderMeas = append([]E(nil), meas...)
	for _, hs := range s.helpers {
		e.f.SubVec(s.leaderMeas, hs.meas)
	}
	if e.d.joint == 0 {
		return nil
	}
	s.leaderPart = h.message(usageJointRandPart, 1+nonceSize+e.d.meas*e.f.Size())
	e.f.Encode(h.binder(usageJointRandPart, s.leaderPart)[1+nonceSize:], s.leaderMeas)
	s.public = make([]byte, seedSize*e.shares)
	for j := range e.shares {
		msg, blind := s.leaderPart, s.blind
		if j > 0 {
			msg, blind = s.helpers[j-1].part, s.helpers[j-1].seeds[seedSize:]
		}
		copy(h.seed(usageJointRandPart, msg), blind)
		b := h.binder(usageJointRandPart, msg)
		b[0] = byte(j)
		copy(b[1:], s.nonce[:])
		s.x.add(s.public[j*seedSize:][:seedSize], msg, len(h[usageJointRandPart]))
	}
	s.x.flush()

	seed, err := e.jointSeed(h, s.public)
	if err != nil {
		return err
	}
	msg := h.message(usageJointRand, 1)
	copy(h.seed(usageJointRand, msg), seed[:])
	h.binder(usageJointRand, msg)[0] = byte(e.proofs)
	s.jointRand = make([]E, e.proofs*e.d.joint)
	raw := make([]byte, len(s.jointRand)*e.f.Size())
	s.x.add(raw, msg, len(h[usageJointRand]))
	s.x.flush()
	return e.sample(s.jointRand, raw, msg, len(h[usageJointRand]))
}

// inputs makes the proofs and the input shares.
func (s *sharding[E]) inputs(meas []E) [][]byte {
	e := s.e
	sp := e.c.newSpace()
	proofs := make([]E, e.proofs*e.d.proof)
	for i := range e.proofs {
		e.c.prove(sp,
			proofs[i*e.d.proof:][:e.d.proof], meas,
			s.prove[i*e.d.prove:][:e.d.prove],
			s.jointRand[i*e.d.joint:][:e.d.joint])
	}
	for _, hs := range s.helpers {
		e.f.SubVec(proofs, hs.proof)
	}
	leader := make([]byte, e.sizes().LeaderShare)
	n := len(s.leaderMeas) * e.f.Size()
	e.f.Encode(leader, s.leaderMeas)
	e.f.Encode(leader[n:], proofs)
	copy(leader[n+len(proofs)*e.f.Size():], s.blind)
	shares := [][]byte{leader}
	for _, hs := range s.helpers {
		shares = append(shares, hs.seeds)
	}
	return shares
}
