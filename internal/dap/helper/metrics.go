package helper

import (
	"time"

	"github.com/shoal-project/shoal/dap"
)

// A Refusal is the reason why a request was refused before its reports were looked
// at.
type Refusal uint8

// The refusals.
const (
	NoTask     Refusal = iota + 1 // unknown, disabled, or without the leader's token
	QueueFull                     // the request waited too long, others came after it, or there is no memory to read it
	TaskLimit                     // the task's reports come too fast
	PeerLimit                     // the leader's reports come too fast, or too many of its requests are read at once
	BadRequest                    // malformed, too large, or against the protocol
)

// String returns the refusal as a label.
func (r Refusal) String() string {
	return [...]string{"none", "no_task", "queue_full", "task_limit", "peer_limit", "bad_request"}[min(r, BadRequest)]
}

// Metrics counts events. Labels are bounded: tasks are those of the registry, and no
// argument concerns one client. Methods are called by many goroutines and must not
// block.
type Metrics interface {
	// Reports is called once a job is handled, with how many of its reports were
	// refused for each cause, 0 for those that were aggregated.
	Reports(task dap.TaskID, causes map[dap.ReportError]int)
	// Repeated is called for a request that was answered before.
	Repeated(task dap.TaskID)
	// Share is called when a batch was collected.
	Share(task dap.TaskID)
	// Refused is called for a request that is refused as a whole. The task is nil
	// if it is not in the registry.
	Refused(task *dap.TaskID, why Refusal)
	// Took reports how long a job of so many reports took, from the request's first
	// byte to its commit, by the clock.
	Took(d time.Duration, reports int)
}

type noMetrics struct{}

func (noMetrics) Reports(dap.TaskID, map[dap.ReportError]int) {}
func (noMetrics) Repeated(dap.TaskID)                         {}
func (noMetrics) Share(dap.TaskID)                            {}
func (noMetrics) Refused(*dap.TaskID, Refusal)                {}
func (noMetrics) Took(time.Duration, int)                     {}
