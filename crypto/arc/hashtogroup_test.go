package arc

import (
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/cloudflare/circl/group"

	"github.com/shoal-project/shoal/internal/p256"
)

// oracleHash hashes to the curve with circl.
func oracleHash(t *testing.T, msg []byte, dst string) [elementSize]byte {
	t.Helper()
	b, err := group.P256.HashToElement(msg, []byte(dst)).MarshalBinaryCompress()
	if err != nil {
		t.Fatal(err)
	}
	return [elementSize]byte(b)
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
		want, err := p256.FromCoordinates(fromHex(v.x), fromHex(v.y))
		if err != nil {
			t.Fatal(err)
		}
		if !p.Equal(new(p256.Point).Set(want)) {
			t.Errorf("%q does not hash to %s, %s", v.msg, v.x, v.y)
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
		e, err := newElement(got)
		if err != nil {
			t.Fatal(err)
		}
		if want := oracleHash(t, msg, "HashToGroup-ARCV1-P256Tag"); e.enc != want {
			t.Errorf("%x hashes to %x, want %x", msg, e.enc, want)
		}
		s := hashToScalar(msg, suiteDraft, "requestContext")
		want, err := group.P256.HashToScalar(msg, []byte("HashToScalar-ARCV1-P256requestContext")).MarshalBinary()
		if err != nil || hex.EncodeToString(want) != hex.EncodeToString(s[:]) {
			t.Errorf("%x hashes to the scalar %x, want %x (%v)", msg, s, want, err)
		}
	}
}
