package secretshare

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math/big"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/golden"
)

// A vector is one encoding with all that it depends on, in hexadecimal.
type vector struct {
	Binding    string   `json:"binding"`
	Message    string   `json:"message"`
	Threshold  int      `json:"threshold"`
	Secret     string   `json:"secret"`
	Ciphertext string   `json:"ciphertext"`
	Shares     []string `json:"shares"`
}

func makeVectors(t *testing.T) []vector {
	t.Helper()
	random := mrand.NewChaCha8([32]byte{1})
	var out []vector
	for i, message := range []string{"", "a", "sixteen bytes ok", "a message of more than one block", strings.Repeat("long ", 60)} {
		threshold := []int{2, 3, 20, 5, 64}[i]
		b := Binding(strings.Repeat("b", 1+40*i))
		e, err := NewEncoder(MessageHash{}, b, threshold)
		if err != nil {
			t.Fatal(err)
		}
		root, err := MessageHash{}.Root(t.Context(), b, []byte(message))
		if err != nil {
			t.Fatal(err)
		}
		v := vector{
			Binding: hex.EncodeToString(b), Message: hex.EncodeToString([]byte(message)), Threshold: threshold,
			Secret: hex.EncodeToString(fromUniform(root[:]).append(nil)),
		}
		for range threshold {
			c, err := e.Encode(t.Context(), []byte(message), random)
			if err != nil {
				t.Fatal(err)
			}
			v.Ciphertext = hex.EncodeToString(c.Ciphertext)
			v.Shares = append(v.Shares, hex.EncodeToString(c.Share[:]))
		}
		out = append(out, v)
	}
	return out
}

// TestGolden holds the encoding to committed bytes, and these to the
// construction of the package comment, done over with math/big.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "vectors.json")
	got, err := json.MarshalIndent(makeVectors(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	golden.Equal(t, path, got) // another encoding: clients of two versions could not share a message
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(want, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		v.check(t)
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

// littleEndian reads 16 bytes as a number below 2^127, modulo p.
func littleEndian(b []byte) *big.Int {
	b = slices.Clone(b[:16])
	b[15] &= 0x7f
	slices.Reverse(b)
	x := new(big.Int).SetBytes(b)
	return x.Mod(x, p127)
}

func oracleHash(label string, a, b []byte) []byte {
	h := sha256.New()
	h.Write([]byte(label + "\x00"))
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(a))))
	h.Write(a)
	h.Write(b)
	return h.Sum(nil)
}

// check computes a vector from its binding, message and x-coordinates.
func (v *vector) check(t *testing.T) {
	t.Helper()
	b, message := unhex(t, v.Binding), unhex(t, v.Message)
	root := oracleHash("shoal secretshare root v1", b, message)
	s := root[:16]
	s[15] &= 0x7f
	if hex.EncodeToString(s) != v.Secret {
		t.Fatalf("message %s: secret %s, want %x", v.Message, v.Secret, s)
	}
	k := oracleHash("shoal secretshare keys v1", s, b)
	block, err := aes.NewCipher(k[:16])
	if err != nil {
		t.Fatal(err)
	}
	for _, share := range v.Shares {
		raw := unhex(t, share)
		x, y, power := littleEndian(raw), littleEndian(s), big.NewInt(1)
		for i := range v.Threshold - 1 {
			var counter, a [16]byte
			binary.BigEndian.PutUint64(counter[8:], uint64(i))
			block.Encrypt(a[:], counter[:])
			power.Mod(power.Mul(power, x), p127)
			y.Add(y, new(big.Int).Mul(littleEndian(a[:]), power))
		}
		if y.Mod(y, p127); y.Cmp(littleEndian(raw[16:])) != 0 {
			t.Fatalf("message %s: share %s does not lie on its polynomial", v.Message, share)
		}
	}
	mac := append(slices.Clone(s), k[16:]...)
	tag := oracleHash("shoal secretshare outer v1", mac, oracleHash("shoal secretshare inner v1", mac, message))
	iv := append(slices.Clone(tag[:12]), 0, 0, 0, 0)
	iv[0] |= 0x80
	body := slices.Clone(message)
	cipher.NewCTR(block, iv).XORKeyStream(body, body)
	if want := hex.EncodeToString(tag) + hex.EncodeToString(body); v.Ciphertext != want {
		t.Fatalf("message %s: ciphertext %s, want %s", v.Message, v.Ciphertext, want)
	}
}
