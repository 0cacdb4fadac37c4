package server

import (
	"errors"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/metric/task"
)

// HelperConfig bounds what a helper takes from its leaders.
type HelperConfig struct {
	Queue       int      `yaml:"queue"`
	QueueWait   Duration `yaml:"queue_wait"`
	MaxPending  int      `yaml:"max_pending"`
	BodyMemory  Size     `yaml:"body_memory"`
	PeerBodies  int      `yaml:"peer_bodies"`
	PeerReports int      `yaml:"peer_reports"`
	PeerBurst   int      `yaml:"peer_burst"`
	TaskReports int      `yaml:"task_reports"`
	TaskBurst   int      `yaml:"task_burst"`
	BodyPause   Duration `yaml:"body_pause"`
	BodyRate    Size     `yaml:"body_rate"`
	BodyTime    Duration `yaml:"body_time"`
}

// helperDefaults are the limits of a helper where none are set. The queue and the
// memory of bodies depend on the workers: 0 here.
var helperDefaults = HelperConfig{
	QueueWait: Duration(15 * time.Second), MaxPending: 1000, PeerBodies: 64,
	BodyPause: Duration(5 * time.Second), BodyRate: 64 << 10, BodyTime: Duration(5 * time.Minute),
}

// withDefaults fills in what is not set.
func (c *HelperConfig) withDefaults() {
	orElse(&c.QueueWait, helperDefaults.QueueWait)
	orElse(&c.MaxPending, helperDefaults.MaxPending)
	orElse(&c.PeerBodies, helperDefaults.PeerBodies)
	orElse(&c.BodyPause, helperDefaults.BodyPause)
	orElse(&c.BodyRate, helperDefaults.BodyRate)
	orElse(&c.BodyTime, helperDefaults.BodyTime)
	orElse(&c.PeerBurst, 10*c.PeerReports)
	orElse(&c.TaskBurst, 10*c.TaskReports)
}

// validateHelper checks the limits of a helper.
func (c Config) validateHelper() error {
	h := c.Helper
	without := HelperConfig{}
	without.withDefaults()
	if h != without && !c.Has(task.Helper) {
		return errors.New("helper: only a helper uses these limits")
	}
	switch {
	case h.Queue < 0:
		return fmt.Errorf("helper.queue: %d is below 0", h.Queue)
	case h.QueueWait < Duration(time.Second):
		return fmt.Errorf("helper.queue_wait: %s is below 1s", h.QueueWait)
	case h.MaxPending < 2:
		return fmt.Errorf("helper.max_pending: %d is below 2", h.MaxPending)
	case h.PeerBodies < 1:
		return fmt.Errorf("helper.peer_bodies: %d is below 1", h.PeerBodies)
	case h.BodyMemory != 0 && h.BodyMemory < 1<<20:
		return fmt.Errorf("helper.body_memory: %s is below 1MiB", h.BodyMemory)
	case h.BodyPause < Duration(time.Second):
		return fmt.Errorf("helper.body_pause: %s is below 1s", h.BodyPause)
	case h.BodyRate < 1<<10:
		return fmt.Errorf("helper.body_rate: %s is below 1KiB", h.BodyRate)
	case h.BodyTime < h.BodyPause:
		return fmt.Errorf("helper.body_time: %s is below helper.body_pause, %s", h.BodyTime, h.BodyPause)
	}
	for _, r := range []struct {
		name          string
		reports, most int
	}{{"peer", h.PeerReports, h.PeerBurst}, {"task", h.TaskReports, h.TaskBurst}} {
		switch {
		case r.reports < 0:
			return fmt.Errorf("helper.%s_reports: %d is below 0", r.name, r.reports)
		case r.reports == 0 && r.most != 0:
			return fmt.Errorf("helper.%s_burst: %d without helper.%s_reports", r.name, r.most, r.name)
		case r.most < 0:
			return fmt.Errorf("helper.%s_burst: %d is below 0", r.name, r.most)
		}
	}
	return nil
}

// limit puts the limits into a helper's configuration.
func (c HelperConfig) limit(h *helper.Config) {
	h.Depth, h.Age, h.MaxPending = c.Queue, c.QueueWait.D(), c.MaxPending
	h.MaxBodies, h.PeerBodies = int64(c.BodyMemory), c.PeerBodies
	h.PerPeer = helper.Rate{PerSecond: float64(c.PeerReports), Burst: float64(c.PeerBurst)}
	h.PerTask = helper.Rate{PerSecond: float64(c.TaskReports), Burst: float64(c.TaskBurst)}
	h.Pace = helper.Pace{Pause: c.BodyPause.D(), PerSecond: int(c.BodyRate), Crowded: 16 * int(c.BodyRate), Most: c.BodyTime.D()}
}
