package server

import (
	"errors"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// LeaderConfig bounds how a leader works with its helpers and collectors.
type LeaderConfig struct {
	LeaseTime         Duration `yaml:"lease_time"`
	FirstPause        Duration `yaml:"first_pause"`
	LongestPause      Duration `yaml:"longest_pause"`
	CollectionTimeout Duration `yaml:"collection_timeout"`
	JobReports        int      `yaml:"job_reports"`
	OpenAtUpload      bool     `yaml:"open_at_upload"`
}

func (c LeaderConfig) withDefaults() LeaderConfig {
	orElse(&c.LeaseTime, Duration(10*time.Minute))
	orElse(&c.FirstPause, Duration(time.Second))
	orElse(&c.LongestPause, Duration(10*time.Minute))
	orElse(&c.CollectionTimeout, Duration(7*24*time.Hour))
	orElse(&c.JobReports, 1000)
	return c
}

// validateLeader checks what only a leader uses.
func (c Config) validateLeader() error {
	l := c.Leader
	if !c.Has(task.Leader) {
		if l != (LeaderConfig{}).withDefaults() {
			return errors.New("leader: its keys are for the role leader, which is not among roles")
		}
		return nil
	}
	for _, k := range []struct {
		name            string
		have, low, high Duration
	}{
		{"lease_time", l.LeaseTime, Duration(time.Minute), Duration(24 * time.Hour)},
		{"first_pause", l.FirstPause, Duration(time.Second), Duration(time.Hour)},
		{"longest_pause", l.LongestPause, l.FirstPause, Duration(24 * time.Hour)},
		{"collection_timeout", l.CollectionTimeout, Duration(time.Hour), Duration(365 * 24 * time.Hour)},
	} {
		if k.have < k.low || k.have > k.high {
			return fmt.Errorf("leader.%s: %s is not from %s to %s", k.name, k.have, k.low, k.high)
		}
	}
	if l.JobReports < 1 || l.JobReports > 10_000 {
		return fmt.Errorf("leader.job_reports: %d is not from 1 to 10000", l.JobReports)
	}
	return nil
}
