package dp

import (
	"errors"
	"fmt"
	"io"
	"math/big"
)

// The samplers of this file follow Canonne, Kamath and Steinke, "The Discrete
// Gaussian for Differential Privacy" (2020, arXiv 2004.00010), algorithms 1 to
// 3. They use integers only and are exact: given uniform bytes, the result has
// the stated distribution and not one near it. They sample by rejection, so
// their time depends on the result.

// A DiscreteLaplace is the distribution on the integers with P(x)
// proportional to e^(-|x|/scale). A count with sensitivity 1 and such noise is
// (1/scale, 0) differentially private.
type DiscreteLaplace struct{ num, den *big.Int }

// NewDiscreteLaplace returns the distribution of scale num/den.
func NewDiscreteLaplace(num, den uint32) (DiscreteLaplace, error) {
	if num == 0 || den == 0 {
		return DiscreteLaplace{}, fmt.Errorf("discrete Laplace: scale %d/%d, want a positive fraction", num, den)
	}
	return DiscreteLaplace{big.NewInt(int64(num)), big.NewInt(int64(den))}, nil
}

// Sample draws a value. It fails only where r does. Its time depends on the value.
func (l DiscreteLaplace) Sample(r io.Reader) (int64, error) {
	d := draw{r: r}
	x := d.laplace(l.num, l.den)
	if d.err != nil {
		return 0, fmt.Errorf("drawing discrete Laplace noise: %w", d.err)
	}
	return x, nil
}

// A DiscreteGaussian is the distribution on the integers with P(x)
// proportional to e^(-x^2/(2 variance)). Its variance is a little below the
// parameter of that name, noticeably only where that is below 1.
type DiscreteGaussian struct{ num, den, scale *big.Int }

// NewDiscreteGaussian returns the distribution of variance parameter num/den.
func NewDiscreteGaussian(num, den uint64) (DiscreteGaussian, error) {
	if num == 0 || den == 0 {
		return DiscreteGaussian{}, fmt.Errorf("discrete Gaussian: variance %d/%d, want a positive fraction", num, den)
	}
	if num/den >= 1<<62 {
		return DiscreteGaussian{}, errors.New("discrete Gaussian: variance above 2^62")
	}
	n, d := new(big.Int).SetUint64(num), new(big.Int).SetUint64(den)
	scale := new(big.Int).Sqrt(new(big.Int).Quo(n, d))
	return DiscreteGaussian{n, d, scale.Add(scale, big.NewInt(1))}, nil
}

// Sample draws a value. It fails only where r does. Its time depends on the value.
func (g DiscreteGaussian) Sample(r io.Reader) (int64, error) {
	// A Laplace value y of scale t is kept with probability
	// e^-((|y| - v/t)^2 / 2v), v = num/den, which is e^-(a^2/b) for
	// a = |y| t den - num and b = 2 num den t^2.
	d := draw{r: r}
	b := new(big.Int).Mul(g.num, g.den)
	b.Mul(b, g.scale).Mul(b, g.scale).Lsh(b, 1)
	a := new(big.Int)
	for {
		y := d.laplace(g.scale, big.NewInt(1))
		a.SetInt64(max(y, -y))
		a.Mul(a, g.scale).Mul(a, g.den).Sub(a, g.num)
		keep := d.bernoulliExp(a.Mul(a, a), b)
		if d.err != nil {
			return 0, fmt.Errorf("drawing discrete Gaussian noise: %w", d.err)
		}
		if keep {
			return y, nil
		}
	}
}

// A draw takes random decisions from r. The first error stays in err and ends
// every loop; what is returned after it has no meaning.
type draw struct {
	r   io.Reader
	err error
	buf []byte
	u   big.Int
}

// below returns whether a uniform integer of [0, n) is less than m, n >= 1.
func (d *draw) below(m, n *big.Int) bool { return d.uniform(n).Cmp(m) < 0 }

// uniform returns a uniform integer of [0, n), n >= 1, valid until the next call.
func (d *draw) uniform(n *big.Int) *big.Int {
	width := n.BitLen()
	size := (width + 7) / 8
	if len(d.buf) < size {
		d.buf = make([]byte, size)
	}
	for d.err == nil {
		b := d.buf[:size]
		if _, d.err = io.ReadFull(d.r, b); d.err != nil {
			break
		}
		b[0] &= 0xff >> (8*size - width)
		if d.u.SetBytes(b).Cmp(n) < 0 {
			return &d.u
		}
	}
	return d.u.SetInt64(0)
}

// bernoulliExp returns true with probability e^-(n/m), n >= 0, m >= 1.
func (d *draw) bernoulliExp(n, m *big.Int) bool {
	whole, part := new(big.Int).QuoRem(n, m, new(big.Int))
	one := big.NewInt(1)
	for ; whole.Sign() > 0 && d.err == nil; whole.Sub(whole, one) {
		if !d.bernoulliExpUnit(one, one) {
			return false
		}
	}
	return d.bernoulliExpUnit(part, m)
}

// bernoulliExpUnit is bernoulliExp for n <= m: with x = n/m, the first k of
// which a coin of probability x/k fails is odd with probability e^-x.
func (d *draw) bernoulliExpUnit(n, m *big.Int) bool {
	bound := new(big.Int)
	for odd := true; ; odd = !odd {
		bound.Add(bound, m) // k*m
		if !d.below(n, bound) || d.err != nil {
			return odd
		}
	}
}

// laplace draws from the discrete Laplace distribution of scale num/den.
func (d *draw) laplace(num, den *big.Int) int64 {
	one := big.NewInt(1)
	x, two := new(big.Int), big.NewInt(2)
	for d.err == nil {
		x.Set(d.uniform(num))
		if !d.bernoulliExp(x, num) {
			continue
		}
		for d.bernoulliExpUnit(one, one) && d.err == nil {
			x.Add(x, num)
		}
		negative := d.below(one, two)
		x.Quo(x, den)
		if negative && x.Sign() == 0 {
			continue // 0 has one sign
		}
		if negative {
			return -x.Int64()
		}
		return x.Int64()
	}
	return 0
}
