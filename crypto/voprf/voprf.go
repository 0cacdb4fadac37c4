package voprf

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
)

// A Request has blinded elements for a server to evaluate: 1 to [MaxBatch]. It
// reveals nothing about the inputs.
type Request struct{ points []*point }

// ParseRequest decodes what [Request.Bytes] returns.
func ParseRequest(b []byte) (*Request, error) {
	points, err := decodePoints("request", b)
	if err != nil {
		return nil, err
	}
	return &Request{points}, nil
}

// Len returns the number of elements.
func (q *Request) Len() int { return len(q.points) }

// Bytes returns the encoding: the elements, each of 32 bytes.
func (q *Request) Bytes() []byte { return appendPoints(nil, q.points) }

// decodePoints reads 1 to MaxBatch elements.
func decodePoints(what string, b []byte) ([]*point, error) {
	n := len(b) / elementSize
	if len(b)%elementSize != 0 || n < 1 || n > MaxBatch {
		return nil, fmt.Errorf("voprf: %w: %s with %d bytes of elements, want 1 to %d of %d each", ErrEncoding, what, len(b), MaxBatch, elementSize)
	}
	points := make([]*point, n)
	for i := range points {
		var err error
		if points[i], err = decodePoint(b[i*elementSize : (i+1)*elementSize]); err != nil {
			return nil, fmt.Errorf("voprf: %w: %s: element %d: %w", ErrEncoding, what, i, err)
		}
	}
	return points, nil
}

func appendPoints(b []byte, points []*point) []byte {
	for _, p := range points {
		b = append(b, p.enc[:]...)
	}
	return b
}

// A Response has the evaluated elements of a request, in its order, and one
// proof for all of them.
type Response struct {
	points []*point
	proof  *proof
}

// ParseResponse decodes what [Response.Bytes] returns.
func ParseResponse(b []byte) (*Response, error) {
	if len(b) < proofSize {
		return nil, fmt.Errorf("voprf: %w: response of %d bytes, want at least %d", ErrEncoding, len(b), proofSize)
	}
	end := len(b) - proofSize
	points, err := decodePoints("response", b[:end])
	if err != nil {
		return nil, err
	}
	proof, err := decodeProof(b[end:])
	if err != nil {
		return nil, fmt.Errorf("voprf: %w: response: proof: %w", ErrEncoding, err)
	}
	return &Response{points, proof}, nil
}

// Bytes returns the encoding: the elements, each of 32 bytes, and the proof of 64.
func (a *Response) Bytes() []byte { return a.proof.append(appendPoints(nil, a.points)) }

// Evaluate is BlindEvaluate of RFC 9497, section 3.3.2, for a whole request. It
// runs in constant time in the key.
func (k *PrivateKey) Evaluate(rand io.Reader, q *Request) (*Response, error) {
	a := &Response{points: make([]*point, len(q.points))}
	for i, p := range q.points {
		var err error
		if a.points[i], err = p.times(k.k); err != nil {
			return nil, fmt.Errorf("voprf: evaluating element %d: %w", i, err)
		}
	}
	var err error
	if a.proof, err = prove(rand, k.k, k.public.p, q.points, a.points); err != nil {
		return nil, err
	}
	return a, nil
}

// Output is Evaluate of RFC 9497: what a client gets for the input from this key.
func (k *PrivateKey) Output(input []byte) ([]byte, error) {
	if len(input) > MaxInput {
		return nil, fmt.Errorf("voprf: %w: %d bytes, at most %d", ErrInput, len(input), MaxInput)
	}
	p, err := hashToPoint(input)
	if err != nil {
		return nil, fmt.Errorf("voprf: %w: its hash %w", ErrInput, err)
	}
	if p, err = p.times(k.k); err != nil {
		return nil, fmt.Errorf("voprf: evaluating: %w", err)
	}
	return finalize(input, p), nil
}

// A Pending is what a client keeps of a request until the answer: inputs and
// blinding scalars. It prints redacted.
type Pending struct {
	secret
	inputs  [][]byte
	blinds  []*scalar
	request [sha256.Size]byte // digest of the request
}

