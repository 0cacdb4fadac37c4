package x25519

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// A bound is the largest magnitude of each limb of an element of the four-lane kernel.
type bound [limbs]*big.Int

func power(n uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), n) }

func plus(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }

func uniform(n *big.Int) (b bound) {
	for i := range b {
		b[i] = n
	}
	return b
}

// sum bounds a sum or a difference.
func (b bound) sum(c bound) (s bound) {
	for i := range s {
		s[i] = plus(b[i], c[i])
	}
	return s
}

// above bounds the integer that is nearest to a number of this magnitude over 2^51.
func above(n *big.Int) *big.Int { return plus(new(big.Int).Rsh(n, limbBits), big.NewInt(1)) }

// A boundCheck goes through the kernel's steps with bounds instead of limbs.
type boundCheck struct{ *testing.T }

// mul bounds a raw product.
func (t boundCheck) mul(name string, a, b bound) (raw bound) {
	var column [2 * limbs]*big.Int
	for i := range column {
		column[i] = new(big.Int)
	}
	for i := range limbs {
		for j := range limbs {
			product := new(big.Int).Mul(a[i], b[j])
			if product.Cmp(power(102)) > 0 {
				t.Errorf("%s: limbs %d and %d have a product up to %v", name, i, j, product)
			}
			column[i+j].Add(column[i+j], power(50))
			column[i+j+1].Add(column[i+j+1], above(product))
		}
	}
	for i := range raw {
		raw[i] = plus(column[i], new(big.Int).Mul(big.NewInt(19), column[i+limbs]))
	}
	return raw
}

// carry bounds what CARRY leaves.
func (t boundCheck) carry(name string, raw bound) (tight bound) {
	for i := range raw {
		if raw[i].Cmp(power(62)) >= 0 {
			t.Errorf("%s: raw limb %d is up to %v, more than is added to it", name, i, raw[i])
		}
		carried := above(raw[(i+limbs-1)%limbs])
		if i == 0 {
			carried.Mul(carried, big.NewInt(19))
		}
		tight[i] = plus(power(50), carried)
		if limit := plus(power(50), power(13)); tight[i].Cmp(limit) > 0 {
			t.Errorf("%s: tight limb %d is up to %v", name, i, tight[i])
		}
	}
	return tight
}

// terms bounds E and F.
func (t boundCheck) terms(aa, bb bound) (e, f bound) {
	e = aa.sum(bb)
	for i := range f {
		product := new(big.Int).Mul(e[i], big.NewInt(121665))
		if total := plus(product, aa[i]); total.Cmp(power(68)) > 0 {
			t.Errorf("limb %d of F before it is reduced is up to %v, so that its rounding error is more than 2^14", i, total)
		}
		rest := plus(power(50), power(14))
		if lower := plus(rest, aa[i]); lower.Cmp(power(53)) > 0 {
			t.Errorf("limb %d of F passes through %v, no exact double", i, lower)
		}
		before := (i + limbs - 1) % limbs
		carried := above(plus(new(big.Int).Mul(e[before], big.NewInt(121665)), plus(aa[before], power(14))))
		if i == 0 {
			carried.Mul(carried, big.NewInt(19))
		}
		f[i] = plus(rest, carried)
	}
	return e, f
}

// TestBounds follows the largest limbs through a step of the ladder of four lanes, from any
// tight elements to tight elements: no product is too large to be computed exactly, and no
// sum for the constants that make it positive.
func TestBounds(t *testing.T) {
	c := boundCheck{t}
	tight := uniform(plus(power(50), power(13)))
	input := c.carry("input", uniform(power(52)))
	aa, bb := c.carry("AA", c.mul("AA", tight, tight)), c.carry("BB", c.mul("BB", tight, tight))
	da, cb := c.mul("DA", tight, tight), c.mul("CB", tight, tight)
	e, f := c.terms(aa, bb)
	z2 := c.mul("z2", f, e)
	sum := c.carry("DA+CB", da.sum(cb))
	z3 := c.mul("z3", c.carry("(DA-CB)^2", c.mul("(DA-CB)^2", sum, sum)), input)
	x2, x3 := c.mul("x2", aa, bb), c.mul("x3", sum, sum)
	c.carry("A, B", x2.sum(z2))
	c.carry("C, D", x3.sum(z3))
}

// TestHalvesOfProducts checks the arithmetic that the four-lane kernel rests on, with the
// largest factors, and with products half-way between two multiples of 2^51.
func TestHalvesOfProducts(t *testing.T) {
	c1 := math.Float64bits(3 * (1 << 102))
	low := math.Float64bits(3 * (1 << 51))
	r := rand.New(seeded(7))
	for round := range 100_000 {
		a, b := r.Int64N(1<<52+1)-1<<51, r.Int64N(1<<52+1)-1<<51
		switch round % 4 {
		case 0:
			a = 1<<51 - int64(r.IntN(2))
		case 1:
			a, b = -(1<<51 - int64(r.IntN(2))), 1<<51-int64(r.IntN(2))
		case 2:
			a, b = 1<<50, 2*(b>>2)+1
		}
		x, y := float64(a), float64(b)
		h := math.FMA(x, y, 3*(1<<102))
		l := math.FMA(x, y, 3*(1<<102)+3*(1<<51)-h)
		upper, lower := int64(math.Float64bits(h)-c1), int64(math.Float64bits(l)-low)
		got := plus(new(big.Int).Lsh(big.NewInt(upper), limbBits), big.NewInt(lower))
		if want := new(big.Int).Mul(big.NewInt(a), big.NewInt(b)); got.Cmp(want) != 0 || lower > 1<<50 || lower < -1<<50 {
			t.Fatalf("%d * %d is 2^51 * %d + %d", a, b, upper, lower)
		}
	}
}
