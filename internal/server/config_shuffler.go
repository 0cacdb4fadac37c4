package server

import (
	"errors"
	"fmt"
	"slices"

	"github.com/shoal-project/shoal/crypto/oblivious"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/metric/task"
)

// ShufflerConfig is about the role shuffler.
type ShufflerConfig struct {
	Stage shuffler.Stage `yaml:"stage"`
}

func (c *ShufflerConfig) withDefaults() { orElse(&c.Stage, shuffler.Plain) }

// validateShuffler checks the stage, and that its memory is enough for a full batch.
func (c Config) validateShuffler() error {
	stage := c.Shuffler.Stage
	if !slices.Contains(shuffler.Stages(), stage) {
		return fmt.Errorf("shuffler.stage: %q is not one of %v", stage, shuffler.Stages())
	}
	if !c.Has(task.Shuffler) && stage != shuffler.Plain {
		return errors.New("shuffler: only a shuffler uses these keys")
	}
	if stage != shuffler.Oblivious {
		return nil
	}
	if need := oblivious.LeastMemory(c.Intake.MaxBatchReports); need > int64(c.Batches.Memory) {
		return fmt.Errorf("batches.memory: with shuffler.stage oblivious %d reports (intake.max_batch_reports) need %s at least, and it is %s: set more, or fewer reports",
			c.Intake.MaxBatchReports, Size((need+1<<20-1)>>20<<20), c.Batches.Memory)
	}
	return nil
}
