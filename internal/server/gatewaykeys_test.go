package server

import (
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/ohttp"
)

// FuzzGatewayKey covers a damaged line of the gateway's key file: it is read as what it is
// written as, or refused, without a panic.
func FuzzGatewayKey(f *testing.F) {
	codec := gatewayKeys()
	f.Add("")
	f.Add("x25519 1 2")
	f.Fuzz(func(t *testing.T, line string) {
		k, err := codec.parse(line, keyring.Plan{})
		if err != nil {
			return
		}
		text, err := codec.text(k)
		if err != nil {
			t.Fatal(err)
		}
		again, err := codec.parse(text, keyring.Plan{})
		if err != nil || !again.From.Equal(k.From) || !again.Until.Equal(k.Until) || codec.name(again) != codec.name(k) || !again.Until.After(again.From) {
			t.Errorf("%q is written as %q: %v", line, text, err)
		}
	})
}

// TestGatewayKeyText: a key is read as it was written.
func TestGatewayKeyText(t *testing.T) {
	codec := gatewayKeys()
	for _, kem := range []hpke.KEM{hpke.X25519, hpke.XWing} {
		key, err := codec.generate(kem, time.Time{}, time.Time{}, zeros{})
		must(t, err)
		k := keyring.Key[*ohttp.PrivateKey]{Key: key, KEM: kem, From: time.Unix(86400, 0), Until: time.Unix(2*86400, 0)}
		text, err := codec.text(k)
		must(t, err)
		again, err := codec.parse(text, keyring.Plan{})
		if err != nil || again.KEM != kem || !again.Until.Equal(k.Until) {
			t.Errorf("%s: %+v, %v", text, again, err)
		}
	}
}

// zeros is randomness of a fixed key, for the corpus.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
