package arc

import (
	"errors"
	"fmt"

	"github.com/shoal-project/shoal/internal/redact"
)

// The contexts of the draft (contextString), by which hashes and proofs of one
// suite differ from those of another.
const (
	suiteDraft = "ARCV1-P256"
	suiteOne   = "ARCV1-P256-N1-shoal"
)

// Errors that callers distinguish. Those of this package wrap one of them, unless
// they come from a caller's source of randomness.
var (
	// ErrEncoding means bytes that are not the canonical encoding of anything.
	ErrEncoding = errors.New("malformed encoding")
	// ErrProof means a proof that does not hold: of another key, context, limit
	// or binding, or forged.
	ErrProof = errors.New("the proof does not hold")
	// ErrLimit means a limit that this package does not support, or a nonce that
	// is not below it.
	ErrLimit = errors.New("limit exceeded")
)

// A reader takes fields from an encoding. Its first error remains.
type reader struct {
	what string
	b    []byte
	err  error
}

// newReader refuses an encoding of the wrong length.
func newReader(what string, b []byte, size int) *reader {
	r := &reader{what: what, b: b}
	if len(b) != size {
		r.err = fmt.Errorf("arc: %w: %s of %d bytes, want %d", ErrEncoding, what, len(b), size)
	}
	return r
}

func (r *reader) take(n int) []byte {
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// fail never quotes the bytes, which may be secret.
func (r *reader) fail(field string, err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("arc: %w: %s: %s %w", ErrEncoding, r.what, field, err)
	}
}

func (r *reader) element(field string) *element {
	if r.err != nil {
		return nil
	}
	e, err := decodeElement(r.take(elementSize))
	r.fail(field, err)
	return e
}

// scalar reads a scalar that is not zero.
func (r *reader) scalar(field string) residue {
	if r.err != nil {
		return residue{}
	}
	s, err := order.decode(r.take(scalarSize))
	if err == nil && s.isZero() == 1 {
		err = errors.New("is zero")
	}
	r.fail(field, err)
	return s
}

func (r *reader) proof(responses int) *proof {
	if r.err != nil {
		return nil
	}
	p, err := decodeProof(r.take(scalarSize*(1+responses)), responses)
	r.fail("proof", err)
	return p
}

// append appends the proof's encoding.
func (p *proof) append(b []byte) []byte {
	b = append(b, p.challenge[:]...)
	for i := range p.responses {
		b = append(b, p.responses[i][:]...)
	}
	return b
}

// secret is embedded in what must not be printed.
type secret = redact.Secret
