package shuffler

import (
	"context"
	"errors"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// A Batch is what a shuffler remembers about one task and epoch. Reports are
// not in it: they are in segment logs until the batch is destroyed. It holds
// no time, address or count of anything but the whole batch.
type Batch struct {
	Task  task.ID
	Epoch task.Epoch
	State State

	Into task.Epoch // Carried: the later epoch whose batch takes the reports

	ID     esa.BatchID // from Closed on, except in Carried
	Seed   dp.Seed     // Closed and, unless crowds are blinded here, Processed only: noise and order come from it
	Input  [32]byte    // digest of the sealed log or of the batch received; from Closed on
	Output [32]byte    // digest of the hand-over file; from Processed on
	Counts esa.Counts  // from Processed, Carried or Discarded on
}

// A Key names a batch within one shuffler.
type Key struct {
	Task  task.ID
	Epoch task.Epoch
}

// Key returns the batch's name.
func (b Batch) Key() Key { return Key{b.Task, b.Epoch} }

// A Change replaces what the store holds about one batch, provided that the
// batch is in state From at that moment. From [None] means that the store must
// not know the batch yet.
type Change struct {
	From State
	To   Batch
}

// ErrConflict is what [Store.Apply] returns when a batch is not in the state
// that a change starts from.
var ErrConflict = errors.New("batch is in another state")

// A Store keeps the batches of one shuffler. It must not be shared with any
// other role.
//
// Durability: when Apply returns nil, the changes survive a crash and a power
// loss; when it returns an error or the process dies in it, all of them hold
// or none, never some. When a change replaces a seed that was not zero by
// zero, Apply returns nil only after the old seed's bytes have been
// overwritten in, or cut off from, every file that the store writes.
//
// Concurrency: all methods may be called by many goroutines at once; Apply
// calls take effect one after the other.
type Store interface {
	// Batches returns every batch, ordered by task, then by epoch. It reads all
	// that ever was: nothing that happens often calls it.
	Batches(ctx context.Context) ([]Batch, error)
	// Live returns the batches that are not destroyed, in the same order, at a
	// cost that does not depend on the others.
	Live(ctx context.Context) ([]Batch, error)
	// Batch returns one batch, in state [None] if the store does not know it.
	Batch(ctx context.Context, k Key) (Batch, error)
	// Apply makes all changes at once. It returns an error that matches
	// [ErrConflict], and changes nothing, if any From does not hold.
	Apply(ctx context.Context, changes ...Change) error
	// History returns what was kept last, and whether anything was.
	History(ctx context.Context) (History, bool, error)
	// Keep changes the history: Since and Through become those of h, gaps are added
	// whose places are not known, and those that end before Since are forgotten; of
	// Sent the entries of h are replaced or added.
	Keep(ctx context.Context, h History) error
	// Learn merges what the hop before states of a task with what it has stated
	// before, see [esa.Coverage.Merge].
	Learn(ctx context.Context, id task.ID, c esa.Coverage) error
	// Stated returns what the hop before has stated of a task.
	Stated(ctx context.Context, id task.ID) (esa.Coverage, error)
}
