package leader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/ledger"
)

var (
	// ErrConflict means that what a change starts from is no longer so: another
	// worker was first. Read again what the store holds.
	ErrConflict = errors.New("another worker was first")
	// ErrBusy means that a step has to wait: for jobs to end before a batch is
	// frozen, or for a frozen batch to be collected before it gets new jobs.
	ErrBusy = errors.New("waits for other work on the same batch")
	// ErrUnknown means that the store has no collection job of that ID.
	ErrUnknown = errors.New("no such collection job")
	// ErrHeld means that another process has a lease on the name of a node that
	// has not lapsed. See [HeldError].
	ErrHeld = errors.New("the node's name is leased to another process")
	// ErrFenced means that a process has no claim on its node's name any more:
	// another process has taken it, or the node was dropped. Nothing that the
	// process does can change the store again.
	ErrFenced = errors.New("the claim on the node's name is lost")
)

// A HeldError is an [ErrHeld] with the end of the lease.
type HeldError struct {
	Node  string
	Until time.Time
}

// Error returns the node and the time.
func (e *HeldError) Error() string {
	return fmt.Sprintf("node %q is leased to another process until %s, unless that renews it", e.Node, e.Until.UTC().Format(time.RFC3339))
}

// Unwrap returns [ErrHeld].
func (e *HeldError) Unwrap() error { return ErrHeld }

// A Claim is the right of one process to act as a node: a lease on the node's
// name, and a fencing token that every change of the node carries.
type Claim struct {
	Node  string
	Disk  string    // names the folder of the node's logs, which only one process has open
	Token uint64    // given by the store: higher than all that the node had before
	Until time.Time // when the lease lapses unless it is renewed, in seconds; zero: it was given up
}

// Dropped is what was given up with a node, see [Store.DropNode].
type Dropped struct {
	Node    string
	At      time.Time
	Logs    int    // that were not cut, or had jobs
	Open    int    // of them, those whose number of reports the store does not know
	Reports uint64 // acknowledged and not counted: those in jobs and in sealed logs
}

// A Holder is a node that a collection waits for.
type Holder struct {
	Node  string
	Logs  int       // that are not cut yet
	Jobs  int       // that overlap the batch
	Until time.Time // when its lease lapses or has lapsed; zero: it has none
}

// A JobCreation turns a sealed log into jobs.
type JobCreation struct {
	Log     Log
	Jobs    []Job   // whose Number the store gives
	Batches []Batch // new ones that jobs are for; Assigned is for the store to count
	Lost    []Loss  // of the log's reports, those that have expired
}

// An End ends a job.
type End struct {
	Job     Job
	Counted uint64 // reports that the change of the ledger commits
	Next    []Job  // that get some of its reports; the store gives them numbers
	Lost    []Loss // of the job's reports, those that have expired
}

// A Loss is how many reports of one unit of time were accepted and have expired
// before they were counted.
type Loss struct {
	Unit    dap.Time
	Reports uint64
}

// An Absence is what waits for a helper that does not answer.
type Absence struct {
	Jobs    int
	Reports uint64
	Since   time.Time // zero: nothing waits
}

// Work is the jobs of a task that have not ended.
type Work struct {
	Jobs       int
	Reports    uint64  // in them
	Unanswered Absence // those whose Since is set, the reports in them, and the earliest Since
}

