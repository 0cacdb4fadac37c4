package x25519

import (
	"crypto/ecdh"
	"fmt"
	"math"
	"testing"
	"time"
)

// BenchmarkMultiply is the time of one point in batches of a few lengths, and
// that of crypto/ecdh. The best time is the one to compare on a busy machine.
func BenchmarkMultiply(b *testing.B) {
	r := seeded(1)
	var k [Size]byte
	r.Read(k[:])
	run := func(name string, n int, f func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			best := time.Duration(math.MaxInt64)
			for b.Loop() {
				start := time.Now()
				f()
				best = min(best, time.Since(start))
			}
			b.ReportMetric(float64(best.Nanoseconds())/float64(n), "best-ns/point")
		})
	}
	for name, form := range forms() {
		s := newScalar(b, k[:], form)
		for _, n := range []int{1, 8, 64} {
			points := make([][Size]byte, n)
			for i := range points {
				r.Read(points[i][:])
			}
			run(fmt.Sprintf("%s/points=%d", name, n), n, func() { s.Multiply(points) })
		}
	}
	private, err := ecdh.X25519().NewPrivateKey(k[:])
	if err != nil {
		b.Fatal(err)
	}
	public, err := ecdh.X25519().NewPublicKey([]byte{Size - 1: 1})
	if err != nil {
		b.Fatal(err)
	}
	run("ecdh", 1, func() { private.ECDH(public) })
}

// BenchmarkSingle is the time of what is done once for a private key, beside
// crypto/ecdh, which computes the public key by a ladder.
func BenchmarkSingle(b *testing.B) {
	k, point := [Size]byte{1: 7}, [Size]byte{2: 5}
	b.Run("public", func(b *testing.B) {
		for b.Loop() {
			Public(&k)
		}
	})
	b.Run("multiply", func(b *testing.B) {
		for b.Loop() {
			Multiply(&k, &point)
		}
	})
	b.Run("ecdh", func(b *testing.B) {
		public, err := ecdh.X25519().NewPublicKey(point[:])
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			private, err := ecdh.X25519().NewPrivateKey(k[:])
			if err != nil {
				b.Fatal(err)
			}
			if _, err := private.ECDH(public); err != nil {
				b.Fatal(err)
			}
		}
	})
}
