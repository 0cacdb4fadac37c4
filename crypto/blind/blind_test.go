package blind

import (
	"bytes"
	"crypto/ecdh"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// seeded returns randomness that is the same in each run.
func seeded(n byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{n}) }

func draw(r *rand.ChaCha8) [Size]byte {
	var b [Size]byte
	r.Read(b[:])
	return b
}

const domain = "blind test"

func crowdPoint(i int) [Size]byte { return HashToCurve(domain, fmt.Appendf(nil, "crowd %d", i)) }

// TestHashToCurve compares with the vectors of RFC 9380, appendix J.4.2.
func TestHashToCurve(t *testing.T) {
	data, err := os.ReadFile("testdata/curve25519_XMD_SHA-512_ELL2_NU.json")
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		DST     string
		Vectors []struct {
			Msg string
			P   struct{ X string }
			U   []string
		}
	}
	if err := json.Unmarshal(data, &suite); err != nil {
		t.Fatal(err)
	}
	if len(suite.Vectors) != 5 {
		t.Fatalf("%d vectors, want 5", len(suite.Vectors))
	}
	for _, v := range suite.Vectors {
		if got := HashToCurve(suite.DST, []byte(v.Msg)); number(got[:]).Cmp(hexNumber(t, v.P.X)) != 0 {
			t.Errorf("HashToCurve(%.20q) = %x, want %s", v.Msg, got, v.P.X)
		}
		if got := hashToField(suite.DST, []byte(v.Msg)).Bytes(); number(got).Cmp(hexNumber(t, v.U[0])) != 0 {
			t.Errorf("hash to field of %.20q = %x, want %s", v.Msg, got, v.U[0])
		}
	}
	long := strings.Repeat("a", 256)
	if HashToCurve(long, nil) == HashToCurve(long[1:], nil) {
		t.Error("domains of 256 and 255 bytes have one result")
	}
}

func hexNumber(t *testing.T, s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 0)
	if !ok {
		t.Fatalf("%q is not a number", s)
	}
	return n
}

// number reads little-endian.
func number(b []byte) *big.Int {
	r := bytes.Clone(b)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return new(big.Int).SetBytes(r)
}

func encode(n *big.Int) (b [Size]byte) {
	n.FillBytes(b[:])
	for i, j := 0, Size-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return b
}

// order is l, the prime order of the subgroup.
func order() *big.Int {
	l, _ := new(big.Int).SetString("27742317777372353535851937790883648493", 10)
	return l.Add(l, new(big.Int).Lsh(big.NewInt(1), 252))
}

func prime() *big.Int {
	p := new(big.Int).Lsh(big.NewInt(1), 255)
	return p.Sub(p, big.NewInt(19))
}

// standard is X25519 by crypto/ecdh.
func standard(scalar, point [Size]byte) (product [Size]byte, ok bool) {
	private, err := ecdh.X25519().NewPrivateKey(scalar[:])
	if err != nil {
		panic(err)
	}
	public, err := ecdh.X25519().NewPublicKey(point[:])
	if err != nil {
		panic(err)
	}
	shared, err := private.ECDH(public)
	if err != nil {
		return product, false
	}
	return [Size]byte(shared), true
}

// batch sends reports of the crowds through both shufflers.
func batch(t *testing.T, r *rand.ChaCha8, crowds []int) ([]Factor, [][Size]byte, []Tag) {
	t.Helper()
	exponent, err := NewExponent(r)
	if err != nil {
		t.Fatal(err)
	}
	factors, betas := make([]Factor, len(crowds)), make([][Size]byte, len(crowds))
	for i, c := range crowds {
		factors[i] = NewFactor(draw(r))
		if betas[i], err = factors[i].Blind(crowdPoint(c)); err != nil {
			t.Fatal(err)
		}
	}
	gammas := make([][Size]byte, len(crowds))
	products := exponent.Multiply(betas)
	for i := range products {
		gamma, ok := products[i].Secret()
		if !ok {
			t.Fatalf("no product for report %d", i)
		}
		gammas[i] = gamma
	}
	tags, err := Unblind(factors, gammas)
	if err != nil {
		t.Fatal(err)
	}
	return factors, gammas, tags
}

