// Package audit bounds from below the epsilon that the outcomes of a mechanism show,
// after Jagielski, Ullman and Oprea (Auditing Differentially Private Machine Learning,
// 2020). Tests use it: they run the function that a server calls for a release, on
// two neighbouring inputs, and compare with what is declared.
//
// # Use
//
//	eps := audit.Epsilon(without, with, delta, alpha)
//	if eps > declared {
//		// the mechanism gives less privacy than declared, or an event of chance 2 alpha
//	}
//
// # Limits
//
// It cannot show that a mechanism is private, only that it is not: a bound far below
// what is declared may mean that the events are badly chosen, or the samples small. The
// best of many events is taken, so that a false alarm has a probability of at most
// [Events] times 2 alpha: choose alpha by it, or fix the seeds.
package audit

import (
	"math"
	"slices"
)

// Events is how many events [Epsilon] compares at most.
const Events = 256

// AtLeast is what a probability is not below, with confidence 1-alpha, of which k of n
// trials came out (Clopper and Pearson 1934).
func AtLeast(k, n int, alpha float64) float64 {
	if k == 0 {
		return 0
	}
	low, high := 0.0, float64(k)/float64(n)
	for range 50 {
		if mid := (low + high) / 2; tail(k, n, mid) > alpha {
			high = mid
		} else {
			low = mid
		}
	}
	return low
}

// AtMost is the same from above.
func AtMost(k, n int, alpha float64) float64 { return 1 - AtLeast(n-k, n, alpha) }

// tail is the probability of k or more of n, for p at most k/n: then each further term
// is smaller than the one before.
func tail(k, n int, p float64) float64 {
	if p <= 0 {
		return 0
	}
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	term := math.Exp(lg(n) - lg(k) - lg(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
	sum := term
	for i := k; i < n && term > 1e-18*sum; i++ {
		term *= float64(n-i) / float64(i+1) * p / (1 - p)
		sum += term
	}
	return sum
}

// Epsilon is the lower bound of the epsilon that samples of two neighbouring inputs
// show at delta, each of its bounds with confidence 1-alpha: by the best of the events
// "at least c" and "less than c", in both directions. It sorts the samples.
func Epsilon(a, b []int64, delta, alpha float64) float64 {
	slices.Sort(a)
	slices.Sort(b)
	best := 0.0
	for _, c := range bars(a, b) {
		i, j := below(a, c), below(b, c)
		for _, e := range [][4]int{
			{i, len(a), j, len(b)},
			{len(a) - i, len(a), len(b) - j, len(b)},
			{j, len(b), i, len(a)},
			{len(b) - j, len(b), len(a) - i, len(a)},
		} {
			p, q := AtLeast(e[0], e[1], alpha), AtMost(e[2], e[3], alpha)
			if p > delta && q > 0 {
				best = max(best, math.Log((p-delta)/q))
			}
		}
	}
	return best
}

// below is how many of a sorted sample are below c.
func below(sorted []int64, c int64) int {
	i, _ := slices.BinarySearch(sorted, c)
	return i
}

// bars are the values of which the events are made: those of the samples, or as many
// quantiles of them as give at most [Events] events.
func bars(a, b []int64) []int64 {
	all := slices.Concat(a, b)
	slices.Sort(all)
	all = slices.Compact(all)
	const most = Events / 4
	if len(all) <= most {
		return all
	}
	some := make([]int64, most)
	for i := range some {
		some[i] = all[i*len(all)/most]
	}
	return some
}

// Variance is the variance of a sample.
func Variance(s []int64) float64 {
	sum, squares := 0.0, 0.0
	for _, x := range s {
		sum += float64(x)
		squares += float64(x) * float64(x)
	}
	n := float64(len(s))
	return squares/n - sum/n*sum/n
}
