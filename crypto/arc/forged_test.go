package arc

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
)

// What does not hold: presentations that were moved, forged or damaged, and
// answers that were made with another key.

// TestMoved moves a valid presentation to where it does not belong.
func TestMoved(t *testing.T) {
	p, other := newParty(t), newParty(t)
	for _, limit := range []uint32{1, 2, 3} {
		c := newContext(t, "context", limit)
		q := p.present(t, c, limit-1, "binding")
		for name, verify := range map[string]func() (Tag, error){
			"binding":         func() (Tag, error) { return p.verifier.Verify(c, q, []byte("bindinh")) },
			"no binding":      func() (Tag, error) { return p.verifier.Verify(c, q, nil) },
			"context":         func() (Tag, error) { return p.verifier.Verify(newContext(t, "contexu", limit), q, []byte("binding")) },
			"limit":           func() (Tag, error) { return p.verifier.Verify(newContext(t, "context", limit+1), q, []byte("binding")) },
			"key":             func() (Tag, error) { return other.verifier.Verify(c, q, []byte("binding")) },
			"request context": func() (Tag, error) { return p.key.Verifier([]byte("period 8")).Verify(c, q, []byte("binding")) },
		} {
			if tag, err := verify(); !errors.Is(err, ErrProof) || tag != (Tag{}) {
				t.Errorf("limit %d: another %s: tag %x, error %v, want ErrProof", limit, name, tag, err)
			}
		}
		if _, err := p.verifier.Verify(c, q, []byte("binding")); err != nil {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

// TestLimitsOfEqualSize presents the last nonce of a limit of four where the
// limit is three: both have two bits, so that only their weights differ.
func TestLimitsOfEqualSize(t *testing.T) {
	p := newParty(t)
	q := p.present(t, newContext(t, "context", 4), 3, "")
	if _, err := p.verifier.Verify(newContext(t, "context", 3), q, nil); !errors.Is(err, ErrProof) {
		t.Errorf("nonce 3 of 3: %v, want ErrProof", err)
	}
}

// forge makes a presentation with a nonce that need not be below the limit,
// lets change alter the commitments, and proves the witness for what is left.
func (p party) forge(t *testing.T, c *Context, nonce uint32, change func(q *Presentation, witness []residue)) *Presentation {
	t.Helper()
	drawn, err := randomScalars(rand.Reader, 4)
	if err != nil {
		t.Fatal(err)
	}
	a, r, z, blinding := drawn[0], drawn[1], drawn[2], drawn[3]
	q, v, err := p.credential.blind(c, &a, &r, &z, nonce)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := q.commitNonce(rand.Reader, c, nonce, blinding)
	if err != nil {
		t.Fatal(err)
	}
	witness := append([]residue{p.credential.m1, z, order.neg(r), small(uint64(nonce)), blinding}, rest...)
	change(q, witness)
	b, err := q.instance(c, v, p.credential.x1, nil).prove(rand.Reader, witness)
	if err != nil {
		t.Fatal(err)
	}
	if q.proof, err = decodeProof(b, c.shape.scalars); err != nil {
		t.Fatal(err)
	}
	return q
}

// TestForged lets a client with a credential claim what does not hold: a nonce
// out of range, by a bit that is 2, or another commitment to the nonce than that
// of the bits.
func TestForged(t *testing.T) {
	p := newParty(t)
	two := small(2)
	for _, limit := range []uint32{2, 4} {
		c := newContext(t, "context", limit)
		k := len(c.bases)
		for name, forge := range map[string]struct {
			nonce  uint32
			change func(q *Presentation, witness []residue)
			valid  bool
		}{
			"nothing": {limit - 1, func(*Presentation, []residue) {}, true},
			"a bit": {limit, func(q *Presentation, witness []residue) {
				// The last bit, of weight 1, becomes 2, and the others make up the rest.
				blinding := witness[firstBit+2*k-1]
				witness[firstBit+k-1] = two
				witness[firstBit+3*k-1] = order.mul(order.sub(small(1), two), blinding)
				last, err := commit(&two, &blinding)
				if err != nil {
					t.Fatal(err)
				}
				q.bits[k-1] = last
				if k == 1 {
					q.nonceCommit = last
				}
			}, false},
			"the nonce's commitment": {limit - 1, func(q *Presentation, witness []residue) {
				var err error
				if q.nonceCommit, err = commit(&two, &witness[0]); err != nil {
					t.Fatal(err)
				}
			}, false},
			"the last bit's commitment": {limit - 1, func(q *Presentation, witness []residue) {
				var err error
				if q.bits[k-1], err = commit(&two, &witness[0]); err != nil {
					t.Fatal(err)
				}
			}, false},
		} {
			q := p.forge(t, c, forge.nonce, forge.change)
			if _, err := p.verifier.Verify(c, q, nil); forge.valid && err != nil || !forge.valid && !errors.Is(err, ErrProof) {
				t.Errorf("limit %d, %s changed: %v", limit, name, err)
			}
		}
	}
}

// TestFlippedBits flips bits of everything that is sent: whatever still decodes
// does not verify.
func TestFlippedBits(t *testing.T) {
	p := newParty(t)
	flip := func(name string, b []byte, step int, use func([]byte) error) {
		for i := 0; i < len(b); i += step {
			flipped := bytes.Clone(b)
			flipped[i] ^= 1 << (i % 8)
			if err := use(flipped); !errors.Is(err, ErrEncoding) && !errors.Is(err, ErrProof) {
				t.Errorf("%s with a bit of byte %d flipped: %v", name, i, err)
			}
		}
		for _, n := range []int{0, len(b) - 1} {
			if err := use(b[:n]); !errors.Is(err, ErrEncoding) {
				t.Errorf("%s of %d bytes: %v, want ErrEncoding", name, n, err)
			}
		}
		if err := use(append(bytes.Clone(b), 0)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s with a byte more: %v, want ErrEncoding", name, err)
		}
	}
	for _, limit := range []uint32{1, 4} {
		c := newContext(t, "context", limit)
		flip("presentation", p.present(t, c, limit-1, "").Bytes(), 11, func(b []byte) error {
			q, err := ParsePresentation(b, limit)
			if err == nil {
				_, err = p.verifier.Verify(c, q, nil)
			}
			return err
		})
	}
	secrets, request, err := NewRequest(rand.Reader, requestContext)
	if err != nil {
		t.Fatal(err)
	}
	flip("request", request.Bytes(), 7, func(b []byte) error {
		q, err := ParseRequest(b)
		if err == nil {
			_, err = p.key.Issue(rand.Reader, q)
		}
		return err
	})
	response, err := p.key.Issue(rand.Reader, request)
	if err != nil {
		t.Fatal(err)
	}
	flip("response", response.Bytes(), 13, func(b []byte) error {
		a, err := ParseResponse(b)
		if err == nil {
			_, err = secrets.Finalize(p.key.Public(), request, a)
		}
		return err
	})
}

// TestOtherKey lets an issuer answer with another key than the one it shows.
func TestOtherKey(t *testing.T) {
	p, other := newParty(t), newParty(t)
	secrets, request, err := NewRequest(rand.Reader, requestContext)
	if err != nil {
		t.Fatal(err)
	}
	response, err := other.key.Issue(rand.Reader, request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.Finalize(p.key.Public(), request, response); !errors.Is(err, ErrProof) {
		t.Errorf("an answer with another key: %v, want ErrProof", err)
	}
	_, wrong, err := NewRequest(rand.Reader, requestContext)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.Finalize(other.key.Public(), wrong, response); !errors.Is(err, ErrProof) {
		t.Errorf("an answer to another request: %v, want ErrProof", err)
	}
}
