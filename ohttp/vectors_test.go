package ohttp_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/bhttp"
)

// hexBytes are bytes in hexadecimal in JSON.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// rfcExample is appendix A of RFC 9458.
type rfcExample struct {
	SecretKey            hexBytes `json:"secret_key"`
	KeyConfig            hexBytes `json:"key_config"`
	Request              hexBytes
	EphemeralSecretKey   hexBytes `json:"ephemeral_secret_key"`
	Enc                  hexBytes
	Info                 hexBytes
	EncapsulatedRequest  hexBytes `json:"encapsulated_request"`
	Response             hexBytes
	Secret               hexBytes
	ResponseNonce        hexBytes `json:"response_nonce"`
	EncapsulatedResponse hexBytes `json:"encapsulated_response"`
}

// TestRFCExample holds every value of the RFC's example, byte for byte.
func TestRFCExample(t *testing.T) {
	var v rfcExample
	readJSON(t, "testdata/rfc9458.json", &v)
	suites := []ohttp.Suite{{KDF: 1, AEAD: 1}, {KDF: 1, AEAD: 3}}
	key, err := ohttp.NewPrivateKey(1, ohttp.X25519, v.SecretKey, suites...)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := key.Config().MarshalBinary(); err != nil || !bytes.Equal(b, v.KeyConfig) {
		t.Errorf("key configuration %x, %v", b, err)
	}
	if c, err := ohttp.ParseKeyConfig(v.KeyConfig); err != nil || !reflect.DeepEqual(c, key.Config()) {
		t.Errorf("parsed %+v, %v", c, err)
	}
	m := bhttp.Request{Method: "GET", Scheme: "https", Authority: "example.com", Path: "/"}
	if b, err := m.Append(nil, bhttp.KnownLength); err != nil || !bytes.Equal(bytes.TrimRight(b, "\x00"), v.Request) {
		t.Errorf("request %x, %v", b, err)
	}
	if got := ohttp.Info(ohttp.Header(1, ohttp.X25519, suites[0])); !bytes.Equal(got, v.Info) {
		t.Errorf("info %x", got)
	}
	if got := sealByHand(t, &v, key.Config().PublicKey); !bytes.Equal(got, v.EncapsulatedRequest) {
		t.Errorf("encapsulated request %x", got)
	}
	request, sealer, err := ohttp.Decapsulate([]*ohttp.PrivateKey{key}, v.EncapsulatedRequest)
	if err != nil || !bytes.Equal(request, v.Request) {
		t.Fatalf("request %x, %v", request, err)
	}
	if !bytes.Equal(sealer.Secret(), v.Secret) || !bytes.Equal(sealer.Enc(), v.Enc) {
		t.Errorf("secret %x, enc %x", sealer.Secret(), sealer.Enc())
	}
	response, err := sealer.Seal(v.Response, bytes.NewReader(v.ResponseNonce))
	if err != nil || !bytes.Equal(response, v.EncapsulatedResponse) {
		t.Errorf("encapsulated response %x, %v", response, err)
	}
	opened, err := ohttp.OpenerOf(suites[0], v.Enc, v.Secret).Open(v.EncapsulatedResponse)
	if err != nil || !bytes.Equal(opened, v.Response) {
		t.Errorf("response %x, %v", opened, err)
	}
	if r, err := bhttp.DecodeResponse(opened, bhttp.DefaultLimits()); err != nil || r.Status != 200 {
		t.Errorf("response %+v, %v", r, err)
	}
}

// sealByHand makes the request of the example from its ephemeral key, by the
// equations of RFC 9180, because crypto/hpke takes no ephemeral key.
func sealByHand(t *testing.T, v *rfcExample, public []byte) []byte {
	t.Helper()
	must := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ephemeral, err := ecdh.X25519().NewPrivateKey(v.EphemeralSecretKey)
	if err != nil {
		t.Fatal(err)
	}
	recipient, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	enc := ephemeral.PublicKey().Bytes()
	dh := must(ephemeral.ECDH(recipient))
	extract := func(suite, salt []byte, label string, ikm []byte) []byte {
		return must(hkdf.Extract(sha256.New, bytes.Join([][]byte{[]byte("HPKE-v1"), suite, []byte(label), ikm}, nil), salt))
	}
	expand := func(suite, prk []byte, label string, info []byte, n int) []byte {
		return must(hkdf.Expand(sha256.New, prk, string([]byte{byte(n >> 8), byte(n)})+"HPKE-v1"+string(suite)+label+string(info), n))
	}
	kem := []byte("KEM\x00\x20")
	shared := expand(kem, extract(kem, nil, "eae_prk", dh), "shared_secret", append(bytes.Clone(enc), public...), 32)
	suite := []byte("HPKE\x00\x20\x00\x01\x00\x01")
	schedule := bytes.Join([][]byte{{0}, extract(suite, nil, "psk_id_hash", nil), extract(suite, nil, "info_hash", v.Info)}, nil)
	secret := extract(suite, shared, "secret", nil)
	block, err := aes.NewCipher(expand(suite, secret, "key", schedule, 16))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	sealed := aead.Seal(nil, expand(suite, secret, "base_nonce", schedule, 12), v.Request, nil)
	return bytes.Join([][]byte{ohttp.Header(1, ohttp.X25519, ohttp.Suite{KDF: 1, AEAD: 1}), enc, sealed}, nil)
}
