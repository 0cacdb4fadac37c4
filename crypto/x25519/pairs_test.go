package x25519

import (
	"fmt"
	"testing"
)

// pairForms are the ways of pairs that this machine can go.
func pairForms() map[string]kernel {
	return map[string]kernel{"one by one": kernelNone, "default": pairKernel()}
}

// TestPairs compares pairs with crypto/ecdh: private keys that are not clamped, equal ones
// and others, points of small order and encodings that are not reduced, in batches around
// the boundaries of halves, groups and blocks.
func TestPairs(t *testing.T) {
	special := edges(t)
	r := seeded(11)
	for _, n := range []int{0, 1, 2, 3, 4, 5, 8, 9, 63, 64, 65, 130} {
		privates, points := make([][Size]byte, n), make([][Size]byte, n)
		for i := range n {
			r.Read(privates[i][:])
			r.Read(points[i][:])
			switch i % 5 {
			case 1:
				privates[i] = privates[i-1]
			case 3:
				points[i] = special[(n+i)%len(special)]
			}
		}
		want := make([]Shared, n)
		for i := range n {
			want[i] = newScalar(t, privates[i][:], kernelNone).Multiply(points[i : i+1])[0]
		}
		for name, k := range pairForms() {
			publics, shared := agree(k, privates, points)
			products := multiplyPairs(k, privates, points)
			if len(products) != n || len(shared) != n || len(publics) != n {
				t.Fatalf("%s: %d pairs have %d products, %d secrets and %d public keys", name, n, len(products), len(shared), len(publics))
			}
			for i := range n {
				if products[i] != want[i] || shared[i] != want[i] {
					t.Errorf("%s: %x times %x is %x and %x, want %x", name, privates[i], points[i], products[i].secret, shared[i].secret, want[i].secret)
				}
				if publics[i] != Public(&privates[i]) {
					t.Errorf("%s: the public key of %x is %x", name, privates[i], publics[i])
				}
			}
		}
	}
}

// FuzzPairs compares a pair, beside others, with [Multiply].
func FuzzPairs(f *testing.F) {
	f.Add(make([]byte, Size), make([]byte, Size), uint8(0))
	f.Fuzz(func(t *testing.T, private, point []byte, at uint8) {
		if len(private) != Size || len(point) != Size {
			return
		}
		privates, points := make([][Size]byte, 8), make([][Size]byte, 8)
		for i := range privates {
			privates[i], points[i] = [Size]byte{byte(i)}, [Size]byte{9, byte(i)}
		}
		at %= 8
		privates[at], points[at] = [Size]byte(private), [Size]byte(point)
		for i, got := range MultiplyPairs(privates, points) {
			if want := Multiply(&privates[i], &points[i]); got != want {
				t.Fatalf("%x times %x is %x, want %x", privates[i], points[i], got.secret, want.secret)
			}
		}
	})
}

// BenchmarkPairs is the time of agreeing with fresh keys; a point is a pair.
func BenchmarkPairs(b *testing.B) {
	for name, k := range pairForms() {
		for _, n := range []int{1, 2, 64} {
			r := seeded(12)
			privates, points := make([][Size]byte, n), make([][Size]byte, n)
			for i := range n {
				r.Read(privates[i][:])
				r.Read(points[i][:])
			}
			best(b, fmt.Sprintf("%s/pairs=%d", name, n), n, func() { agree(k, privates, points) })
		}
	}
}
