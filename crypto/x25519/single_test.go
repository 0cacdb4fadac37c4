package x25519

import (
	"bytes"
	"crypto/ecdh"
	"testing"
)

// TestSingle compares with crypto/ecdh, for keys that are not clamped, points of
// small order and encodings that are not reduced.
func TestSingle(t *testing.T) {
	r := seeded(9)
	points := [][Size]byte{{}, {1}, {9}, [Size]byte(bytes.Repeat([]byte{0xff}, Size))}
	for range 200 {
		var p [Size]byte
		r.Read(p[:])
		points = append(points, p)
	}
	for i, point := range points {
		var k [Size]byte
		if i > 1 {
			r.Read(k[:])
		}
		private, err := ecdh.X25519().NewPrivateKey(k[:])
		if err != nil {
			t.Fatal(err)
		}
		if got := Public(&k); !bytes.Equal(got[:], private.PublicKey().Bytes()) {
			t.Fatalf("public key of %x is %x, want %x", k, got, private.PublicKey().Bytes())
		}
		public, err := ecdh.X25519().NewPublicKey(point[:])
		if err != nil {
			t.Fatal(err)
		}
		want, err := private.ECDH(public)
		shared := Multiply(&k, &point)
		got, ok := shared.Secret()
		if ok != (err == nil) || ok && !bytes.Equal(got[:], want) || !ok && got != [Size]byte{} {
			t.Fatalf("%x times %x is %x, %v; want %x, %v", k, point, got, ok, want, err)
		}
	}
}
