package dp

import (
	"crypto/sha3"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
)

// A Seed is the secret from which the noise and the permutation of one batch
// are derived. It prints redacted; Seed[:] is its bytes, for storing.
type Seed [32]byte

// NewSeed reads a seed from random, which is crypto/rand.Reader in production.
func NewSeed(random io.Reader) (Seed, error) {
	var s Seed
	if _, err := io.ReadFull(random, s[:]); err != nil {
		return Seed{}, fmt.Errorf("drawing a seed: %w", err)
	}
	return s, nil
}

const redactedSeed = "dp.Seed(redacted)"

// String hides the seed.
func (Seed) String() string { return redactedSeed }

// GoString hides the seed.
func (Seed) GoString() string { return redactedSeed }

// Format hides the seed under every verb.
func (Seed) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redactedSeed) }

// LogValue hides the seed.
func (Seed) LogValue() slog.Value { return slog.StringValue(redactedSeed) }

// MarshalText hides the seed from encoders that would write it as an array.
func (Seed) MarshalText() ([]byte, error) { return []byte(redactedSeed), nil }

// A Stream is an endless pseudorandom byte stream: SHAKE128 (FIPS 202) over a
// seed, a label and an input. Streams that differ in any of the three are
// independent; equal ones are equal byte for byte.
//
// It is an [io.Reader] that never fails and, through Uint64, a
// math/rand/v2.Source. It is not safe for concurrent use.
type Stream struct{ xof *sha3.SHAKE }

// NewStream returns the stream of seed for one purpose, which label names, and
// one object, which input identifies: a crowd's tag, a batch's ID.
func NewStream(seed Seed, label string, input []byte) *Stream {
	const domain = "shoal dp stream v1"
	head := make([]byte, 0, 128)
	head = append(head, domain...)
	head = append(head, seed[:]...)
	head = binary.BigEndian.AppendUint64(head, uint64(len(label)))
	head = append(head, label...)
	xof := sha3.NewSHAKE128()
	_, _ = xof.Write(head)  // a sponge takes everything
	_, _ = xof.Write(input) // last, so that its length needs no prefix
	return &Stream{xof}
}

// Read fills p. It never fails.
func (s *Stream) Read(p []byte) (int, error) { return s.xof.Read(p) }

// Uint64 returns the next eight bytes as a big-endian number, so that a
// rand.Rand over the stream shuffles without bias.
func (s *Stream) Uint64() uint64 {
	var b [8]byte
	_, _ = s.xof.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}

// Format hides the stream's state, which is as secret as its seed.
func (*Stream) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "dp.Stream(redacted)") }
