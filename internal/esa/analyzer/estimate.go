package analyzer

import (
	"math"

	"github.com/shoal-project/shoal/dp"
)

// z95 is the half-width of a 95 % interval of the normal distribution, in
// standard deviations.
const z95 = 1.959963984540054

// continuity is added to each side of an interval of the normal form, in answers:
// the normal distribution there replaces that of a whole number. With it each
// interval holds the truth for 95 % of the released crowds of any size, with 0.25
// less it does not: see TestCoverageOfValues.
const continuity = 0.5

// An estimate is a number with its error. The interval from low to high holds the
// true value for 95 % or more of the crowds of any one size that are released.
type estimate struct{ value, stddev, low, high float64 }

// micro rounds to a millionth: more digits would only be noise to read.
func micro(x float64) float64 { return math.Round(x*1e6) / 1e6 }

func (e estimate) values() []any {
	return []any{micro(e.value), micro(e.stddev), micro(e.low), micro(e.high)}
}

var estimateColumns = []Column{
	{Name: "estimate", Type: Real}, {Name: "stddev", Type: Real}, {Name: "low", Type: Real}, {Name: "high", Type: Real},
}

// crowdSize estimates how many reports of a crowd reached the shuffler when
// count of them reached the analyzer. What the threshold has dropped is added on
// average, which is unbiased over all crowds of a size, released or not.
func crowdSize(count uint64, t dp.Threshold) estimate {
	least, most := t.Within95(count)
	return estimate{float64(count) + t.Bias(), t.StdDev(), float64(least), float64(most)}
}

// A sample is what is known about one value in a crowd: how many of its reports
// were released, how many of these answer, and how many answers show the value,
// which they do with probability p1 if it is true and p0 if it is not (Warner
// 1965, as in the Prochlo paper, section 3.5).
type sample struct {
	released, answers, shown uint64
	p1, p0                   float64
}

// having estimates how many reports of the crowd that reached the shuffler truly
// have the value. The reports that are dropped are drawn uniformly, so that their
// share of the value is, on average, that of the released ones: with n released of
// N, and b dropped on average, E[X (n+b)/n] = K E[n+b]/N = K.
func (s sample) having(t dp.Threshold) estimate {
	n, slope := float64(s.released), s.p1-s.p0
	if n == 0 {
		return estimate{}
	}
	scale := (n + t.Bias()) / n
	least, most := t.Within95(s.released)
	if slope <= 0 { // the answers carry no information
		return estimate{float64(s.shown) * scale, n * scale, 0, float64(most)}
	}
	shown := (float64(s.shown) - float64(s.answers)*s.p0) / slope
	out := estimate{value: shown * scale}
	share := min(max(shown/n, 0), 1)
	_, variance := s.answer(share*n*scale, n*scale)
	out.stddev = math.Hypot(math.Sqrt(variance)/slope*scale, share*t.StdDev())
	out.low, out.high = s.interval(least, most, continuity)
	return out
}

// answer returns mean and variance of the number of answers that show the value if
// having of size reports have it.
func (s sample) answer(having, size float64) (mean, variance float64) {
	n, slope := float64(s.released), s.p1-s.p0
	share := having / size
	true1 := min(share*n, float64(s.answers))
	other := float64(s.answers) - true1
	drawn := 0.0
	if size > max(n, 1) {
		drawn = n * share * (1 - share) * (size - n) / (size - 1)
	}
	return float64(s.answers)*s.p0 + slope*share*n,
		slope*slope*drawn + true1*s.p1*(1-s.p1) + other*s.p0*(1-s.p0)
}

// sizes bounds how many sizes of a crowd are looked at for one interval.
const sizes = 64

// interval returns the ends of all numbers of reports that are believed of any
// size from least to most that the crowd may have had.
func (s sample) interval(least, most uint64, margin float64) (low, high float64) {
	low, high = math.Inf(1), 0
	step := max(1, (most-least+sizes-1)/sizes)
	for size := least; ; size = min(size+step, most) {
		l, h := s.believed(size, margin)
		low, high = min(low, l), max(high, h)
		if size == most {
			return low, high
		}
	}
}

// believed returns the ends of the numbers of reports with the value, of a crowd
// of a size, from which what was seen is no further away than margin and z95
// deviations. The distance is convex on each side of the number that fits best.
func (s sample) believed(size uint64, margin float64) (low, high float64) {
	first, last := uint64(0), size
	if s.p1 == 1 && s.p0 == 0 { // at least those that were seen, and at most those that were not
		first, last = s.shown, size-(s.released-s.shown)
	}
	far := func(having uint64) bool {
		mean, variance := s.answer(float64(having), float64(size))
		return math.Abs(float64(s.shown)-mean) > z95*math.Sqrt(variance)+margin
	}
	best := (float64(s.shown) - float64(s.answers)*s.p0) / (s.p1 - s.p0) * float64(size) / float64(s.released)
	middle := min(max(uint64(max(0, math.Round(best))), first), last)
	return float64(edge(middle, first, far)), float64(edge(middle, last, far))
}

// edge returns the last number on the way from one to another that is not far;
// the first one counts as near.
func edge(near, to uint64, far func(uint64) bool) uint64 {
	if !far(to) {
		return to
	}
	for {
		mid := near + (to-near)/2
		if to < near {
			mid = near - (near-to)/2
		}
		if mid == near {
			return near
		}
		if far(mid) {
			to = mid
		} else {
			near = mid
		}
	}
}