// TestTagsAreThoseOfCrowds shows that equal crowds meet and others do not, and that
// two batches share no tag.
func TestTagsAreThoseOfCrowds(t *testing.T) {
	r := seeded(1)
	crowds := make([]int, 300)
	for i := range crowds {
		crowds[i] = i % 7
	}
	_, _, first := batch(t, r, crowds)
	_, _, second := batch(t, r, crowds)
	seen := map[[Size]byte]bool{}
	for i, tag := range first {
		if !tag.OK || tag != first[i%7] {
			t.Fatalf("report %d of crowd %d has tag %x, want %x", i, i%7, tag.Value, first[i%7].Value)
		}
		seen[tag.Value] = true
	}
	if len(seen) != 7 {
		t.Errorf("%d tags for 7 crowds", len(seen))
	}
	for _, tag := range second {
		if seen[tag.Value] {
			t.Fatal("two batches share a tag: crowds could be linked")
		}
	}
}

// TestUnblind compares with crypto/ecdh and the inverse by math/big, in batches of
// several lengths.
func TestUnblind(t *testing.T) {
	r := seeded(2)
	for _, n := range []int{0, 1, 2, 3, 64, 257} {
		factors, points := make([]Factor, n), make([][Size]byte, n)
		for i := range n {
			factors[i], points[i] = NewFactor(draw(r)), draw(r)
		}
		tags, err := Unblind(factors, points)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			scalar := slowInverse(factors[i].scalar)
			if want, ok := standard(scalar, points[i]); tags[i] != (Tag{want, ok}) {
				t.Fatalf("tag %d of %d is %x, want %x", i, n, tags[i].Value, want)
			}
		}
	}
	if _, err := Unblind(make([]Factor, 2), make([][Size]byte, 3)); err == nil || !strings.Contains(err.Error(), "2 factors for 3 points") {
		t.Errorf("different lengths: %v", err)
	}
}

// slowInverse is the clamped inverse by arithmetic on integers.
func slowInverse(scalar [Size]byte) [Size]byte {
	l := order()
	m := number(scalar[:])
	m.Lsh(m, 3).ModInverse(m, l)
	if m.Bit(251) == 0 {
		m.Sub(l, m)
	}
	return encode(m.Lsh(m, 3))
}

// TestInverseIsClamped covers the smallest and the largest factors, too.
func TestInverseIsClamped(t *testing.T) {
	r := seeded(3)
	factors := []Factor{NewFactor([Size]byte{}), NewFactor([Size]byte(bytes.Repeat([]byte{0xff}, Size)))}
	for range 200 {
		factors = append(factors, NewFactor(draw(r)))
	}
	for i, inv := range inverses(factors) {
		if !inv.ok || clamp(inv.scalar) != inv.scalar {
			t.Fatalf("the inverse of factor %d is %x, which is not clamped", i, inv.scalar)
		}
		if inv.scalar != slowInverse(factors[i].scalar) {
			t.Fatalf("the inverse of factor %d is %x, want %x", i, inv.scalar, slowInverse(factors[i].scalar))
		}
		point := crowdPoint(i)
		back, _ := standard(factors[i].scalar, point)
		if back, _ = standard(inv.scalar, back); back != point {
			t.Fatalf("factor %d is not undone", i)
		}
	}
}

// smallOrder are all encodings of the u-coordinates of points of small order, on
// the curve and on its twist.
func smallOrder() [][Size]byte {
	eight, _ := new(big.Int).SetString("325606250916557431795983626356110631294008115727848805560023387167927233504", 10)
	other, _ := new(big.Int).SetString("39382357235489614581723060781553021112529911719440698176882885853963445705823", 10)
	p := prime()
	limit := new(big.Int).Lsh(big.NewInt(1), 255)
	var all [][Size]byte
	for _, u := range []*big.Int{big.NewInt(0), big.NewInt(1), new(big.Int).Sub(p, big.NewInt(1)), eight, other} {
		for ; u.Cmp(limit) < 0; u = new(big.Int).Add(u, p) { // and those of p and above
			b := encode(u)
			all = append(all, b)
			b[Size-1] |= 0x80 // bit 255 is ignored
			all = append(all, b)
		}
	}
	return all
}

