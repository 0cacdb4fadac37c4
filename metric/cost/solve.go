package cost

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-project/shoal/internal/printable"
	"github.com/shoal-project/shoal/metric/task"
)

// Grid of the solver: sigma in thousandths goes in steps of sigmaStep up to
// maxSigma.
const (
	sigmaStep = 50
	maxSigma  = 40_000
	perDrop   = 24    // values of sigma tried for each drop
	smooth    = 3_000 // from here on rounding to integers hardly shows in delta
)

// A Declared is the privacy that a metric promises. [Solve] finds a threshold that
// keeps it.
type Declared struct {
	Epsilon float64
	Delta   float64
	Covers  Scope
}

// Solve returns the noisy drop with threshold t and the least drop + sigma, on
// a grid of 0.05 for sigma, whose exact privacy for what one client may send
// keeps the promise: within a salt window or one crowd of it, according to d.Covers.
//
// The caps are those of a salt window of the given number of epochs.
func Solve(d Declared, t, perWindow, perCrowd, epochs uint32) (task.Threshold, error) {
	b := caps{perWindow, perCrowd, epochs}.budget(d.Covers)
	ratio := 0.0 // of the exact delta to the approximate one, at the last candidate
	for _, h := range candidates(d, t, b) {
		about := roughDelta(d.Epsilon, h, b)
		if margin := marginOf(h); about*ratio > margin*d.Delta {
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
		maxSigma/1000, d.Epsilon, d.Delta, printable.Plural(b.crowds, "crowd"), printable.Plural(b.perCrowd, "report"))
}

// marginOf is how far the ratio of exact to approximate may differ from that of
// the candidate before. With little noise rounding to integers shows in it.
func marginOf(h task.Threshold) float64 {
	if h.SigmaMilli > smooth {
		return 1.1
	}
	return 1.5
}

// candidates returns thresholds that may keep the promise, the cheapest first.
// It judges by [roughDelta], generously; the caller judges exactly.
func candidates(d Declared, t uint32, b budget) []task.Threshold {
	limit := func(sigma uint32) float64 {
		if sigma > smooth {
			return 1.25 * d.Delta
		}
		return 4 * d.Delta
	}
	at := func(sigma uint32) task.Threshold {
		return task.Threshold{Kind: task.NoisyDrop, T: t, D: 1, SigmaMilli: sigma}
	}
	least := uint32(0)
	for s := uint32(sigmaStep); s <= maxSigma; s += sigmaStep {
		if gaussianDelta(d.Epsilon, at(s), b) <= limit(s) {
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
	return gaussianDelta(eps, h, b) + truncation(h.D, h.SigmaMilli, b)
}

// gaussianDelta is the delta of the Gaussian mechanism (Balle and Wang 2018,
// theorem 8) for all that is published of what the budget allows.
func gaussianDelta(eps float64, h task.Threshold, b budget) float64 {
	mu := b.muAll(h)
	return normal(mu/2-eps/mu) - math.Exp(eps)*normal(-mu/2-eps/mu)
}

// truncation is the chance that the number dropped is cut at zero where that
// reveals a client's reports.
func truncation(drop, sigmaMilli uint32, b budget) float64 {
	z := (float64(b.perCrowd) - 0.5 - float64(drop)) * 1000 / float64(sigmaMilli)
	return float64(b.crowds) * normal(z)
}

// normal is the distribution function of the standard normal.
func normal(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

// Nearest returns a sound threshold near the task's own: a larger drop with the same
// sigma if that suffices, else what [Solve] finds. The error says what else to
// change.
func Nearest(t *task.Task, d Declared) (task.Threshold, error) {
	h, b := t.Threshold, capsOf(t).budget(d.Covers)
	if h.Kind == task.NoisyDrop {
		for h.D++; h.D <= t.Threshold.D+20*h.SigmaMilli/1000+20; h.D++ {
			if truncation(h.D, h.SigmaMilli, b) > 1.1*d.Delta {
				continue
			}
			if !math.IsInf(d.Epsilon, 1) && gaussianDelta(d.Epsilon, h, b) > 1.1*d.Delta {
				break
			}
			if keeps(h, b, d) {
				return h, nil
			}
		}
	}
	if math.IsInf(d.Epsilon, 1) {
		return task.Threshold{}, errors.New("raise drop")
	}
	if h.Kind == task.NoisySet {
		return nearestSet(h, b, d)
	}
	return Solve(d, t.Threshold.T, t.PerEpoch, t.PerCrowd, t.Crowd.SaltEpochs)
}

// greatestT bounds the search of nearestSet.
const greatestT = 100_000

// nearestSet is Nearest for noise on the threshold. The threshold may have to rise
// with sigma: that a crowd of one report passes it must be rare.
func nearestSet(h task.Threshold, b budget, d Declared) (task.Threshold, error) {
	least := h.T
	for range 2 * perDrop {
		for h.SigmaMilli <= maxSigma && gaussianDelta(d.Epsilon, h, b) > d.Delta {
			h.SigmaMilli += sigmaStep
		}
		alone := func(t uint32) float64 {
			return float64(b.crowds) * normal((float64(b.perCrowd)+0.5-float64(t))/h.Sigma())
		}
		for h.T = least; h.T < greatestT && alone(h.T) > d.Delta; {
			h.T++
		}
		if keeps(h, b, d) {
			return h, nil
		}
		h.SigmaMilli += sigmaStep
	}
	return task.Threshold{}, errors.New("raise threshold and sigma")
}

func keeps(h task.Threshold, b budget, d Declared) bool {
	curve, err := curveOf(h, b)
	return err == nil && curve.Delta(d.Epsilon) <= d.Delta
}
