package p256

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

func modulus() *big.Int {
	p, _ := new(big.Int).SetString("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff", 16)
	return p
}

// elements are the edges of the field and random ones.
func elements() []Element {
	p := modulus()
	var list []*big.Int
	for _, v := range []int64{0, 1, 2, 3} {
		list = append(list, big.NewInt(v), new(big.Int).Sub(p, big.NewInt(v+1)))
	}
	for shift := uint(31); shift < 256; shift += 32 {
		v := new(big.Int).Lsh(big.NewInt(1), shift)
		list = append(list, v, new(big.Int).Sub(v, big.NewInt(1)), new(big.Int).Sub(p, v))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		b := make([]byte, 40)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		list = append(list, new(big.Int).Mod(new(big.Int).SetBytes(b), p))
	}
	out := make([]Element, len(list))
	for i, v := range list { // the limbs themselves are the edges
		for j := range out[i] {
			out[i][j] = new(big.Int).And(new(big.Int).Rsh(v, uint(64*j)), new(big.Int).SetUint64(p0)).Uint64()
		}
	}
	return out
}

// value returns the number that the limbs are.
func (z *Element) value() *big.Int {
	v := new(big.Int)
	for i := range z {
		v.Lsh(v, 64).Or(v, new(big.Int).SetUint64(z[3-i]))
	}
	return v
}

// TestField holds every operation, in assembly and in Go, to math/big.
func TestField(t *testing.T) {
	p := modulus()
	inverseR := new(big.Int).ModInverse(new(big.Int).Lsh(big.NewInt(1), 256), p)
	list := elements()
	for _, x := range list {
		for _, y := range list {
			product := new(big.Int).Mul(x.value(), y.value())
			product.Mul(product, inverseR).Mod(product, p)
			var a, b, sum, difference Element
			a.mul(&x, &y)
			mulGeneric(&b, &x, &y)
			if a.value().Cmp(product) != 0 || a != b {
				t.Fatalf("%x * %x: %x and %x, want %x", x, y, a, b, product)
			}
			sum.add(&x, &y)
			difference.sub(&x, &y)
			if want := new(big.Int).Mod(new(big.Int).Add(x.value(), y.value()), p); sum.value().Cmp(want) != 0 {
				t.Fatalf("%x + %x: %x, want %x", x, y, sum, want)
			}
			if want := new(big.Int).Mod(new(big.Int).Sub(x.value(), y.value()), p); difference.value().Cmp(want) != 0 {
				t.Fatalf("%x - %x: %x, want %x", x, y, difference, want)
			}
		}
		var a, b, c Element
		for n := 1; n < 4; n++ {
			a.sqr(&x, n)
			sqrGeneric(&b, &x, n)
			if a != b {
				t.Fatalf("%x^(2^%d): %x, want %x", x, n, a, b)
			}
		}
		a.sqr(&x, 1)
		if c.root(&a) != true || c != x && *b.sub2(&Element{}, &c) != x {
			t.Fatalf("the root of %x^2 is %x", x, c)
		}
		a.invert(&x)
		a.mul(&a, &x)
		if x.isZero() != a.isZero() || !a.isZero() && a != one {
			t.Fatalf("%x times its inverse is %x", x, a)
		}
		var encoded [32]byte
		x.bytes(encoded[:])
		if !b.setBytes(encoded[:]) || b != x {
			t.Fatalf("%x is encoded as %x and read as %x", x, encoded, b)
		}
	}
	for i := range 5 { // p and above
		var b [32]byte
		new(big.Int).Add(p, big.NewInt(int64(i))).FillBytes(b[:])
		if new(Element).setBytes(b[:]) {
			t.Errorf("p + %d was read", i)
		}
	}
}

func (z *Element) sub2(x, y *Element) *Element { z.sub(x, y); return z }
