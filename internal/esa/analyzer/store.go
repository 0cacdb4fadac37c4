package analyzer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// A State is how far a batch has come at the analyzer:
//
//	None ─> Received ─> Released ─> Expired
//	           └─────> Discarded
type State uint8

// The states.
const (
	None     State = 0 // the store does not know the batch
	Received State = 1 // accepted from the shuffler; its file is durable
	Released State = 2 // its tables are complete and readable
	Expired  State = 3 // kept longer than the task allows: its tables are removed
	// Discarded: an operator has given it up, unreleased; its file is removed.
	Discarded State = 4
)

var stateNames = [...]string{"none", "received", "released", "expired", "discarded"}

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
	Expires  int64 // Released: when the tables are to be removed, in Unix seconds; 0 is never
	Records  int64 // from Released on: rows of the records table
	Attempts int   // tries to release it that did not end in a release
}

// A Summary is what the catalogue holds of the released and expired batches of a
// task.
type Summary struct {
	Task    task.ID
	Batches int
	Records int64
	Latest  task.Epoch
}

var moves = [...][]State{
	None:      {Received},
	Received:  {Released, Discarded},
	Released:  {Expired},
	Expired:   nil,
	Discarded: nil,
}

// Check reports whether a batch in state from may become b. Stores call it
// before they apply a change.
func (b Batch) Check(from State) error {
	if int(from) >= len(moves) || !slices.Contains(moves[from], b.State) {
		return fmt.Errorf("batch cannot go from %v to %v", from, b.State)
	}
	if (b.State == Received || b.State == Discarded) != (len(b.Manifest) == 0) {
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
	// It reads all that ever was: nothing that happens often calls it.
	Batches(ctx context.Context) ([]Batch, error)
	// Batch returns one batch, in state [None] if the store does not know it.
	Batch(ctx context.Context, id esa.BatchID) (Batch, error)
	// In returns the batches in a state, without manifests, in the order of
	// Batches.
	In(ctx context.Context, state State) ([]Batch, error)
	// Due returns the batches in state Released whose time to expire is not 0 and
	// not after now, in Unix seconds, at a cost that does not depend on others.
	Due(ctx context.Context, now int64) ([]Batch, error)
	// Of returns the batches of a task whose epochs are below before, the last ones if
	// there are more than most, which is above 0, in the order of Batches.
	Of(ctx context.Context, id task.ID, before task.Epoch, most int) ([]Batch, error)
	// Outline is Of without manifests.
	Outline(ctx context.Context, id task.ID, before task.Epoch, most int) ([]Batch, error)
	// Stamps returns for each metric a text that is another one once a batch of the
	// metric has been released or has expired. It reads no manifest.
	Stamps(ctx context.Context) (map[string]string, error)
	// Named returns the batches whose manifests name a metric, in the order of Batches.
	Named(ctx context.Context, metric string) ([]Batch, error)
	// Metrics returns the metrics that manifests name, ordered.
	Metrics(ctx context.Context) ([]string, error)
	// Summaries returns one for each task of which something was released, ordered
	// by task. It reads no manifest.
	Summaries(ctx context.Context) ([]Summary, error)
	// Try sets the Attempts of a batch in state Received. If it is in another
	// state, the error matches [ErrConflict].
	Try(ctx context.Context, id esa.BatchID, attempts int) error
	// Advance replaces the batch with b's ID, if it is in state from. If it is
	// not, the error matches [ErrConflict].
	Advance(ctx context.Context, from State, b Batch) error
	// Learn merges what the shuffler states of a task with what it has stated before,
	// see [esa.Coverage.Merge].
	Learn(ctx context.Context, id task.ID, c esa.Coverage) error
	// Stated returns what the shuffler has stated of a task.
	Stated(ctx context.Context, id task.ID) (esa.Coverage, error)
	// StatedChanges returns for each task of which something was stated how often that
	// has changed.
	StatedChanges(ctx context.Context) (map[task.ID]int64, error)
}
