package arc

import (
	"crypto/sha3"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/shoal-project/shoal/internal/p256"
)

// This file proves linear relations in zero knowledge: SchnorrProof of
// draft-irtf-cfrg-sigma-protocols-01, made non-interactive with SHAKE128 as
// draft-irtf-cfrg-fiat-shamir-01 does, in the compact form (challenge and
// responses).

// A term is a scalar times an element, both by their index in the relation.
type term struct{ scalar, element int }

// An equation is left = sum of terms, left an element's index.
type equation struct {
	left  int
	terms []term
}

// A shape is a relation without its elements: LinearRelation of the draft.
type shape struct {
	scalars   int
	equations []equation
	label     []byte // of the equations: the first part of the instance label
}

// newShape numbers scalars and elements as the draft allocates them. It takes
// over the equations.
func newShape(scalars int, equations ...equation) *shape {
	le := binary.LittleEndian
	label := le.AppendUint32(nil, uint32(len(equations)))
	for _, e := range equations {
		label = le.AppendUint32(label, uint32(e.left))
		label = le.AppendUint32(label, uint32(len(e.terms)))
		for _, t := range e.terms {
			label = le.AppendUint32(label, uint32(t.scalar))
			label = le.AppendUint32(label, uint32(t.element))
		}
	}
	return &shape{scalars, equations, label}
}

// proofSize is the length of a proof: challenge and responses.
func (s *shape) proofSize() int { return scalarSize * (1 + s.scalars) }

// An instance is a relation with its elements and its session. It owns its
// copies of the elements, and is used once, by one goroutine.
type instance struct {
	*shape
	elements []element
	session  [][]byte // parts of the session string
}

func (s *shape) instance(session [][]byte, elements ...*element) *instance {
	in := &instance{shape: s, elements: make([]element, len(elements)), session: session}
	for i, e := range elements {
		in.elements[i] = *e
	}
	return in
}

// newSponge returns the drafts' duplex sponge SHAKE128 for an identifier: its
// first block is the identifier, padded with zeros.
func newSponge(id string) *sha3.SHAKE {
	var block [168]byte // the rate
	copy(block[:64], id)
	h := sha3.NewSHAKE128()
	_, _ = h.Write(block[:])
	return h
}

// challenge hashes protocol, session, relation and commitments to a scalar
// (Codec.init, prover_message and verifier_challenge of the drafts). It returns
// an error if a commitment is the identity, which has no encoding: of an honest
// proof none is, except with probability 2^-256.
func (in *instance) challenge(commitments []p256.Point) (residue, error) {
	affine := make([]p256.Affine, len(commitments))
	if !p256.Normalize(affine, commitments) {
		i := slices.IndexFunc(commitments, func(p p256.Point) bool { return p.IsIdentity() })
		return residue{}, fmt.Errorf("commitment %d is the identity", i)
	}
	h := newSponge("sigma-proofs_Shake128_P256")
	n := 0
	for _, part := range in.session {
		n += len(part)
	}
	var size [4]byte
	binary.BigEndian.PutUint32(size[:], uint32(n))
	_, _ = h.Write(size[:])
	for _, part := range in.session {
		_, _ = h.Write(part)
	}
	binary.BigEndian.PutUint32(size[:], uint32(len(in.label)+elementSize*len(in.elements)))
	_, _ = h.Write(size[:])
	_, _ = h.Write(in.label)
	for i := range in.elements {
		_, _ = h.Write(in.elements[i].enc[:])
	}
	for i := range affine {
		b := affine[i].Bytes()
		_, _ = h.Write(b[:])
	}
	var wide [wideSize]byte
	_, _ = h.Read(wide[:])
	return order.reduce(&wide), nil
}

// prove returns a proof of knowledge of the witness, in constant time.
func (in *instance) prove(rand io.Reader, witness []residue) ([]byte, error) {
	nonces, err := randomScalars(rand, in.scalars)
	if err != nil {
		return nil, err
	}
	commitments := make([]p256.Point, len(in.equations))
	for i, e := range in.equations {
		for _, p := range in.collect(e.terms, nonces) {
			commitments[i].Add(&commitments[i], p.element.times(&p.scalar))
		}
	}
	c, err := in.challenge(commitments)
	if err != nil {
		return nil, fmt.Errorf("arc: proving: %w", err)
	}
	proof := append(make([]byte, 0, in.proofSize()), c[:]...)
	for i := range nonces {
		r := order.add(nonces[i], order.mul(witness[i], c))
		proof = append(proof, r[:]...)
	}
	return proof, nil
}