// A Store keeps what one leader remembers, beside its ledger. Nodes that serve
// the same leader share it; no other role may.
//
// Durability: when a method that changes something returns nil, the change
// survives a crash and a power loss. When it returns an error or the process
// dies in it, all of the change holds or nothing of it.
//
// Concurrency: all methods may be called by many goroutines and processes at
// once. Changes of one task take effect one after the other.
//
// Fencing: what a node changes, it changes through [Store.As]. All methods of
// this interface that change something, other than Claim, Renew, DropNode and
// those of [ledger.Store], fail with [ErrFenced] without a claim, or if the claim's
// token is not the node's newest. The check and the change are one step: when
// Claim or DropNode has returned, no change with an older token takes effect.
type Store interface {
	ledger.Store

	// Claim takes the name of a node for c.Disk, until c.Until, and returns the
	// claim with its token. It fails with [ErrHeld] if the name is leased to
	// another disk and that lease has not lapsed at now. The same disk gets it at
	// once: its last process has ended.
	Claim(ctx context.Context, c Claim, now time.Time) (Claim, error)
	// Renew makes a claim last until c.Until; the zero time gives it up. It fails
	// with [ErrFenced] if its token is not the newest. A lease that has lapsed and
	// that no other process has taken can be renewed.
	Renew(ctx context.Context, c Claim) error
	// Nodes returns the newest claims of all nodes that were ever claimed or have
	// logs, by name. Those that were never claimed have token 0.
	Nodes(ctx context.Context) ([]Claim, error)
	// As returns the store as the holder of a claim sees it. It shares everything
	// with this one and is not closed.
	As(c Claim) Store
	// DropNode gives up everything that only a node could aggregate: its logs and
	// its jobs, whose reports are lost. Its process, if there is one, is fenced. It
	// fails with [ErrHeld] if the node's lease has not lapsed at now.
	DropNode(ctx context.Context, node string, now time.Time) (Dropped, error)
	// Drops returns what was given up so far, the oldest first.
	Drops(ctx context.Context) ([]Dropped, error)
	// Holders returns the nodes that a collection job waits for, by name: those
	// with logs up to c.Upto that are not cut, or with jobs that overlap its batch.
	Holders(ctx context.Context, c Collection) ([]Holder, error)

	// BeginLog adds a log in state [LogOpen], with a number higher than all that
	// the task ever had.
	BeginLog(ctx context.Context, task dap.TaskID, node string) (Log, error)
	// Logs returns the logs of a node, ordered by task and number.
	Logs(ctx context.Context, node string) ([]Log, error)
	// Log returns one log, and whether it is there.
	Log(ctx context.Context, task dap.TaskID, number uint64) (log Log, found bool, err error)
	// LastLog returns the highest number that BeginLog has given in a task, 0 if
	// none, and how many logs up to number upto, of all nodes, are not cut yet.
	LastLog(ctx context.Context, task dap.TaskID, upto uint64) (last uint64, undone int, err error)
	// SealLog takes a log from [LogOpen] to [LogSealed] with its records, or
	// fails with [ErrConflict].
	SealLog(ctx context.Context, log Log) error
	// CreateJobs takes a log from [LogSealed] to [LogCut] and adds its jobs and batches;
	// the reports of the jobs are added to Assigned of their batches. It fails
	// with [ErrConflict] if the log is in another state or the batch of a job is
	// taken, and with [ErrBusy] if a job overlaps a collection that is
	// [Draining].
	CreateJobs(ctx context.Context, c JobCreation) error
	// DropLog forgets a log in state [LogCut]. It fails with [ErrBusy] while a
	// job refers to it. A log that is not there is not an error.
	DropLog(ctx context.Context, task dap.TaskID, number uint64) error

	// Lease gives up to limit jobs of a node that are due at now and not leased to
	// the caller, until the given time: those that were due first, and of them
	// those of lower number. It counts an attempt for each. Two callers never get
	// the same job.
	Lease(ctx context.Context, node string, now, until time.Time, limit int) ([]Job, error)
	// Release takes all leases of a node away: its process has just started.
	Release(ctx context.Context, node string) error
	// NextDue returns when the first job of a node is due that is not leased, or
	// when the first lease ends, the zero time if there is no job.
	NextDue(ctx context.Context, node string) (time.Time, error)
	// Jobs returns how many jobs of a task have not ended, and how many reports
	// are in them.
	Jobs(ctx context.Context, task dap.TaskID) (jobs int, reports uint64, err error)
	// Work returns the jobs of all tasks that have not ended, added up by task. Tasks
	// without jobs are not in it.
	Work(ctx context.Context) (map[dap.TaskID]Work, error)
	// UpdateJob replaces what changes while a job runs: Digest, Location,
	// Attempts, Since, Due and Lease. It fails with [ErrConflict] if the job has ended
	// or held is not the lease that the store knows.
	UpdateJob(ctx context.Context, job Job, held time.Time) error
	// EndJob removes a job, adds those that follow it, and applies the change of
	// the ledger, if it is not nil, in one step. Of the job's batch, Assigned
	// loses the job's reports and gains those of the next jobs, and Count gains
	// what was counted. It fails with [ErrConflict] if the job has ended or its
	// lease is not the one that the store knows, and with the ledger's errors.
	EndJob(ctx context.Context, end End, change *ledger.Change) error

	// Losses returns how many reports with times in an interval are in the losses of
	// a task's cuts and ends.
	Losses(ctx context.Context, task dap.TaskID, i dap.Interval) (uint64, error)
	// ForgetLosses removes the losses of a task whose times are before a time.
	ForgetLosses(ctx context.Context, task dap.TaskID, before dap.Time) error

	// Batches returns the batches of a task that are not taken, the oldest first.
	Batches(ctx context.Context, task dap.TaskID) ([]Batch, error)
	// ForgetBatches removes batches that were taken and whose window is before a
	// time.
	ForgetBatches(ctx context.Context, task dap.TaskID, before dap.Time) error

	// CreateCollection adds a collection job. If there is one of its ID already,
	// it returns that and false.
	CreateCollection(ctx context.Context, c Collection) (Collection, bool, error)
	// Collection returns a collection job, or fails with [ErrUnknown].
	Collection(ctx context.Context, task dap.TaskID, id dap.CollectionJobID) (Collection, error)
	// Collections returns those that are [Waiting] or [Draining], the oldest
	// first.
	Collections(ctx context.Context) ([]Collection, error)
	// UpdateCollection replaces a collection job that has the same Rev, and adds
	// one to that. It fails with [ErrConflict] if Rev is another. It cannot take
	// a job to [Draining] or [Done].
	UpdateCollection(ctx context.Context, c Collection) error
	// Drain takes a collection job from [Waiting] to [Draining], and in the
	// leader-selected mode its batch to taken. It fails with [ErrConflict] if Rev
	// is another or the batch is taken, and with [ErrBusy] while a log up to Upto
	// is not cut, a job overlaps, or another collection that clashes is draining.
	Drain(ctx context.Context, c Collection) error
	// EndCollection takes a collection job from [Draining] to [Done], and marks
	// its batch collected in the ledger, in one step. It fails with [ErrConflict]
	// if Rev is another, and with the ledger's errors.
	EndCollection(ctx context.Context, c Collection, mark ledger.Collection) error
	// ForgetCollections removes those of a task that have ended, and whose Due is
	// before a time. The ledger still knows what was collected.
	ForgetCollections(ctx context.Context, task dap.TaskID, before time.Time) error
}
