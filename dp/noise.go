package dp

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
)

// A Mechanism is a kind of noise on a sum.
type Mechanism uint8

// The mechanisms. The numbers are used in task configurations.
const (
	NoNoise  Mechanism = 0
	Laplace  Mechanism = 1 // discrete Laplace
	Gaussian Mechanism = 2 // discrete Gaussian
)

// String returns the mechanism in words.
func (m Mechanism) String() string {
	switch m {
	case NoNoise:
		return "none"
	case Laplace:
		return "discrete Laplace"
	case Gaussian:
		return "discrete Gaussian"
	}
	return fmt.Sprintf("mechanism %d", uint8(m))
}

// What bounds the scale of Laplace and the sigma of Gaussian noise, so that a sum
// of many values stays far from the ends of int64.
const (
	maxScale = 1 << 40
	maxSigma = 1 << 30
)

// A Noise is the noise that each of two aggregators adds to every element of its
// share of a sum, on its own and independently: the guarantee of one holds even
// if the other adds none, or reveals what it added. The zero value is no noise.
// Noises are equal iff they are ==.
type Noise struct {
	Mechanism   Mechanism
	Num, Den    uint32 // in lowest terms: epsilon of Laplace, sigma of Gaussian
	Sensitivity uint64 // Laplace only: the L1 sensitivity for which epsilon holds
}

// NewLaplaceNoise returns noise of scale sensitivity/epsilon, epsilon being
// num/den: a vector of sums that one client changes by at most sensitivity, in
// all elements together, is then (epsilon, 0) differentially private.
func NewLaplaceNoise(num, den uint32, sensitivity uint64) (Noise, error) {
	num, den = lowest(num, den)
	n := Noise{Mechanism: Laplace, Num: num, Den: den, Sensitivity: sensitivity}
	return n, n.Validate()
}

// NewGaussianNoise returns noise of standard deviation num/den.
func NewGaussianNoise(num, den uint32) (Noise, error) {
	num, den = lowest(num, den)
	n := Noise{Mechanism: Gaussian, Num: num, Den: den}
	return n, n.Validate()
}

func lowest(a, b uint32) (uint32, uint32) {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	if x == 0 {
		return a, b
	}
	return a / x, b / x
}

// Validate reports the first reason why there is no such noise.
func (n Noise) Validate() error {
	if n.Mechanism == NoNoise {
		if n != (Noise{}) {
			return errors.New("no noise, but parameters of one")
		}
		return nil
	}
	if n.Mechanism != Laplace && n.Mechanism != Gaussian {
		return fmt.Errorf("noise of %v is not known", n.Mechanism)
	}
	if n.Num == 0 || n.Den == 0 {
		return fmt.Errorf("%v noise with parameter %d/%d, want a positive fraction", n.Mechanism, n.Num, n.Den)
	}
	if a, _ := lowest(n.Num, n.Den); a != n.Num {
		return fmt.Errorf("%v noise with parameter %d/%d, which is not in lowest terms", n.Mechanism, n.Num, n.Den)
	}
	if n.Mechanism == Laplace && n.Sensitivity == 0 {
		return errors.New("discrete Laplace noise for a sensitivity of 0")
	}
	if n.Mechanism == Gaussian && n.Sensitivity != 0 {
		return errors.New("discrete Gaussian noise with an L1 sensitivity, which it has not")
	}
	if s := n.spread(); n.Mechanism == Laplace && s > maxScale {
		return fmt.Errorf("discrete Laplace noise of scale %.3g, at most %.3g is possible: epsilon is too small for the sensitivity", s, float64(maxScale))
	} else if n.Mechanism == Gaussian && s > maxSigma {
		return fmt.Errorf("discrete Gaussian noise of sigma %.3g, at most %.3g is possible", s, float64(maxSigma))
	}
	return nil
}

// spread returns the scale of Laplace or the sigma of Gaussian noise.
func (n Noise) spread() float64 {
	switch n.Mechanism {
	case Laplace:
		return float64(n.Sensitivity) * float64(n.Den) / float64(n.Num)
	case Gaussian:
		return float64(n.Num) / float64(n.Den)
	}
	return 0
}

// Draw fills dst with independent values. It fails on a noise that is not valid
// and where r does; dst is then of no use. Its time depends on the values.
func (n Noise) Draw(r io.Reader, dst []int64) error {
	sample, err := n.sampler()
	if err != nil {
		return err
	}
	for i := range dst {
		if dst[i], err = sample(r); err != nil {
			return err
		}
	}
	return nil
}

func (n Noise) sampler() (func(io.Reader) (int64, error), error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	num, den := new(big.Int).SetUint64(uint64(n.Num)), new(big.Int).SetUint64(uint64(n.Den))
	switch n.Mechanism {
	case Laplace:
		scale := new(big.Rat).SetFrac(den.Mul(den, new(big.Int).SetUint64(n.Sensitivity)), num)
		return DiscreteLaplace{scale.Num(), scale.Denom()}.Sample, nil
	case Gaussian:
		g, err := NewDiscreteGaussian(uint64(n.Num)*uint64(n.Num), uint64(n.Den)*uint64(n.Den))
		return g.Sample, err
	}
	return func(io.Reader) (int64, error) { return 0, nil }, nil
}

// Variance returns the variance of the sum of the noises of this many
// aggregators. For Gaussian noise it is an upper bound, and close above a sigma
// of 1.
func (n Noise) Variance(aggregators int) float64 {
	s, k := n.spread(), float64(aggregators)
	switch n.Mechanism {
	case Laplace:
		// 2q/(1-q)^2 for q = e^(-1/s), which is 1/(2 sinh^2(1/2s)).
		h := math.Sinh(1 / (2 * s))
		return k / (2 * h * h)
	case Gaussian:
		return k * s * s
	}
	return 0
}

// Guarantee returns what the noise of one aggregator gives a client that changes
// a vector of sums by at most l1, in all elements together, and by at most l2 in
// Euclidean length. delta, above 0 and below 1, is used by Gaussian noise only:
// its epsilon is rho + 2 sqrt(rho ln(1/delta)) for rho = (l2/sigma)^2/2, after
// Canonne, Kamath and Steinke and Bun and Steinke (2016), proposition 1.3. Figures
// are rounded up. Without noise epsilon is infinite.
func (n Noise) Guarantee(l1 uint64, l2, delta float64) Guarantee {
	switch n.Mechanism {
	case Laplace:
		return Guarantee{Epsilon: roundUp(float64(l1) / n.spread())}
	case Gaussian:
		rho := l2 * l2 / (2 * n.spread() * n.spread())
		return Guarantee{Epsilon: roundUp(rho + 2*math.Sqrt(rho*math.Log(1/delta))), Delta: delta}
	}
	return Guarantee{Epsilon: math.Inf(1)}
}

// String describes the noise in words.
func (n Noise) String() string {
	switch n.Mechanism {
	case NoNoise:
		return "none"
	case Laplace:
		return fmt.Sprintf("discrete Laplace, epsilon %s for sensitivity %d", fraction(n.Num, n.Den), n.Sensitivity)
	case Gaussian:
		return fmt.Sprintf("discrete Gaussian, sigma %s", fraction(n.Num, n.Den))
	}
	return n.Mechanism.String()
}

// fraction writes num/den as a decimal where that is exact in six digits.
func fraction(num, den uint32) string {
	if den != 0 && uint64(num)*1_000_000%uint64(den) == 0 {
		return fmt.Sprintf("%.10g", float64(num)/float64(den))
	}
	return fmt.Sprintf("%d/%d", num, den)
}
