package p256

import (
	"bytes"
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"testing"

	"filippo.io/nistec"
)

// scalars are those at which recodings go wrong, and some random ones.
func scalars() []Scalar {
	n := nistecOrder()
	var out []Scalar
	add := func(v *big.Int) {
		var s Scalar
		new(big.Int).Mod(v, n).FillBytes(s[:])
		out = append(out, s)
	}
	for _, v := range []int64{0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025} {
		add(big.NewInt(v))
		add(big.NewInt(-v))
	}
	for _, b := range []byte{0x55, 0xaa, 0x80, 0x01, 0x7f, 0xfe} {
		add(new(big.Int).SetBytes(bytes.Repeat([]byte{b}, 32)))
	}
	add(new(big.Int).Lsh(big.NewInt(1), 255))
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		b := make([]byte, 40)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		add(new(big.Int).SetBytes(b))
	}
	return out
}

// library returns the point of the library.
func library(t testing.TB, p *Affine) *nistec.P256Point {
	t.Helper()
	b := p.Bytes()
	q, err := nistec.NewP256Point().SetBytes(b[:])
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func mult(t testing.TB, p *Affine, s *Scalar) *nistec.P256Point {
	t.Helper()
	q, err := nistec.NewP256Point().ScalarMult(library(t, p), s[:])
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// check compares a point with that of the library.
func check(t testing.TB, what string, got *Point, want *nistec.P256Point) {
	t.Helper()
	var b []byte
	var affine [1]Affine
	if Normalize(affine[:], []Point{*got}) {
		encoded := affine[0].Bytes()
		b = encoded[:]
	} else {
		b = []byte{0}
	}
	if !bytes.Equal(b, want.BytesCompressed()) {
		t.Fatalf("%s: %x, want %x", what, b, want.BytesCompressed())
	}
}

// randomPoint returns a multiple of the generator.
func randomPoint(t testing.TB, seed uint64) *Affine {
	t.Helper()
	var s Scalar
	binary.BigEndian.PutUint64(s[8:], seed*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(s[24:], seed)
	p, err := Decode(mult(t, Generator(), &s).BytesCompressed())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestProducts holds all ways to multiply to the library.
func TestProducts(t *testing.T) {
	p, q := randomPoint(t, 5), randomPoint(t, 7)
	var negated Affine
	negated.Negate(p)
	list := scalars()
	tables := map[*Affine]map[uint]*Table{}
	for _, point := range []*Affine{p, q, &negated} {
		tables[point] = map[uint]*Table{}
		var requests []TableRequest
		for _, width := range []uint{WidthOnce, WidthSecret, WidthOften, WidthMost} {
			requests = append(requests, TableRequest{width, new(Point).Set(point)})
		}
		made, ok := NewTablesOf(requests)
		for i, r := range requests {
			if !ok || *made[i].Point() != *point {
				t.Fatal("the table of a point is not that of the point")
			}
			tables[point][r.Width] = &made[i]
		}
	}
	base, secret := NewBase(p), NewSecretBase(p)
	other := NewSecretBase(q)
	offset := NewOffset(&list[len(list)-1])
	hidden := randomPoint(t, 11)
	for i := range list {
		a, b := &list[i], &list[(i+5)%len(list)]
		aP := mult(t, p, a)
		bP, bQ := mult(t, p, b), mult(t, q, b)
		var got, left, right Point
		check(t, "Mult", got.Mult(p, a), aP)
		check(t, "multNistec", got.multNistec(p, a), aP)
		check(t, "MultTable", got.MultTable(tables[p][WidthOften], a), aP)
		got = Point{}
		base.AddVarTime(&got, a)
		check(t, "AddVarTime", &got, aP)
		PairVarTime(&left, &right, p, a, b)
		check(t, "PairVarTime, left", &left, aP)
		check(t, "PairVarTime, right", &right, bP)
		sum := nistec.NewP256Point().Add(aP, bQ)
		check(t, "SumBases", SumBases(&got, hidden, BaseTerm{secret, a}, BaseTerm{other, b}), sum)
		check(t, "Offset.Mult", offset.Mult(&got, tables[p][WidthSecret], tables[q][WidthOften], a, b), sum)
		// Equal and opposite points are what an adversary sends.
		check(t, "Offset.Mult, equal", offset.Mult(&got, tables[p][WidthSecret], tables[p][WidthSecret], a, b), nistec.NewP256Point().Add(aP, bP))
		check(t, "Offset.Mult, opposite", offset.Mult(&got, tables[p][WidthSecret], tables[&negated][WidthSecret], a, a), nistec.NewP256Point())
		for _, width := range []uint{WidthOnce, WidthOften, WidthMost} {
			SumVarTime(&got, []Term{{tables[p][width], a}})
			check(t, "SumVarTime of one", &got, aP)
			SumVarTime(&got, []Term{{tables[p][width], a}, {tables[q][WidthOnce], b}})
			check(t, "SumVarTime of two", &got, sum)
			SumVarTime(&got, []Term{{tables[p][width], a}, {tables[p][WidthOnce], a}, {tables[&negated][width], a}, {tables[q][width], b}})
			check(t, "SumVarTime of four", &got, sum)
		}
	}
}

// TestAdditions adds equal and opposite points, and the identity, in all coordinates, in
// assembly and in Go.
func TestAdditions(t *testing.T) {
	p, q := randomPoint(t, 1), randomPoint(t, 2)
	var minus Affine
	minus.Negate(p)
	var scaled, doubled Point
	scaled.Add(new(Point).Set(p), new(Point).Set(q))
	scaled.AddAffine(&scaled, new(Affine).Negate(q)) // p with another z
	if scaled.z == one || !scaled.Equal(new(Point).Set(p)) {
		t.Fatal("p + q - q is not p")
	}
	lib := library(t, p)
	check(t, "a + a", new(Point).Add(&scaled, new(Point).Set(p)), nistec.NewP256Point().Double(lib))
	check(t, "a + affine a", new(Point).AddAffine(&scaled, p), nistec.NewP256Point().Double(lib))
	check(t, "a - a", new(Point).Add(&scaled, new(Point).Set(&minus)), nistec.NewP256Point())
	check(t, "a - affine a", new(Point).AddAffine(&scaled, &minus), nistec.NewP256Point())
	check(t, "0 + a", new(Point).Add(&Point{}, &scaled), lib)
	check(t, "a + 0", new(Point).Add(&scaled, &Point{}), lib)
	check(t, "0 + affine a", new(Point).AddAffine(&Point{}, p), lib)
	check(t, "0 + 0", new(Point).Add(&Point{}, &Point{}), nistec.NewP256Point())
	check(t, "2 * 0", new(Point).Double(&Point{}, 3), nistec.NewP256Point())
	if scaled.Equal(&Point{}) || !new(Point).Equal(&Point{}) || scaled.Equal(new(Point).Set(&minus)) || scaled.Equal(new(Point).Set(q)) {
		t.Error("Equal is wrong")
	}
	want := nistec.NewP256Point().Set(lib)
	for n := 1; n < 4; n++ {
		doubleGeneric(&doubled, &scaled, n)
		check(t, "doubled in Go", &doubled, want.Double(want))
		check(t, "doubled", new(Point).Double(&scaled, n), want)
	}
	r := randomPoint(t, 3)
	want = nistec.NewP256Point().Add(lib, library(t, r))
	other := new(Point).Add(new(Point).Set(r), &Point{z: Element{}})
	var sum Point
	addAffineGeneric(&sum, &scaled, r)
	check(t, "added in Go", &sum, want)
	addGeneric(&sum, &scaled, other)
	check(t, "added in Go with two z", &sum, want)
	check(t, "added with two z", new(Point).Add(&scaled, other), want)
	aliased := scaled
	check(t, "added in place", aliased.Add(&aliased, other), want)
	aliased = *other
	check(t, "added to the second in place", aliased.Add(&scaled, &aliased), want)
}

// TestNormalize has the identity among points.
func TestNormalize(t *testing.T) {
	points := []Point{{}, *new(Point).Set(randomPoint(t, 1)), {}, *new(Point).Double(new(Point).Set(randomPoint(t, 2)), 3), {}}
	out := make([]Affine, len(points))
	if Normalize(out, points) {
		t.Error("identities went unnoticed")
	}
	for i := range points {
		if points[i].IsIdentity() != (out[i] == Affine{}) || out[i] != (Affine{}) && !new(Point).Set(&out[i]).Equal(&points[i]) {
			t.Errorf("point %d is normalized to %x", i, out[i])
		}
	}
	if !Normalize(nil, nil) {
		t.Error("no point is the identity")
	}
	if _, ok := NewTables(WidthOnce, &Point{}); ok {
		t.Error("a table of the identity")
	}
}

func TestSelect(t *testing.T) {
	var table [ctEntries]Affine
	for i := range table {
		table[i] = *randomPoint(t, uint64(i+1))
	}
	for i := range uint64(ctEntries) {
		var a, b Affine
		pick(&a, &table, uint8(i), 0)
		selectGeneric(&b, &table, i)
		if a != table[i] || b != table[i] {
			t.Errorf("entry %d is not what was selected", i)
		}
		pick(&a, &table, uint8(i), ^uint64(0))
		if a != *b.Negate(&table[i]) {
			t.Errorf("entry %d was not negated", i)
		}
	}
}

func TestDecode(t *testing.T) {
	p := randomPoint(t, 9)
	encoded := p.Bytes()
	for _, e := range [][]byte{encoded[:], new(Affine).Negate(p).encoded()} {
		q, err := Decode(e)
		if err != nil || !bytes.Equal(q.encoded(), e) {
			t.Errorf("%x is decoded as %v, %v", e, q, err)
		}
	}
	for _, b := range [][]byte{nil, {0}, make([]byte, Size), encoded[:32], append(encoded[:], 0), append([]byte{4}, encoded[1:]...), append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...)} {
		if _, err := Decode(b); err == nil {
			t.Errorf("%x was decoded", b)
		}
	}
	u := p.uncompressed()
	if q, err := FromCoordinates(u[1:33], u[33:]); err != nil || *q != *p {
		t.Errorf("coordinates: %v", err)
	}
	if _, err := FromCoordinates(u[1:33], u[1:33]); err == nil {
		t.Error("coordinates off the curve were read")
	}
	if _, err := FromCoordinates(u[1:33], nil); err == nil {
		t.Error("a point without y was read")
	}
}

func (p *Affine) encoded() []byte { b := p.Bytes(); return b[:] }

// TestMapExceptions maps 0, for which the denominator has a case of its own, and 1 and -1, which
// differ in the sign alone. Package arc has the vectors of RFC 9380.
func TestMapExceptions(t *testing.T) {
	minus := *new(Element).sub2(&Element{}, &one)
	var y [3]Element
	for i, u := range []Element{{}, one, minus} {
		f := mapToCurve(&u)
		var x, left, right Element
		x.invert(&f.den)
		x.mul(&x, &f.num)
		left.sqr(&f.y, 1)
		right.curve(&x)
		if left != right || u.odd() != f.y.odd() {
			t.Errorf("%x maps off the curve or to the wrong sign", u)
		}
		y[i] = f.y
	}
	if y[1] != *new(Element).sub2(&Element{}, &y[2]) {
		t.Errorf("1 and -1 map to y %x and %x, want opposites", y[1], y[2])
	}
	if _, err := MapUniform(&[UniformSize]byte{}); err != nil {
		t.Error(err) // twice the image of 0
	}
}

// FuzzProducts compares products and decoding with the library.
func FuzzProducts(f *testing.F) {
	p := randomPoint(f, 21)
	encoded := p.Bytes()
	for _, s := range scalars() {
		f.Add(encoded[:], s[:], s[:])
	}
	f.Fuzz(func(t *testing.T, point, first, second []byte) {
		p, err := Decode(point)
		q, wantErr := nistec.NewP256Point().SetBytes(point)
		if compressed := len(point) == Size && wantErr == nil; compressed != (err == nil) {
			t.Fatalf("%x: %v, the library %v", point, err, wantErr)
		}
		if err != nil || len(first) != 32 || len(second) != 32 {
			return
		}
		a, b := Scalar(first), Scalar(second)
		for _, s := range []*Scalar{&a, &b} {
			if new(big.Int).SetBytes(s[:]).Cmp(new(big.Int).Add(nistecOrder(), big.NewInt(-1))) > 0 {
				return
			}
		}
		aP, err := nistec.NewP256Point().ScalarMult(q, a[:])
		if err != nil {
			t.Fatal(err)
		}
		bP, err := nistec.NewP256Point().ScalarMult(q, b[:])
		if err != nil {
			t.Fatal(err)
		}
		var got, other Point
		check(t, "Mult", got.Mult(p, &a), aP)
		PairVarTime(&got, &other, p, &a, &b)
		check(t, "left", &got, aP)
		check(t, "right", &other, bP)
		tables, _ := NewTables(WidthOnce, new(Point).Set(p), new(Point).Double(new(Point).Set(p), 1))
		SumVarTime(&got, []Term{{&tables[0], &a}, {&tables[1], &b}})
		check(t, "sum", &got, nistec.NewP256Point().Add(aP, nistec.NewP256Point().Double(bP)))
	})
}

func nistecOrder() *big.Int {
	n := new(big.Int)
	for i := range order {
		n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(order[3-i]))
	}
	return n
}
