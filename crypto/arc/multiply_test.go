package arc

import (
	"bytes"
	"errors"
	"math/big"
	"math/rand/v2"
	"testing"

	"filippo.io/nistec"
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
	list := scalars(t)
	for i, a := range list {
		b := list[(i+5)%len(list)]
		want := nistec.NewP256Point()
		products := []product{{a, gen.g}, {b, gen.h}, {b, p}, {a, q}, {a, p}, {b, q}}
		for n, product := range products {
			one := product.element.times(&product.scalar)
			want.Add(want, one)
			if got := sumVarTime(products[n : n+1]); got.Equal(one) != 1 {
				t.Fatalf("product %d of %x: %x, want %x", n, product.scalar, got.Bytes(), one.Bytes())
			}
			if got := sumVarTime(products[:n+1]); got.Equal(want) != 1 {
				t.Fatalf("%d products of %x and %x: %x, want %x", n+1, a, b, got.Bytes(), want.Bytes())
			}
		}
		left, right := pairVarTime(p.point, &a, &b)
		if left.Equal(p.times(&a)) != 1 || right.Equal(p.times(&b)) != 1 {
			t.Fatalf("the pair of %x and %x is %x and %x", a, b, left.Bytes(), right.Bytes())
		}
	}
}

func TestResidues(t *testing.T) {
	for _, m := range []*modulus{order, prime} {
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
		"uncompressed":        gen.h.point.Bytes(),
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
	if _, err := newElement(nistec.NewP256Point()); err == nil {
		t.Error("the identity became an element")
	}
	if e, err := decodeElement(gen.h.enc[:]); err != nil || e.point.Equal(gen.h.point) != 1 {
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
