package vdaf

import (
	"fmt"

	"github.com/shoal-project/shoal/crypto/field"
)

// A party is one aggregator of one task: an engine with a verification key, an
// application context and a place among the shares. It is read-only.
type party[E field.Elem] struct {
	e    *engine[E]
	h    *heads
	key  *VerifyKey
	id   int
	size Sizes
}

// An arena holds the memory of a batch: scratch for the reports that are being
// verified side by side, and what comes out of each. Everything is kept for the
// next batch.
type arena[E field.Elem] struct {
	p  *party[E]
	x  *xofRunner
	sp *space[E]

	lane  [lanes]lane[E]
	out   []E    // output shares of all reports, one after another
	share []byte // verifier shares of all reports, each as an initialize message
	seed  []byte // corrected joint randomness seeds of all reports
	final []byte // finish messages of all reports
	errs  []error
	comb  *combiner[E]
	pair  [2][]byte
}

// A lane is the scratch memory of one report.
type lane[E field.Elem] struct {
	meas, proof, query, joint, verifier []E

	// Inputs and outputs of the XOF. The input of the joint randomness part ends
	// in the encoded measurement share.
	measMsg, proofMsg, queryMsg, partMsg, seedMsg, jointMsg []byte
	measRaw, proofRaw, queryRaw, jointRaw                   []byte
}

func (p *party[E]) newArena() (*arena[E], error) {
	x, err := newXOFRunner(p.e.xof)
	if err != nil {
		return nil, err
	}
	return &arena[E]{p: p, x: x, sp: p.e.c.newSpace(), comb: p.e.newCombiner(p.h)}, nil
}

// newLane makes the memory of one lane and fills in what never changes.
func (p *party[E]) newLane() lane[E] {
	e, h, d, size := p.e, p.h, p.e.d, p.e.f.Size()
	l := lane[E]{
		meas:     make([]E, d.meas),
		proof:    make([]E, e.proofs*d.proof),
		query:    make([]E, e.proofs*d.query),
		verifier: make([]E, e.proofs*d.verifier),
		queryMsg: h.message(usageQueryRand, 1+nonceSize),
	}
	l.queryRaw = make([]byte, len(l.query)*size)
	copy(h.seed(usageQueryRand, l.queryMsg), p.key[:])
	h.binder(usageQueryRand, l.queryMsg)[0] = byte(e.proofs)

	if p.id > 0 {
		l.measMsg = h.message(usageMeasShare, 1)
		h.binder(usageMeasShare, l.measMsg)[0] = byte(p.id)
		l.measRaw = make([]byte, d.meas*size)
		l.proofMsg = h.message(usageProofShare, 2)
		copy(h.binder(usageProofShare, l.proofMsg), []byte{byte(e.proofs), byte(p.id)})
		l.proofRaw = make([]byte, len(l.proof)*size)
	}
	if d.joint > 0 {
		l.partMsg = h.message(usageJointRandPart, 1+nonceSize+d.meas*size)
		h.binder(usageJointRandPart, l.partMsg)[0] = byte(p.id)
		l.measRaw = l.partMsg[len(l.partMsg)-d.meas*size:]
		l.seedMsg = h.message(usageJointRandSeed, seedSize*e.shares)
		l.jointMsg = h.message(usageJointRand, 1)
		h.binder(usageJointRand, l.jointMsg)[0] = byte(e.proofs)
		l.joint = make([]E, e.proofs*d.joint)
		l.jointRaw = make([]byte, len(l.joint)*size)
	}
	return l
}

// grow makes room for the results of n reports and for the lanes they need.
func (a *arena[E]) grow(n int) {
	p := a.p
	for i := range min(n, lanes) {
		if a.lane[i].meas == nil {
			a.lane[i] = p.newLane()
		}
	}
	if cap(a.errs) < n {
		a.errs = make([]error, n)
		a.out = make([]E, n*p.e.d.out)
		a.share = make([]byte, n*(messageHeader+p.size.VerifierShare))
		a.seed = make([]byte, n*p.size.VerifierMessage)
		a.final = make([]byte, n*(messageHeader+p.size.VerifierMessage))
	}
	a.errs = a.errs[:n]
	clear(a.errs)
}

