package arc

import (
	"crypto/sha3"
	"fmt"
	"slices"

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
	if err := p.checkSum(c); err != nil {
		return Tag{}, fmt.Errorf("arc: presentation: %w", err)
	}
	in := p.instance(c, &element{}, v.x1H, binding) // V is computed beside the check
	bits := in.bitProducts(c, p)
	ck := in.check(p.proof, bits.known)
	if err := v.run(p, ck, bits); err != nil {
		return Tag{}, fmt.Errorf("arc: presentation: %w", err)
	}
	if err := ck.finish(); err != nil {
		return Tag{}, fmt.Errorf("arc: presentation: %w", err)
	}
	return p.tag.enc, nil
}

// equationOfV is the only equation of a presentation with V.
const equationOfV = 1

// run computes V and all sums of the check. V = (x0 + x2 m2) U + x1 m1Commit - UPrimeCommit is
// computed in constant time, beside what does not need it.
func (v *Verifier) run(p *Presentation, ck *check, bits *bitProducts) error {
	in := ck.in
	u, m1 := &in.elements[atU], &in.elements[atM1]
	in.addTables(slices.Delete(slices.Clone(ck.sums), equationOfV, equationOfV+1), u, m1)
	var sum p256.Point
	walks := append(bits.walks, v.offset.MultWalk(&sum, u.table, m1.table, (*[scalarSize]byte)(&v.forU), (*[scalarSize]byte)(&v.x1)))
	before, err := ck.walks(0, equationOfV)
	if err != nil {
		return err
	}
	after, err := ck.walks(equationOfV+1, len(in.equations))
	if err != nil {
		return err
	}
	walks = append(append(walks, before...), after...)
	last := len(walks) - 1 // runs beside the sum with V
	p256.Run(walks[:last]...)
	sum.AddAffine(&sum, new(p256.Affine).Negate(p.uPrimeCommit.point))
	if sum.IsIdentity() {
		return fmt.Errorf("%w: V is the identity", ErrProof)
	}
	tables, _ := p256.NewTables(p256.WidthOnce, &sum)
	point := tables[0].Point()
	in.elements[atV] = element{point: point, enc: point.Bytes(), table: &tables[0]}
	withV, err := ck.walks(equationOfV, equationOfV+1)
	if err != nil {
		return err
	}
	p256.Run(append(withV, walks[last])...)
	bits.finish()
	return nil
}

// checkSum checks that the commitments to bits add up to that to the nonce
// (VerifyRangeProofHelper of the draft).
func (p *Presentation) checkSum(c *Context) error {
	if len(p.bits) == 0 {
		return nil
	}
	points := make([]p256.Point, len(p.bits))
	for i, d := range p.bits {
		points[i].Set(d.point)
	}
	if !c.weigh(points).Equal(new(p256.Point).Set(p.nonceCommit.point)) {
		return fmt.Errorf("%w: the bits do not add up to the nonce", ErrProof)
	}
	return nil
}

// bitProducts are products that equations share: each commitment to a bit has two scalars,
// and the nonce's product with the challenge is the sum of those of the bits.
type bitProducts struct {
	context *Context
	known   []knownProduct
	walks   []*p256.Walk
	minus   []p256.Point // of the bits with the challenge, negated
	nonce   p256.Point
}

func (in *instance) bitProducts(c *Context, p *Presentation) *bitProducts {
	k := len(c.bases)
	b := &bitProducts{context: c, minus: make([]p256.Point, k)}
	minusC := order.neg(p.proof.challenge)
	others := make([]p256.Point, k)
	for i := range k {
		d := &in.elements[atBits(k)+i]
		other := order.add(p.proof.responses[firstBit+i], minusC)
		b.walks = append(b.walks, p256.PairWalk(&b.minus[i], &others[i], p.bits[i].point, (*[scalarSize]byte)(&minusC), (*[scalarSize]byte)(&other)))
		b.known = append(b.known, knownProduct{product{minusC, d}, &b.minus[i]}, knownProduct{product{other, d}, &others[i]})
	}
	if k > 1 {
		b.known = append(b.known, knownProduct{product{minusC, &in.elements[atNonce]}, &b.nonce})
	}
	return b
}

// finish computes the product that follows from the others, after the walks.
func (b *bitProducts) finish() {
	if len(b.minus) > 1 {
		b.nonce = *b.context.weigh(b.minus)
	}
}
