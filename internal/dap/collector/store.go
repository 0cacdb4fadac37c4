package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/shoal-project/shoal/dap"
)

// A State is how far an ask has come:
//
//	None ─> Asked ─> Received ─> Released ─> Expired
//	          └────> Abandoned
type State uint8

// The states.
const (
	None      State = 0 // the store does not know the ask
	Asked     State = 1 // it is made, or about to be: the leader may know it
	Received  State = 2 // the sealed answer is here
	Released  State = 3 // its table is complete and readable
	Expired   State = 4 // kept longer than the task allows: its table is removed
	Abandoned State = 5 // there will be no answer; Reason is the cause
)

var stateNames = [...]string{"none", "asked", "received", "released", "expired", "abandoned"}

// String returns the state's name, fit for a metric label.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// An Ask is one request for an aggregate, from when it is decided on until its
// result has expired.
type Ask struct {
	ID      dap.CollectionJobID // also where the collector chooses the resource's name
	Task    dap.TaskID
	Number  uint64 // the epoch of a schedule; of other asks the order in which they were made
	Request []byte // the encoded CollectionJobReq, never changed
	Created int64  // Unix seconds

	State    State
	Location string // of the collection job at the leader, once it has one
	Missing  string // in words: coarsely how many reports are missing, as the leader last reported; from Received on what the result lacks
	Reason   string // of Abandoned
	Response []byte // of Received: the encoded CollectionJobResp
	Manifest []byte // the JSON form of a [Manifest], from Released on
}

// A Summary is what was released of a task, expired or not.
type Summary struct {
	Task    dap.TaskID
	Batches int
	Reports int64
	End     int64 // of the latest batch, in Unix seconds
}

var moves = [...][]State{
	None:      {Asked},
	Asked:     {Asked, Received, Abandoned},
	Received:  {Released},
	Released:  {Expired},
	Expired:   nil,
	Abandoned: nil,
}

// Check reports whether an ask in state from may become a. Stores call it before
// they apply a change.
func (a Ask) Check(from State) error {
	if int(from) >= len(moves) || !slices.Contains(moves[from], a.State) {
		return fmt.Errorf("ask cannot go from %v to %v", from, a.State)
	}
	if (a.State == Received) != (len(a.Response) > 0) {
		return fmt.Errorf("ask in state %v: want a response if it is received and none otherwise", a.State)
	}
	released := a.State == Released || a.State == Expired
	if released != (len(a.Manifest) > 0) {
		return fmt.Errorf("ask in state %v: want a manifest from the release on and not before", a.State)
	}
	if (a.State == Abandoned) != (a.Reason != "") {
		return fmt.Errorf("ask in state %v: want a reason if it is abandoned and none otherwise", a.State)
	}
	return nil
}

// ErrConflict is what [Store.Advance] returns when an ask is in another state
// than was thought.
var ErrConflict = errors.New("ask is not in the state that was expected")

// A Store remembers the asks of one collector. It must not be shared with any
// other role.
//
// Durability: when a method returns nil, its effect survives a crash and a power
// loss; when it returns an error or the process dies in it, the effect holds
// wholly or not at all.
//
// Concurrency: all methods may be called by many goroutines at once; changes take
// effect one after the other.
type Store interface {
	// Begin records when the collector was first given a task, in Unix seconds,
	// and returns what was recorded first.
	Begin(ctx context.Context, task dap.TaskID, at int64) (int64, error)
	// Add records an ask in state [Asked] and returns true, or returns false and
	// changes nothing if there is one with this ID.
	Add(ctx context.Context, a Ask) (bool, error)
	// Asks returns every ask, ordered by task, number and ID. It reads all that ever
	// was: nothing that happens often calls it. What follows has the same order, and
	// costs what it returns.
	Asks(ctx context.Context) ([]Ask, error)
	// Open returns the asks in the states [Asked] and [Received].
	Open(ctx context.Context) ([]Ask, error)
	// Of returns the asks of a task, the last ones if there are more than most, which
	// is above 0, without responses and manifests.
	Of(ctx context.Context, task dap.TaskID, most int) ([]Ask, error)
	// Unreleased returns of a task the last asks in the states [Asked], [Received] and
	// [Abandoned], at most so many.
	Unreleased(ctx context.Context, task dap.TaskID, most int) ([]Ask, error)
	// Released returns of a task the last asks in the states [Released] and [Expired]
	// whose numbers are below before, at most so many.
	Released(ctx context.Context, task dap.TaskID, before uint64, most int) ([]Ask, error)
	// Named returns the asks in the states [Released] and [Expired] whose manifests
	// name a metric.
	Named(ctx context.Context, metric string) ([]Ask, error)
	// Metrics returns the metrics that manifests name, ordered.
	Metrics(ctx context.Context) ([]string, error)
	// Stamps returns for each metric a text that is another one once a batch of the
	// metric has been released or has expired. It reads no manifest.
	Stamps(ctx context.Context) (map[string]string, error)
	// Due returns the asks in state [Released] whose manifests have a retention in days
	// that has passed at now, in Unix seconds.
	Due(ctx context.Context, now int64) ([]Ask, error)
	// Undated returns the asks in state [Released] of which Due does not know when they
	// are to expire: their manifests could not be read when they were stored. They are
	// few.
	Undated(ctx context.Context) ([]Ask, error)
	// Expired returns the asks in state [Expired], without manifests.
	Expired(ctx context.Context) ([]Ask, error)
	// Answered reports whether the manifest of an ask of a task has this digest.
	Answered(ctx context.Context, task dap.TaskID, digest string) (bool, error)
	// Summaries returns one for each task of which something was released, ordered by
	// task. It reads no manifest.
	Summaries(ctx context.Context) ([]Summary, error)
	// Advance replaces what changes of the ask with a's ID: State, Location,
	// Missing, Reason, Response and Manifest, if it is in state from. If it is
	// not, the error matches [ErrConflict].
	Advance(ctx context.Context, from State, a Ask) error
}
