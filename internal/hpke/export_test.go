package hpke_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/shoal-project/shoal/internal/hpke"
)

// TestExport: what the lanes export on both sides is what the standard library exports, for
// one sender or two together, and differs by label and by message.
func TestExport(t *testing.T) {
	info, aad, suite := []byte("info"), []byte("aad"), hpke.DefaultSuite()
	seen := map[string]bool{}
	for _, kem := range kems() {
		a, b := generate(t, kem, 1), generate(t, kem, 2)
		senders := hpke.Senders(suite, public(t, a), public(t, b))
		for i, key := range []*hpke.PrivateKey{a, b} {
			label := fmt.Sprint("label ", i)
			enc, sealed, exported, err := senders[i].SealExport(suite, info, aad, []byte("message"), label)
			if err != nil {
				t.Fatal(err)
			}
			plaintext, want, err := key.OpenExport(suite, enc, info, aad, sealed, label, hpke.ExportSize)
			if err != nil || string(plaintext) != "message" || !bytes.Equal(want, exported[:]) {
				t.Fatalf("%v: %q, %x, %v: want %x", kem, plaintext, want, err, exported)
			}
			if seen[string(want)] {
				t.Errorf("%v: a secret came twice", kem)
			}
			seen[string(want)] = true
			if _, _, _, err := senders[i].SealExport(suite, info, aad, nil, label); err == nil {
				t.Error("a sender sealed twice")
			}
			if many := key.Many(); many != nil {
				points := [][hpke.Size]byte{[hpke.Size]byte(enc), {}} // the second is of small order
				secrets := many.Receiver(info).Export(many.Agree(points), points, label)
				if secrets[0] != exported || secrets[1] != [hpke.ExportSize]byte{} {
					t.Errorf("%v: the lanes export %x, want %x", kem, secrets, exported)
				}
			}
		}
	}
}
