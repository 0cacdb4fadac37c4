package dp

import "math"

// Within95 returns the least m such that the noise of two aggregators together is
// from -m to m with a probability of 95 % or more.
func (n Noise) Within95() int64 { return n.within95(2) }

// Difference95 is Within95 for the difference of two elements with the noise of two
// aggregators in each.
func (n Noise) Difference95() int64 { return n.within95(4) }

// within95 is the least m such that the sum of 2 or 4 draws, each as likely as its
// negative, is from -m to m with a probability of 95 % or more.
func (n Noise) within95(draws int) int64 {
	switch n.Mechanism {
	case Laplace:
		return laplace95(n.spread(), draws)
	case Gaussian:
		return gaussian95(n.spread(), draws)
	}
	return 0
}

// laplace95 is within95 of Laplace noise of a scale.
func laplace95(scale float64, draws int) int64 {
	tail := laplaceTail(scale, draws)
	low, high := int64(-1), int64(1) // tail(low) > 5% >= tail(high)
	for tail(high) > 0.05 {
		low, high = high, 2*high
	}
	for high-low > 1 {
		if mid := low + (high-low)/2; tail(mid) > 0.05 {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// laplaceTail returns P(|s| > m) for the sum s of 2 or 4 draws. With q = e^(-1/scale)
// and c = (1-q)/(1+q), one draw has P(s) = c q^|s|, and the convolution of two is
// c^2 q^|s| (|s| + a) for a = (1+q^2)/(1-q^2). That of four is c^4 q^|s| times a
// polynomial of |s|, whose coefficients are the convolution's sums within and
// beyond 0 to |s|.
func laplaceTail(scale float64, draws int) func(m int64) float64 {
	q, p := math.Exp(-1/scale), -math.Expm1(-1/scale) // p = 1-q
	a := (1 + q*q) / (p * (1 + q))
	poly := [4]float64{a, 1}
	factor := p / (1 + q) * p / (1 + q)
	if draws == 4 {
		r, s := q*q, p*(1+q) // s = 1-r
		r0, r1, r2 := r/s, r/(s*s), r*(1+r)/(s*s*s)
		poly = [4]float64{
			a*a + 2*r2 + 4*r1*a + 2*r0*a*a,
			a + a*a + 2*r1 + 2*r0*a - 1.0/6,
			a,
			1.0 / 6,
		}
		factor *= factor
	}
	// Sums of q^t t^i over t from 0 on.
	sums := [4]float64{1 / p, q / (p * p), q * (1 + q) / (p * p * p), q * (1 + 4*q + q*q) / (p * p * p * p)}
	return func(m int64) float64 {
		k := float64(m) + 1
		shifted := [4]float64{ // of t, for |s| = k+t
			poly[0] + k*(poly[1]+k*(poly[2]+k*poly[3])),
			poly[1] + k*(2*poly[2]+3*k*poly[3]),
			poly[2] + 3*k*poly[3],
			poly[3],
		}
		sum := 0.0
		for i, c := range shifted {
			sum += c * sums[i]
		}
		return 2 * factor * math.Exp(-k/scale) * sum
	}
}

// gaussian95 is within95 of Gaussian noise of a sigma. Up to a sigma of 20 it adds up
// probabilities. Beyond, the sum has the probabilities of the normal distribution at
// whole numbers to within 10^-100, and their sum is the integral and the next term
// of the Euler-Maclaurin formula, to within 10^-8 of one of them.
func gaussian95(sigma float64, draws int) int64 {
	if sigma <= 20 {
		return least95(gaussianSum(sigma, draws))
	}
	wide := sigma * math.Sqrt(float64(draws))
	inside := func(m int64) float64 {
		b := (float64(m) + 0.5) / wide
		return math.Erf(b/math.Sqrt2) + b*math.Exp(-b*b/2)/(12*wide*wide*math.Sqrt(2*math.Pi))
	}
	m := int64(1.95996*wide) - 2
	for inside(m) < 0.95 {
		m++
	}
	return m
}

// gaussianSum returns the probabilities of the sum of draws of Gaussian noise, in
// the middle that of 0.
func gaussianSum(sigma float64, draws int) []float64 {
	reach := int(math.Ceil(9*sigma)) + 1
	one := make([]float64, 2*reach+1)
	total := 0.0
	for i := range one {
		x := float64(i - reach)
		one[i] = math.Exp(-x * x / (2 * sigma * sigma))
		total += one[i]
	}
	sum := []float64{1}
	for range draws {
		next := make([]float64, len(sum)+len(one)-1)
		for i, p := range sum {
			for j, x := range one {
				next[i+j] += p * x / total
			}
		}
		sum = next
	}
	return sum
}

// least95 returns the least m for which the 2m+1 probabilities in the middle add up
// to 95 %.
func least95(p []float64) int64 {
	middle := len(p) / 2
	inside := p[middle]
	m := 0
	for ; inside < 0.95; m++ {
		inside += p[middle-m-1] + p[middle+m+1]
	}
	return int64(m)
}
