package hpke

import (
	"bytes"
	"crypto/ecdh"
	stdhpke "crypto/hpke"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
)

// A pair is one key, as this package and as crypto/hpke see it.
type pair struct {
	key *Key
	std stdhpke.PrivateKey
}

func newPair(t testing.TB, private []byte) pair {
	t.Helper()
	std, err := stdhpke.DHKEM(ecdh.X25519()).NewPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewKey(private, std.PublicKey().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return pair{key, std}
}

// seal seals with crypto/hpke.
func (p pair) seal(t testing.TB, info, aad, plaintext []byte) (enc [Size]byte, sealed []byte) {
	t.Helper()
	e, sender, err := stdhpke.NewSender(p.std.PublicKey(), stdhpke.HKDFSHA256(), stdhpke.AES128GCM(), info)
	if err != nil {
		t.Fatal(err)
	}
	if sealed, err = sender.Seal(aad, plaintext); err != nil {
		t.Fatal(err)
	}
	return [Size]byte(e), sealed
}

// open opens with both, requires the same result, and returns it.
func (p pair) open(t testing.TB, enc [Size]byte, info, aad, sealed []byte) ([]byte, bool) {
	t.Helper()
	shared := p.key.Agree([][Size]byte{enc})[0]
	got, err := p.key.Receiver(info).Open(nil, &shared, &enc, aad, sealed)
	if err != nil && !errors.Is(err, ErrOpen) {
		t.Fatalf("error %v is not ErrOpen", err)
	}
	var want []byte
	recipient, stdErr := stdhpke.NewRecipient(enc[:], p.std, stdhpke.HKDFSHA256(), stdhpke.AES128GCM(), info)
	if stdErr == nil {
		want, stdErr = recipient.Open(aad, sealed)
	}
	if (err == nil) != (stdErr == nil) || !bytes.Equal(got, want) {
		t.Fatalf("opened %x, %v; crypto/hpke %x, %v", got, err, want, stdErr)
	}
	return got, err == nil
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// Random keys, infos of any length, additional data and plaintexts open, and
// nothing opens after one bit of anything has changed.
func TestAgreesWithStandardLibrary(t *testing.T) {
	r := rand.New(rand.NewChaCha8([32]byte{7}))
	for range 100 {
		p := newPair(t, random(r, 32))
		info, aad, plaintext := random(r, r.IntN(300)), random(r, r.IntN(100)), random(r, r.IntN(400))
		enc, sealed := p.seal(t, info, aad, plaintext)
		if got, ok := p.open(t, enc, info, aad, sealed); !ok || !bytes.Equal(got, plaintext) {
			t.Fatalf("opened %x, want %x", got, plaintext)
		}
		for _, part := range [][]byte{enc[:], info, aad, sealed} {
			if len(part) == 0 {
				continue
			}
			at, bit := r.IntN(len(part)), byte(1)<<r.IntN(8)
			if &part[0] == &enc[0] && at == 31 {
				bit &= 0x7f // X25519 passes over the highest bit, the key schedule does not
			}
			part[at] ^= bit
			if _, ok := p.open(t, enc, info, aad, sealed); ok && bit != 0 {
				t.Fatal("opened what was altered")
			}
			part[at] ^= bit
		}
		if _, ok := p.open(t, enc, info, aad, sealed[:r.IntN(TagSize)]); ok {
			t.Fatal("opened what was cut")
		}
		if _, ok := newPair(t, random(r, 32)).open(t, enc, info, aad, sealed); ok {
			t.Fatal("opened with another key")
		}
	}
}

// Many messages together, of all counts around a group of lanes, with one
// encapsulated key of small order among them.
func TestMany(t *testing.T) {
	r := rand.New(rand.NewChaCha8([32]byte{8}))
	p := newPair(t, random(r, 32))
	for _, n := range []int{1, 7, 8, 9, 64, 65, 130} {
		encs, sealed := make([][Size]byte, n), make([][]byte, n)
		for i := range encs {
			encs[i], sealed[i] = p.seal(t, []byte("info"), []byte{byte(i)}, fmt.Append(nil, i))
		}
		encs[n/2] = [Size]byte{}
		receiver := p.key.Receiver([]byte("info"))
		var arena []byte
		for i, shared := range p.key.Agree(encs) {
			got, err := receiver.Open(arena[len(arena):], &shared, &encs[i], []byte{byte(i)}, sealed[i])
			if i == n/2 {
				if !errors.Is(err, ErrOpen) {
					t.Fatalf("a point of small order: %v", err)
				}
				continue
			}
			if err != nil || string(got) != fmt.Sprint(i) {
				t.Fatalf("%d of %d: %q, %v", i, n, got, err)
			}
		}
	}
}

// RFC 9180, appendix A.1.1.
func TestPublishedVector(t *testing.T) {
	shared := unhex(t, "fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc")
	receiver := newReceiver([Size]byte{}, []byte("Ode on a Grecian Urn"))
	want := "00725611c9d98c07c03f60095cd32d400d8347d45ed67097bbad50fc56da742d07cb6cffde367bb0565ba28bb02c90744a20f5ef37f30523526106f637abb05449"
	if got := hex.EncodeToString(receiver.context[:]); got != want {
		t.Errorf("key schedule context %s, want %s", got, want)
	}
	prk := extract(shared, hpkeSuite, "secret", nil)
	key := expand(&prk, hpkeSuite, "key", receiver.context[:], keySize)
	nonce := expand(&prk, hpkeSuite, "base_nonce", receiver.context[:], nonceSize)
	if got := fmt.Sprintf("%x %x", key[:keySize], nonce[:nonceSize]); got != "4531685d41d65f03dc48f6b8302c05b0 56d890e5accaaf011cff4b7d" {
		t.Errorf("key and nonce %s", got)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKeyPrintsNothing(t *testing.T) {
	private := bytes.Repeat([]byte{0x42}, 32)
	p := newPair(t, private)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("a key", "key", p.key)
	for _, s := range []string{fmt.Sprint(MessageKey{}), fmt.Sprint(p.key), fmt.Sprintf("%x %+v %#v", p.key, p.key, p.key), log.String()} {
		if !strings.Contains(s, "redacted") || strings.Contains(s, "4242") || strings.Contains(s, "66") {
			t.Errorf("printed %q", s)
		}
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := NewKey(make([]byte, n), make([]byte, 32)); err == nil {
			t.Errorf("a private key of %d bytes is accepted", n)
		}
		if _, err := NewKey(make([]byte, 32), make([]byte, n)); err == nil {
			t.Errorf("a public key of %d bytes is accepted", n)
		}
	}
}

func FuzzOpen(f *testing.F) {
	p := newPair(f, bytes.Repeat([]byte{3}, 32))
	enc, sealed := p.seal(f, []byte("info"), []byte("aad"), []byte("plaintext"))
	f.Add(enc[:], []byte("info"), []byte("aad"), sealed)
	f.Add(make([]byte, 32), []byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, enc, info, aad, sealed []byte) {
		if len(enc) == Size {
			p.open(t, [Size]byte(enc), info, aad, sealed)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	p := newPair(b, bytes.Repeat([]byte{3}, 32))
	encs, sealed := make([][Size]byte, 64), make([][]byte, 64)
	for i := range encs {
		encs[i], sealed[i] = p.seal(b, []byte("info"), nil, make([]byte, 100))
	}
	receiver := p.key.Receiver([]byte("info"))
	b.ReportAllocs()
	for b.Loop() {
		keys := receiver.Derive(p.key.Agree(encs), encs)
		for i := range keys {
			if _, err := keys[i].Open(nil, nil, sealed[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*64), "ns/message")
}
