package arc

import (
	"fmt"
	"io"

	"github.com/shoal-project/shoal/internal/p256"
)

// A Credential is a client's: it makes presentations. It prints redacted, and is
// safe for use by several goroutines.
type Credential struct {
	secret
	m1            residue
	u, uPrime, x1 *element
}

// ParseCredential decodes what [Credential.Bytes] returns. Its errors do not
// hold the bytes.
func ParseCredential(b []byte) (*Credential, error) {
	r := newReader("credential", b, CredentialSize)
	c := &Credential{m1: r.scalar("m1"), u: r.element("U"), uPrime: r.element("UPrime"), x1: r.element("X1")}
	if r.err != nil {
		return nil, r.err
	}
	return c, nil
}

// Bytes returns the encoding, which is secret: m1, U, UPrime and X1.
func (cr *Credential) Bytes() []byte {
	b := append(make([]byte, 0, CredentialSize), cr.m1[:]...)
	return append(append(append(b, cr.u.enc[:]...), cr.uPrime.enc[:]...), cr.x1.enc[:]...)
}

// A Presentation shows that its maker has a credential and a nonce below the
// limit, and reveals nothing else about them.
type Presentation struct {
	u, uPrimeCommit, m1Commit, tag *element
	nonceCommit                    *element   // nil with a limit of one
	bits                           []*element // D of the draft
	proof                          *proof
}

// PresentationSize returns the length in bytes of an encoded presentation for a
// limit from 1 to [MaxLimit]: 260 for one, 486 for two, then 129 for each bit
// more.
func PresentationSize(limit uint32) int {
	k := rangeBits(limit)
	size := 4*elementSize + scalarSize*(1+proofScalars(k))
	if k > 0 {
		size += (1 + k) * elementSize
	}
	return size
}

// ParsePresentation decodes what [Presentation.Bytes] returns, made for a limit.
func ParsePresentation(b []byte, limit uint32) (*Presentation, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	r := newReader("presentation", b, PresentationSize(limit))
	p := &Presentation{u: r.element("U"), uPrimeCommit: r.element("UPrimeCommit"), m1Commit: r.element("m1Commit"), tag: r.element("tag")}
	k := rangeBits(limit)
	if k > 0 {
		p.nonceCommit = r.element("nonceCommit")
	}
	for range k {
		p.bits = append(p.bits, r.element("D"))
	}
	p.proof = r.proof(proofScalars(k))
	if r.err != nil {
		return nil, r.err
	}
	return p, nil
}

// Bytes returns the encoding: Presentation of the draft, or, with a limit of
// one, the same without nonceCommit and D.
func (p *Presentation) Bytes() []byte {
	var b []byte
	for _, e := range []*element{p.u, p.uPrimeCommit, p.m1Commit, p.tag, p.nonceCommit} {
		if e != nil {
			b = append(b, e.enc[:]...)
		}
	}
	for _, d := range p.bits {
		b = append(b, d.enc[:]...)
	}
	return p.proof.append(b)
}

// instance returns the relation that p claims, for V and X1.
func (p *Presentation) instance(c *Context, v, x1 *element, binding []byte) *instance {
	gen := generators()
	elements := []*element{gen.g, gen.h, p.u, p.uPrimeCommit, p.m1Commit, v, x1, p.tag, c.t}
	if p.nonceCommit != nil {
		elements = append(elements, p.nonceCommit)
	}
	if len(p.bits) > 1 {
		elements = append(elements, p.bits...)
	}
	return c.shape.instance(c.session(binding), elements...)
}

