package metric

import (
	"fmt"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/task"
)

// Threshold returns the rule that a task states.
func Threshold(t task.Threshold) (dp.Threshold, error) {
	switch t.Kind {
	case task.Naive:
		return dp.NewNaive(t.T)
	case task.NoisySet:
		return dp.NewNoisySet(t.T, t.SigmaMilli)
	case task.NoisyDrop:
		return dp.NewNoisyDrop(t.T, t.D, t.SigmaMilli)
	}
	return nil, fmt.Errorf("threshold: unknown kind %d", t.Kind)
}
