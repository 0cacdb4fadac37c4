package voprf

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/oprf"
	"github.com/cloudflare/circl/zk/dleq"

	"github.com/shoal-project/shoal/internal/redact"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil || len(b) == 0 {
		t.Fatalf("vector %q: %v", text, err)
	}
	return b
}

// list decodes a comma-separated vector.
func list(t testing.TB, text string) (all [][]byte) {
	t.Helper()
	for part := range strings.SplitSeq(text, ",") {
		all = append(all, unhex(t, part))
	}
	return all
}

// TestVectors holds the package to all vectors of RFC 9497 for its suite and
// mode, keys and proofs included.
func TestVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/rfc9497.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		GroupDST, Identifier, KeyInfo, PkSm, Seed, SkSm string
		Mode                                            int
		Vectors                                         []struct {
			Batch                                                   int
			Blind, BlindedElement, EvaluationElement, Input, Output string
			Proof                                                   struct{ Proof, R string }
		}
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if v.Identifier != "ristretto255-SHA512" || v.Mode != 1 || len(v.Vectors) != 3 {
		t.Fatalf("%d vectors of %s in mode %d, want 3 of ristretto255-SHA512 in mode 1", len(v.Vectors), v.Identifier, v.Mode)
	}
	if got := "HashToGroup-" + suite; got != string(unhex(t, v.GroupDST)) {
		t.Errorf("the domain separation tag is %q, want %q", got, unhex(t, v.GroupDST))
	}
	key, err := DeriveKey(unhex(t, v.Seed), unhex(t, v.KeyInfo))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "private key", key.Bytes(), unhex(t, v.SkSm))
	equal(t, "public key", key.Public().Bytes(), unhex(t, v.PkSm))
	for i, vector := range v.Vectors {
		inputs, outputs := list(t, vector.Input), list(t, vector.Output)
		if len(inputs) != vector.Batch {
			t.Fatalf("vector %d has %d inputs, want %d", i, len(inputs), vector.Batch)
		}
		pending, request, err := NewRequest(drawn(list(t, vector.Blind)...), inputs, len(inputs))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "request", request.Bytes(), bytes.Join(list(t, vector.BlindedElement), nil))
		response, err := key.Evaluate(drawn(unhex(t, vector.Proof.R)), request)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "response", response.Bytes(), append(bytes.Join(list(t, vector.EvaluationElement), nil), unhex(t, vector.Proof.Proof)...))
		got, err := pending.Finalize(key.Public(), request, response)
		if err != nil {
			t.Fatal(err)
		}
		for j := range got {
			equal(t, "output", got[j], outputs[j])
			direct, err := key.Output(inputs[j])
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "direct output", direct, outputs[j])
		}
	}
}

// drawn is a source from which the scalars are drawn: each is reduced already, and
// fills half of what a draw takes.
func drawn(scalars ...[]byte) io.Reader {
	var b []byte
	for _, s := range scalars {
		b = append(append(b, s...), make([]byte, 64-len(s))...)
	}
	return bytes.NewReader(b)
}

func equal(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s is %x, want %x", what, got, want)
	}
}

