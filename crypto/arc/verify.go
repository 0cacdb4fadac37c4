package arc

import (
	"fmt"

	"filippo.io/nistec"
)

// A Tag is what makes presentations countable: one credential has as many in a
// context as its limit allows. A verifier keeps the tags that were spent, and
// refuses a second presentation with the same one.
type Tag [elementSize]byte

// A Verifier checks presentations of credentials that one key has issued for one
// request context. It prints redacted, and is safe for use by several goroutines.
type Verifier struct {
	secret
	forU residue // x0 + x2 m2
	x1   residue
	x1H  *element // X1 of the public key
}

// Verifier returns the verifier for a request context, which must be that of the
// clients' requests.
func (k *PrivateKey) Verifier(requestContext []byte) *Verifier {
	m2 := hashToScalar(requestContext, suiteDraft, "requestContext")
	x1H := *k.public.x1
	x1H.odd = newOddMultiples(x1H.point, widthOften)
	return &Verifier{forU: order.add(k.x0, order.mul(k.x2, m2)), x1: k.x1, x1H: &x1H}
}

// Verify checks a presentation (VerifyPresentation of the draft) in a context
// and with the binding that it was made for, and returns its tag. That the tag
// was not spent before is the caller's to check. The key is used in constant
// time, the proof, which is public, in variable time.
func (v *Verifier) Verify(c *Context, p *Presentation, binding []byte) (Tag, error) {
	if len(p.bits) != len(c.bases) {
		return Tag{}, fmt.Errorf("arc: presentation: %w: made for another limit than %d", ErrProof, c.limit)
	}
	q := v.forM1(p)
	vElement, err := newElement(q)
	if err != nil {
		return Tag{}, fmt.Errorf("arc: presentation: %w: V %w", ErrProof, err)
	}
	in := p.instance(c, vElement, v.x1H, binding)
	known, err := in.checkRange(c, p)
	if err != nil {
		return Tag{}, fmt.Errorf("arc: presentation: %w", err)
	}
	if err := in.verify(p.proof, known); err != nil {
		return Tag{}, fmt.Errorf("arc: presentation: %w", err)
	}
	return p.tag.enc, nil
}

// forM1 returns V = (x0 + x2 m2) U + x1 m1Commit - UPrimeCommit, in constant
// time.
func (v *Verifier) forM1(p *Presentation) *nistec.P256Point {
	q := p.u.times(&v.forU)
	q.Add(q, p.m1Commit.times(&v.x1))
	return q.Add(q, nistec.NewP256Point().Negate(p.uPrimeCommit.point))
}

// checkRange checks that the commitments to bits add up to that to the nonce
// (VerifyRangeProofHelper of the draft). It returns the products that they share:
// each commitment to a bit has two scalars, and the nonce's product with the
// challenge is the sum of those of the bits.
func (in *instance) checkRange(c *Context, p *Presentation) ([]knownProduct, error) {
	k := len(c.bases)
	if k == 0 {
		return nil, nil
	}
	points := make([]*nistec.P256Point, k)
	for i, d := range p.bits {
		points[i] = d.point
	}
	if c.weigh(points).Equal(p.nonceCommit.point) != 1 {
		return nil, fmt.Errorf("%w: the bits do not add up to the nonce", ErrProof)
	}
	known := make([]knownProduct, 0, 2*k+1)
	minusC := order.neg(p.proof.challenge)
	for i := range k {
		d := &in.elements[atBits(k)+i]
		other := order.add(p.proof.responses[firstBit+i], minusC)
		left, right := pairVarTime(d.point, &minusC, &other)
		known = append(known, knownProduct{product{minusC, d}, left}, knownProduct{product{other, d}, right})
		points[i] = left
	}
	if k > 1 {
		known = append(known, knownProduct{product{minusC, &in.elements[atNonce]}, c.weigh(points)})
	}
	return known, nil
}