// NewRequest blinds 0 to size inputs for a request of size elements, 1 to
// [MaxBatch] (Blind of RFC 9497, section 3.3.1). The other elements are uniform
// points, so that the number of inputs does not show. Store the result before
// sending the request, if the outputs must survive a crash: a second request for
// the same inputs gives the same outputs.
func NewRequest(rand io.Reader, inputs [][]byte, size int) (*Pending, *Request, error) {
	if size < 1 || size > MaxBatch || len(inputs) > size {
		return nil, nil, fmt.Errorf("voprf: %w: %d inputs for a request of %d elements, which has 1 to %d", ErrInput, len(inputs), size, MaxBatch)
	}
	c := new(Pending)
	q := &Request{make([]*point, size)}
	for i := range q.points {
		if i >= len(inputs) {
			var err error
			if q.points[i], err = randomPoint(rand); err != nil {
				return nil, nil, err
			}
			continue
		}
		if len(inputs[i]) > MaxInput {
			return nil, nil, fmt.Errorf("voprf: %w: input %d of %d bytes, at most %d", ErrInput, i, len(inputs[i]), MaxInput)
		}
		blind, err := randomScalar(rand)
		if err != nil {
			return nil, nil, err
		}
		p, err := hashToPoint(inputs[i])
		if err == nil {
			q.points[i], err = p.times(blind)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("voprf: %w: input %d: its hash %w", ErrInput, i, err)
		}
		c.inputs = append(c.inputs, append([]byte(nil), inputs[i]...))
		c.blinds = append(c.blinds, blind)
	}
	c.request = sha256.Sum256(q.Bytes())
	return c, q, nil
}

// randomPoint maps 64 random bytes to a point: its logarithm is unknown to all, and
// it is distributed as a blinded input is.
func randomPoint(rand io.Reader) (*point, error) {
	var b [64]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return nil, fmt.Errorf("voprf: reading randomness: %w", err)
	}
	p, err := uniformRistretto(&b)
	if err != nil {
		return nil, fmt.Errorf("voprf: padding is no point: %w", err)
	}
	return newPoint(p)
}

// Finalize returns the outputs of the inputs, each of [OutputSize] bytes
// (Finalize of RFC 9497, section 3.3.2). It returns none unless the proof shows
// that every element of the request was evaluated with the key: a part of a
// batch proves nothing.
func (c *Pending) Finalize(k *PublicKey, q *Request, a *Response) ([][]byte, error) {
	digest := sha256.Sum256(q.Bytes())
	if subtle.ConstantTimeCompare(digest[:], c.request[:]) != 1 {
		return nil, fmt.Errorf("voprf: %w: the request is another than the one that was blinded", ErrInput)
	}
	if len(a.points) != len(q.points) {
		return nil, fmt.Errorf("voprf: %w: response with %d elements to a request with %d", ErrProof, len(a.points), len(q.points))
	}
	if !a.proof.verify(k.p, q.points, a.points) {
		return nil, fmt.Errorf("voprf: response: %w", ErrProof)
	}
	outputs := make([][]byte, len(c.inputs))
	inverses := invertAll(c.blinds)
	for i, input := range c.inputs {
		p, err := a.points[i].times(inverses[i])
		if err != nil {
			return nil, fmt.Errorf("voprf: unblinding element %d: %w", i, err)
		}
		outputs[i] = finalize(input, p)
	}
	return outputs, nil
}

// Bytes returns the encoding, which is secret: the digest of the request, then,
// for each input, its length in 2 bytes, big-endian, the input, and the scalar.
func (c *Pending) Bytes() []byte {
	b := append([]byte(nil), c.request[:]...)
	for i, input := range c.inputs {
		b = binary.BigEndian.AppendUint16(b, uint16(len(input)))
		b = append(append(b, input...), c.blinds[i].Bytes()...)
	}
	return b
}

// ParsePending decodes what [Pending.Bytes] returns. Its errors do not hold the
// bytes.
func ParsePending(b []byte) (*Pending, error) {
	if len(b) < sha256.Size {
		return nil, fmt.Errorf("voprf: %w: pending request of %d bytes, want at least %d", ErrEncoding, len(b), sha256.Size)
	}
	c := &Pending{request: [sha256.Size]byte(b)}
	for b = b[sha256.Size:]; len(b) > 0; {
		i := len(c.inputs)
		if i == MaxBatch {
			return nil, fmt.Errorf("voprf: %w: pending request with more than %d inputs", ErrEncoding, MaxBatch)
		}
		if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b))+scalarSize {
			return nil, fmt.Errorf("voprf: %w: pending request: input %d is cut off", ErrEncoding, i)
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		s, err := decodeNonZero(b[n : n+scalarSize])
		if err != nil {
			return nil, fmt.Errorf("voprf: %w: pending request: scalar %d %w", ErrEncoding, i, err)
		}
		c.inputs = append(c.inputs, append([]byte(nil), b[2:n]...))
		c.blinds = append(c.blinds, s)
		b = b[n+scalarSize:]
	}
	return c, nil
}
