package arc

import (
	"crypto/sha3"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"testing"

	"filippo.io/nistec"

	"github.com/shoal-project/shoal/internal/golden"
)

// oneBinding is the binding of the vectors for a limit of one.
const oneBinding = "test binding"

// TestOneVectors holds the profile for a limit of one to vectors of its own, in
// the form of the draft's. `go test -run TestOneVectors -update` writes them.
func TestOneVectors(t *testing.T) {
	const file = "testdata/one.json"
	if golden.Updating() {
		v := map[string]hexMap{"ServerKey": {}, "CredentialResponse": {}, "Credential": {}}
		v["CredentialRequest"] = hexMap{"request_context": hex.EncodeToString([]byte("test request context"))}
		v["Presentation1"] = hexMap{
			"presentation_context": hex.EncodeToString([]byte("test presentation context")),
			"binding":              hex.EncodeToString([]byte(oneBinding)),
		}
		run(t, v, 1, []byte(oneBinding))
		b, err := json.MarshalIndent(map[string]any{suiteOne: v}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden.Write(t, file, append(b, '\n'))
		return
	}
	var read map[string]map[string]hexMap
	readVectors(t, file, &read)
	v := read[suiteOne]
	if len(v) != 5 {
		t.Fatalf("%d groups of vectors, want 5", len(v))
	}
	run(t, v, 1, v["Presentation1"].bytes(t, "binding"))
	// Issuance is the draft's: same seed, same values.
	var draft map[string]map[string]hexMap
	readVectors(t, "testdata/draft-01.json", &draft)
	for _, group := range []string{"ServerKey", "CredentialRequest", "CredentialResponse", "Credential"} {
		for name, want := range draft[suiteDraft][group] {
			if got := v[group][name]; got != want && name != "b" { // b is not kept: U is b*G
				t.Errorf("%s %s is %s, want the draft's %s", group, name, got, want)
			}
		}
	}
}

// TestOneReference verifies the vectors for a limit of one a second time, with
// nothing of this package: math/big for scalars, one multiplication at a time,
// and a transcript written down from the documents.
func TestOneReference(t *testing.T) {
	var read map[string]map[string]hexMap
	readVectors(t, "testdata/one.json", &read)
	v := read[suiteOne]
	key, p := v["ServerKey"], v["Presentation1"]
	point := func(b []byte) *nistec.P256Point {
		q, err := nistec.NewP256Point().SetBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	number := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
	n, _ := new(big.Int).SetString("115792089210356248762697446949407573529996955224135760342422259061068512044369", 10)
	times := func(s *big.Int, q *nistec.P256Point) *nistec.P256Point {
		r, err := nistec.NewP256Point().ScalarMult(q, new(big.Int).Mod(s, n).FillBytes(make([]byte, 32)))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	plus := func(points ...*nistec.P256Point) *nistec.P256Point {
		sum := nistec.NewP256Point()
		for _, q := range points {
			sum.Add(sum, q)
		}
		return sum
	}
	minus := big.NewInt(-1)

	g := nistec.NewP256Point().SetGenerator()
	hash := func(msg []byte, dst string) *nistec.P256Point {
		b := oracleHash(t, msg, dst)
		return point(b[:])
	}
	h := hash(g.BytesCompressed(), "HashToGroup-ARCV1-P256generatorH")
	gt := hash(p.bytes(t, "presentation_context"), "HashToGroup-ARCV1-P256-N1-shoalTag")
	m2 := number(v["CredentialRequest"].bytes(t, "m2"))
	u, uPrime, m1, tag := point(p.bytes(t, "U")), point(p.bytes(t, "U_prime_commit")), point(p.bytes(t, "m1_commit")), point(p.bytes(t, "tag"))
	x1 := point(key.bytes(t, "X1"))
	forU := new(big.Int).Mul(number(key.bytes(t, "x2")), m2)
	forU.Add(forU, number(key.bytes(t, "x0")))
	vPoint := plus(times(forU, u), times(number(key.bytes(t, "x1")), m1), times(minus, uPrime))

	proof := p.bytes(t, "proof")
	if len(proof) != 128 {
		t.Fatalf("proof of %d bytes, want 128", len(proof))
	}
	c := number(proof[:32])
	s0, s1, s2 := number(proof[32:64]), number(proof[64:96]), number(proof[96:])
	minusC := new(big.Int).Neg(c)
	commitments := []*nistec.P256Point{
		plus(times(s0, u), times(s1, h), times(minusC, m1)),
		plus(times(s1, x1), times(s2, g), times(minusC, vPoint)),
		plus(times(s0, tag), times(minusC, gt)),
	}

	var label []byte
	for _, word := range []uint32{3, 4, 2, 0, 2, 1, 1, 5, 2, 1, 6, 2, 0, 8, 1, 0, 7} {
		label = binary.LittleEndian.AppendUint32(label, word)
	}
	for _, q := range []*nistec.P256Point{g, h, u, uPrime, m1, vPoint, x1, tag, gt} {
		label = append(label, q.BytesCompressed()...)
	}
	session := append([]byte("ARCV1-P256-N1-shoalCredentialPresentation"), p.bytes(t, "binding")...)
	transcript := append([]byte("sigma-proofs_Shake128_P256"), make([]byte, 168-26)...)
	transcript = append(binary.BigEndian.AppendUint32(transcript, uint32(len(session))), session...)
	transcript = append(binary.BigEndian.AppendUint32(transcript, uint32(len(label))), label...)
	for _, q := range commitments {
		transcript = append(transcript, q.BytesCompressed()...)
	}
	if want := number(sha3.SumSHAKE128(transcript, 48)); want.Mod(want, n).Cmp(c) != 0 {
		t.Errorf("challenge is %x, want %x", c, want)
	}
}