// init verifies reports as far as verify_init of the draft goes. Errors are per
// report: one bad report does no harm to another.
func (a *arena[E]) init(reports []Report) {
	a.grow(len(reports))
	for at := 0; at < len(reports); at += lanes {
		a.group(reports, at, min(len(reports), at+lanes))
	}
}

// group verifies reports[from:to], one a lane. The steps that run the XOF do so
// for all lanes at once.
func (a *arena[E]) group(reports []Report, from, to int) {
	for i := from; i < to; i++ {
		if err := a.p.load(&a.lane[i-from], &reports[i]); err != nil {
			a.errs[i] = err
		}
	}
	a.expand(from, to)
	if a.p.e.d.joint > 0 {
		a.derive(from, to)
	}
	for i := from; i < to; i++ {
		if a.errs[i] == nil {
			a.errs[i] = a.finish(&a.lane[i-from], i)
		}
	}
}

// load checks the sizes of a report's messages and puts them in place.
func (p *party[E]) load(l *lane[E], r *Report) error {
	e, h := p.e, p.h
	want := p.size.HelperShare
	if p.id == 0 {
		want = p.size.LeaderShare
	}
	if len(r.InputShare) != want {
		return fmt.Errorf("%w: input share has %d bytes, want %d", ErrEncoding, len(r.InputShare), want)
	}
	if len(r.PublicShare) != p.size.PublicShare {
		return fmt.Errorf("%w: public share has %d bytes, want %d", ErrEncoding, len(r.PublicShare), p.size.PublicShare)
	}
	copy(h.binder(usageQueryRand, l.queryMsg)[1:], r.Nonce[:])
	in := r.InputShare
	if p.id == 0 {
		m, n := e.d.meas*e.f.Size(), len(l.proof)*e.f.Size()
		if err := e.f.Decode(l.meas, in[:m]); err != nil {
			return fmt.Errorf("%w: measurement share: %w", ErrEncoding, err)
		}
		if err := e.f.Decode(l.proof, in[m:m+n]); err != nil {
			return fmt.Errorf("%w: proof share: %w", ErrEncoding, err)
		}
		copy(l.measRaw, in[:m])
		in = in[m+n:]
	} else {
		copy(h.seed(usageMeasShare, l.measMsg), in)
		copy(h.seed(usageProofShare, l.proofMsg), in)
		in = in[seedSize:]
	}
	if e.d.joint > 0 {
		copy(h.seed(usageJointRandPart, l.partMsg), in)
		copy(h.binder(usageJointRandPart, l.partMsg)[1:], r.Nonce[:])
		copy(h.binder(usageJointRandSeed, l.seedMsg), r.PublicShare)
	}
	return nil
}

// expand draws the query randomness and, at a helper, the shares. The streams
// of one or two reports fit in the lanes together.
func (a *arena[E]) expand(from, to int) {
	h, together := a.p.h, 3*(to-from) <= lanes
	for u := usageMeasShare; u <= usageQueryRand; u++ {
		for i := from; i < to; i++ {
			if raw, msg := a.lane[i-from].stream(u); msg != nil && a.errs[i] == nil {
				a.x.add(raw, msg, len(h[u]))
			}
		}
		if !together || u == usageQueryRand {
			a.x.flush()
		}
	}
	for i := from; i < to; i++ {
		if a.errs[i] == nil {
			a.errs[i] = a.decode(&a.lane[i-from])
		}
	}
}

