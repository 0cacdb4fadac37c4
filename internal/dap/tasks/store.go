package tasks

import (
	"context"
	"errors"

	"github.com/shoal-project/shoal/dap"
)

// A Record is a task as it is stored.
type Record struct {
	Task     dap.TaskID
	Revision uint64 // 1, 2, 3, ... of the whole store: each Put takes the next one
	Sealed   []byte // opaque to the store
}

// A Secret is one of the aggregator's own secrets as it is stored.
type Secret struct {
	Revision uint64 // 1, 2, 3, ... of this secret; 0: no secret
	Sealed   []byte // opaque to the store
}

// ErrConflict means that a record or a secret is not the one that a change was
// made to. Read it again and try again.
var ErrConflict = errors.New("the registry has changed")

// A Store keeps the registry of one aggregator.
//
// Durability: when a method that changes something returns nil, the change
// survives a crash and a power loss. When it fails with ErrConflict, nothing has
// changed; after another error, or a crash, it has happened or not.
//
// Concurrency: all methods may be called at once, by many goroutines and by many
// processes on one database. A caller that has read a revision with Records sees
// every later one by asking for those above it.
type Store interface {
	// PutTask stores a task. The revision must be that of the task's present
	// record, 0 for a new task, else it fails with ErrConflict. It returns the new
	// revision.
	PutTask(ctx context.Context, task dap.TaskID, revision uint64, sealed []byte) (uint64, error)
	// Tasks returns the records with revisions above since, by revision.
	Tasks(ctx context.Context, since uint64) ([]Record, error)
	// Secret returns the secret of a name, the zero Secret if the store has none.
	Secret(ctx context.Context, name string) (Secret, error)
	// PutSecret replaces the secret of a name and returns its new revision. The
	// revision must be that of the present one, else it fails with ErrConflict.
	PutSecret(ctx context.Context, name string, revision uint64, sealed []byte) (uint64, error)
}
