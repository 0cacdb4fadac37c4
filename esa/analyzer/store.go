package analyzer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/shoal-project/shoal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// A State is how far a batch has come at the analyzer:
//
//	None ─> Received ─> Released ─> Expired
type State uint8

// The states.
const (
	None     State = 0 // the store does not know the batch
	Received State = 1 // accepted from the shuffler; its file is durable
	Released State = 2 // its tables are complete and readable
	Expired  State = 3 // kept longer than the task allows: its tables are removed
)

var stateNames = [...]string{"none", "received", "released", "expired"}

// String returns the state's name, fit for a metric label.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// A Batch is the catalogue's entry of one accepted batch.
type Batch struct {
	ID     esa.BatchID
	Task   task.ID
	Epoch  task.Epoch
	State  State
	Digest [32]byte // of the batch file as accepted
	// Manifest is the JSON form of a [Manifest], from Released on.
	Manifest []byte
}

var moves = [...][]State{
	None:     {Received},
	Received: {Released},
	Released: {Expired},
	Expired:  nil,
}

// Check reports whether a batch in state from may become b. Stores call it
// before they apply a change.
func (b Batch) Check(from State) error {
	if int(from) >= len(moves) || !slices.Contains(moves[from], b.State) {
		return fmt.Errorf("batch cannot go from %v to %v", from, b.State)
	}
	if (b.State == Received) != (len(b.Manifest) == 0) {
		return fmt.Errorf("batch in state %v: want a manifest from the release on and not before", b.State)
	}
	return nil
}

// ErrConflict is what [Store.Accept] returns when it knows the batch ID with
// another digest, and [Store.Advance] when the batch is in another state.
var ErrConflict = errors.New("batch conflicts with the one stored")

// A Store is the catalogue of one analyzer. It must not be shared with any
// other role.
//
// Durability: when a method returns nil, its effect survives a crash and a
// power loss; when it returns an error or the process dies in it, the effect
// holds wholly or not at all.
//
// Concurrency: all methods may be called by many goroutines at once; changes
// take effect one after the other.
type Store interface {
	// Accept records a batch in state Received and returns true, or returns
	// false if exactly this ID, task, epoch and digest are there already, in
	// whatever state. If the ID is there with anything else, the error matches
	// [ErrConflict].
	Accept(ctx context.Context, b Batch) (bool, error)
	// Batches returns every batch ever accepted, ordered by task, epoch and ID.
	Batches(ctx context.Context) ([]Batch, error)
	// Advance replaces the batch with b's ID, if it is in state from. If it is
	// not, the error matches [ErrConflict].
	Advance(ctx context.Context, from State, b Batch) error
}
