package arc

import (
	"bytes"
	"errors"
	"math/big"
	"math/rand/v2"
	"testing"

	"filippo.io/nistec"

	"github.com/shoal-project/shoal/internal/p256"
)

// scalars are those at which recodings go wrong, and some random ones.
func scalars(t *testing.T) []residue {
	t.Helper()
	list := []residue{{}, small(1), small(2), small(63), small(64), small(65), small(127), small(128), order.neg(small(1)), order.neg(small(2))}
	r := rand.New(rand.NewPCG(3, 4))
	for range 12 {
		var wide [wideSize]byte
		for i := range wide {
			wide[i] = byte(r.Uint32())
		}
		list = append(list, order.reduce(&wide))
	}
	for _, pattern := range []byte{0x55, 0xaa, 0x80, 0x01, 0x7f, 0xfe} {
		s, err := order.decode(bytes.Repeat([]byte{pattern}, scalarSize))
		if err == nil {
			list = append(list, s)
		}
	}
	top := residue{0x80}
	return append(list, top)
}

// oracle is the multiplication of the library.
func oracle(t *testing.T, s *residue, e *element) *nistec.P256Point {
	t.Helper()
	p, err := nistec.NewP256Point().SetBytes(e.enc[:])
	if err == nil {
		_, err = p.ScalarMult(p, s[:])
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// same compares a point with one of the library.
func same(t *testing.T, got *p256.Point, want *nistec.P256Point) bool {
	t.Helper()
	e, err := newElement(got)
	if err != nil {
		return want.IsInfinity() == 1
	}
	return bytes.Equal(e.enc[:], want.BytesCompressed())
}

func TestMultiplications(t *testing.T) {
	gen := generators()
	p, err := newElement(gen.h.times(&residue{31: 7}))
	if err != nil {
		t.Fatal(err)
	}
	q, err := newElement(gen.g.times(&residue{31: 9}))
	if err != nil {
		t.Fatal(err)
	}
	public := verifiers()
	list := scalars(t)
	for i, a := range list {
		b := list[(i+5)%len(list)]
		want := nistec.NewP256Point()
		products := []product{{a, &public[0]}, {b, &public[1]}, {b, p.withTable(p256.WidthOnce)}, {a, q.withTable(p256.WidthOften)}}
		for n, product := range products {
			one := oracle(t, &product.scalar, product.element)
			want.Add(want, one)
			var sum p256.Point
			for _, list := range [][]struct {
				products int
				want     *nistec.P256Point
			}{{{n, one}}, {{0, want}}} {
				if err := runSum(&sum, products[list[0].products:n+1]); err != nil || !same(t, &sum, list[0].want) {
					t.Fatalf("products from %d to %d of %x and %x: %v", list[0].products, n, a, b, err)
				}
			}
			if got := product.element.times(&product.scalar); !same(t, got, one) {
				t.Fatalf("product %d of %x in constant time", n, product.scalar)
			}
		}
		if got, want := timesBoth(&a, &b), oracle(t, &a, gen.g); !same(t, got, want.Add(want, oracle(t, &b, gen.h))) {
			t.Fatalf("%x G + %x H", a, b)
		}
	}
	var sum p256.Point
	if err := runSum(&sum, make5(p)); err == nil {
		t.Error("a sum of five points was computed")
	}
}

// make5 returns one product more than a sum has.
func make5(e *element) []product {
	e = e.withTable(p256.WidthOnce)
	return []product{{small(1), e}, {small(1), e}, {small(1), e}, {small(1), e}, {small(1), e}}
}

func TestResidues(t *testing.T) {
	for _, m := range []*modulus{order} {
		n := new(big.Int).SetBytes(m.m.Nat().Bytes(m.m))
		r := rand.New(rand.NewPCG(5, 6))
		for i := range 30 {
			var wide [wideSize]byte
			for j := range wide {
				wide[j] = byte(r.Uint32())
			}
			if i == 0 {
				wide = [wideSize]byte(bytes.Repeat([]byte{0xff}, wideSize))
			}
			v := new(big.Int).SetBytes(wide[:])
			a := m.reduce(&wide)
			if want := new(big.Int).Mod(v, n); new(big.Int).SetBytes(a[:]).Cmp(want) != 0 {
				t.Errorf("%x reduces to %x, want %x", wide, a, want)
			}
			if m.mul(a, m.inverse(a)) != small(1) {
				t.Errorf("%x has the inverse %x", a, m.inverse(a))
			}
		}
		last := n.Sub(n, big.NewInt(1)).FillBytes(make([]byte, scalarSize))
		if _, err := m.decode(last); err != nil {
			t.Errorf("decoding the modulus less one: %v", err)
		}
		last[scalarSize-1]++
		if _, err := m.decode(last); err == nil {
			t.Error("the modulus was decoded")
		}
	}
	if !bytes.Equal(order.minus2[:31], order.m.Nat().Bytes(order.m)[:31]) {
		t.Error("the exponent of inversion is not the order less two")
	}
}

func TestDecodeElement(t *testing.T) {
	gen := generators()
	for name, b := range map[string][]byte{
		"empty":               nil,
		"identity":            {0},
		"identity, padded":    make([]byte, elementSize),
		"uncompressed":        append([]byte{4}, bytes.Repeat([]byte{1}, 64)...),
		"x = p":               append([]byte{2}, fromHex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff")...),
		"hybrid":              append([]byte{6}, gen.h.enc[1:]...),
		"not on the curve":    append([]byte{2}, bytes.Repeat([]byte{0x11}, 32)...),
		"a byte more":         append(gen.h.enc[:], 0),
		"prefix 4, one short": append([]byte{4}, gen.h.enc[1:]...),
	} {
		if e, err := decodeElement(b); err == nil {
			t.Errorf("%s was decoded as %x", name, e.enc)
		}
	}
	if _, err := newElement(new(p256.Point)); err == nil {
		t.Error("the identity became an element")
	}
	if e, err := decodeElement(gen.h.enc[:]); err != nil || *e.point != *gen.h.point {
		t.Errorf("decoding H: %v", err)
	}
}

// TestRandomness checks that a failing source fails every call, wherever it
// fails, and that a source of zeros is refused.
func TestRandomness(t *testing.T) {
	if _, err := randomScalar(bytes.NewReader(make([]byte, 1000))); err == nil {
		t.Error("zeros gave a scalar")
	}
	p := newParty(t)
	secrets, request, err := NewRequest(newDRNG("a").next("nnnnnnn"), requestContext)
	if err != nil || secrets == nil {
		t.Fatal(err)
	}
	c := newContext(t, "context", 4)
	for name, f := range map[string]func(plan string) error{
		"GenerateKey": func(plan string) error { _, err := GenerateKey(newDRNG("b").next(plan)); return err },
		"NewRequest": func(plan string) error {
			_, _, err := NewRequest(newDRNG("c").next(plan), requestContext)
			return err
		},
		"Issue": func(plan string) error { _, err := p.key.Issue(newDRNG("d").next(plan), request); return err },
		"Present": func(plan string) error {
			_, err := p.credential.Present(newDRNG("e").next(plan), c, 3, nil)
			return err
		},
	} {
		want := map[string]int{"GenerateKey": 4, "NewRequest": 7, "Issue": 8, "Present": 4 + 1 + 11}[name]
		for n := range want {
			if err := f(nonces(n)); err == nil {
				t.Errorf("%s with %d scalars of %d: no error", name, n, want)
			} else if errors.Is(err, ErrProof) || errors.Is(err, ErrEncoding) {
				t.Errorf("%s with %d scalars of %d: %v", name, n, want, err)
			}
		}
		if err := f(nonces(want)); err != nil {
			t.Errorf("%s with %d scalars: %v", name, want, err)
		}
	}
}

// runSum computes a sum.
func runSum(sum *p256.Point, products []product) error {
	w, err := sumVarTime(sum, products)
	if err == nil && w != nil {
		p256.Run(w)
	}
	return err
}
