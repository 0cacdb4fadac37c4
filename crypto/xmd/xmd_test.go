package xmd_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
	"testing"

	"github.com/cloudflare/circl/expander"

	"github.com/shoal-project/shoal/crypto/xmd"
)

// TestVectors has vectors of RFC 9380, appendix K.1.
func TestVectors(t *testing.T) {
	const dst = "QUUX-V01-CS02-with-expander-SHA256-128"
	for _, v := range []struct{ message, want string }{
		{"", "68a985b87eb6b46952128911f2a4412bbc302a9d759667f87f7a21d803f07235"},
		{"abc", "d8ccab23b5985ccea865c6c97b6e5b8350e794e603b4b97902f53a8a0d605615"},
	} {
		if got := hex.EncodeToString(xmd.Expand(sha256.New, []byte(v.message), dst, 32)); got != v.want {
			t.Errorf("%q expands to %s, want %s", v.message, got, v.want)
		}
	}
}

// TestOracle compares with circl for all lengths around block borders.
func TestOracle(t *testing.T) {
	for id, newHash := range map[crypto.Hash]func() hash.Hash{crypto.SHA256: sha256.New, crypto.SHA512: sha512.New} {
		for _, dst := range []string{"tag", strings.Repeat("d", 255), strings.Repeat("d", 256), strings.Repeat("d", 1000)} {
			for _, n := range []int{1, 31, 32, 33, 48, 63, 64, 65, 96, 128, 255 * 32} {
				message := bytes.Repeat([]byte("m"), n%200)
				got := xmd.Expand(newHash, message, dst, n)
				if want := expander.NewExpanderMD(id, []byte(dst)).Expand(message, uint(n)); !bytes.Equal(got, want) {
					t.Errorf("%v, tag of %d bytes, %d bytes: %x, want %x", id, len(dst), n, got, want)
				}
			}
		}
	}
}

func TestTooLong(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("more than 255 blocks were expanded")
		}
	}()
	xmd.Expand(sha256.New, nil, "tag", 255*32+1)
}

func ExampleExpand() {
	uniform := xmd.Expand(sha256.New, []byte("a message"), "example-v1-scalar", 48)
	fmt.Println(len(uniform))
	// Output: 48
}
