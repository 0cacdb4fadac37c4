package ohttp_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/shoal-project/shoal/ohttp"
)

// FuzzKeyConfigs: a collection that is taken is encoded to the same, apart from
// what is not known here.
func FuzzKeyConfigs(f *testing.F) {
	for _, e := range readInterop(f).Exchanges {
		f.Add([]byte(e.KeyConfigs))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		configs, err := ohttp.ParseKeyConfigs(b)
		if err != nil {
			return
		}
		encoded, err := ohttp.MarshalKeyConfigs(configs)
		if err != nil {
			t.Fatalf("a parsed collection is not encoded: %v", err)
		}
		if len(encoded) == len(b) && !bytes.Equal(encoded, b) {
			t.Fatalf("encoded %x, parsed %x", encoded, b)
		}
		if _, _, err := configs[0].Encapsulate([]byte("x")); err != nil && configs[0].KEM != ohttp.X25519 {
			t.Fatalf("encapsulating: %v", err) // X25519 refuses points of small order
		}
	})
}

// FuzzDecapsulate: nothing but what was sealed opens, and nothing panics.
func FuzzDecapsulate(f *testing.F) {
	file := readInterop(f)
	var keys []*ohttp.PrivateKey
	known := map[string]bool{}
	for _, e := range file.Exchanges {
		suite := ohttp.Suite{KDF: e.KDF, AEAD: e.AEAD}
		k, err := ohttp.DeriveKey(7, ohttp.KEM(e.KEM), e.IKM, suite)
		if err != nil {
			f.Fatal(err)
		}
		keys = append(keys, k)
		f.Add([]byte(e.PeerRequest))
		f.Add([]byte(e.OurRequest))
		known[string(e.PeerRequest)], known[string(e.OurRequest)] = true, true
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		opened, sealer, err := ohttp.Decapsulate(keys, b)
		if err != nil {
			return
		}
		if !known[string(b)] && len(b) < 7+32+16 {
			t.Fatalf("%x opens to %x", b, opened)
		}
		if _, err := sealer.Seal(opened, rand.Reader); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzOpenResponse: an answer opens if it is the one that was sealed.
func FuzzOpenResponse(f *testing.F) {
	e := readInterop(f).Exchanges[0]
	opener := ohttp.OpenerOf(ohttp.Suite{KDF: e.KDF, AEAD: e.AEAD}, e.OurRequest[7:39], e.OurSecret)
	f.Add([]byte(e.PeerAnswer))
	f.Add([]byte(e.OurAnswer))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := opener.Open(b); err == nil && !bytes.Equal(b, e.PeerAnswer) {
			t.Fatalf("%x opens", b)
		}
	})
}

// FuzzParsePrivateKey: a line that is taken is written alike.
func FuzzParsePrivateKey(f *testing.F) {
	for _, kem := range []ohttp.KEM{ohttp.X25519, ohttp.XWing} {
		k, err := ohttp.DeriveKey(1, kem, make([]byte, 32))
		if err != nil {
			f.Fatal(err)
		}
		text, err := k.Text()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ohttp.ParsePrivateKey(s)
		if err != nil {
			return
		}
		text, err := k.Text()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ohttp.ParsePrivateKey(text)
		if err != nil || !again.Equal(k) {
			t.Fatalf("%v", err)
		}
	})
}
