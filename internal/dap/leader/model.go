package leader

import (
	"fmt"
	"time"

	"github.com/shoal-project/shoal/dap"
)

// A LogState is how far an intake log has come:
//
//	LogOpen ─> LogSealed ─> LogDone ─> gone
type LogState uint8

// The states of a log.
const (
	LogOpen   LogState = 1 // takes reports
	LogSealed LogState = 2 // takes no more; its reports are in no job yet
	LogDone   LogState = 3 // its reports are in jobs, or were refused; it goes when the jobs have ended
)

// String returns the state's name, fit for a metric label.
func (s LogState) String() string {
	switch s {
	case LogOpen:
		return "open"
	case LogSealed:
		return "sealed"
	case LogDone:
		return "cut"
	}
	return fmt.Sprintf("log state %d", uint8(s))
}

// A Log holds uploaded reports of one task, on the disk of one node,
// until the jobs that aggregate them have ended.
type Log struct {
	Task    dap.TaskID
	Number  uint64 // within the task, over all nodes; later logs have higher ones
	Node    string
	State   LogState
	Records int64 // from LogSealed on
	Jobs    int   // that refer to it and have not ended; as the store read it
}

// A Job is an aggregation job that has not ended. It names its reports by their
// place; the request to the helper is made from them again whenever it is needed,
// byte for byte.
type Job struct {
	Task   dap.TaskID
	Number uint64 // within the task; the store gives it
	Node   string // that holds the log
	Log    uint64
	From   int64  // the first record
	To     int64  // the record after the last
	Skip   Bitmap // of the records between them that are not part of the job

	Reports int                   // that are part of the job
	Span    dap.Interval          // holds their times
	Batch   dap.BatchID           // zero in the time-interval mode
	Key     dap.VerificationKeyID // to verify with
	Created time.Time             // by which report times and keys are judged, in seconds
	Round   int                   // how many jobs these reports were in before
	Turned  bool                  // the request has them in reverse order: it must not be that of an earlier job
	Refused int                   // how many jobs with these reports the helper has refused

	Digest   [32]byte  // SHA-256 of the request; zero before it was made
	Location string    // of the job at the helper, when that works on it
	Attempts int       // how often it was leased; less after the helper has answered, see await and confirm
	Since    time.Time // since when the helper is waited for, in seconds; zero: it has answered, or was not asked
	Due      time.Time // when to go on with it, in seconds
	Lease    time.Time // until when one worker has it, in seconds; zero: no worker has
}

// A Bitmap is a set of small numbers. Nil is the empty set.
type Bitmap []byte

// Has reports whether i is in the set.
func (b Bitmap) Has(i int64) bool { return i>>3 < int64(len(b)) && b[i>>3]&(1<<(i&7)) != 0 }

// with returns the set with i, in the same memory where that is large enough.
func (b Bitmap) with(i int64) Bitmap {
	for int64(len(b)) <= i>>3 {
		b = append(b, 0)
	}
	b[i>>3] |= 1 << (i & 7)
	return b
}

// A Batch is a batch of the leader-selected mode that is known to the leader.
type Batch struct {
	Task     dap.TaskID
	ID       dap.BatchID
	Window   dap.Time // the first unit of its time window; 0 without windows
	Assigned uint64   // reports in jobs that have not ended
	Count    uint64   // reports that were aggregated
	Taken    bool     // by a collection job: it gets no more reports
}

// A CollectionState is how far a collection job has come:
//
//	Waiting ─> Draining ─> Done ─────> Deleted
//	   │           └─────> Failed ───────┤
//	   └───────────────────> Failed ─────┘
type CollectionState uint8

// The states of a collection job.
const (
	Waiting  CollectionState = 1 // for the interval's end and grace, for jobs, for enough reports
	Draining CollectionState = 2 // its batch is frozen; the helper is asked for its share
	Done     CollectionState = 3 // the batch is collected and the response stored
	Failed   CollectionState = 4 // with Problem
	Deleted  CollectionState = 5 // by the collector; the response is gone
)

// String returns the state's name, fit for a metric label.
func (s CollectionState) String() string {
	names := [...]string{Waiting: "waiting", Draining: "draining", Done: "done", Failed: "failed", Deleted: "deleted"}
	if int(s) < len(names) && names[s] != "" {
		return names[s]
	}
	return fmt.Sprintf("collection state %d", uint8(s))
}

// Must returns [ErrConflict] unless a collection job that is to leave state s is in
// it: stores check it in the transaction that makes the change.
func (s CollectionState) Must(from CollectionState) error {
	if from != s {
		return ErrConflict
	}
	return nil
}

// A Collection is a collection job.
type Collection struct {
	Task    dap.TaskID
	ID      dap.CollectionJobID
	Rev     uint64 // grows with each change
	State   CollectionState
	Created time.Time // in seconds
	Request []byte    // the encoded CollectionJobReq, as the collector sent it

	Interval dap.Interval // of the query; zero in the leader-selected mode
	Batch    dap.BatchID  // that was taken; zero in the time-interval mode and before Draining
	Upto     uint64       // logs up to this number must be cut before the batch is frozen; 0: not known yet

	Count    uint64       // from Draining on, as sent to the helper
	Checksum dap.Checksum // the same
	Location string       // of the aggregate share at the helper, when that works on it
	Attempts int
	Due      time.Time // when to go on with it, or when it ended, in seconds

	Lost     uint64          // Done: reports of the interval that were accepted and have expired uncounted
	Response []byte          // Done: the encoded CollectionJobResp, whose shares are sealed to the collector
	Problem  dap.ProblemType // Failed; "" if the helper did not give its share
	Detail   string          // Failed
}

// ended reports whether nothing is to be done for the collection any more.
func (c *Collection) ended() bool { return c.State != Waiting && c.State != Draining }

// Overlaps reports whether reports of a job may belong to the collection's
// batch.
func (c *Collection) Overlaps(j *Job) bool {
	if c.Interval.Duration > 0 {
		return c.Interval.Overlaps(j.Span)
	}
	return c.Batch != dap.BatchID{} && c.Batch == j.Batch
}

// Clashes reports whether two collections may have reports in common.
func (c *Collection) Clashes(o *Collection) bool {
	if c.Interval.Duration > 0 {
		return c.Interval.Overlaps(o.Interval)
	}
	return c.Batch != dap.BatchID{} && c.Batch == o.Batch
}

// CheckUpdate reports whether [Store.UpdateCollection] may take a collection job
// from one state to another. Stores call it.
func CheckUpdate(from, to CollectionState) error {
	if to == Draining && from != Draining || to == Done || to == Waiting && from != Waiting || from == Deleted || from == Done && to != Deleted || from == Failed && to != Deleted {
		return fmt.Errorf("collection job cannot go from %v to %v by an update", from, to)
	}
	return nil
}