// collect returns the terms with their scalars, one product for each element.
// Which elements are equal is a matter of the shape alone.
func (in *instance) collect(terms []term, scalars []residue) []product {
	out := make([]product, 0, len(terms)+1)
	for _, t := range terms {
		out = addProduct(out, product{scalars[t.scalar], &in.elements[t.element]})
	}
	return out
}

// addProduct adds a product to a sum.
func addProduct(sum []product, p product) []product {
	for i := range sum {
		if sum[i].element == p.element {
			sum[i].scalar = order.add(sum[i].scalar, p.scalar)
			return sum
		}
	}
	return append(sum, p)
}

// A proof is a decoded proof: the challenge and the responses.
type proof struct {
	challenge residue
	responses []residue
}

// decodeProof reads a proof with n responses.
func decodeProof(b []byte, n int) (*proof, error) {
	if len(b) != scalarSize*(1+n) {
		return nil, fmt.Errorf("%d bytes, want %d", len(b), scalarSize*(1+n))
	}
	p := &proof{responses: make([]residue, n)}
	for i := -1; i < n; i++ {
		s, err := order.decode(b[scalarSize*(i+1) : scalarSize*(i+2)])
		if err != nil {
			return nil, fmt.Errorf("scalar %d: %w", i+1, err)
		}
		if i < 0 {
			p.challenge = s
		} else {
			p.responses[i] = s
		}
	}
	return p, nil
}

// A knownProduct is a product that is computed besides, before the check of a proof ends.
type knownProduct struct {
	product
	point *p256.Point
}

// verify checks a proof, in variable time: proofs and relations are public. Each
// commitment is the sum of the responses' products less that of the challenge
// and the left side.
func (in *instance) verify(p *proof) error {
	ck := in.check(p, nil)
	in.addTables(ck.sums)
	walks, err := ck.walks(0, len(in.equations))
	if err != nil {
		return err
	}
	p256.Run(walks...)
	return ck.finish()
}

// A check verifies a proof in steps, between which the caller computes what else can be
// computed beside it.
type check struct {
	in    *instance
	proof *proof
	sums  [][]product     // of each equation what is not known
	known [][]*p256.Point // and the products that are
	parts []p256.Point    // the sums
}

// check begins to verify a proof. The points of known are read by finish.
func (in *instance) check(p *proof, known []knownProduct) *check {
	generators := verifiers()
	copy(in.elements, generators[:]) // all relations begin with G and H
	n := len(in.equations)
	ck := &check{in: in, proof: p, sums: make([][]product, n), known: make([][]*p256.Point, n), parts: make([]p256.Point, n)}
	minusC := order.neg(p.challenge)
	for i, e := range in.equations {
		all := addProduct(in.collect(e.terms, p.responses), product{minusC, &in.elements[e.left]})
		ck.sums[i] = slices.DeleteFunc(all, func(q product) bool {
			j := slices.IndexFunc(known, func(k knownProduct) bool { return k.product == q })
			if j >= 0 {
				ck.known[i] = append(ck.known[i], known[j].point)
			}
			return j >= 0
		})
	}
	return ck
}

// walks computes the sums of the equations from first to below end, those at once that
// need no doublings. All their elements have tables.
func (ck *check) walks(first, end int) ([]*p256.Walk, error) {
	var walks []*p256.Walk
	for i := first; i < end; i++ {
		w, err := sumVarTime(&ck.parts[i], ck.sums[i])
		if err != nil {
			return nil, err
		}
		if w != nil {
			walks = append(walks, w)
		}
	}
	return walks, nil
}

// finish compares the challenge, when all sums are there.
func (ck *check) finish() error {
	for i := range ck.parts {
		for _, p := range ck.known[i] {
			ck.parts[i].Add(&ck.parts[i], p)
		}
	}
	c, err := ck.in.challenge(ck.parts)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProof, err)
	}
	if subtle.ConstantTimeCompare(c[:], ck.proof.challenge[:]) != 1 {
		return ErrProof
	}
	return nil
}

// addTables gives each element of the sums a table, and those of secret one that secret
// scalars multiply by, with one inversion for all.
func (in *instance) addTables(sums [][]product, secret ...*element) {
	missing := slices.Clone(secret)
	for _, s := range sums {
		for _, p := range s {
			if p.element.table == nil && !slices.Contains(missing, p.element) {
				missing = append(missing, p.element)
			}
		}
	}
	if len(missing) == 0 {
		return
	}
	requests := make([]p256.TableRequest, len(missing))
	for i, e := range missing {
		width := uint(p256.WidthOnce)
		if i < len(secret) {
			width = p256.WidthSecret
		}
		requests[i] = p256.TableRequest{Width: width, Point: new(p256.Point).Set(e.point)}
	}
	tables, _ := p256.NewTablesOf(requests)
	for i, e := range missing {
		e.table = &tables[i]
	}
}