// TestSmallOrder covers a dishonest shuffler 1, or client, that sends points of
// small order to give strangers the same tag: none gets a tag.
func TestSmallOrder(t *testing.T) {
	r := seeded(4)
	exponent, err := NewExponent(r)
	if err != nil {
		t.Fatal(err)
	}
	points := smallOrder()
	if len(points) < 14 {
		t.Fatalf("%d encodings, want at least 14", len(points))
	}
	for i, product := range exponent.Multiply(points) {
		if _, ok := product.Secret(); ok {
			t.Errorf("shuffler 1 makes something of %x", points[i])
		}
	}
	for _, point := range points {
		if _, err := NewFactor(draw(r)).Blind(point); !errors.Is(err, ErrSmallOrder) {
			t.Errorf("blinding %x: %v", point, err)
		}
		factors, same := make([]Factor, 20), make([][Size]byte, 20)
		for i := range factors {
			factors[i], same[i] = NewFactor(draw(r)), point
		}
		tags, err := Unblind(factors, same)
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range tags {
			if tag != (Tag{}) {
				t.Fatalf("%x has the tag %x", point, tag.Value)
			}
		}
	}
}

// TestWrongInverseMerges shows what [TestSmallOrder] prevents: with the inverse
// modulo l as it is, all reports fall on two tags.
func TestWrongInverseMerges(t *testing.T) {
	r := seeded(5)
	tags := map[string]int{}
	for range 60 {
		scalar := clamp(draw(r))
		k := number(scalar[:])
		k.ModInverse(k, order())
		tags[ladder(k, big.NewInt(1)).String()]++
	}
	if len(tags) != 2 {
		t.Errorf("a point of order 4 has %d tags under the unclamped inverse, want 2", len(tags))
	}
}

// ladder is the multiplication of a u-coordinate by any scalar.
func ladder(k, u *big.Int) *big.Int {
	p := prime()
	mod := func(n *big.Int) *big.Int { return n.Mod(n, p) }
	mul := func(a, b *big.Int) *big.Int { return mod(new(big.Int).Mul(a, b)) }
	add := func(a, b *big.Int) *big.Int { return mod(new(big.Int).Add(a, b)) }
	sub := func(a, b *big.Int) *big.Int { return mod(new(big.Int).Sub(a, b)) }
	x2, z2, x3, z3 := big.NewInt(1), big.NewInt(0), u, big.NewInt(1)
	for i := 255; i >= 0; i-- {
		if k.Bit(i) == 1 {
			x2, z2, x3, z3 = x3, z3, x2, z2
		}
		a, b, c, d := add(x2, z2), sub(x2, z2), add(x3, z3), sub(x3, z3)
		da, cb, aa, bb := mul(d, a), mul(c, b), mul(a, a), mul(b, b)
		s, e := add(da, cb), sub(da, cb)
		x3, z3 = mul(s, s), mul(u, mul(e, e))
		e = sub(aa, bb)
		x2, z2 = mul(aa, bb), mul(e, add(aa, mul(big.NewInt(121665), e)))
		if k.Bit(i) == 1 {
			x2, z2, x3, z3 = x3, z3, x2, z2
		}
	}
	return mul(x2, new(big.Int).Exp(z2, new(big.Int).Sub(p, big.NewInt(2)), p))
}

// TestShuffler1CannotMerge covers a shuffler 1 that sends one point for all reports,
// or exchanges the points of two.
func TestShuffler1CannotMerge(t *testing.T) {
	r := seeded(6)
	crowds := make([]int, 50) // all of one crowd
	factors, gammas, tags := batch(t, r, crowds)
	same := make([][Size]byte, len(crowds))
	for i := range same {
		same[i] = gammas[0]
	}
	merged, err := Unblind(factors, same)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[Size]byte]bool{}
	for _, tag := range merged {
		seen[tag.Value] = true
	}
	if len(seen) != len(crowds) {
		t.Errorf("one point for %d reports has %d tags", len(crowds), len(seen))
	}
	gammas[0], gammas[1] = gammas[1], gammas[0]
	swapped, err := Unblind(factors, gammas)
	if err != nil {
		t.Fatal(err)
	}
	for i := range swapped {
		if i < 2 == (swapped[i] == tags[0]) {
			t.Errorf("report %d with the points of reports 0 and 1 exchanged: same tag %v", i, swapped[i] == tags[0])
		}
	}
}

