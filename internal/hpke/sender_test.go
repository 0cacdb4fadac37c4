package hpke_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/shoal-project/shoal/internal/hpke"
)

// TestSenders opens what senders to keys of all mechanisms have sealed, with all suites,
// in any order.
func TestSenders(t *testing.T) {
	var privates []*hpke.PrivateKey
	var publics []*hpke.PublicKey
	for n := range 7 {
		k := generate(t, kems()[n%len(kems())], byte(n))
		privates, publics = append(privates, k), append(publics, public(t, k))
	}
	seen := map[string]bool{}
	for _, suite := range suites() {
		senders := hpke.Senders(suite, publics...)
		for i := len(senders) - 1; i >= 0; i-- {
			if senders[i].KEM() != privates[i].KEM() {
				t.Fatalf("sender %d is of %v, want %v", i, senders[i].KEM(), privates[i].KEM())
			}
			info, aad, plaintext := []byte("info"), []byte{byte(i)}, bytes.Repeat([]byte{byte(i)}, 20*i)
			enc, sealed, err := senders[i].Seal(suite, info, aad, plaintext)
			if err != nil {
				t.Fatal(err)
			}
			if seen[string(enc)] {
				t.Fatal("an encapsulated key was used twice")
			}
			seen[string(enc)] = true
			got, err := privates[i].Open(suite, enc, info, aad, sealed)
			if err != nil || !bytes.Equal(got, plaintext) {
				t.Fatalf("%v, %v: opened to %x, %v", privates[i].KEM(), suite, got, err)
			}
			if _, _, err := senders[i].Seal(suite, info, aad, plaintext); !errors.Is(err, hpke.ErrUsed) {
				t.Fatalf("a second message: %v, want %v", err, hpke.ErrUsed)
			}
		}
	}
	if n := len(hpke.Senders(hpke.DefaultSuite())); n != 0 {
		t.Errorf("%d senders to no key", n)
	}
}

// A key of small order costs its own message only.
func TestSendersRefuseSmallOrder(t *testing.T) {
	k := generate(t, hpke.X25519, 1)
	small, err := hpke.NewPublicKey(hpke.X25519, append([]byte{1}, make([]byte, hpke.Size-1)...))
	if err != nil {
		t.Skip("such a key is not read")
	}
	senders := hpke.Senders(hpke.DefaultSuite(), public(t, k), small)
	if _, _, err := senders[1].Seal(hpke.DefaultSuite(), nil, nil, []byte("x")); !errors.Is(err, hpke.ErrKey) {
		t.Errorf("sealing to a key of small order: %v, want %v", err, hpke.ErrKey)
	}
	enc, sealed, err := senders[0].Seal(hpke.DefaultSuite(), nil, nil, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Open(hpke.DefaultSuite(), enc, nil, nil, sealed); err != nil || string(got) != "x" {
		t.Errorf("opened to %x, %v", got, err)
	}
}

// Threat: a secret that gets into a log.
func TestSenderPrintsRedacted(t *testing.T) {
	senders := hpke.Senders(hpke.DefaultSuite(), public(t, generate(t, hpke.X25519, 1)))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, &senders[0]); got != "(redacted)" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

// BenchmarkSenders is two messages of 185 bytes, as a report of two layers has them.
func BenchmarkSenders(b *testing.B) {
	first, second := public(b, generate(b, hpke.X25519, 1)), public(b, generate(b, hpke.X25519, 2))
	info, plaintext := make([]byte, 57), make([]byte, 185)
	b.ReportAllocs()
	for b.Loop() {
		senders := hpke.Senders(hpke.DefaultSuite(), first, second)
		for i := range senders {
			if _, _, err := senders[i].Seal(hpke.DefaultSuite(), info, nil, plaintext); err != nil {
				b.Fatal(err)
			}
		}
	}
}
