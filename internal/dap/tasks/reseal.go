package tasks

import (
	"context"
	"errors"
	"fmt"
)

// reseal seals again what is not sealed with the first storage key, so that the
// other keys can leave the list once nothing else needs them. What another process
// changes meanwhile is left to it.
func (r *Registry) reseal(ctx context.Context) error {
	records, err := r.store.Tasks(ctx, 0)
	if err != nil {
		return fmt.Errorf("resealing tasks: %w", err)
	}
	for _, record := range records {
		id := record.Task
		sealed, err := r.resealed(record.Sealed, entryKind, id[:])
		if err != nil {
			return fmt.Errorf("resealing task %v: %w", id, err)
		}
		if sealed == nil {
			continue
		}
		if _, err := r.store.PutTask(ctx, id, record.Revision, sealed); err != nil && !errors.Is(err, ErrConflict) {
			return fmt.Errorf("resealing task %v: %w", id, err)
		}
	}
	for _, name := range secretNames() {
		secret, err := r.store.Secret(ctx, name)
		if err != nil {
			return fmt.Errorf("resealing the %s: %w", name, err)
		}
		if secret.Revision == 0 {
			continue
		}
		sealed, err := r.resealed(secret.Sealed, secretKind, []byte(name))
		if err != nil {
			return fmt.Errorf("resealing the %s: %w", name, err)
		}
		if sealed == nil {
			continue
		}
		if _, err := r.store.PutSecret(ctx, name, secret.Revision, sealed); err != nil && !errors.Is(err, ErrConflict) {
			return fmt.Errorf("resealing the %s: %w", name, err)
		}
	}
	return nil
}

// resealed returns the same secret under the first key, nil if it is that
// already.
func (r *Registry) resealed(sealed []byte, kind string, where []byte) ([]byte, error) {
	if r.config.Keys.Current(sealed) {
		return nil, nil
	}
	plain, err := r.config.Keys.Open(sealed, kind, where)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return r.config.Keys.Seal(plain, kind, where), nil
}