// TestTwist covers clients that send points of the twist: each harms itself only.
func TestTwist(t *testing.T) {
	r := seeded(7)
	_, _, honest := batch(t, r, []int{0, 1, 2, 3})
	curve := map[[Size]byte]bool{}
	for _, tag := range honest {
		curve[tag.Value] = true
	}
	exponent, err := NewExponent(r)
	if err != nil {
		t.Fatal(err)
	}
	p, half := prime(), new(big.Int).Rsh(prime(), 1)
	var points [][Size]byte
	for len(points) < 40 {
		point := draw(r)
		point[Size-1] &= 127
		u := number(point[:])
		v := new(big.Int).Mul(u, new(big.Int).Add(new(big.Int).Mul(u, u), new(big.Int).Add(new(big.Int).Mul(big.NewInt(486662), u), big.NewInt(1))))
		if new(big.Int).Exp(v, half, p).Cmp(big.NewInt(1)) != 0 {
			points = append(points, point)
		}
	}
	factors, gammas := make([]Factor, len(points)), make([][Size]byte, len(points))
	for i, product := range exponent.Multiply(points) {
		factors[i] = NewFactor(draw(r))
		gammas[i], _ = product.Secret()
	}
	tags, err := Unblind(factors, gammas)
	if err != nil {
		t.Fatal(err)
	}
	for i, tag := range tags {
		if !tag.OK || curve[tag.Value] {
			t.Errorf("point %d of the twist has the tag %x, %v", i, tag.Value, tag.OK)
		}
		curve[tag.Value] = true
	}
}

// TestRedacted covers secrets in logs.
func TestRedacted(t *testing.T) {
	f := NewFactor([Size]byte{1: 0xab, 2: 0xcd})
	for _, text := range []string{fmt.Sprint(f), fmt.Sprintf("%x %v %#v %d", f, f, f, f), slog.AnyValue(f).Resolve().String()} {
		if strings.Contains(strings.ToLower(text), "abcd") || strings.Contains(text, "171") || !strings.Contains(text, "redacted") {
			t.Errorf("a factor prints as %q", text)
		}
	}
}

func TestExponentNeedsRandomness(t *testing.T) {
	if _, err := NewExponent(strings.NewReader("short")); err == nil {
		t.Error("an exponent of 5 bytes")
	}
}

// FuzzUnblind compares with crypto/ecdh for any factor and point.
func FuzzUnblind(f *testing.F) {
	f.Add(make([]byte, Size), make([]byte, Size))
	f.Add(bytes.Repeat([]byte{0xff}, Size), bytes.Repeat([]byte{0xff}, Size))
	for _, point := range smallOrder() {
		f.Add(bytes.Repeat([]byte{7}, Size), point[:])
	}
	f.Fuzz(func(t *testing.T, secret, point []byte) {
		if len(secret) != Size || len(point) != Size {
			return
		}
		factor := NewFactor([Size]byte(secret))
		tags, err := Unblind([]Factor{factor}, [][Size]byte{[Size]byte(point)})
		if err != nil {
			t.Fatal(err)
		}
		if want, ok := standard(slowInverse(factor.scalar), [Size]byte(point)); tags[0] != (Tag{want, ok}) {
			t.Errorf("tag %x, want %x", tags[0].Value, want)
		}
	})
}

// FuzzHashToCurve shows that every message leads to a point of the subgroup of
// prime order: l times it is the point at infinity.
func FuzzHashToCurve(f *testing.F) {
	f.Add("", []byte(nil))
	f.Add(domain, []byte("crowd"))
	f.Fuzz(func(t *testing.T, domain string, message []byte) {
		point := HashToCurve(domain, message)
		if got := ladder(order(), number(point[:])); got.Sign() != 0 {
			t.Errorf("l times %x is %x", point, got)
		}
	})
}