// Present makes a presentation (Present of the draft) with a nonce below the
// context's limit. A nonce serves once in a context: two presentations with the
// same one have equal tags, so that the second is refused and both are linked.
// Allocate nonces durably before presenting.
//
// The proof covers the binding, for example a digest of what the presentation is
// sent with, so that it cannot be moved elsewhere. The tag does not depend on
// it. An empty binding gives the draft's session string.
func (cr *Credential) Present(rand io.Reader, c *Context, nonce uint32, binding []byte) (*Presentation, error) {
	if nonce >= c.limit {
		return nil, fmt.Errorf("arc: %w: nonce %d of a presentation limit of %d", ErrLimit, nonce, c.limit)
	}
	n := 3
	if len(c.bases) > 0 {
		n = 4
	}
	drawn, err := randomScalars(rand, n)
	if err != nil {
		return nil, err
	}
	a, r, z := drawn[0], drawn[1], drawn[2]
	p, v, err := cr.blind(c, &a, &r, &z, nonce)
	if err != nil {
		return nil, err
	}
	witness := []residue{cr.m1, z, order.neg(r)}
	if len(c.bases) > 0 {
		rest, err := p.commitNonce(rand, c, nonce, drawn[3])
		if err != nil {
			return nil, err
		}
		witness = append(append(witness, small(uint64(nonce)), drawn[3]), rest...)
	}
	b, err := p.instance(c, v, cr.x1, binding).prove(rand, witness)
	if err != nil {
		return nil, err
	}
	if p.proof, err = decodeProof(b, c.shape.scalars); err != nil {
		return nil, fmt.Errorf("arc: proving: %w", err)
	}
	return p, nil
}

// blind returns the presentation without nonce and proof, and V.
func (cr *Credential) blind(c *Context, a, r, z *residue, nonce uint32) (*Presentation, *element, error) {
	gen := generators()
	rG := gen.g.times(r)
	uPrime := cr.uPrime.times(a)
	sum := order.add(cr.m1, small(uint64(nonce)))
	inverse := order.inverse(sum)
	am1 := order.mul(*a, cr.m1)
	u := cr.u.withTable(p256.WidthSecret)
	m1U := u.times(&am1)
	v := cr.x1.times(z)
	minusRG := new(p256.Point).Negate(rG)
	e, err := newElements([]string{"U", "UPrimeCommit", "m1Commit", "tag", "V"},
		u.times(a), uPrime.Add(uPrime, rG), m1U.Add(m1U, gen.h.times(z)), c.t.times(&inverse), v.Add(v, minusRG))
	if err != nil {
		return nil, nil, fmt.Errorf("arc: %w", err)
	}
	return &Presentation{u: e[0], uPrimeCommit: e[1], m1Commit: e[2], tag: e[3]}, e[4], nil
}

// commitNonce adds the commitments to the nonce and to its bits
// (MakeRangeProofHelper of the draft), and returns the witness: all bits, all
// blindings, and all blindings of the bits that are zero. It runs in constant
// time in the nonce.
func (p *Presentation) commitNonce(rand io.Reader, c *Context, nonce uint32, blinding residue) ([]residue, error) {
	k := len(c.bases)
	scalars := make([]residue, 3*k)
	b, s, s2 := scalars[:k], scalars[k:2*k], scalars[2*k:]
	rest := uint64(nonce)
	for i, base := range c.bases {
		bit := 1 - (rest-base)>>63
		rest -= base & -bit
		b[i] = small(bit)
	}
	last := blinding // the blindings add up to that of the nonce; the last base is 1
	for i, base := range c.bases[:k-1] {
		var err error
		if s[i], err = randomScalar(rand); err != nil {
			return nil, err
		}
		last = order.sub(last, order.mul(small(base), s[i]))
	}
	s[k-1] = last
	value := small(uint64(nonce))
	names, points := []string{"nonceCommit"}, []*p256.Point{timesBoth(&value, &blinding)}
	for i := range b {
		s2[i] = order.mul(order.sub(small(1), b[i]), s[i])
		names, points = append(names, fmt.Sprintf("D[%d]", i)), append(points, timesBoth(&b[i], &s[i]))
	}
	elements, err := newElements(names, points...)
	if err != nil {
		return nil, fmt.Errorf("arc: %w", err)
	}
	p.nonceCommit, p.bits = elements[0], elements[1:]
	return scalars, nil
}
