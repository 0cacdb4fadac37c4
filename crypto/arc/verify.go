package arc

import (
	"crypto/sha3"
	"errors"
	"fmt"

	"github.com/shoal-project/shoal/internal/p256"
)

// A Tag is what makes presentations countable: one credential has as many in a
// context as its limit allows. A verifier keeps the tags that were spent, and
// refuses a second presentation with the same one.
type Tag [elementSize]byte

// A Verifier checks presentations of credentials that one key has issued for one
// request context. It prints redacted, and is safe for use by several goroutines.
type Verifier struct {
	secret
	forU   residue // x0 + x2 m2
	x1     residue
	x1H    *element // X1 of the public key
	offset *p256.Offset
}

// Verifier returns the verifier for a request context, which must be that of the
// clients' requests.
func (k *PrivateKey) Verifier(requestContext []byte) *Verifier {
	m2 := hashToScalar(requestContext, suiteDraft, "requestContext")
	return &Verifier{
		forU: order.add(k.x0, order.mul(k.x2, m2)), x1: k.x1,
		x1H: k.public.x1.withTable(p256.WidthOften), offset: k.offset(requestContext),
	}
}

// offset returns the offset of products by the key, a function of it and the request context that
// is pseudorandom without the key.
func (k *PrivateKey) offset(requestContext []byte) *p256.Offset {
	h := sha3.NewSHAKE256()
	_, _ = h.Write([]byte("shoal arc verification offset v1"))
	_, _ = h.Write(k.Bytes())
	_, _ = h.Write(requestContext)
	var wide [wideSize]byte
	_, _ = h.Read(wide[:])
	s := order.reduce(&wide)
	return p256.NewOffset((*[scalarSize]byte)(&s))
}

// Verify checks a presentation (VerifyPresentation of the draft) in a context
// and with the binding that it was made for, and returns its tag. That the tag
// was not spent before is the caller's to check. The key is used in constant
// time, the proof, which is public, in variable time.
func (v *Verifier) Verify(c *Context, p *Presentation, binding []byte) (Tag, error) {
	if len(p.bits) != len(c.bases) {
		return Tag{}, fmt.Errorf("arc: presentation: %w: made for another limit than %d", ErrProof, c.limit)
	}
	vElement, u, m1, tag, err := v.tables(p)
	if err != nil {
		return Tag{}, fmt.Errorf("arc: presentation: %w: V %w", ErrProof, err)
	}
	in := p.instance(c, vElement, v.x1H, binding)
	in.elements[atU].table, in.elements[atM1].table, in.elements[atTag].table = u, m1, tag
	known, err := in.checkRange(c, p)
	if err != nil {
		return Tag{}, fmt.Errorf("arc: presentation: %w", err)
	}
	if err := in.verify(p.proof, known); err != nil {
		return Tag{}, fmt.Errorf("arc: presentation: %w", err)
	}
	return p.tag.enc, nil
}

// tables returns V = (x0 + x2 m2) U + x1 m1Commit - UPrimeCommit, computed in constant
// time, and the tables of U, m1Commit and the tag.
func (v *Verifier) tables(p *Presentation) (q *element, u, m1, tag *p256.Table, err error) {
	set := func(e *element) *p256.Point { return new(p256.Point).Set(e.point) }
	first, _ := p256.NewTables(p256.WidthSecret, set(p.u), set(p.m1Commit))
	sum := v.offset.Mult(new(p256.Point), &first[0], &first[1], (*[scalarSize]byte)(&v.forU), (*[scalarSize]byte)(&v.x1))
	sum.AddAffine(sum, new(p256.Affine).Negate(p.uPrimeCommit.point))
	if sum.IsIdentity() {
		return nil, nil, nil, nil, errors.New("is the identity")
	}
	second, _ := p256.NewTables(p256.WidthOnce, sum, set(p.tag))
	point := second[0].Point()
	return &element{point: point, enc: point.Bytes(), table: &second[0]}, &first[0], &first[1], &second[1], nil
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
	points := make([]p256.Point, k)
	for i, d := range p.bits {
		points[i].Set(d.point)
	}
	if !c.weigh(points).Equal(new(p256.Point).Set(p.nonceCommit.point)) {
		return nil, fmt.Errorf("%w: the bits do not add up to the nonce", ErrProof)
	}
	known := make([]knownProduct, 0, 2*k+1)
	minusC := order.neg(p.proof.challenge)
	others := make([]p256.Point, k)
	for i := range k {
		d := &in.elements[atBits(k)+i]
		other := order.add(p.proof.responses[firstBit+i], minusC)
		p256.PairVarTime(&points[i], &others[i], d.point, (*[scalarSize]byte)(&minusC), (*[scalarSize]byte)(&other))
		known = append(known, knownProduct{product{minusC, d}, &points[i]}, knownProduct{product{other, d}, &others[i]})
	}
	if k > 1 {
		known = append(known, knownProduct{product{minusC, &in.elements[atNonce]}, c.weigh(points)})
	}
	return known, nil
}
