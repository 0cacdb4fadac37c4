package hpke

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

// TestSealVector is appendix A.1.1 of RFC 9180, sequence number 0.
func TestSealVector(t *testing.T) {
	dec := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ephemeral := [Size]byte(dec("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736"))
	public := [Size]byte(dec("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"))
	info, aad := dec("4f6465206f6e2061204772656369616e2055726e"), dec("436f756e742d30")
	enc, sealed, err := seal(nil, &ephemeral, &public, info, aad, dec("4265617574792069732074727574682c20747275746820626561757479"))
	if err != nil {
		t.Fatal(err)
	}
	if want := dec("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"); !bytes.Equal(enc[:], want) {
		t.Errorf("encapsulated key %x, want %x", enc, want)
	}
	if want := dec("f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a"); !bytes.Equal(sealed, want) {
		t.Errorf("sealed %x, want %x", sealed, want)
	}
}

// TestSeal opens with crypto/hpke and with this package what Seal has sealed.
func TestSeal(t *testing.T) {
	p := newPair(t, bytes.Repeat([]byte{5}, Size))
	for n := range 70 {
		info, aad, plaintext := make([]byte, n*3), make([]byte, n/2), bytes.Repeat([]byte{byte(n)}, n*7)
		enc, sealed, err := Seal([]byte("before"), &p.key.public, info, aad, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		rest, ok := bytes.CutPrefix(sealed, []byte("before"))
		if !ok || len(rest) != len(plaintext)+TagSize {
			t.Fatalf("%d bytes are sealed to %d", len(plaintext), len(rest))
		}
		if got, ok := p.open(t, enc, info, aad, rest); !ok || !bytes.Equal(got, plaintext) {
			t.Fatalf("%d bytes: opened to %x, %v", len(plaintext), got, ok)
		}
	}
	first, _, err := Seal(nil, &p.key.public, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if second, _, err := Seal(nil, &p.key.public, nil, nil, nil); err != nil || first == second {
		t.Errorf("two messages under one key, or %v", err)
	}
}

func TestSealRefusesSmallOrder(t *testing.T) {
	for _, public := range [][Size]byte{{}, {1}} {
		if _, _, err := Seal(nil, &public, nil, nil, []byte("x")); !errors.Is(err, ErrKey) {
			t.Errorf("sealing to %x: %v", public, err)
		}
	}
}

// BenchmarkSeal is one message of 185 bytes, beside crypto/hpke.
func BenchmarkSeal(b *testing.B) {
	p := newPair(b, bytes.Repeat([]byte{5}, Size))
	info, plaintext := make([]byte, 57), make([]byte, 185)
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := Seal(nil, &p.key.public, info, nil, plaintext); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("standard", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.seal(b, info, nil, plaintext)
		}
	})
}