func newKey(t testing.TB) *PrivateKey {
	t.Helper()
	key, err := GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRequest(t testing.TB, n, size int) (*Pending, *Request) {
	t.Helper()
	inputs := make([][]byte, n)
	for i := range inputs {
		inputs[i] = fmt.Appendf(nil, "input %d", i)
	}
	pending, request, err := NewRequest(rand.Reader, inputs, size)
	if err != nil {
		t.Fatal(err)
	}
	return pending, request
}

func evaluate(t testing.TB, key *PrivateKey, q *Request) *Response {
	t.Helper()
	a, err := key.Evaluate(rand.Reader, q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestBatches goes through the protocol over the wire and with everything that
// is stored read back.
func TestBatches(t *testing.T) {
	key := newKey(t)
	for _, size := range []struct{ inputs, elements int }{{0, 1}, {1, 1}, {1, 5}, {5, 5}, {3, MaxBatch}} {
		pending, request := newRequest(t, size.inputs, size.elements)
		q, err := ParseRequest(request.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if q.Len() != size.elements || len(request.Bytes()) != 32*size.elements {
			t.Fatalf("%d elements in %d bytes, want %d", q.Len(), len(request.Bytes()), size.elements)
		}
		readKey, err := ParsePrivateKey(key.Bytes())
		if err != nil || !readKey.Equal(key) {
			t.Fatal(err)
		}
		a, err := ParseResponse(evaluate(t, readKey, q).Bytes())
		if err != nil {
			t.Fatal(err)
		}
		public, err := ParsePublicKey(key.Public().Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if pending, err = ParsePending(pending.Bytes()); err != nil {
			t.Fatal(err)
		}
		outputs, err := pending.Finalize(public, q, a)
		if err != nil || len(outputs) != size.inputs {
			t.Fatalf("%d outputs of %d, %v", len(outputs), size.inputs, err)
		}
		for i, output := range outputs {
			want, err := key.Output(fmt.Appendf(nil, "input %d", i))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "output", output, want)
		}
	}
}

// TestOracle lets circl's own protocol take each side.
func TestOracle(t *testing.T) {
	key := newKey(t)
	private := new(oprf.PrivateKey)
	if err := private.UnmarshalBinary(oprf.SuiteRistretto255, key.Bytes()); err != nil {
		t.Fatal(err)
	}
	input := []byte("an input")
	client := oprf.NewVerifiableClient(oprf.SuiteRistretto255, private.Public())
	data, blinded, err := client.Blind([][]byte{input})
	if err != nil {
		t.Fatal(err)
	}
	sent, err := blinded.Elements[0].MarshalBinaryCompress()
	if err != nil {
		t.Fatal(err)
	}
	q, err := ParseRequest(sent)
	if err != nil {
		t.Fatal(err)
	}
	answer := evaluate(t, key, q).Bytes()
	theirs := new(dleq.Proof)
	if err := theirs.UnmarshalBinary(group.Ristretto255, answer[elementSize:]); err != nil {
		t.Fatal(err)
	}
	outputs, err := client.Finalize(data, &oprf.Evaluation{Elements: []oprf.Evaluated{oracleElement(t, answer[:elementSize])}, Proof: theirs})
	if err != nil {
		t.Fatal(err)
	}
	want, err := key.Output(input)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "output of the other client", outputs[0], want)

	pending, request, err := NewRequest(rand.Reader, [][]byte{input}, 1)
	if err != nil {
		t.Fatal(err)
	}
	e, err := oprf.NewVerifiableServer(oprf.SuiteRistretto255, private).Evaluate(&oprf.EvaluationRequest{Elements: []oprf.Blinded{oracleElement(t, request.Bytes())}})
	if err != nil {
		t.Fatal(err)
	}
	proof, err := e.Proof.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	evaluated, err := e.Elements[0].MarshalBinaryCompress()
	if err != nil {
		t.Fatal(err)
	}
	response, err := ParseResponse(append(evaluated, proof...))
	if err != nil {
		t.Fatal(err)
	}
	if outputs, err = pending.Finalize(key.Public(), request, response); err != nil {
		t.Fatal(err)
	}
	equal(t, "output from the other server", outputs[0], want)
}

// oracleElement decodes a point with circl.
func oracleElement(t testing.TB, b []byte) group.Element {
	t.Helper()
	e := group.Ristretto255.NewElement()
	if err := e.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestTampered changes a response, a request or a key: no output comes out.
func TestTampered(t *testing.T) {
	key, other := newKey(t), newKey(t)
	pending, request := newRequest(t, 2, 3)
	encoded := evaluate(t, key, request).Bytes()
	for i := 0; i < len(encoded); i += 5 {
		b := bytes.Clone(encoded)
		b[i] ^= 1 << (i % 8)
		a, err := ParseResponse(b)
		if err == nil {
			_, err = pending.Finalize(key.Public(), request, a)
		}
		if !errors.Is(err, ErrEncoding) && !errors.Is(err, ErrProof) {
			t.Errorf("a bit of byte %d flipped: %v", i, err)
		}
	}
	swapped := append(append(bytes.Clone(encoded[32:64]), encoded[:32]...), encoded[64:]...)
	for name, b := range map[string][]byte{
		"swapped":     swapped,
		"one dropped": append(bytes.Clone(encoded[:64]), encoded[96:]...),
		"other key":   evaluate(t, other, request).Bytes(),
	} {
		a, err := ParseResponse(b)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := pending.Finalize(key.Public(), request, a); !errors.Is(err, ErrProof) || out != nil {
			t.Errorf("%s: %d outputs, %v, want ErrProof", name, len(out), err)
		}
	}
	_, second := newRequest(t, 2, 3)
	if _, err := pending.Finalize(key.Public(), second, evaluate(t, key, second)); !errors.Is(err, ErrInput) {
		t.Errorf("another request: %v, want ErrInput", err)
	}
}

// TestEncodings has the kinds of encodings that RFC 9496, section 4.3.1, requires
// decoders to refuse, and the identity.
func TestEncodings(t *testing.T) {
	valid := newKey(t).Public().Bytes()
	for name, text := range map[string]string{
		"identity":                 "0000000000000000000000000000000000000000000000000000000000000000",
		"the prime":                "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"the prime and 1":          "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"the prime and 18":         "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"the top bit":              "0000000000000000000000000000000000000000000000000000000000000080",
		"1, which is negative":     "0100000000000000000000000000000000000000000000000000000000000000",
		"-1 as y":                  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"all ones":                 "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"a valid one, bit 255":     hex.EncodeToString(append(bytes.Clone(valid[:31]), valid[31]|0x80)),
		"not a square, from 4.3.1": "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
	} {
		b := unhex(t, text)
		if _, err := ParsePublicKey(b); !errors.Is(err, ErrEncoding) {
			t.Errorf("public key, %s: %v", name, err)
		}
		if _, err := ParseRequest(append(bytes.Clone(valid), b...)); !errors.Is(err, ErrEncoding) || !strings.Contains(err.Error(), "element 1") {
			t.Errorf("request, %s: %v", name, err)
		}
	}
	order := unhex(t, "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	for name, b := range map[string][]byte{"zero": make([]byte, 32), "the order": order, "ones": bytes.Repeat([]byte{0xff}, 32), "short": order[1:], "long": append(order, 0)} {
		if _, err := ParsePrivateKey(b[:min(len(b), 33)]); !errors.Is(err, ErrEncoding) {
			t.Errorf("private key, %s: %v", name, err)
		}
	}
	for n, what := range map[int]string{0: "none", 31: "short", 33: "long", 32 * (MaxBatch + 1): "too many"} {
		if _, err := ParseRequest(make([]byte, n)); !errors.Is(err, ErrEncoding) {
			t.Errorf("request of %s: %v", what, err)
		}
		if _, err := ParseResponse(make([]byte, n+proofSize)); !errors.Is(err, ErrEncoding) {
			t.Errorf("response of %s: %v", what, err)
		}
	}
	pending, _ := newRequest(t, 1, 1)
	stored := pending.Bytes()
	for n := range len(stored) {
		if n == 32 { // a request without inputs
			continue
		}
		if _, err := ParsePending(stored[:n]); !errors.Is(err, ErrEncoding) {
			t.Errorf("%d of %d bytes of a pending request: %v", n, len(stored), err)
		}
	}
	many := append(bytes.Clone(stored[:32]), bytes.Repeat(stored[32:], MaxBatch+1)...)
	if _, err := ParsePending(many); !errors.Is(err, ErrEncoding) {
		t.Errorf("%d inputs: %v", MaxBatch+1, err)
	}
}

func TestLimits(t *testing.T) {
	long := make([]byte, MaxInput+1)
	for name, f := range map[string]func() error{
		"no elements":   func() error { _, _, err := NewRequest(rand.Reader, nil, 0); return err },
		"65 elements":   func() error { _, _, err := NewRequest(rand.Reader, nil, MaxBatch+1); return err },
		"2 inputs of 1": func() error { _, _, err := NewRequest(rand.Reader, make([][]byte, 2), 1); return err },
		"long input":    func() error { _, _, err := NewRequest(rand.Reader, [][]byte{long}, 1); return err },
		"long direct":   func() error { _, err := newKey(t).Output(long); return err },
	} {
		if err := f(); !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v, want ErrInput", name, err)
		}
	}
	if _, _, err := NewRequest(rand.Reader, [][]byte{long[1:]}, 1); err != nil {
		t.Errorf("the longest input: %v", err)
	}
	if _, err := DeriveKey(long[:SeedSize-1], nil); err == nil {
		t.Error("a short seed gave a key")
	}
	if _, err := DeriveKey(long[:SeedSize], long); err == nil {
		t.Error("long information gave a key")
	}
}

// TestRandomness fails the source, and lets it return zeros.
func TestRandomness(t *testing.T) {
	key := newKey(t)
	_, request := newRequest(t, 1, 1)
	failure := errors.New("no entropy")
	for name, f := range map[string]func(io.Reader) error{
		"GenerateKey": func(r io.Reader) error { _, err := GenerateKey(r); return err },
		"Evaluate":    func(r io.Reader) error { _, err := key.Evaluate(r, request); return err },
		"NewRequest":  func(r io.Reader) error { _, _, err := NewRequest(r, [][]byte{nil}, 1); return err },
		"padding":     func(r io.Reader) error { _, _, err := NewRequest(r, nil, 1); return err },
	} {
		if err := f(iotest.ErrReader(failure)); !errors.Is(err, failure) {
			t.Errorf("%s: %v, want the source's error", name, err)
		}
		if name != "padding" {
			if err := f(bytes.NewReader(make([]byte, 1000))); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("%s with a stuck source: %v", name, err)
			}
		}
	}
}

func TestRedacted(t *testing.T) {
	pending, _ := newRequest(t, 1, 1)
	key := newKey(t)
	for name, v := range map[string]any{"key": key, "key value": *key, "pending": pending, "pending value": *pending} {
		if got := fmt.Sprintf("%v%+v%#v", v, v, v); got != strings.Repeat(redact.Notice, 3) {
			t.Errorf("%s prints as %s", name, got)
		}
		if b, err := json.Marshal(v); err != nil || string(b) != `"`+redact.Notice+`"` {
			t.Errorf("%s as JSON: %s, %v", name, b, err)
		}
		if v, ok := v.(slog.LogValuer); !ok || v.LogValue().String() != redact.Notice {
			t.Errorf("%s is logged in another way", name)
		}
	}
}
