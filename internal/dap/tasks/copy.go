package tasks

import (
	"context"
	"errors"
	"fmt"
)

// ErrNotEmpty means that a store has tasks already.
var ErrNotEmpty = errors.New("the registry has tasks")

// Copy puts everything of one store into another that is empty, as it is sealed:
// for backups. It fails with [ErrNotEmpty], and changes nothing, if there are
// tasks. They get new revisions.
func Copy(ctx context.Context, to, from Store) error {
	have, err := to.Tasks(ctx, 0)
	if err != nil {
		return fmt.Errorf("copying a registry: %w", err)
	}
	if len(have) > 0 {
		return ErrNotEmpty
	}
	tasks, err := from.Tasks(ctx, 0)
	if err != nil {
		return fmt.Errorf("copying a registry: %w", err)
	}
	for _, name := range secretNames() {
		s, err := from.Secret(ctx, name)
		if err == nil && s.Revision > 0 {
			_, err = to.PutSecret(ctx, name, 0, s.Sealed)
		}
		if err != nil {
			return fmt.Errorf("copying a registry: %s: %w", name, err)
		}
	}
	for _, t := range tasks {
		if _, err := to.PutTask(ctx, t.Task, 0, t.Sealed); err != nil {
			return fmt.Errorf("copying a registry: task %v: %w", t.Task, err)
		}
	}
	return nil
}
