package hpke_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/hpke"
)

func kems() []hpke.KEM { return []hpke.KEM{hpke.X25519, hpke.P256, hpke.XWing} }

func suites() []hpke.Suite {
	return []hpke.Suite{
		hpke.DefaultSuite(),
		{KDF: hpke.HKDFSHA256, AEAD: hpke.AES256GCM},
		{KDF: hpke.HKDFSHA384, AEAD: hpke.AES128GCM},
		{KDF: hpke.HKDFSHA512, AEAD: hpke.ChaCha20Poly1305},
	}
}

func generate(t testing.TB, kem hpke.KEM, seed byte) *hpke.PrivateKey {
	t.Helper()
	k, err := hpke.Generate(kem, rand.NewChaCha8([32]byte{seed}))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func public(t testing.TB, k *hpke.PrivateKey) *hpke.PublicKey {
	t.Helper()
	p, err := hpke.NewPublicKey(k.KEM(), k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestKEMs(t *testing.T) {
	for _, kem := range kems() {
		again, err := hpke.ParseKEM(kem.Name())
		if err != nil || again != kem {
			t.Errorf("%v: read as %v, %v", kem, again, err)
		}
		k := generate(t, kem, 1)
		enc, _, err := public(t, k).Seal(hpke.DefaultSuite(), nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(k.Public()) != kem.PublicSize() || len(enc) != kem.EncapsulatedSize() {
			t.Errorf("%v: %d and %d bytes, want %d and %d", kem, len(k.Public()), len(enc), kem.PublicSize(), kem.EncapsulatedSize())
		}
	}
	if _, err := hpke.ParseKEM("x448"); err == nil || !strings.Contains(err.Error(), "x25519, p256, xwing") {
		t.Errorf("an unknown name: %v", err)
	}
	unknown := hpke.KEM(0x21)
	if unknown.PublicSize() != 0 || unknown.EncapsulatedSize() != 0 || unknown.String() != "KEM 0x0021" || unknown.Name() != "0x0021" {
		t.Errorf("%v, %s", unknown, unknown.Name())
	}
	_, err1 := hpke.Generate(unknown, rand.NewChaCha8([32]byte{}))
	_, err2 := hpke.NewPublicKey(unknown, make([]byte, 32))
	_, err3 := hpke.NewPrivateKey(unknown, make([]byte, 32))
	for _, err := range []error{err1, err2, err3} {
		if !errors.Is(err, hpke.ErrUnsupported) {
			t.Errorf("%v, want ErrUnsupported", err)
		}
	}
}

// Each mechanism with each suite seals, opens and exports, and refuses whatever is
// altered.
func TestSealOpenExport(t *testing.T) {
	info, aad, message := []byte("info"), []byte("aad"), []byte("message")
	for _, kem := range kems() {
		k := generate(t, kem, 2)
		for _, s := range suites() {
			enc, sealed, err := public(t, k).Seal(s, info, aad, message)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := k.Open(s, enc, info, aad, sealed); err != nil || !bytes.Equal(got, message) {
				t.Errorf("%v %v: %q, %v", kem, s, got, err)
			}
			for name, open := range map[string]func() ([]byte, error){
				"info":  func() ([]byte, error) { return k.Open(s, enc, []byte("Info"), aad, sealed) },
				"aad":   func() ([]byte, error) { return k.Open(s, enc, info, nil, sealed) },
				"bytes": func() ([]byte, error) { return k.Open(s, enc, info, aad, sealed[1:]) },
				"key":   func() ([]byte, error) { return k.Open(s, enc[1:], info, aad, sealed) },
				"other": func() ([]byte, error) { return generate(t, kem, 3).Open(s, enc, info, aad, sealed) },
			} {
				if _, err := open(); !errors.Is(err, hpke.ErrOpen) {
					t.Errorf("%v %v: another %s: %v, want ErrOpen", kem, s, name, err)
				}
			}
			enc, sealed, secret, err := public(t, k).SealExport(s, info, aad, message, "label", 40)
			if err != nil {
				t.Fatal(err)
			}
			got, exported, err := k.OpenExport(s, enc, info, aad, sealed, "label", 40)
			if err != nil || !bytes.Equal(got, message) || !bytes.Equal(exported, secret) || len(secret) != 40 {
				t.Errorf("%v %v: exported %x, want %x, %v", kem, s, exported, secret, err)
			}
			if _, other, err := k.OpenExport(s, enc, info, aad, sealed, "Label", 40); err != nil || bytes.Equal(other, secret) {
				t.Errorf("%v %v: another label exports the same, %v", kem, s, err)
			}
		}
		for _, s := range []hpke.Suite{{}, {KDF: 4, AEAD: 1}, {KDF: 1, AEAD: 4}, {KDF: 1, AEAD: 0xffff}} {
			if _, _, err := public(t, k).Seal(s, nil, nil, nil); !errors.Is(err, hpke.ErrUnsupported) {
				t.Errorf("%v: sealed with %v: %v", kem, s, err)
			}
			if _, err := k.Open(s, nil, nil, nil, nil); !errors.Is(err, hpke.ErrUnsupported) {
				t.Errorf("%v: opened with %v: %v", kem, s, err)
			}
		}
	}
}

// Many messages open as each does alone, in any number, whatever is wrong with some
// of them, and whether room suffices or not.
func TestPrivateKeyOpenMany(t *testing.T) {
	r := rand.New(rand.NewChaCha8([32]byte{9}))
	info := []byte("info")
	aad := func(b []byte, i int) []byte { return fmt.Append(b, "message ", i) }
	for _, kem := range kems() {
		k := generate(t, kem, 4)
		for _, s := range suites() {
			for _, n := range []int{0, 1, 2, 63, 64, 65, 130} {
				if (kem != hpke.X25519 || s != hpke.DefaultSuite()) && n > 2 {
					continue
				}
				messages, want, size := make([]hpke.Message, n), make([][]byte, n), 0
				for i := range messages {
					plaintext := bytes.Repeat([]byte{byte(i)}, r.IntN(90))
					enc, sealed, err := public(t, k).Seal(s, info, aad(nil, i), plaintext)
					if err != nil {
						t.Fatal(err)
					}
					switch r.IntN(6) {
					case 0:
						sealed[r.IntN(len(sealed))] ^= 1
					case 1:
						enc = enc[:r.IntN(len(enc))]
					case 2:
						clear(enc) // a point of small order, for the KEMs that have one
					}
					messages[i] = hpke.Message{Encapsulated: enc, Sealed: sealed}
					if want[i], err = k.Open(s, enc, info, aad(nil, i), sealed); err == nil && want[i] == nil {
						want[i] = []byte{}
					}
					size += len(sealed)
				}
				for _, room := range []int{size, size / 2, 0} {
					got := k.OpenMany(s, info, messages, aad, make([]byte, 0, room))
					for i := range want {
						if (got[i] == nil) != (want[i] == nil) || !bytes.Equal(got[i], want[i]) {
							t.Fatalf("%v %v: message %d of %d with room for %d: %x, want %x", kem, s, i, n, room, got[i], want[i])
						}
					}
				}
			}
		}
	}
}

func TestPrivateKeyEqual(t *testing.T) {
	for _, kem := range kems() {
		a, b := generate(t, kem, 1), generate(t, kem, 2)
		secret, err := a.Secret()
		if err != nil || len(secret) != hpke.SecretSize {
			t.Fatalf("%v: a secret of %d bytes, %v", kem, len(secret), err)
		}
		again, err := hpke.NewPrivateKey(kem, secret)
		if err != nil || !again.Equal(a) || a.Equal(b) || !bytes.Equal(again.Public(), a.Public()) {
			t.Errorf("%v: equality is wrong, %v", kem, err)
		}
	}
	if generate(t, hpke.X25519, 1).Equal(generate(t, hpke.P256, 1)) {
		t.Error("keys of two KEMs are equal")
	}
}

// Threat: a secret in a log or in an error.
func TestPrivateKeyPrintsRedacted(t *testing.T) {
	for _, kem := range kems() {
		k := generate(t, kem, 5)
		stored := &hpke.Stored{Use: hpke.ForDAP, Key: k, ID: []byte{1}, Suites: suites()}
		secret, err := k.Secret()
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		for _, v := range []any{k, *stored, stored, struct{ K any }{k}, []any{stored, k}} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
				fmt.Fprintf(&out, verb, v)
			}
			slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
			b, _ := json.Marshal(v) // an error is as good
			out.Write(b)
		}
		for _, form := range []string{string(secret[:8]), fmt.Sprintf("%x", secret[:8]), fmt.Sprintf("%X", secret[:8]), strings.Trim(fmt.Sprint(secret[:8]), "[]")} {
			if strings.Contains(out.String(), form) {
				t.Errorf("%v: a print holds the secret", kem)
			}
		}
		if _, err := hpke.NewPrivateKey(kem, secret[:31]); !errors.Is(err, hpke.ErrMalformed) || strings.Contains(err.Error(), fmt.Sprintf("%x", secret[:8])) {
			t.Errorf("%v: a secret of 31 bytes: %v", kem, err)
		}
	}
}
