package dp

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"sync"
)

// A Curve is the privacy of a mechanism for one client's contribution: for each
// epsilon the smallest delta, and the other way round, for adding the
// contribution as well as for removing it. All figures are rounded up.
type Curve interface {
	// Delta returns the smallest delta for which the mechanism is (eps, delta)
	// differentially private. It is 1 if eps is not a number or below 0.
	Delta(eps float64) float64
	// Floor returns what Delta stays at or above however large eps becomes.
	Floor() float64
	// Epsilon returns the smallest eps, to within 10^-9, whose Delta is at
	// most delta. Where none is, the error is an [ErrUnattainable].
	Epsilon(delta float64) (float64, error)
}

// ErrUnattainable means that no epsilon reaches the delta asked for.
var ErrUnattainable = errors.New("no epsilon reaches this delta")

// nothing is the curve of a mechanism without privacy.
type nothing struct{}

func (nothing) Delta(float64) float64                    { return 1 }
func (nothing) Floor() float64                           { return 1 }
func (n nothing) Epsilon(delta float64) (float64, error) { return epsilon(n, delta) }

// maxEpsilon bounds every finite privacy loss of a table: ln(2^128) < 89.
const maxEpsilon = 89

// epsilon inverts c.Delta by bisection.
func epsilon(c Curve, delta float64) (float64, error) {
	if math.IsNaN(delta) || delta < c.Floor() {
		return 0, fmt.Errorf("%w: %.4g is below the floor of %s", ErrUnattainable, delta, Figure(c.Floor()))
	}
	if c.Delta(0) <= delta {
		return 0, nil
	}
	low, high := 0.0, 1.0
	for c.Delta(high) > delta {
		low, high = high, 2*high
	}
	for high-low > 1e-9 {
		middle := (low + high) / 2
		if c.Delta(middle) <= delta {
			high = middle
		} else {
			low = middle
		}
	}
	return high, nil
}

// A pair is two distributions over the same outcomes, those of two neighbouring
// inputs, as probabilities times 2^128.
type pair struct{ p, q []*big.Float }

func newPair(p, q []*big.Int) pair {
	pr := pair{make([]*big.Float, len(p)), make([]*big.Float, len(q))}
	for i := range p {
		pr.p[i], pr.q[i] = bigFloat(p[i]), bigFloat(q[i])
	}
	return pr
}

// hockeyStick returns 2^128 sum max(0, p - alpha q); a nil alpha is infinite.
func hockeyStick(p, q []*big.Float, alpha *big.Float) *big.Float {
	sum, term := newFloat(), newFloat()
	for i := range p {
		if alpha == nil {
			if q[i].Sign() == 0 {
				sum.Add(sum, p[i])
			}
			continue
		}
		term.Sub(p[i], term.Mul(alpha, q[i]))
		if term.Sign() > 0 {
			sum.Add(sum, term)
		}
	}
	return sum
}

// pairCurve is the curve of a mechanism whose worst neighbours are among pairs.
type pairCurve struct{ pairs func() []pair }

// newCurve returns the curve of the pairs, which are built on first use.
func newCurve(pairs func() []pair) Curve { return pairCurve{sync.OnceValue(pairs)} }

func (c pairCurve) Epsilon(delta float64) (float64, error) { return epsilon(c, delta) }
func (c pairCurve) Floor() float64                         { return c.at(nil) }

func (c pairCurve) Delta(eps float64) float64 {
	if math.IsNaN(eps) || eps < 0 {
		return 1
	}
	if eps > maxEpsilon {
		return c.Floor()
	}
	return c.at(exp(float(eps)))
}

// at returns the largest hockey-stick divergence at alpha over all pairs and
// both directions, rounded up.
func (c pairCurve) at(alpha *big.Float) float64 {
	return ceil64(maxFloat(worst(c.pairs(), alpha, false), worst(c.pairs(), alpha, true)))
}

// worst returns the largest hockey-stick divergence at alpha over all pairs in
// one direction, to within 2^-180: the error of exp (2^-200, relative) counts
// only where alpha q < p <= 1, in each of fewer than 2^20 outcomes.
func worst(pairs []pair, alpha *big.Float, backward bool) *big.Float {
	most := newFloat()
	for _, pr := range pairs {
		if backward {
			pr.p, pr.q = pr.q, pr.p
		}
		most = maxFloat(most, hockeyStick(pr.p, pr.q, alpha))
	}
	return most.SetMantExp(most, -tableBits)
}

func maxFloat(a, b *big.Float) *big.Float {
	if a.Cmp(b) < 0 {
		return b
	}
	return a
}

// ceil64 returns the least probability in float64 that is not below x, give or
// take the 2^-180 that x may be wrong by.
func ceil64(x *big.Float) float64 {
	slack := newFloat().SetMantExp(intFloat(1), -180)
	f, _ := new(big.Float).SetPrec(53).SetMode(big.ToPositiveInf).Add(x, slack).Float64()
	return min(1, f)
}
