package dp

import (
	"fmt"
	"math"
	"math/big"
	"sync"
)

// maxCrowds is the largest number of crowds that [Crowds] composes.
const maxCrowds = 256

// Crowds returns the privacy of a client that sends at most reports reports to
// each of at most crowds crowds, 1 to 256, under t. It composes the
// exact privacy loss distribution of t with itself, rounded to a grid such that
// no figure is understated: epsilon exceeds the truth by less than one part in
// a thousand, and delta by 10^-16 where epsilon is large. That is far tighter
// than [Guarantee.Times]. The work, up to a few seconds, is done on first use.
//
// The composition holds for crowds of any sizes that are chosen one after the
// other.
func Crowds(t Threshold, crowds, reports uint64) (Curve, error) {
	if crowds == 0 || crowds > maxCrowds {
		return nil, fmt.Errorf("composing %s over %d crowds: want 1 to %d; beyond, use basic composition", t, crowds, maxCrowds)
	}
	single, ok := t.Reports(reports).(pairCurve)
	if !ok || crowds == 1 {
		return t.Reports(reports), nil
	}
	return lossCurve(sync.OnceValue(func() [2]*loss {
		g := newGrid(single, int(crowds))
		return [2]*loss{g.loss(false).times(int(crowds)), g.loss(true).times(int(crowds))}
	})), nil
}

// lossCurve is the curve of two privacy losses: of adding a client's reports
// and of removing them. A client's reports are all there or all missing, so
// that the two never mix in one composition.
type lossCurve func() [2]*loss

func (c lossCurve) Epsilon(delta float64) (float64, error) { return epsilon(c, delta) }
func (c lossCurve) Floor() float64                         { return c.Delta(math.Inf(1)) }

func (c lossCurve) Delta(eps float64) float64 {
	if math.IsNaN(eps) || eps < 0 {
		return 1
	}
	ls := c()
	return max(ls[0].delta(eps), ls[1].delta(eps))
}

// A grid is the privacy losses i*step, |i| <= n, to which the losses of a
// mechanism are rounded.
type grid struct {
	pairs []pair
	step  float64
	n     int
}

// tail is the probability that a truncation may move, each time. It is moved
// to where it hurts privacy more, so that it is safe as well as small.
const tail = 1e-20

// newGrid covers the losses of c except for a tail of 10^-24, as finely as a
// composition of k in about 10^9 multiplications allows.
func newGrid(c pairCurve, k int) grid {
	pairs := c.pairs()
	low, reach := 0.0, float64(maxEpsilon)
	for reach-low > 1e-3*reach {
		middle := (low + reach) / 2
		if covers(pairs, middle) {
			reach = middle
		} else {
			low = middle
		}
	}
	outcomes := 0 // distinct losses, each of which takes two points of the grid
	for _, pr := range pairs {
		outcomes += len(pr.p)
	}
	n := 1024
	for work := func() float64 { return 2 * float64(n) * math.Pow(float64(k), 1.5) * float64(2*min(n, outcomes)) }; n > 256 && work() > 1e9; {
		n /= 2
	}
	return grid{pairs, reach / float64(n), n}
}

// covers reports whether finite losses above eps have a probability below 10^-24.
func covers(pairs []pair, eps float64) bool {
	for _, backward := range []bool{false, true} {
		above := newFloat().Sub(worst(pairs, exp(float(eps)), backward), worst(pairs, nil, backward))
		if above.Cmp(float(1e-24)) > 0 {
			return false
		}
	}
	return true
}

// loss returns the privacy loss distribution of the worst pairs in one
// direction, rounded to the grid.
//
// The divergence delta(alpha) = max over pairs of sum max(0, p - alpha q) is
// convex in alpha = e^eps. The line through its values at the points of the
// grid lies above it, so it belongs to a pair of distributions that dominates
// all the pairs ("connect the dots", Doroshenko et al., PETS 2022). Where the
// line's slope grows by q at alpha_i, that pair has an outcome of loss
// ln(alpha_i) with probabilities alpha_i*q and q.
func (g grid) loss(backward bool) *loss {
	alpha := make([]*big.Float, 2*g.n+2)
	delta := make([]*big.Float, 2*g.n+2)
	alpha[0], delta[0] = newFloat(), intFloat(1) // everything is above 0 times q
	ratio := exp(float(g.step))
	next := exp(float(-g.step * float64(g.n)))
	for i := 1; i < len(alpha); i++ {
		alpha[i], delta[i] = next, worst(g.pairs, next, backward)
		next = newFloat().Mul(next, ratio)
	}
	slope := func(i int) *big.Float { // from point i to the next; flat after the last
		if i+1 == len(alpha) {
			return newFloat()
		}
		rise, run := newFloat().Sub(delta[i+1], delta[i]), newFloat().Sub(alpha[i+1], alpha[i])
		return rise.Quo(rise, run)
	}
	l := &loss{step: g.step, low: -g.n, mass: make([]float64, 2*g.n+1), infinite: ceil64(delta[len(delta)-1])}
	before := slope(0)
	for i := range l.mass {
		after := slope(i + 1)
		p := newFloat().Sub(after, before)
		l.mass[i], _ = p.Mul(p, alpha[i+1]).Float64()
		before = after
		if l.mass[i] < 1e-30 { // next to nothing, or an error of the arithmetic
			l.infinite += max(0, l.mass[i])
			l.mass[i] = 0
		}
	}
	return l
}

// A loss is a privacy loss distribution on a grid: the loss (low+i)*step has
// probability mass[i], and an unbounded loss has probability infinite. Sums of
// the float64s err by less than one part in 10^10, all terms being positive.
type loss struct {
	step     float64
	low      int
	mass     []float64
	infinite float64
}

// delta returns the hockey-stick divergence at e^eps, rounded up.
func (l *loss) delta(eps float64) float64 {
	sum := 0.0
	for i := len(l.mass) - 1; i >= 0; i-- {
		above := float64(l.low+i)*l.step - eps + 1e-11 // covers the rounding of the product
		if above <= 0 {
			break
		}
		sum -= l.mass[i] * math.Expm1(-above)
	}
	return min(1, (sum+l.infinite)*(1+1e-9)+1e-17)
}

// times returns the loss of k uses.
func (l *loss) times(k int) *loss {
	all := l
	for range k - 1 {
		all = all.plus(l)
	}
	return all
}

// plus returns the loss of a use of l and one of other: the convolution of
// the two, of which other has few points that are not 0.
func (l *loss) plus(other *loss) *loss {
	sum := &loss{
		step: l.step, low: l.low + other.low,
		mass:     make([]float64, len(l.mass)+len(other.mass)-1),
		infinite: l.infinite + other.infinite,
	}
	for j, q := range other.mass {
		if q == 0 {
			continue
		}
		part := sum.mass[j:][:len(l.mass)]
		for i, p := range l.mass {
			part[i] += p * q
		}
	}
	sum.trim()
	return sum
}

// trim shortens both ends by a probability of at most tail: what is cut off
// above becomes an unbounded loss, what is cut off below the lowest kept one.
func (l *loss) trim() {
	cut, end := 0.0, len(l.mass)
	for end > 1 && cut+l.mass[end-1] <= tail {
		end--
		cut += l.mass[end]
	}
	l.mass = l.mass[:end]
	l.infinite += cut
	cut, start := 0.0, 0
	for start < end-1 && cut+l.mass[start] <= tail {
		cut += l.mass[start]
		start++
	}
	l.mass = l.mass[start:]
	l.mass[0] += cut
	l.low += start
}
