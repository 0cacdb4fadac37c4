package secretshare

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
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

// LogValue hides the root.
func (Root) LogValue() slog.Value { return slog.StringValue("Root(redacted)") }

// A Deriver gives the root of a message. All clients must get the same root for
// the same message and binding, and no one should get the root of a message they do
// not know. Implementations are safe for concurrent use.
type Deriver interface {
	Root(ctx context.Context, b Binding, message []byte) (Root, error)
}

// MessageHash derives the root from the message alone, as the Prochlo paper does
// (section 4.2): anyone able to guess the message has its root.
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
	spare   sync.Pool // of *keys
}

// NewEncoder returns an encoder for messages that become readable when t
// distinct shares have come together.
func NewEncoder(d Deriver, b Binding, t int) (*Encoder, error) {
	if d == nil {
		return nil, errors.New("secret sharing: no deriver")
	}
	if err := checkScheme(b, t); err != nil {
		return nil, err
	}
	return &Encoder{deriver: d, binding: slices.Clone(b), t: t, spare: sync.Pool{New: func() any { return new(keys) }}}, nil
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
	k := e.spare.Get().(*keys)
	defer func() {
		k.wipe()
		e.spare.Put(k)
	}()
	x, err := k.drawX(random)
	if err != nil {
		return Encoding{}, err
	}
	k.expand(fromUniform(root[:elementSize]), e.binding)
	var share Share
	k.shareAt(x, e.t).append(x.append(share[:0]))
	return Encoding{Ciphertext: k.seal(message), Share: share}, nil
}

// drawX draws a uniformly random non-zero element.
func (k *keys) drawX(random io.Reader) (element, error) {
	for {
		if _, err := io.ReadFull(random, k.buf[:]); err != nil {
			return element{}, fmt.Errorf("drawing a share: %w", err)
		}
		k.buf[elementSize-1] &= 0x7f
		if x, ok := fromBytes(k.buf[:]); ok && !x.isZero() {
			return x, nil
		}
	}
}
