package task

import (
	"fmt"

	"github.com/shoal-project/shoal/dp"
)

// Rule returns the rule of the threshold. It fails for parameters that no task may
// have.
func (h Threshold) Rule() (dp.Threshold, error) {
	switch h.Kind {
	case Naive:
		return dp.NewNaive(h.T)
	case NoisySet:
		return dp.NewNoisySet(h.T, h.SigmaMilli)
	case NoisyDrop:
		return dp.NewNoisyDrop(h.T, h.D, h.SigmaMilli)
	}
	return nil, fmt.Errorf("threshold: unknown kind %d", h.Kind)
}

// Sigma returns the standard deviation of the noise.
func (h Threshold) Sigma() float64 { return float64(h.SigmaMilli) / 1000 }

// String names a threshold by its parameters.
func (h Threshold) String() string {
	switch h.Kind {
	case Naive:
		return fmt.Sprintf("threshold %d without noise", h.T)
	case NoisySet:
		return fmt.Sprintf("threshold %d, sigma %g on the threshold", h.T, h.Sigma())
	}
	return fmt.Sprintf("threshold %d, drop %d, sigma %g", h.T, h.D, h.Sigma())
}

// Shufflers counts the shufflers of the parties; one is assumed where none are known.
func Shufflers(parties []Party) int {
	n := 0
	for _, p := range parties {
		if p.Role == Shuffler {
			n++
		}
	}
	return max(1, n)
}
