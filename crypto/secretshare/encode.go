package secretshare

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Limits of a scheme.
const (
	MinThreshold = 2
	MaxThreshold = 1024
	// ShareSize is the length of a share on the wire, in bytes.
	ShareSize = 2 * elementSize
	// Overhead is how much longer a ciphertext is than its message, in bytes.
	Overhead = sha256.Size
)

// A Binding separates uses: shares and ciphertexts of two bindings have nothing
// to do with each other. Take the task's ID and the epoch.
type Binding []byte

// A Root is what a message's secret is derived from.
type Root [32]byte

// String hides the root.
func (Root) String() string { return "Root(redacted)" }

// GoString hides the root.
func (r Root) GoString() string { return r.String() }

// A Deriver gives the root of a message. All clients must get the same root for
// the same message and binding, and nobody should get the root of a message they
// do not know. Implementations are safe for concurrent use.
type Deriver interface {
	Root(ctx context.Context, b Binding, message []byte) (Root, error)
}

// MessageHash derives the root from the message alone, as the Prochlo paper does
// (section 4.2): whoever can guess the message has its root.
type MessageHash struct{}

// Root returns a hash of binding and message.
func (MessageHash) Root(_ context.Context, b Binding, message []byte) (Root, error) {
	return Root(hash("shoal secretshare root v1", b, message)), nil
}

// A Share is one point of the polynomial of a message's key: x and P(x), 16
// bytes each, little-endian.
type Share [ShareSize]byte

// An Encoding is what a client sends.
type Encoding struct {
	Ciphertext []byte // equal for equal messages; Overhead bytes longer than the message
	Share      Share
}

// An Encoder makes encodings. It is safe for concurrent use.
type Encoder struct {
	deriver Deriver
	binding Binding
	t       int
}

// NewEncoder returns an encoder for messages that become readable when t
// distinct shares have come together.
func NewEncoder(d Deriver, b Binding, t int) (*Encoder, error) {
	if err := checkScheme(b, t); err != nil {
		return nil, err
	}
	return &Encoder{d, b, t}, nil
}

func checkScheme(b Binding, t int) error {
	if t < MinThreshold || t > MaxThreshold {
		return fmt.Errorf("secret sharing: threshold %d: want %d to %d", t, MinThreshold, MaxThreshold)
	}
	if len(b) == 0 {
		return errors.New("secret sharing: empty binding: shares of two tasks could be combined")
	}
	return nil
}

// Encode encrypts the message and draws one share of its key. The randomness
// decides the share's x-coordinate and nothing else.
func (e *Encoder) Encode(ctx context.Context, message []byte, random io.Reader) (Encoding, error) {
	root, err := e.deriver.Root(ctx, e.binding, message)
	if err != nil {
		return Encoding{}, fmt.Errorf("deriving the message's key: %w", err)
	}
	x, err := drawX(random)
	if err != nil {
		return Encoding{}, err
	}
	k := expand(fromUniform(root[:elementSize]), e.binding)
	var p polynomial
	p.derive(&k, e.t)
	var share Share
	p.at(x).append(x.append(share[:0]))
	return Encoding{Ciphertext: k.seal(message), Share: share}, nil
}

// drawX draws a uniformly random non-zero element.
func drawX(random io.Reader) (element, error) {
	for {
		var b [elementSize]byte
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return element{}, fmt.Errorf("drawing a share: %w", err)
		}
		b[elementSize-1] &= 0x7f
		if x, ok := fromBytes(b[:]); ok && !x.isZero() {
			return x, nil
		}
	}
}

// keys are what a secret stands for under one binding.
type keys struct {
	s            element
	coefficients [16]byte // AES-128: the polynomial beyond its constant term
	stream       [16]byte // AES-128: encryption of the message
	mac          [32]byte // tag of the message
}

// expand derives the keys of s.
func expand(s element, b Binding) keys {
	h := sha512.New()
	var fixed [64]byte
	h.Write(append(append(fixed[:0], "shoal secretshare keys v1\x00"...), s.append(nil)...))
	h.Write(b) // last, so that it needs no length
	sum := h.Sum(fixed[:0])
	return keys{s, [16]byte(sum[:16]), [16]byte(sum[16:32]), [32]byte(sum[32:])}
}

// A polynomial over the field; its constant term is the secret.
type polynomial struct {
	a      []element
	stream []byte
}

// derive sets p to the polynomial of degree t-1 that belongs to the secret: its
// other coefficients are the keystream of AES-128 in counter mode.
func (p *polynomial) derive(k *keys, t int) {
	n := (t - 1) * elementSize
	p.stream = slices.Grow(p.stream[:0], n)[:n]
	clear(p.stream)
	var zero [aes.BlockSize]byte
	ctr(k.coefficients, zero[:]).XORKeyStream(p.stream, p.stream)
	p.a = append(slices.Grow(p.a[:0], t), k.s)
	for c := range slices.Chunk(p.stream, elementSize) {
		p.a = append(p.a, fromUniform(c))
	}
}

// at evaluates p at x, by Horner's rule.
func (p *polynomial) at(x element) element {
	var y element
	for i := len(p.a) - 1; i >= 0; i-- {
		y = y.mul(x).add(p.a[i])
	}
	return y
}

// seal encrypts the message in the manner of SIV: the tag is a PRF of the
// message, the keystream depends on the tag.
func (k *keys) seal(message []byte) []byte {
	tag := k.tag(message)
	out := make([]byte, len(message)+Overhead)
	copy(out, tag[:])
	ctr(k.stream, tag[:aes.BlockSize]).XORKeyStream(out[Overhead:], message)
	return out
}

// open undoes seal; ok is false unless the ciphertext was made under k.
func (k *keys) open(ciphertext []byte) (message []byte, ok bool) {
	if len(ciphertext) < Overhead {
		return nil, false
	}
	message = make([]byte, len(ciphertext)-Overhead)
	ctr(k.stream, ciphertext[:aes.BlockSize]).XORKeyStream(message, ciphertext[Overhead:])
	tag := k.tag(message)
	if subtle.ConstantTimeCompare(tag[:], ciphertext[:Overhead]) != 1 {
		return nil, false
	}
	return message, true
}

// tag is NMAC with SHA-256: a keyed hash of a keyed hash. It is collision
// resistant over keys and messages together, which commits a ciphertext to both.
func (k *keys) tag(message []byte) [sha256.Size]byte {
	inner := hash("shoal secretshare inner v1", k.mac[:], message)
	return hash("shoal secretshare outer v1", k.mac[:], inner[:])
}

// hash is SHA-256 over the label and the two parts, of which the first carries
// its length.
func hash(label string, a, b []byte) [sha256.Size]byte {
	var buf [192]byte
	in := append(buf[:0], label...)
	in = binary.BigEndian.AppendUint32(append(in, 0), uint32(len(a)))
	in = append(append(in, a...), b...)
	return sha256.Sum256(in)
}

func ctr(key [16]byte, iv []byte) cipher.Stream {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("secretshare: AES-128 refused a 16-byte key: " + err.Error())
	}
	return cipher.NewCTR(block, iv)
}
