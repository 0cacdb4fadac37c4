package dp

import (
	"fmt"
	"io"
	"math"
	"sync"
)

// A Total is the rule by which a shuffler decides whether a batch has enough
// reports, and what it reveals of how many there were: d = max(0, round(N(drop,
// sigma^2))) is subtracted, and what is left is published iff it is at least
// the minimum. A batch of fewer reports than the minimum is never released.
// Totals are immutable and safe for concurrent use.
type Total struct{ rule *noisyDrop }

// NewTotal returns the rule for a minimum of at least 1, with sigma in
// thousandths, 1 to [MaxSigmaMilli].
func NewTotal(least, drop, sigmaMilli uint32) (*Total, error) {
	if err := checkNoise("minimum of a batch", least, sigmaMilli); err != nil {
		return nil, err
	}
	return &Total{newDrop(least, drop, sigmaMilli)}, nil
}

// Decide returns whether a batch of n reports is released, and the number that is
// published of it: an estimate of n, without bias over all draws except for the cut
// at zero. It reads 16 bytes of r; where r fails the batch is not released.
func (t *Total) Decide(n uint64, r io.Reader) (told uint64, released bool) {
	left := t.rule.Keep(n, r)
	if left == 0 {
		return 0, false
	}
	return left + uint64(t.rule.drop), true
}

// Within95 returns the least m such that the published number is within m of the
// truth with a probability of 95 % or more.
func (t *Total) Within95() uint64 { return t.rule.noise().within95() }

// StdDev returns the standard deviation of the published number.
func (t *Total) StdDev() float64 { return t.rule.StdDev() }

// Survival returns the probability that a batch of n reports is released.
func (t *Total) Survival(n uint64) float64 { return t.rule.Survival(n) }

// Floor returns what delta stays at or above, for one decision about a client
// that sends n reports: the probability that fewer are subtracted.
func (t *Total) Floor(n uint64) float64 {
	if n == 0 {
		return 0
	}
	z := (float64(n) - 0.5 - float64(t.rule.drop)) * 1000 / float64(t.rule.sigmaMilli)
	return min(1, normalCDF64(z)*(1+1e-9)+1e-30)
}

// String names the rule and its parameters.
func (t *Total) String() string {
	return fmt.Sprintf("at least %d reports are left after D=%d sigma=%s", t.rule.t, t.rule.drop, milli(t.rule.sigmaMilli))
}

// A Share is the most that one client can contribute to what is released within
// the unit of a guarantee: PerCrowd reports to each of Crowds crowds, and
// Reports reports to batches on which Decisions decisions are taken.
type Share struct{ Crowds, PerCrowd, Reports, Decisions uint64 }

// exactSigma is the largest sigma of a threshold, in thousandths, whose privacy
// loss distribution [Released] composes; beyond, it takes minutes.
const exactSigma = 60_000

// Released returns the privacy of all that a shuffler publishes of a batch, for
// a client that contributes a share: the crowds under a threshold, and the
// decision and the number of a total, which may be nil where neither is
// published. The crowds are composed exactly, see [Crowds]; the total is
// composed with them as the normal noise that its rounded noise is a function
// of, and so are crowds beyond the reach of the exact composition. Both are
// bounds from above: what is cut off at zero counts as an open breach.
func Released(t Threshold, total *Total, s Share) (Curve, error) {
	if s.Crowds == 0 {
		return nil, fmt.Errorf("composing %s over no crowd", t)
	}
	single, ok := t.Reports(s.PerCrowd).(pairCurve)
	if !ok {
		return nothing{}, nil
	}
	mu, floor := 0.0, 0.0 // of the total
	if total != nil {
		mu = total.mu(s)
		floor = min(1, float64(s.Decisions)*total.Floor(s.Reports))
	}
	if sigma := sigmaOf(t); s.Crowds > maxCrowds || sigma > exactSigma {
		one := float64(s.PerCrowd) * 1000 / float64(sigma)
		return gaussian{
			mu:    math.Sqrt(float64(s.Crowds)*one*one + mu*mu),
			floor: min(1, float64(s.Crowds)*single.Floor()+floor),
		}, nil
	}
	if mu == 0 {
		return Crowds(t, s.Crowds, s.PerCrowd)
	}
	return withNormal{mu: mu, floor: floor, losses: sync.OnceValue(func() [2][][]outcome {
		if s.Crowds == 1 {
			return outcomes(single.pairs())
		}
		g := newGrid(single, int(s.Crowds))
		return [2][][]outcome{
			{g.loss(false).times(int(s.Crowds)).outcomes()},
			{g.loss(true).times(int(s.Crowds)).outcomes()},
		}
	})}, nil
}

