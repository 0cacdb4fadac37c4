package metric

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/task"
)

// A budget is what one client may send in an epoch: at most perCrowd reports
// to each of at most crowds crowds.
type budget struct{ crowds, perCrowd uint64 }

// budgetOf returns the costliest way to use the caps: as many reports to each
// crowd as it takes, since a shift of one count by n costs noise of bounded
// variance more than n counts shifted by one. A crowd used in part counts as
// used whole.
func budgetOf(perEpoch, perCrowd uint32, scope Scope) budget {
	if scope == PerCrowdScope || perCrowd == 0 {
		return budget{1, uint64(perCrowd)}
	}
	return budget{(uint64(perEpoch) + uint64(perCrowd) - 1) / uint64(perCrowd), uint64(perCrowd)}
}

// exactSigma is the greatest sigma, in thousandths, whose privacy loss
// distribution is composed; beyond, it takes minutes.
const exactSigma = 60_000

// curveOf returns the exact privacy of what the budget allows, by composition
// of privacy loss distributions, and beyond the reach of these by basic
// composition, which never understates it.
func curveOf(h task.Threshold, b budget) (dp.Curve, error) {
	rule, err := Threshold(h)
	if err != nil {
		return nil, err
	}
	one := rule.Reports(b.perCrowd)
	switch {
	case b.crowds == 1:
		return one, nil
	case b.crowds > dp.MaxCrowds || h.SigmaMilli > exactSigma:
		return basic{one, float64(b.crowds)}, nil
	}
	return dp.Crowds(rule, b.crowds, b.perCrowd)
}

// basic is a curve composed k times with itself by basic composition.
type basic struct {
	dp.Curve
	k float64
}

func (c basic) Delta(eps float64) float64 { return min(1, c.k*c.Curve.Delta(eps/c.k)) }
func (c basic) Floor() float64            { return min(1, c.k*c.Curve.Floor()) }
func (c basic) Epsilon(delta float64) (float64, error) {
	eps, err := c.Curve.Epsilon(delta / c.k)
	return eps * c.k, err
}

// Grid of the solver: sigma in thousandths goes in steps of sigmaStep up to
// maxSigma.
const (
	sigmaStep = 50
	maxSigma  = 40_000
	perDrop   = 24    // values of sigma tried for each drop
	smooth    = 3_000 // from here on rounding to integers hardly shows in delta
)

// Solve returns the noisy drop with threshold t and the least drop + sigma, on
// a grid of 0.05 for sigma, whose exact privacy for what one client may send
// keeps the promise: within an epoch or a crowd, as d.Covers says.
func Solve(d Declared, t, perEpoch, perCrowd uint32) (task.Threshold, error) {
	b := budgetOf(perEpoch, perCrowd, d.Covers)
	ratio := 0.0 // of the exact delta to the approximate one, at the last candidate
	for _, h := range candidates(d, t, b) {
		about := roughDelta(d.Epsilon, h, b)
		if h.SigmaMilli > smooth && about*ratio > 1.02*d.Delta {
			continue
		}
		curve, err := curveOf(h, b)
		if err != nil {
			return task.Threshold{}, err
		}
		delta := curve.Delta(d.Epsilon)
		if delta <= d.Delta {
			return h, nil
		}
		ratio = delta / about
	}
	return task.Threshold{}, fmt.Errorf("no drop with sigma up to %d keeps epsilon %g and delta %g for %s of %s; lower per_epoch or per_crowd, raise epsilon, or write covers: crowd",
		maxSigma/1000, d.Epsilon, d.Delta, plural(b.crowds, "crowd"), plural(b.perCrowd, "report"))
}

// candidates returns thresholds that may keep the promise, the cheapest first.
// It judges by [roughDelta], generously; the caller judges exactly.
func candidates(d Declared, t uint32, b budget) []task.Threshold {
	limit := func(sigma uint32) float64 {
		if sigma > smooth {
			return 1.1 * d.Delta
		}
		return 4 * d.Delta
	}
	least := uint32(0)
	for s := uint32(sigmaStep); s <= maxSigma; s += sigmaStep {
		if gaussianDelta(d.Epsilon, s, b) <= limit(s) {
			least = s
			break
		}
	}
	if least == 0 {
		return nil
	}
	most := min(maxSigma, 2*least+1000)
	var out []task.Threshold
	for drop := uint32(1); drop < 1<<20; drop++ {
		found := 0
		for s := least; s <= most && found < perDrop; s += sigmaStep {
			if truncation(drop, s, b) > limit(s) {
				break
			}
			h := task.Threshold{Kind: task.NoisyDrop, T: t, D: drop, SigmaMilli: s}
			if roughDelta(d.Epsilon, h, b) <= limit(s) {
				out = append(out, h)
				found++
			}
		}
		if found == perDrop && len(out) > 8*perDrop {
			break
		}
	}
	slices.SortStableFunc(out, func(a, b task.Threshold) int {
		return cmp.Or(cmp.Compare(1000*a.D+a.SigmaMilli, 1000*b.D+b.SigmaMilli), cmp.Compare(a.SigmaMilli, b.SigmaMilli))
	})
	return out
}

// roughDelta is the delta of the Gaussian mechanism without truncation or
// rounding, plus the chance of truncation.
func roughDelta(eps float64, h task.Threshold, b budget) float64 {
	return gaussianDelta(eps, h.SigmaMilli, b) + truncation(h.D, h.SigmaMilli, b)
}

// gaussianDelta is the delta of the Gaussian mechanism (Balle and Wang 2018,
// theorem 8) for the L2 sensitivity of the budget.
func gaussianDelta(eps float64, sigmaMilli uint32, b budget) float64 {
	mu := float64(b.perCrowd) * math.Sqrt(float64(b.crowds)) * 1000 / float64(sigmaMilli)
	return normal(mu/2-eps/mu) - math.Exp(eps)*normal(-mu/2-eps/mu)
}

// truncation is the chance that the number dropped is cut at zero where it
// tells of a client's reports.
func truncation(drop, sigmaMilli uint32, b budget) float64 {
	z := (float64(b.perCrowd) - 0.5 - float64(drop)) * 1000 / float64(sigmaMilli)
	return float64(b.crowds) * normal(z)
}

// normal is the distribution function of the standard normal.
func normal(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
