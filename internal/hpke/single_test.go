package hpke

import (
	"bytes"
	"crypto/ecdh"
	stdhpke "crypto/hpke"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestSingle: one message that is sealed and opened without crypto/hpke is equal to what
// that opens and seals, exported secrets of all sizes included; what is altered or of
// small order does not open.
func TestSingle(t *testing.T) {
	source := rand.NewChaCha8([32]byte{9})
	r := rand.New(source)
	for n := range 80 {
		key, err := Generate(X25519, source)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := key.Secret()
		if err != nil {
			t.Fatal(err)
		}
		std, err := stdhpke.DHKEM(ecdh.X25519()).NewPrivateKey(secret)
		if err != nil {
			t.Fatal(err)
		}
		public, err := NewPublicKey(X25519, key.Public())
		if err != nil {
			t.Fatal(err)
		}
		info, aad, plaintext := random(r, 3*n), random(r, n), random(r, 7*n)
		label, size := strings.Repeat("x", n%70), n%40 // beyond 64 and 32 crypto/hpke does it
		enc, sealed, exported, err := public.SealExport(DefaultSuite(), info, aad, plaintext, label, size)
		if err != nil {
			t.Fatal(err)
		}
		recipient, err := stdhpke.NewRecipient(enc, std, stdhpke.HKDFSHA256(), stdhpke.AES128GCM(), info)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := recipient.Open(aad, sealed)
		if err != nil || !bytes.Equal(opened, plaintext) {
			t.Fatalf("crypto/hpke opened %x, %v", opened, err)
		}
		want, err := recipient.Export(label, size)
		if err != nil || !bytes.Equal(exported, want) {
			t.Fatalf("label of %d bytes: exported %x, crypto/hpke %x, %v", len(label), exported, want, err)
		}
		sealedBy, sender, err := stdhpke.NewSender(std.PublicKey(), stdhpke.HKDFSHA256(), stdhpke.AES128GCM(), info)
		if err != nil {
			t.Fatal(err)
		}
		if sealed, err = sender.Seal(aad, plaintext); err != nil {
			t.Fatal(err)
		}
		if want, err = sender.Export(label, size); err != nil {
			t.Fatal(err)
		}
		got, exported, err := key.OpenExport(DefaultSuite(), sealedBy, info, aad, sealed, label, size)
		if err != nil || !bytes.Equal(got, plaintext) || !bytes.Equal(exported, want) {
			t.Fatalf("opened %x with %x, %v, want %x with %x", got, exported, err, plaintext, want)
		}
		if got, err := key.Open(DefaultSuite(), sealedBy, info, aad, sealed); err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("opened %x, %v", got, err)
		}
		sealed[n%len(sealed)] ^= 1
		small := make([]byte, Size)
		small[0] = byte(n % 2) // of order 4 and 1
		for _, enc := range [][]byte{sealedBy, small, sealedBy[:Size-1], nil} {
			if _, _, err := key.OpenExport(DefaultSuite(), enc, info, aad, sealed, label, size); !errors.Is(err, ErrOpen) {
				t.Errorf("an altered message or a key %x: %v", enc, err)
			}
		}
	}
}