// ReleasedRho returns the zero-concentrated privacy of what [Released] is about, and
// the delta up to which it holds: the probability of what is cut off at zero.
// Both are infinite or 1 for a threshold without noise.
func ReleasedRho(t Threshold, total *Total, s Share) Concentrated {
	sigma := sigmaOf(t)
	if sigma == 0 {
		return Concentrated{math.Inf(1), 1}
	}
	one := float64(s.PerCrowd) * 1000 / float64(sigma)
	mu2 := float64(s.Crowds) * one * one
	floor := mulUp(float64(s.Crowds), t.Reports(s.PerCrowd).Floor())
	if total != nil {
		mu := total.mu(s)
		mu2 += mu * mu
		floor = addUp(floor, mulUp(float64(s.Decisions), total.Floor(s.Reports)))
	}
	return Concentrated{roundUp(mu2 / 2), min(1, floor)}
}

// mu is the sensitivity of all decisions together over the noise of each.
func (t *Total) mu(s Share) float64 {
	return float64(s.Reports) * math.Sqrt(float64(s.Decisions)) * 1000 / float64(t.rule.sigmaMilli)
}

// sigmaOf returns the sigma of a rule in thousandths; 0 without noise.
func sigmaOf(t Threshold) uint32 {
	switch x := t.(type) {
	case *noisyDrop:
		return x.sigmaMilli
	case *noisySet:
		return x.sigmaMilli
	}
	return 0
}

// gaussian is the curve of a function of normal noise, with mu the sensitivity
// over sigma, and of what is cut off it.
type gaussian struct{ mu, floor float64 }

func (c gaussian) Epsilon(delta float64) (float64, error) { return epsilon(c, delta) }
func (c gaussian) Floor() float64                         { return c.floor }

func (c gaussian) Delta(eps float64) float64 {
	if math.IsNaN(eps) || eps < 0 {
		return 1
	}
	return min(1, normalDelta(c.mu, eps)*(1+1e-9)+1e-17+c.floor)
}

// normalCDF64 is the distribution function of the standard normal, to within a
// few units of the last digit on the lower tail.
func normalCDF64(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

// An outcome of a mechanism has a privacy loss, which may be infinite, with a
// probability.
type outcome struct{ loss, p float64 }

// outcomes returns the losses of pairs, in both directions: of each pair.
func outcomes(pairs []pair) [2][][]outcome {
	var all [2][][]outcome
	for _, pr := range pairs {
		var both [2][]outcome
		for i := range pr.p {
			p, _ := newFloat().SetMantExp(pr.p[i], -tableBits).Float64()
			q, _ := newFloat().SetMantExp(pr.q[i], -tableBits).Float64()
			for d, x := range [2][2]float64{{p, q}, {q, p}} {
				if x[0] > 0 {
					both[d] = append(both[d], outcome{math.Log(x[0]) - math.Log(x[1]), x[0]})
				}
			}
		}
		all[0], all[1] = append(all[0], both[0]), append(all[1], both[1])
	}
	return all
}

func (l *loss) outcomes() []outcome {
	all := []outcome{{math.Inf(1), l.infinite}}
	for i, p := range l.mass {
		if p > 0 {
			all = append(all, outcome{float64(l.low+i)*l.step + 1e-11, p})
		}
	}
	return all
}

// withNormal is the curve of a mechanism with the given losses (in two
// directions, the worst of several) beside one with normal noise of sensitivity
// over sigma mu, and of what is cut off the noise.
type withNormal struct {
	mu, floor float64
	losses    func() [2][][]outcome
}

func (c withNormal) Epsilon(delta float64) (float64, error) { return epsilon(c, delta) }
func (c withNormal) Floor() float64                         { return c.Delta(math.Inf(1)) }

// Delta adds up, over the outcomes of the one mechanism, the delta of the other
// at what of eps the loss leaves.
func (c withNormal) Delta(eps float64) float64 {
	if math.IsNaN(eps) || eps < 0 {
		return 1
	}
	worst := 0.0
	for _, direction := range c.losses() {
		for _, outcomes := range direction {
			sum := 0.0
			for _, o := range outcomes {
				if math.IsInf(o.loss, 1) {
					sum += o.p
				} else if !math.IsInf(eps, 1) {
					sum += o.p * normalDelta(c.mu, eps-o.loss)
				}
			}
			worst = max(worst, sum)
		}
	}
	return min(1, worst*(1+1e-9)+1e-17+c.floor)
}

// normalDelta is the delta of normal noise of sensitivity over sigma mu, at any
// epsilon (Balle and Wang 2018, theorem 8), not below the truth by more than the
// callers add.
func normalDelta(mu, eps float64) float64 {
	a, b := normalCDF64(mu/2-eps/mu), normalCDF64(-mu/2-eps/mu)
	if a == 0 || b == 0 {
		return a
	}
	return max(0, a-math.Exp(eps+math.Log(b))) + 1e-13*a
}
