package arc

import (
	"crypto/sha3"
	"fmt"
	"io"

	"github.com/shoal-project/shoal/internal/p256"
)

// Sizes of encodings in bytes.
const (
	RequestSize    = 2*elementSize + 5*scalarSize
	ResponseSize   = 6*elementSize + 8*scalarSize
	SecretsSize    = 4 * scalarSize
	CredentialSize = scalarSize + 3*elementSize
)

// requestShape is the relation of the draft's section "CredentialRequest Proof".
// Scalars: m1, m2, r1, r2. Elements: G, H, m1Enc, m2Enc.
var requestShape = newShape(4,
	equation{2, []term{{0, 0}, {2, 1}}},
	equation{3, []term{{1, 0}, {3, 1}}},
)

// responseShape is the relation of the draft's section "CredentialResponse
// Proof". Scalars: x0, x1, x2, x0Blinding, b, t1 = b x1, t2 = b x2. Elements: G,
// H, m1Enc, m2Enc, U, encUPrime, X0, X1, X2, X0Aux, X1Aux, X2Aux, HAux.
var responseShape = newShape(7,
	equation{6, []term{{0, 0}, {3, 1}}},
	equation{7, []term{{1, 1}}},
	equation{8, []term{{2, 1}}},
	equation{12, []term{{4, 1}}},
	equation{9, []term{{3, 12}}},
	equation{10, []term{{5, 1}}},
	equation{10, []term{{4, 7}}},
	equation{11, []term{{4, 8}}},
	equation{11, []term{{6, 1}}},
	equation{4, []term{{4, 0}}},
	equation{5, []term{{4, 6}, {5, 2}, {6, 3}}},
)

// A Request asks an issuer for a credential. It reveals nothing about the client's
// secrets or the request context.
type Request struct {
	m1Enc, m2Enc *element
	proof        *proof
}

// ParseRequest decodes what [Request.Bytes] returns.
func ParseRequest(b []byte) (*Request, error) {
	r := newReader("credential request", b, RequestSize)
	q := &Request{r.element("m1Enc"), r.element("m2Enc"), r.proof(requestShape.scalars)}
	if r.err != nil {
		return nil, r.err
	}
	return q, nil
}

// Bytes returns the encoding: CredentialRequest of the draft.
func (q *Request) Bytes() []byte {
	b := append(make([]byte, 0, RequestSize), q.m1Enc.enc[:]...)
	return q.proof.append(append(b, q.m2Enc.enc[:]...))
}

func (q *Request) instance() *instance {
	gen := generators()
	return requestShape.instance([][]byte{[]byte(suiteDraft + "CredentialRequest")}, gen.g, gen.h, q.m1Enc, q.m2Enc)
}

// Secrets are what a client keeps from a request until the answer. They print
// redacted.
type Secrets struct {
	secret
	m1, m2, r1, r2 residue
}

// NewRequest draws a client's secrets and makes a request
// (CreateCredentialRequest of the draft). The request context is what the issuer
// agrees to, for example its policy and period; the verifier must know it, and a
// client with another one gets a credential that does not verify. Store the
// secrets before sending the request.
func NewRequest(rand io.Reader, requestContext []byte) (*Secrets, *Request, error) {
	drawn, err := randomScalars(rand, 3)
	if err != nil {
		return nil, nil, err
	}
	s := &Secrets{m1: drawn[0], m2: hashToScalar(requestContext, suiteDraft, "requestContext"), r1: drawn[1], r2: drawn[2]}
	q := new(Request)
	if q.m1Enc, err = commit(&s.m1, &s.r1); err != nil {
		return nil, nil, fmt.Errorf("arc: m1Enc %w", err)
	}
	if q.m2Enc, err = commit(&s.m2, &s.r2); err != nil {
		return nil, nil, fmt.Errorf("arc: m2Enc %w", err)
	}
	b, err := q.instance().prove(rand, []residue{s.m1, s.m2, s.r1, s.r2})
	if err != nil {
		return nil, nil, err
	}
	if q.proof, err = decodeProof(b, requestShape.scalars); err != nil {
		return nil, nil, fmt.Errorf("arc: proving: %w", err)
	}
	return s, q, nil
}

// commit returns value*G + blinding*H.
func commit(value, blinding *residue) (*element, error) {
	return newElement(timesBoth(value, blinding))
}

// ParseSecrets decodes what [Secrets.Bytes] returns. Its errors do not hold the
// bytes.
func ParseSecrets(b []byte) (*Secrets, error) {
	r := newReader("client secrets", b, SecretsSize)
	s := &Secrets{m1: r.scalar("m1"), m2: r.scalar("m2"), r1: r.scalar("r1"), r2: r.scalar("r2")}
	if r.err != nil {
		return nil, r.err
	}
	return s, nil
}

// Bytes returns the encoding, which is secret: m1, m2, r1 and r2.
func (s *Secrets) Bytes() []byte {
	b := append(make([]byte, 0, SecretsSize), s.m1[:]...)
	return append(append(append(b, s.m2[:]...), s.r1[:]...), s.r2[:]...)
}

// A Response is an issuer's answer to a request.
type Response struct {
	u, encUPrime, x0Aux, x1Aux, x2Aux, hAux *element
	proof                                   *proof
}

