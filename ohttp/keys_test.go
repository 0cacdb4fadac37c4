package ohttp_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/ohttp"
)

func TestKeyConfigs(t *testing.T) {
	a, b := newKey(t, 1, ohttp.X25519).Config(), newKey(t, 255, ohttp.XWing).Config()
	encoded, err := ohttp.MarshalKeyConfigs([]ohttp.KeyConfig{b, a})
	if err != nil {
		t.Fatal(err)
	}
	got, err := ohttp.ParseKeyConfigs(encoded)
	if err != nil || !reflect.DeepEqual(got, []ohttp.KeyConfig{b, a}) {
		t.Errorf("got %+v, %v", got, err)
	}
	lengthen := func(c []byte) []byte { return append([]byte{byte(len(c) >> 8), byte(len(c))}, c...) }
	one := func(c ohttp.KeyConfig) []byte {
		t.Helper()
		b, err := c.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	unknown := lengthen([]byte{3, 0x12, 0x34, 1, 2, 3})
	if got, err := ohttp.ParseKeyConfigs(append(slices.Clone(unknown), encoded...)); err != nil || len(got) != 2 {
		t.Errorf("a KEM that is not known before two that are: %+v, %v", got, err)
	}
	if _, err := ohttp.ParseKeyConfigs(unknown); !errors.Is(err, ohttp.ErrUnsupported) {
		t.Errorf("a KEM that is not known alone: %v", err)
	}
	strange := a
	strange.Suites = []ohttp.Suite{{KDF: 9, AEAD: 9}}
	if _, err := ohttp.ParseKeyConfigs(lengthen(one(strange))); !errors.Is(err, ohttp.ErrUnsupported) {
		t.Errorf("suites that are not known: %v", err)
	}
	if _, _, err := strange.Encapsulate(nil); !errors.Is(err, ohttp.ErrUnsupported) {
		t.Errorf("encapsulating with suites that are not known: %v", err)
	}
	strange.Suites = append(strange.Suites, ohttp.DefaultSuite)
	if sealed, _, err := strange.Encapsulate(nil); err != nil || !bytes.Equal(sealed[3:7], []byte{0, 1, 0, 1}) {
		t.Errorf("the first suite that is known: %x, %v", sealed, err)
	}
	plain := one(a)
	many := bytes.Clone(plain[:35])
	many = append(many, 0, 68)
	many = append(many, make([]byte, 68)...)
	for name, c := range map[string][]byte{
		"empty": {}, "half": plain[:20], "longer": append(bytes.Clone(plain), 0), "no suites": append(bytes.Clone(plain[:35]), 0, 0),
		"half a suite": append(bytes.Clone(plain[:35]), 0, 3, 0, 1, 0), "many suites": many,
	} {
		if _, err := ohttp.ParseKeyConfig(c); !errors.Is(err, ohttp.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := ohttp.ParseKeyConfigs(append(slices.Clone(encoded), lengthen(c)...)); !errors.Is(err, ohttp.ErrMalformed) {
			t.Errorf("%s, after two that are well: %v", name, err)
		}
	}
	for name, c := range map[string][]byte{
		"empty": nil, "length alone": {0}, "length beyond the end": {0, 9, 1}, "one ID twice": append(lengthen(plain), lengthen(plain)...),
		"seventeen": bytes.Repeat(unknown, 17),
	} {
		if _, err := ohttp.ParseKeyConfigs(c); !errors.Is(err, ohttp.ErrMalformed) {
			t.Errorf("collection, %s: %v", name, err)
		}
	}
	for name, c := range map[string]ohttp.KeyConfig{
		"no key": {KEM: ohttp.X25519, Suites: a.Suites}, "no suites": {KEM: ohttp.X25519, PublicKey: a.PublicKey}, "no KEM": {PublicKey: a.PublicKey, Suites: a.Suites},
		"key of another KEM": {KEM: ohttp.XWing, PublicKey: a.PublicKey, Suites: a.Suites},
	} {
		if _, err := ohttp.MarshalKeyConfigs([]ohttp.KeyConfig{c}); err == nil {
			t.Errorf("%s: encoded", name)
		}
		if _, _, err := c.Encapsulate(nil); err == nil {
			t.Errorf("%s: encapsulated to", name)
		}
	}
}

// TestXWingKeyThatIsNotOne: the ML-KEM half of a public key has a form of its own.
func TestXWingKeyThatIsNotOne(t *testing.T) {
	c := newKey(t, 1, ohttp.XWing).Config()
	for i := range 300 {
		c.PublicKey[i] = 0xff // coefficients beyond the modulus
	}
	b, err := c.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ohttp.ParseKeyConfig(b); !errors.Is(err, ohttp.ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

// TestEncapsulation goes through every KEM and suite.
func TestEncapsulation(t *testing.T) {
	for _, kem := range []ohttp.KEM{ohttp.X25519, ohttp.XWing} {
		for kdf := uint16(1); kdf <= 3; kdf++ {
			for aead := uint16(1); aead <= 3; aead++ {
				key, err := ohttp.GenerateKey(5, kem, rand.Reader, ohttp.Suite{KDF: kdf, AEAD: aead})
				if err != nil {
					t.Fatal(err)
				}
				sealed, opener, err := key.Config().Encapsulate([]byte("request"))
				if err != nil {
					t.Fatal(err)
				}
				opened, sealer, err := ohttp.Decapsulate([]*ohttp.PrivateKey{newKey(t, 5, kem), key}[1:], sealed)
				if err != nil || string(opened) != "request" {
					t.Fatalf("%v %d %d: %q, %v", kem, kdf, aead, opened, err)
				}
				answer, err := sealer.Seal([]byte("response"), rand.Reader)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := opener.Open(answer); err != nil || string(got) != "response" {
					t.Errorf("%v %d %d: %q, %v", kem, kdf, aead, got, err)
				}
				for i := range answer {
					answer[i] ^= 1
					if _, err := opener.Open(answer); !errors.Is(err, ohttp.ErrOpen) {
						t.Errorf("%v %d %d: byte %d changed: %v", kem, kdf, aead, i, err)
					}
					answer[i] ^= 1
				}
				if _, err := opener.Open(answer[:len(answer)-9]); !errors.Is(err, ohttp.ErrMalformed) {
					t.Errorf("%v %d %d: truncated: %v", kem, kdf, aead, err)
				}
			}
		}
	}
	key := newKey(t, 1, ohttp.X25519)
	sealed, _, err := key.Config().Encapsulate(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sealer, err := ohttp.Decapsulate([]*ohttp.PrivateKey{key}, sealed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealer.Seal(nil, bytes.NewReader(nil)); err == nil {
		t.Error("sealed without randomness")
	}
}

func TestPrivateKeyText(t *testing.T) {
	for _, kem := range []ohttp.KEM{ohttp.X25519, ohttp.XWing} {
		key, err := ohttp.GenerateKey(9, kem, rand.Reader, ohttp.Suite{KDF: 1, AEAD: 1}, ohttp.Suite{KDF: 1, AEAD: 3})
		if err != nil {
			t.Fatal(err)
		}
		text, err := key.Text()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ohttp.ParsePrivateKey(" " + text + "\n")
		if err != nil || !again.Equal(key) || !reflect.DeepEqual(again.Config(), key.Config()) {
			t.Errorf("%v: %v", kem, err)
		}
		if again.Equal(newKey(t, 9, kem)) {
			t.Error("two keys are equal")
		}
		// Each damaged character is noticed, and no error holds the text.
		prefix := len("shoal-hpke-key:")
		for i := range len(text) {
			damaged := []byte(text)
			damaged[i] ^= 1
			_, err := ohttp.ParsePrivateKey(string(damaged)) // a checksum fits by chance 2^-32
			if err == nil {
				t.Errorf("%v: character %d damaged: taken", kem, i)
			}
			if err != nil && strings.Contains(err.Error(), text[prefix+8:prefix+20]) {
				t.Errorf("%v: the error holds the key: %v", kem, err)
			}
		}
	}
	for _, text := range []string{"", "shoal-gateway-key:", "shoal-report-key:AAAA", "shoal-gateway-key:" + base64.RawURLEncoding.EncodeToString(make([]byte, 44))} {
		if _, err := ohttp.ParsePrivateKey(text); err == nil {
			t.Errorf("%q: taken", text)
		}
	}
}

// TestSecretsAreRedacted prints secrets in every way that logs and errors have.
func TestSecretsAreRedacted(t *testing.T) {
	seed := bytes.Repeat([]byte{0x5a}, 32)
	key, err := ohttp.NewPrivateKey(1, ohttp.X25519, seed)
	if err != nil {
		t.Fatal(err)
	}
	sealed, opener, err := key.Config().Encapsulate(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sealer, err := ohttp.Decapsulate([]*ohttp.PrivateKey{key}, sealed)
	if err != nil {
		t.Fatal(err)
	}
	secrets := [][]byte{seed, opener.Secret()}
	var forms []string
	for _, v := range []any{key, opener, *opener, sealer, *sealer, struct{ K any }{key}, []any{key, opener}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			forms = append(forms, fmt.Sprintf(verb, v))
		}
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
		j, _ := json.Marshal(v) // an error is as good
		forms = append(forms, b.String(), string(j))
	}
	for _, form := range forms {
		for _, secret := range secrets {
			for _, bad := range []string{
				string(secret[:8]), fmt.Sprintf("%x", secret[:8]), fmt.Sprintf("%X", secret[:8]), strings.Trim(fmt.Sprint(secret[:8]), "[]"),
				base64.StdEncoding.EncodeToString(secret[:9]), strings.Trim(fmt.Sprintf("%#v", secret[:8]), "[]byte{}"),
			} {
				if strings.Contains(form, bad) {
					t.Errorf("%q holds a secret", form)
				}
			}
		}
	}
	if text := fmt.Sprint(key); !strings.Contains(text, "key 1") || !strings.Contains(text, "redacted") {
		t.Errorf("%q", text)
	}
	if text := fmt.Sprint((*ohttp.PrivateKey)(nil)); !strings.Contains(text, "none") {
		t.Errorf("%q", text)
	}
}

func TestKeysAreRefused(t *testing.T) {
	if _, err := ohttp.GenerateKey(1, 0x10, rand.Reader); !errors.Is(err, ohttp.ErrUnsupported) {
		t.Errorf("KEM: %v", err)
	}
	if _, err := ohttp.GenerateKey(1, ohttp.X25519, bytes.NewReader(nil)); err == nil {
		t.Error("a key without randomness")
	}
	if _, err := ohttp.NewPrivateKey(1, ohttp.X25519, make([]byte, 31)); !errors.Is(err, ohttp.ErrMalformed) {
		t.Errorf("secret: %v", err)
	}
	if _, err := ohttp.GenerateKey(1, ohttp.X25519, rand.Reader, ohttp.Suite{}); !errors.Is(err, ohttp.ErrUnsupported) {
		t.Errorf("suite: %v", err)
	}
	if _, err := ohttp.GenerateKey(1, ohttp.X25519, rand.Reader, make([]ohttp.Suite, 17)...); err == nil {
		t.Error("seventeen suites are taken")
	}
}
