package server

import (
	"strings"
	"testing"

	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/task"
)

// TestFloorsOfOneTask: each bound that a server sets on a task refuses one that is
// beyond it, and names its key.
func TestFloorsOfOneTask(t *testing.T) {
	floors := FloorsConfig{MinThreshold: 20, MinBatch: 100, MaxPerEpoch: 5, MaxPerCrowd: 2}
	for want, change := range map[string]func(*task.Task){
		"floors.min_threshold": func(t *task.Task) { t.Threshold.T-- },
		"floors.min_batch":     func(t *task.Task) { t.MinBatch-- },
		"floors.max_per_epoch": func(t *task.Task) { t.PerEpoch++ },
		"floors.max_per_crowd": func(t *task.Task) { t.PerCrowd++ },
		"floors.allow_naive":   func(*task.Task) {}, // all others are kept
	} {
		one := &task.Task{MinBatch: 100, PerEpoch: 5, PerCrowd: 2, Threshold: task.Threshold{T: 20, Kind: task.Naive}}
		change(one)
		if err := floors.check(one, &cost.Cache{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
