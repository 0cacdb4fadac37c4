package helper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/ledger"
)

// A State is the progress of an aggregation job or an aggregate share.
type State uint8

// The states. Done, Failed and Deleted are final, but that a job or share which is
// Done or Failed can be Deleted.
const (
	Waiting State = iota + 1 // a job whose request is stored and not handled
	Done
	Failed // a job that was refused as a whole after it had been taken
	Deleted
)

// String returns the state in one word.
func (s State) String() string {
	switch s {
	case Waiting:
		return "waiting"
	case Done:
		return "done"
	case Failed:
		return "failed"
	case Deleted:
		return "deleted"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// A Digest distinguishes the requests that create resources.
type Digest [32]byte

// A Job is what the helper remembers of an aggregation job. Which of its reports
// counted is in the ledger; a job may be forgotten, its reports may not.
type Job struct {
	Task   dap.TaskID
	ID     dap.AggregationJobID
	State  State
	Digest Digest    // of the request that created it
	Made   time.Time // when it got its state; stores keep it to the second

	Request  []byte // Waiting: the request
	Verdicts []byte // Done: which reports were refused
	Response []byte // Done after Waiting: the encoded answer, until it is swept
	Problem  []byte // Failed: why
}

// A Share is an aggregate share that was given out.
type Share struct {
	Task     dap.TaskID
	ID       dap.AggregateShareID
	State    State // Done or Deleted
	Digest   Digest
	Made     time.Time // stores keep it to the second
	Response []byte    // Done: the encoded answer, sealed to the collector, with the noise in it
}

// A JobKey names a job.
type JobKey struct {
	Task dap.TaskID
	ID   dap.AggregationJobID
}

// Key returns the job's name.
func (j *Job) Key() JobKey { return JobKey{j.Task, j.ID} }

var (
	// ErrNone means that there is no job or share of an ID.
	ErrNone = errors.New("no job or share has this ID")
	// ErrExists means that there is a job or share of this ID already, which a step
	// does not replace.
	ErrExists = errors.New("there is one of this ID already")
)

// A Store keeps the helper's state: the ledgers of its tasks and, in the same
// transactions, its jobs and shares. It must not be shared with another role.
//
// Durability and concurrency are those of [ledger.Store]. When a method fails with
// ErrNone or ErrExists, nothing has changed.
type Store interface {
	ledger.Store

	// Job returns a job. It fails with ErrNone.
	Job(ctx context.Context, task dap.TaskID, id dap.AggregationJobID) (*Job, error)
	// BeginJob stores a job that is Waiting. It fails with ErrExists if there is a
	// job of the ID.
	BeginJob(ctx context.Context, j *Job) error
	// CommitJob makes a change and stores a job that is Done, in one step. A job of
	// the ID that is Waiting is replaced; it fails with ErrExists if there is one in
	// another state, and with the errors of [ledger.Store.Commit].
	CommitJob(ctx context.Context, c ledger.Change, j *Job) error
	// FailJob stores a job that is Failed in place of one that is Waiting. It fails
	// with ErrNone or, if the job is in another state, with ErrExists.
	FailJob(ctx context.Context, j *Job) error
	// DeleteJob makes a job Deleted, at a time: only its ID, digest and time stay.
	// It fails with ErrNone.
	DeleteJob(ctx context.Context, k JobKey, now time.Time) error
	// WaitingJobs returns the names of up to limit jobs that are Waiting since
	// before a time, the oldest first.
	WaitingJobs(ctx context.Context, before time.Time, limit int) ([]JobKey, error)

	// Share returns a share. It fails with ErrNone.
	Share(ctx context.Context, task dap.TaskID, id dap.AggregateShareID) (*Share, error)
	// CollectShare marks a batch collected and stores a share that is Done, in one
	// step. It fails with ErrExists if there is a share of the ID, and with the
	// errors of [ledger.Store.Collect].
	CollectShare(ctx context.Context, c ledger.Collection, s *Share) error
	// DeleteShare makes a share Deleted, at a time: only its ID, digest and time
	// stay. It fails with ErrNone.
	DeleteShare(ctx context.Context, task dap.TaskID, id dap.AggregateShareID, now time.Time) error

	// Sweep drops the responses of jobs made before a time, and jobs and shares
	// that were made before another one, whatever their tasks, but no job that is
	// Waiting. It touches up to limit rows of each kind, and returns how many it
	// has touched.
	Sweep(ctx context.Context, responses, records time.Time, limit int) (int, error)
}
