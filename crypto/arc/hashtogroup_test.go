package arc

import (
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"filippo.io/nistec"
	"github.com/cloudflare/circl/group"
)

// oracleHash hashes to the curve with circl.
func oracleHash(t *testing.T, msg []byte, dst string) *nistec.P256Point {
	t.Helper()
	b, err := group.P256.HashToElement(msg, []byte(dst)).MarshalBinaryCompress()
	if err != nil {
		t.Fatal(err)
	}
	p, err := nistec.NewP256Point().SetBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestHashToCurveVectors has the vectors of RFC 9380, appendix J.1.1.
func TestHashToCurveVectors(t *testing.T) {
	const dst = "QUUX-V01-CS02-with-P256_XMD:SHA-256_SSWU_RO_"
	for _, v := range []struct{ msg, x, y string }{
		{"", "2c15230b26dbc6fc9a37051158c95b79656e17a1a920b11394ca91c44247d3e4", "8a7a74985cc5c776cdfe4b1f19884970453912e9d31528c060be9ab5c43e8415"},
		{"abc", "0bb8b87485551aa43ed54f009230450b492fead5f1cc91658775dac4a3388a0f", "5c41b3d0731a27a7b14bc0bf0ccded2d8751f83493404c84a88e71ffd424212e"},
	} {
		p, err := hashToCurve([]byte(v.msg), dst)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := hex.EncodeToString(p.Bytes()), "04"+v.x+v.y; got != want {
			t.Errorf("%q hashes to %s, want %s", v.msg, got, want)
		}
	}
}

func TestHashToCurveOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		msg := make([]byte, i)
		for j := range msg {
			msg[j] = byte(r.Uint32())
		}
		got, err := hashToCurve(msg, "HashToGroup-ARCV1-P256Tag")
		if err != nil {
			t.Fatal(err)
		}
		if want := oracleHash(t, msg, "HashToGroup-ARCV1-P256Tag"); got.Equal(want) != 1 {
			t.Errorf("%x hashes to %x, want %x", msg, got.Bytes(), want.Bytes())
		}
		s := hashToScalar(msg, suiteDraft, "requestContext")
		want, err := group.P256.HashToScalar(msg, []byte("HashToScalar-ARCV1-P256requestContext")).MarshalBinary()
		if err != nil || hex.EncodeToString(want) != hex.EncodeToString(s[:]) {
			t.Errorf("%x hashes to the scalar %x, want %x (%v)", msg, s, want, err)
		}
	}
}

func TestSWUConstants(t *testing.T) {
	k := &swuConstants
	if k.a != prime.neg(small(3)) || k.z != prime.neg(small(10)) || prime.mul(k.c2, k.c2) != small(10) {
		t.Error("a, z or c2 is wrong")
	}
	// 4 c1 + 3 = p: x^(4 c1 + 2) is 1 for a square x.
	x := small(4)
	fourth := prime.exp(x, k.c1)
	square := prime.mul(fourth, fourth)
	if prime.mul(prime.mul(square, square), prime.mul(x, x)) != small(1) {
		t.Error("c1 is wrong")
	}
}

// TestMapToCurveExceptions maps 0, for which the denominator has a case of its
// own, and 1 and -1, which differ in the sign alone.
func TestMapToCurveExceptions(t *testing.T) {
	var y [3]residue
	for i, u := range []residue{{}, small(1), prime.neg(small(1))} {
		f := mapToCurve(u)
		if _, err := f.point(prime.inverse(f.den)); err != nil {
			t.Errorf("map of %x: %v", u, err)
		}
		y[i] = f.y
	}
	if y[1] != prime.neg(y[2]) {
		t.Errorf("1 and -1 map to y %x and %x, want opposites", y[1], y[2])
	}
}
