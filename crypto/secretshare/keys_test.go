package secretshare

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"testing"
)

// TestKeystream compares the keystream, which short messages take block by block, with the
// standard library's.
func TestKeystream(t *testing.T) {
	var k keys
	k.expand(element{lo: 5, hi: 7}, Binding("binding"))
	for _, n := range []int{0, 1, 15, 16, 17, 160, 16*fewBlocks - 1, 16 * fewBlocks, 16*fewBlocks + 1, 1 << 14} {
		message, tag := make([]byte, n), make([]byte, Overhead)
		for _, b := range [][]byte{message, tag} {
			if _, err := rand.Read(b); err != nil {
				t.Fatal(err)
			}
		}
		counter := append(bytes.Clone(tag[:12]), 0, 0, 0, 0)
		counter[0] |= 0x80
		want := bytes.Clone(message)
		cipher.NewCTR(k.block, counter).XORKeyStream(want, want)
		k.crypt(message, tag)
		if !bytes.Equal(message, want) {
			t.Errorf("%d bytes: another keystream than AES-128 in counter mode", n)
		}
	}
}
