package dp

import "math"

// Concentrated is zero-concentrated differential privacy (Bun and Steinke 2016)
// that holds except with a probability: with Rho, up to Delta.
type Concentrated struct{ Rho, Delta float64 }

// Plus returns what both together give.
func (c Concentrated) Plus(other Concentrated) Concentrated {
	return Concentrated{addUp(c.Rho, other.Rho), min(1, addUp(c.Delta, other.Delta))}
}

// Times returns what k uses give.
func (c Concentrated) Times(k uint64) Concentrated {
	return Concentrated{mulUp(c.Rho, float64(k)), min(1, mulUp(c.Delta, float64(k)))}
}

// Epsilon returns an epsilon that holds at delta, rounded up; it is infinite
// where delta does not exceed c.Delta. It takes the best of the bounds that
// Canonne, Kamath and Steinke (2020, proposition 12) give for each order.
func (c Concentrated) Epsilon(delta float64) float64 {
	left := delta - c.Delta
	if math.IsInf(c.Rho, 1) || !(left > 0) {
		return math.Inf(1)
	}
	if c.Rho == 0 {
		return 0
	}
	left *= 1 - 1e-12 // the error of the subtraction
	bound := func(x float64) float64 {
		alpha := 1 + math.Exp(x)
		return alpha*c.Rho + math.Log1p(-1/alpha) + (-math.Log(left)-math.Log(alpha))/(alpha-1)
	}
	best := math.Inf(1)
	for x := -12.0; x <= 25; x += 0.01 {
		best = min(best, bound(x))
	}
	return max(0, best) * (1 + 1e-11)
}

// Concentrated returns what the noise of one aggregator gives a client that
// changes a vector of sums by at most l1, in all elements together, and by at
// most l2 in Euclidean length: epsilon^2/2 for Laplace noise, which is epsilon
// differentially private (Bun and Steinke 2016, proposition 1.4), and
// (l2/sigma)^2/2 for discrete Gaussian noise (Canonne, Kamath and Steinke 2020,
// theorem 14). Without noise Rho is infinite.
func (n Noise) Concentrated(l1 uint64, l2 float64) Concentrated {
	switch n.Mechanism {
	case Laplace:
		eps := n.Guarantee(l1, l2, 0).Epsilon
		return Concentrated{Rho: roundUp(eps * eps / 2)}
	case Gaussian:
		return Concentrated{Rho: roundUp(l2 * l2 / (2 * n.spread() * n.spread()))}
	}
	return Concentrated{Rho: math.Inf(1)}
}
