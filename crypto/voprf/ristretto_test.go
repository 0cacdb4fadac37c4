package voprf

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
	"github.com/cloudflare/circl/group"
)

// TestConstants checks the equations that define the constants, and the signs of
// the roots (RFC 9496, section 4.1).
func TestConstants(t *testing.T) {
	k := &ristrettoConstants
	num := func(v uint32) *field.Element { return new(field.Element).Mult32(k.one, v) }
	minusOne := negate(k.one)
	for name, pair := range map[string][2]*field.Element{
		"d":                {mul(k.d, num(121666)), negate(num(121665))},
		"sqrtM1":           {square(k.sqrtM1), minusOne},
		"sqrtADMinusOne":   {square(k.sqrtADMinusOne), sub(negate(k.d), k.one)},
		"invSqrtAMinusD":   {mul(square(k.invSqrtAMinusD), sub(minusOne, k.d)), k.one},
		"oneMinusDSquared": {k.oneMinusDSquared, sub(k.one, square(k.d))},
		"dMinusOneSquared": {k.dMinusOneSquared, square(sub(k.d, k.one))},
	} {
		if pair[0].Equal(pair[1]) != 1 {
			t.Errorf("%s is wrong", name)
		}
	}
	if k.sqrtM1.IsNegative() != 0 || k.sqrtADMinusOne.IsNegative() != 1 || k.invSqrtAMinusD.IsNegative() != 0 {
		t.Error("a root has the wrong sign")
	}
}

// TestMultiples has the first multiples of the generator (RFC 9496, appendix
// A.1), encoded and decoded.
func TestMultiples(t *testing.T) {
	p := edwards25519.NewIdentityPoint()
	for i, want := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
		"6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
		"94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
	} {
		enc := encodeRistretto(p)
		if got := hex.EncodeToString(enc[:]); got != want {
			t.Errorf("%d times the generator is %s, want %s", i, got, want)
		}
		q, err := decodeRistretto(enc[:])
		if err != nil || encodeRistretto(q) != enc {
			t.Errorf("%s does not decode to itself: %v", want, err)
		}
		p.Add(p, edwards25519.NewGeneratorPoint())
	}
}

// TestRistrettoOracle compares map, multiplication, encoding and decoding with
// circl, on elements and on random bytes, of which about one in sixteen decodes.
func TestRistrettoOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	decoded := 0
	for range 300 {
		var b [64]byte
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		message := b[:r.IntN(64)]
		p, err := hashToPoint(message)
		if err != nil {
			t.Fatal(err)
		}
		want := group.Ristretto255.HashToElement(message, []byte("HashToGroup-"+suite))
		if enc, err := want.MarshalBinaryCompress(); err != nil || !bytes.Equal(enc, p.enc[:]) {
			t.Fatalf("%x hashes to %x, want %x (%v)", message, p.enc, enc, err)
		}
		s := uniformScalar(&b)
		theirs := group.Ristretto255.NewScalar()
		if err := theirs.UnmarshalBinary(s.Bytes()); err != nil {
			t.Fatal(err)
		}
		if p, err = p.times(s); err != nil {
			t.Fatal(err)
		}
		if enc, err := want.Mul(want, theirs).MarshalBinaryCompress(); err != nil || !bytes.Equal(enc, p.enc[:]) {
			t.Fatalf("the multiple is %x, want %x (%v)", p.enc, enc, err)
		}
		q, err := decodePoint(p.enc[:])
		if err != nil || encodeRistretto(q.p) != p.enc {
			t.Fatalf("%x does not decode to itself: %v", p.enc, err)
		}
		_, err = decodeRistretto(b[:32])
		wantErr := group.Ristretto255.NewElement().UnmarshalBinary(b[:32])
		if (err == nil) != (wantErr == nil) {
			t.Errorf("decoding %x: %v, circl %v", b[:32], err, wantErr)
		}
		b[0] &^= 1
		b[31] &= 0x7f
		_, err = decodeRistretto(b[:32])
		wantErr = group.Ristretto255.NewElement().UnmarshalBinary(b[:32])
		if (err == nil) != (wantErr == nil) {
			t.Errorf("decoding %x: %v, circl %v", b[:32], err, wantErr)
		}
		if err == nil {
			decoded++
		}
	}
	if decoded == 0 {
		t.Error("no random bytes decoded")
	}
}

// TestTorsion encodes points that differ by a point of small order: they are one
// element.
func TestTorsion(t *testing.T) {
	k := &ristrettoConstants
	zero := new(field.Element)
	four, err := new(edwards25519.Point).SetExtendedCoordinates(k.sqrtM1, zero, k.one, zero) // of order 4
	if err != nil {
		t.Fatal(err)
	}
	p, err := hashToPoint([]byte("a message"))
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		p.p.Add(p.p, four)
		if encodeRistretto(p.p) != p.enc {
			t.Errorf("a point of order 4 changes the encoding to %x", encodeRistretto(p.p))
		}
	}
}

func TestInvertAll(t *testing.T) {
	for n := range 5 {
		scalars := make([]*scalar, n)
		for i := range scalars {
			scalars[i] = hashToScalar([]byte{byte(n), byte(i)}, "test")
		}
		for i, inverse := range invertAll(scalars) {
			if new(scalar).Multiply(inverse, scalars[i]).Equal(one()) != 1 {
				t.Errorf("scalar %d of %d has another inverse", i, n)
			}
		}
	}
}
