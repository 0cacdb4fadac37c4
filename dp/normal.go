package dp

import (
	"encoding/binary"
	"io"
	"math/big"
	"math/bits"
	"slices"
)

// tableBits is the width of the entries of a noise table: probabilities are
// whole multiples of 2^-128.
const tableBits = 128

// u128 is an unsigned 128-bit integer.
type u128 struct{ hi, lo uint64 }

func (u u128) big() *big.Int {
	x := new(big.Int).SetUint64(u.hi)
	x.Lsh(x, 64)
	return x.Or(x, new(big.Int).SetUint64(u.lo))
}

func toU128(x *big.Int) u128 {
	var b [16]byte
	x.FillBytes(b[:])
	return u128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// normal is the rounded normal Z = round(N(0, sigma^2)) as it is sampled:
// P(Z <= low+i) is exactly cdf[i]/2^128, which is the true probability to
// within 2^-128. It is symmetric about 0, and low is its smallest value.
// Values beyond about 13 sigma, whose probability rounds to 0, do not occur.
type normal struct {
	low int64
	cdf []u128 // strictly increasing; the last value, with P = 1, is left out
}

// newNormal computes the table for a sigma in thousandths. It has about 26
// sigma entries and takes some 0.1 ms for each.
func newNormal(sigmaMilli uint32) *normal {
	one := new(big.Int).Lsh(big.NewInt(1), tableBits)
	pi := pi()
	var upper []*big.Int // 2^128 P(Z <= j) for j = 0, 1, ...
	for j := int64(0); ; j++ {
		// P(Z <= j) = Phi((j + 1/2) / sigma), and sigma = sigmaMilli/1000.
		y := new(big.Float).SetPrec(prec).SetInt64(500 * (2*j + 1))
		y.Quo(y, new(big.Float).SetPrec(prec).SetInt64(int64(sigmaMilli)))
		if y.Cmp(intFloat(14)) > 0 { // 1-Phi(14) < 2^-146 rounds to 0
			break
		}
		c := roundToInt(new(big.Float).SetMantExp(normalCDF(y, pi), tableBits))
		if c.Cmp(one) >= 0 {
			break
		}
		upper = append(upper, c)
	}
	n := &normal{low: -int64(len(upper))}
	for _, c := range slices.Backward(upper) { // P(Z <= -1-j) = 1 - P(Z <= j)
		n.cdf = append(n.cdf, toU128(complement(c)))
	}
	for _, c := range upper {
		n.cdf = append(n.cdf, toU128(c))
	}
	return n
}

// high is the largest value.
func (n *normal) high() int64 { return n.low + int64(len(n.cdf)) }

// sample reads 16 bytes and returns a value. Its time and memory trace depend
// on the table's length only.
func (n *normal) sample(r io.Reader) (int64, error) {
	var b [tableBits / 8]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, err
	}
	u := u128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
	z := n.high()
	for i := range n.cdf {
		_, borrow := bits.Sub64(u.lo, n.cdf[i].lo, 0)
		_, borrow = bits.Sub64(u.hi, n.cdf[i].hi, borrow)
		z -= int64(borrow) // u is below the entry, so the value is one lower
	}
	return z, nil
}

// atMost returns 2^128 P(Z <= z), an integer.
func (n *normal) atMost(z int64) *big.Int {
	switch {
	case z < n.low:
		return new(big.Int)
	case z >= n.high():
		return new(big.Int).Lsh(big.NewInt(1), tableBits)
	}
	return n.cdf[z-n.low].big()
}

// mass returns 2^128 P(Z = z), an integer.
func (n *normal) mass(z int64) *big.Int {
	p := n.atMost(z)
	return p.Sub(p, n.atMost(z-1))
}

// within95 returns the least m for which P(|Z| <= m) is at least 95 %.
func (n *normal) within95() uint64 {
	enough := new(big.Int).Lsh(big.NewInt(95), tableBits)
	for m := int64(0); ; m++ {
		inside := n.atMost(m)
		inside.Sub(inside, n.atMost(-m-1))
		if inside.Mul(inside, big.NewInt(100)).Cmp(enough) >= 0 {
			return uint64(m)
		}
	}
}