// stream returns the output and the input of the XOF for one usage; no input
// means that the usage does not occur.
func (l *lane[E]) stream(usage int) (raw, msg []byte) {
	switch usage {
	case usageMeasShare:
		return l.measRaw, l.measMsg
	case usageProofShare:
		return l.proofRaw, l.proofMsg
	case usageQueryRand:
		return l.queryRaw, l.queryMsg
	}
	return nil, nil
}

func (a *arena[E]) decode(l *lane[E]) error {
	e, h := a.p.e, a.p.h
	if a.p.id > 0 {
		if err := e.sample(l.meas, l.measRaw, l.measMsg, len(h[usageMeasShare])); err != nil {
			return err
		}
		if err := e.sample(l.proof, l.proofRaw, l.proofMsg, len(h[usageProofShare])); err != nil {
			return err
		}
	}
	return e.sample(l.query, l.queryRaw, l.queryMsg, len(h[usageQueryRand]))
}

// derive recomputes this party's joint randomness part, puts it in the place of
// the one that the client sent, and derives the joint randomness from that.
func (a *arena[E]) derive(from, to int) {
	p, h := a.p, a.p.h
	for i := from; i < to; i++ {
		if a.errs[i] == nil {
			l := &a.lane[i-from]
			own := h.binder(usageJointRandSeed, l.seedMsg)[p.id*seedSize:][:seedSize]
			a.x.add(own, l.partMsg, len(h[usageJointRandPart]))
		}
	}
	a.x.flush()
	for i := from; i < to; i++ {
		if a.errs[i] == nil {
			l := &a.lane[i-from]
			a.x.add(a.jointSeed(i), l.seedMsg, len(h[usageJointRandSeed]))
		}
	}
	a.x.flush()
	for i := from; i < to; i++ {
		if a.errs[i] == nil {
			l := &a.lane[i-from]
			copy(h.seed(usageJointRand, l.jointMsg), a.jointSeed(i))
			a.x.add(l.jointRaw, l.jointMsg, len(h[usageJointRand]))
		}
	}
	a.x.flush()
	for i := from; i < to; i++ {
		if a.errs[i] == nil {
			l := &a.lane[i-from]
			a.errs[i] = p.e.sample(l.joint, l.jointRaw, l.jointMsg, len(h[usageJointRand]))
		}
	}
}

// finish queries the proofs of report i and writes its results.
func (a *arena[E]) finish(l *lane[E], i int) error {
	p, e, d := a.p, a.p.e, a.p.e.d
	for j := range e.proofs {
		if !e.c.query(a.sp,
			l.verifier[j*d.verifier:][:d.verifier], l.meas,
			l.proof[j*d.proof:][:d.proof],
			l.query[j*d.query:][:d.query],
			l.joint[j*d.joint:][:d.joint]) {
			return errQueryPoint
		}
	}
	e.c.truncate(a.output(i), l.meas)
	share := a.verifierShare(i)
	putMessageHeader(a.initialize(i), typeInitialize, len(share))
	e.f.Encode(share, l.verifier)
	if d.joint > 0 {
		own := p.h.binder(usageJointRandSeed, l.seedMsg)[p.id*seedSize:][:seedSize]
		copy(share[len(share)-seedSize:], own)
	}
	return nil
}

// The results of report i.
func (a *arena[E]) output(i int) []E { return part(a.out, i, a.p.e.d.out) }

func (a *arena[E]) jointSeed(i int) []byte { return part(a.seed, i, a.p.size.VerifierMessage) }

func (a *arena[E]) initialize(i int) []byte {
	return part(a.share, i, messageHeader+a.p.size.VerifierShare)
}

func (a *arena[E]) verifierShare(i int) []byte { return a.initialize(i)[messageHeader:] }

func (a *arena[E]) finishMessage(i int) []byte {
	return part(a.final, i, messageHeader+a.p.size.VerifierMessage)
}

// part is the i-th stretch of n elements.
func part[T any](s []T, i, n int) []T { return s[i*n:][:n:n] }
