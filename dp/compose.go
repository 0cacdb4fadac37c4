package dp

import "math"

// A Guarantee is one point of a [Curve]: (Epsilon, Delta) differential privacy.
type Guarantee struct{ Epsilon, Delta float64 }

// String writes the guarantee as a pair, both rounded up.
func (g Guarantee) String() string {
	return "(" + Figure(g.Epsilon) + ", " + Figure(g.Delta) + ")"
}

// Compose returns the guarantee of all of gs together on one client's data, by
// basic composition: epsilons add up, and so do deltas. It holds for any
// mechanisms, also if each is chosen after the results of those before it.
func Compose(gs ...Guarantee) Guarantee {
	var all Guarantee
	for _, g := range gs {
		all.Epsilon = addUp(all.Epsilon, g.Epsilon)
		all.Delta = addUp(all.Delta, g.Delta)
	}
	all.Delta = min(1, all.Delta)
	return all
}

// Times returns the guarantee of k uses of g, by basic composition.
func (g Guarantee) Times(k uint64) Guarantee {
	return Guarantee{mulUp(g.Epsilon, float64(k)), min(1, mulUp(g.Delta, float64(k)))}
}

// addUp returns a+b, both at least 0, rounded up.
func addUp(a, b float64) float64 {
	if a == 0 || b == 0 {
		return a + b
	}
	return math.Nextafter(a+b, math.Inf(1))
}

// mulUp returns a*b, both at least 0, rounded up.
func mulUp(a, b float64) float64 {
	if a == 0 || b == 0 {
		return 0
	}
	return math.Nextafter(a*b, math.Inf(1))
}