// ParseResponse decodes what [Response.Bytes] returns.
func ParseResponse(b []byte) (*Response, error) {
	r := newReader("credential response", b, ResponseSize)
	a := new(Response)
	for _, f := range a.fields() {
		*f.to = r.element(f.name)
	}
	a.proof = r.proof(responseShape.scalars)
	if r.err != nil {
		return nil, r.err
	}
	return a, nil
}

// A responseField is an element of a response.
type responseField struct {
	name string
	to   **element
}

// fields lists the elements in the order of the encoding.
func (a *Response) fields() []responseField {
	return []responseField{
		{"U", &a.u},
		{"encUPrime", &a.encUPrime},
		{"X0Aux", &a.x0Aux},
		{"X1Aux", &a.x1Aux},
		{"X2Aux", &a.x2Aux},
		{"HAux", &a.hAux},
	}
}

// Bytes returns the encoding: CredentialResponse of the draft.
func (a *Response) Bytes() []byte {
	b := make([]byte, 0, ResponseSize)
	for _, f := range a.fields() {
		b = append(b, (*f.to).enc[:]...)
	}
	return a.proof.append(b)
}

func (a *Response) instance(k *PublicKey, q *Request) *instance {
	gen := generators()
	return responseShape.instance([][]byte{[]byte(suiteDraft + "CredentialResponse")},
		gen.g, gen.h, q.m1Enc, q.m2Enc, a.u, a.encUPrime, k.x0, k.x1, k.x2, a.x0Aux, a.x1Aux, a.x2Aux, a.hAux)
}

// Issue answers a request (CreateCredentialResponse of the draft). Each answer
// is a credential on the same client secret: the issuer's gate decides whether
// there is one. Equal requests get equal answers if rand is
// [PrivateKey.Randomness], and different ones if it is random. The request's proof is checked in variable time, the key is used in constant time.
func (k *PrivateKey) Issue(rand io.Reader, q *Request) (*Response, error) {
	if err := q.instance().verify(q.proof); err != nil {
		return nil, fmt.Errorf("arc: credential request: %w", err)
	}
	b, err := randomScalar(rand)
	if err != nil {
		return nil, err
	}
	a := new(Response)
	if err := a.fill(k, q, &b); err != nil {
		return nil, err
	}
	witness := []residue{k.x0, k.x1, k.x2, k.blinding, b, order.mul(b, k.x1), order.mul(b, k.x2)}
	encoded, err := a.instance(k.public, q).prove(rand, witness)
	if err != nil {
		return nil, err
	}
	if a.proof, err = decodeProof(encoded, responseShape.scalars); err != nil {
		return nil, fmt.Errorf("arc: proving: %w", err)
	}
	return a, nil
}

// fill sets the elements of the answer, blinded by b.
func (a *Response) fill(k *PrivateKey, q *Request, b *residue) error {
	gen := generators()
	mac := new(p256.Point).AddAffine(q.m1Enc.times(&k.x1), k.public.x0.point)
	mac.Add(mac, q.m2Enc.times(&k.x2))
	macElement, err := newElement(mac)
	if err != nil {
		return fmt.Errorf("arc: credential response: the MAC %w", err)
	}
	bx0, bx1, bx2 := order.mul(*b, k.blinding), order.mul(*b, k.x1), order.mul(*b, k.x2)
	elements, err := newElements([]string{"U", "encUPrime", "X0Aux", "X1Aux", "X2Aux", "HAux"},
		gen.g.times(b), macElement.times(b), gen.h.times(&bx0), gen.h.times(&bx1), gen.h.times(&bx2), gen.h.times(b))
	if err != nil {
		return fmt.Errorf("arc: credential response: %w", err)
	}
	for i, f := range a.fields() {
		*f.to = elements[i]
	}
	return nil
}

// Randomness returns a source for [PrivateKey.Issue] that depends on the key and
// the request alone, so that an issuer which keeps no answers gives equal ones to
// equal requests: SHAKE256 of a label, the private key and the request. Without
// the key its bytes are pseudorandom, and different requests share none.
func (k *PrivateKey) Randomness(q *Request) io.Reader {
	h := sha3.NewSHAKE256()
	_, _ = h.Write([]byte("shoal arc issuance randomness v1"))
	_, _ = h.Write(k.Bytes())
	_, _ = h.Write(q.Bytes())
	return h
}

// Finalize makes the credential of an answer (FinalizeCredential of the draft),
// after checking that the issuer used the private key of k: no client gets a
// credential that is marked by a key of its own.
func (s *Secrets) Finalize(k *PublicKey, q *Request, a *Response) (*Credential, error) {
	if err := a.instance(k, q).verify(a.proof); err != nil {
		return nil, fmt.Errorf("arc: credential response: %w", err)
	}
	p := a.x1Aux.times(&s.r1)
	p.Add(p, a.x2Aux.times(&s.r2))
	p.AddAffine(p, a.x0Aux.point)
	p.AddAffine(p.Negate(p), a.encUPrime.point)
	uPrime, err := newElement(p)
	if err != nil {
		return nil, fmt.Errorf("arc: credential response: %w: UPrime %w", ErrEncoding, err)
	}
	return &Credential{m1: s.m1, u: a.u, uPrime: uPrime, x1: k.x1}, nil
}
