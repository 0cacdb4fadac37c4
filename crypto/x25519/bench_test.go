package x25519

import (
	"crypto/ecdh"
	"fmt"
	"math"
	"testing"
	"time"
)

// best reports the shortest time of f, over n points.
func best(b *testing.B, name string, n int, f func()) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		shortest := time.Duration(math.MaxInt64)
		for b.Loop() {
			start := time.Now()
			f()
			shortest = min(shortest, time.Since(start))
		}
		b.ReportMetric(float64(shortest.Nanoseconds())/float64(n), "best-ns/point")
	})
}

// BenchmarkMultiply is the time of one point in batches of a few lengths, and
// that of crypto/ecdh. The best time is the one to compare on a busy machine.
func BenchmarkMultiply(b *testing.B) {
	r := seeded(1)
	var k [Size]byte
	r.Read(k[:])
	for name, form := range forms() {
		s := newScalar(b, k[:], form)
		for _, n := range []int{1, 8, 64} {
			points := make([][Size]byte, n)
			for i := range points {
				r.Read(points[i][:])
			}
			best(b, fmt.Sprintf("%s/points=%d", name, n), n, func() { s.Multiply(points) })
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
	best(b, "ecdh", 1, func() { private.ECDH(public) })
}

// BenchmarkSingle is the time of what is done once for a private key, beside
// crypto/ecdh, which computes the public key by a ladder.
func BenchmarkSingle(b *testing.B) {
	k, point := [Size]byte{1: 7}, [Size]byte{2: 5}
	best(b, "public", 1, func() { Public(&k) })
	best(b, "multiply", 1, func() { Multiply(&k, &point) })
	public, err := ecdh.X25519().NewPublicKey(point[:])
	if err != nil {
		b.Fatal(err)
	}
	best(b, "ecdh", 1, func() {
		private, err := ecdh.X25519().NewPrivateKey(k[:])
		if err != nil {
			b.Fatal(err)
		}
		if _, err := private.ECDH(public); err != nil {
			b.Fatal(err)
		}
	})
}
