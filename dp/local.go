package dp

import "math"

// LocalEpsilonFlip returns the local epsilon of one bit that is flipped with
// probability flip, rounded up: the logarithm of the ratio between the chances
// of a report under the bit's two values. It is infinite where that ratio is,
// and where flip is not a probability. Bits that are flipped independently add
// up their epsilons.
//
// An epsilon above about 5 is deniability rather than privacy: a flip of one in
// ten thousand costs 9.2 for every bit.
func LocalEpsilonFlip(flip float64) float64 {
	if math.IsNaN(flip) || flip <= 0 || flip >= 1 {
		return math.Inf(1)
	}
	return roundUp(math.Abs(math.Log(flip) - math.Log1p(-flip)))
}

// LocalEpsilonKRR returns the local epsilon of a value out of k possible ones
// that with probability replace is replaced by a uniformly random one of the k,
// its own among them, rounded up: ln(1 + k (1-replace)/replace). It is infinite
// where replace is 0 or not a probability. With one possible value it is 0.
//
// The figure grows with k: replacing one value in ten is no protection to speak
// of among thousands.
func LocalEpsilonKRR(replace float64, k uint64) float64 {
	if math.IsNaN(replace) || replace < 0 || replace > 1 {
		return math.Inf(1)
	}
	if k <= 1 || replace == 1 {
		return 0
	}
	return roundUp(math.Log1p(float64(k) * (1 - replace) / replace))
}

// roundUp covers the error of the few float64 operations before it, of relative
// size 2^-52 each.
func roundUp(x float64) float64 { return x * (1 + 1e-14) }
