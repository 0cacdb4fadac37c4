package arc

import (
	"bytes"
	"crypto/sha3"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/golden"
)

// hexMap is a group of vectors: hexadecimal strings by name.
type hexMap map[string]string

func (m hexMap) bytes(t testing.TB, name string) []byte {
	t.Helper()
	b, err := hex.DecodeString(m[name])
	if err != nil || len(b) == 0 {
		t.Fatalf("vector %q is %q: %v", name, m[name], err)
	}
	return b
}

// check compares a value with a vector, or with -update writes it.
func (m hexMap) check(t testing.TB, name string, got []byte) {
	t.Helper()
	if golden.Updating() {
		m[name] = hex.EncodeToString(got)
		return
	}
	if want := m.bytes(t, name); !bytes.Equal(got, want) {
		t.Errorf("%s is %x, want %x", name, got, want)
	}
}

func readVectors(t testing.TB, file string, to any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, to); err != nil {
		t.Fatal(err)
	}
}

// drng is the TestDRNG of the drafts' proof of concept: a stream of SHAKE128. It
// reduces a secret modulo the order less one and a nonce of a proof modulo the
// order; plan has, for each scalar in turn, 's' or 'n'.
type drng struct {
	h    *sha3.SHAKE
	plan string
}

func newDRNG(seed string) *drng {
	h := newSponge("sigma-proofs/TestDRNG/SHAKE128")
	var b [32]byte
	copy(b[:], seed)
	_, _ = h.Write(b[:])
	return &drng{h: h}
}

// next returns the reader for the scalars that a call draws.
func (d *drng) next(plan string) io.Reader {
	d.plan = plan
	return d
}

func (d *drng) Read(p []byte) (int, error) {
	if len(p) != wideSize || d.plan == "" {
		return 0, io.ErrUnexpectedEOF
	}
	_, _ = d.h.Read(p)
	if d.plan[0] == 's' {
		n := new(big.Int).SetBytes(order.m.Nat().Bytes(order.m))
		v := new(big.Int).SetBytes(p)
		v.Mod(v, n.Sub(n, big.NewInt(1))).FillBytes(p)
	}
	d.plan = d.plan[1:]
	return len(p), nil
}

func nonces(n int) string { return strings.Repeat("n", n) }

// run goes through key generation, issuance and as many presentations as the
// limit allows, and compares every value with the vectors.
func run(t *testing.T, v map[string]hexMap, limit uint32, binding []byte) {
	rng := newDRNG("test vector seed")
	key, err := GenerateKey(rng.next("ssss"))
	if err != nil {
		t.Fatal(err)
	}
	k := v["ServerKey"]
	k.check(t, "x0", key.x0[:])
	k.check(t, "x1", key.x1[:])
	k.check(t, "x2", key.x2[:])
	k.check(t, "xb", key.blinding[:])
	k.check(t, "X0", key.public.x0.enc[:])
	k.check(t, "X1", key.public.x1.enc[:])
	k.check(t, "X2", key.public.x2.enc[:])
	credential := issue(t, rng, key, v)
	for nonce := range limit {
		present(t, rng, key, credential, v["CredentialRequest"].bytes(t, "request_context"), v["Presentation"+strconv.Itoa(int(nonce)+1)], limit, nonce, binding)
	}
}

func issue(t *testing.T, rng *drng, key *PrivateKey, v map[string]hexMap) *Credential {
	q := v["CredentialRequest"]
	secrets, request, err := NewRequest(rng.next("sss"+nonces(4)), q.bytes(t, "request_context"))
	if err != nil {
		t.Fatal(err)
	}
	q.check(t, "m1", secrets.m1[:])
	q.check(t, "m2", secrets.m2[:])
	q.check(t, "r1", secrets.r1[:])
	q.check(t, "r2", secrets.r2[:])
	q.check(t, "m1_enc", request.m1Enc.enc[:])
	q.check(t, "m2_enc", request.m2Enc.enc[:])
	q.check(t, "proof", request.proof.append(nil))

	response, err := key.Issue(rng.next("s"+nonces(7)), request)
	if err != nil {
		t.Fatal(err)
	}
	a := v["CredentialResponse"]
	a.check(t, "U", response.u.enc[:])
	a.check(t, "enc_U_prime", response.encUPrime.enc[:])
	a.check(t, "X0_aux", response.x0Aux.enc[:])
	a.check(t, "X1_aux", response.x1Aux.enc[:])
	a.check(t, "X2_aux", response.x2Aux.enc[:])
	a.check(t, "H_aux", response.hAux.enc[:])
	a.check(t, "proof", response.proof.append(nil))

	credential, err := secrets.Finalize(key.Public(), request, response)
	if err != nil {
		t.Fatal(err)
	}
	c := v["Credential"]
	c.check(t, "m1", credential.m1[:])
	c.check(t, "U", credential.u.enc[:])
	c.check(t, "U_prime", credential.uPrime.enc[:])
	c.check(t, "X1", credential.x1.enc[:])
	return credential
}

func present(t *testing.T, rng *drng, key *PrivateKey, credential *Credential, requestContext []byte, p hexMap, limit, nonce uint32, binding []byte) {
	t.Helper()
	c, err := NewContext(p.bytes(t, "presentation_context"), limit)
	if err != nil {
		t.Fatal(err)
	}
	k := len(c.bases)
	plan := "sss" + nonces(3)
	if k > 0 {
		plan = "ssss" + strings.Repeat("s", k-1) + nonces(5+3*k)
	}
	got, err := credential.Present(rng.next(plan), c, nonce, binding)
	if err != nil {
		t.Fatal(err)
	}
	p.check(t, "U", got.u.enc[:])
	p.check(t, "U_prime_commit", got.uPrimeCommit.enc[:])
	p.check(t, "m1_commit", got.m1Commit.enc[:])
	p.check(t, "tag", got.tag.enc[:])
	var proof []byte
	if k > 0 {
		p.check(t, "nonce_commit", got.nonceCommit.enc[:])
		for i, d := range got.bits {
			p.check(t, "D_"+strconv.Itoa(i), d.enc[:])
			proof = append(proof, d.enc[:]...)
		}
	}
	p.check(t, "proof", got.proof.append(proof))
	tag, err := key.Verifier(requestContext).Verify(c, got, binding)
	if err != nil {
		t.Fatal(err)
	}
	p.check(t, "tag", tag[:])
}

// TestDraftVectors holds the package to the vectors of the draft: every value
// that is kept or sent, proofs included. The values that are not kept (b, a, r, z
// and nonce_blinding) are drawn from the same stream and enter those.
func TestDraftVectors(t *testing.T) {
	if golden.Updating() {
		t.Skip("the draft's vectors are not ours to write")
	}
	var file map[string]map[string]hexMap
	readVectors(t, "testdata/draft-01.json", &file)
	v := file[suiteDraft]
	if len(v) != 6 {
		t.Fatalf("%d groups of vectors, want 6", len(v))
	}
	run(t, v, 2, nil)
}
