package hpke

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// The hash of two lanes is that of the standard library in each lane, for messages
// of several blocks.
func TestCompressSHA(t *testing.T) {
	if !supportsSHA() {
		t.Skip("the processor has no SHA extensions")
	}
	r := rand.New(rand.NewChaCha8([32]byte{9}))
	for range 1000 {
		n := r.IntN(200)
		first, second := random(r, n), random(r, n)
		a, b := sha256Blocks(first), sha256Blocks(second)
		d := digests{initial, initial}
		for i := range a {
			compressSHA((*[2][8]uint32)(&d), &a[i], &b[i])
		}
		for lane, message := range [][]byte{first, second} {
			var got [sha256.Size]byte
			d.encode(&got, lane)
			if got != sha256.Sum256(message) {
				t.Fatalf("lane %d: hash %x of %x, want %x", lane, got, message, sha256.Sum256(message))
			}
		}
	}
}

// sha256Blocks are a message's blocks as they are hashed.
func sha256Blocks(message []byte) []block {
	blocks := padded(message)
	last := &blocks[len(blocks)-1]
	binary.BigEndian.PutUint64(last[sha256.BlockSize-8:], 8*uint64(len(message))) // without a MAC's key
	return blocks
}

// Two messages at once have the keys that each has alone, also beside one that does
// not open, and for odd numbers.
func TestDerive(t *testing.T) {
	r := rand.New(rand.NewChaCha8([32]byte{10}))
	p := newPair(t, random(r, 32))
	for range 200 {
		receiver := p.key.Receiver(random(r, r.IntN(300)))
		encs := make([][Size]byte, r.IntN(9))
		for i := range encs {
			if r.IntN(4) > 0 { // else a point of small order
				encs[i] = [Size]byte(random(r, Size))
			}
		}
		shared := p.key.Agree(encs)
		keys := receiver.Derive(shared, encs)
		for i := range shared {
			agreed, ok := shared[i].Secret()
			want := MessageKey{ok: ok}
			if ok {
				receiver.derive(&want, &agreed, &encs[i])
			}
			if keys[i].ok != ok || ok && ([keySize]byte(keys[i].key[:]) != [keySize]byte(want.key[:]) || [nonceSize]byte(keys[i].nonce[:]) != [nonceSize]byte(want.nonce[:])) {
				t.Fatalf("message %d of %d: another key together than alone", i, len(encs))
			}
		}
	}
}

// BenchmarkDerive is the key schedule alone, of 64 messages.
func BenchmarkDerive(b *testing.B) {
	r := rand.New(rand.NewChaCha8([32]byte{11}))
	p := newPair(b, random(r, 32))
	encs := make([][Size]byte, 64)
	for i := range encs {
		encs[i] = [Size]byte(random(r, Size))
	}
	shared := p.key.Agree(encs)
	for name, receiver := range map[string]*Receiver{"pairs": p.key.Receiver([]byte("info")), "single": single(p.key.Receiver([]byte("info")))} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				receiver.Derive(shared, encs)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(encs)), "ns/message")
		})
	}
}

// single is a receiver as it is without the SHA extensions.
func single(r *Receiver) *Receiver {
	r.pairs = nil
	return r
}
